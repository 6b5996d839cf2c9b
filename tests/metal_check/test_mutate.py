"""A few mutants with a fixed seed, so that the mutation run itself stays right; all of them: ``metal_check.mutate``."""

import random
from collections.abc import Iterator
from importlib import import_module

import pytest

from metal_check import mutate
from metal_check.equivalents import EQUIVALENTS, reason
from metal_check.mutants import Mutant, mutants
from metal_check.mutation_cases import cases
from metal_check.mutation_worker import harness, verdict

KERNEL = """// A comment: 1 + 1 == 2
inline float twice(float x) {
  return 2.0f * x;
}
// kernel: forward (x) -> (y)
const uint i = thread_position_in_grid.x;
const uint k = i + 3;
threadgroup_barrier(mem_flags::mem_threadgroup);
y[i] = simd_sum(x[k]) < 0.0f ? metal::min(x[i], 1.0f) : 0.5f;
"""


@pytest.fixture(autouse=True)
def checked() -> Iterator[None]:
    with harness():
        yield


def test_every_token_changes_once() -> None:
    found = [(m.kernel, m.line, m.after) for m in mutants("toy", KERNEL)]
    y = "y[i] = simd_sum(x[k]) < 0.0f ? metal::min(x[i], 1.0f) : 0.5f;"
    assert found == [
        ("header", 3, "return 2.0f / x;"),
        ("forward", 7, "const uint k = i - 3;"),
        ("forward", 7, "const uint k = i + 4;"),
        ("forward", 8, ";"),
        ("forward", 9, y.replace("y[i]", "y[k]")),
        ("forward", 9, y.replace("simd_sum", "")),
        ("forward", 9, y.replace("x[k]", "x[i]")),
        ("forward", 9, y.replace("<", "<=")),
        ("forward", 9, y.replace("0.0f", "1.0f")),
        ("forward", 9, y.replace("min", "max")),
        ("forward", 9, y.replace("x[i]", "x[k]")),
    ]


def test_some_are_noticed() -> None:
    """In a process of their own, as mutants may end it."""
    some: list[Mutant] = []
    for op in mutate.ops():
        some += random.Random(0).sample([m for m in mutate.all_mutants(op) if not reason(m)], 2)
    found = {mutant: way for mutant, way, _ in mutate.run(some, 1, check=False)}
    assert set(found) == set(some)
    assert [m for m, way in found.items() if way == "survived"] == []


def test_every_kernel_file_has_cases() -> None:
    assert [op for op in mutate.ops() if not cases(op)] == []


def test_the_unchanged_kernel_survives() -> None:
    text = import_module("lasmlx.ops.metal").files("lasmlx").joinpath("metal", "causal_conv1d.metal").read_text()
    assert verdict(Mutant("causal_conv1d", "forward", 1, "", "", text)) == ("survived", "")


def test_equivalents_match_lines() -> None:
    every = {(m.op, m.kernel, m.before, m.after) for op in mutate.ops() for m in mutate.all_mutants(op)}
    assert [e for e in EQUIVALENTS if (e.op, e.kernel, e.before, e.after) not in every] == []


def test_table() -> None:
    every = mutate.all_mutants("causal_conv1d")[:3]
    verdicts = zip(every, [("compile", ""), ("numbers", ""), ("survived", "")], strict=True)
    assert mutate.table(dict(verdicts)).splitlines()[-1] == "| all | 3 | 1 | 0 | 1 | 0 | 1 |"
