"""The plastic scan's GPU kernels, run by the checker: outputs, every gradient, how rows are divided, what is kept."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import mlx.core as mx
import numpy as np
import pytest

from lasmlx import ops
from lasmlx.ops import plastic_metal
from lasmlx.ops.plastic_metal import FULL, parts, rows, takes


def make(case: Any, b: int, t: int, g: int, m: int, n: int, *, without: tuple[str, ...] = (), **options: Any) -> Any:
    """Keys of length 1 or near it, traces that fade and traces that stay."""
    random = np.random.default_rng([b, t, g, m, n])
    sizes = {"u": (b, t, g, m), "x": (b, t, g, n), "alpha": (g, m, n), "H0": (b, g, m, n), "key": (b, t, g, n)}
    values = {name: random.standard_normal(size) for name, size in sizes.items()}
    values |= {"target": random.standard_normal(sizes["u"])}
    values |= {"rate": random.uniform(0.1, 0.5, (b, t, g)), "keep": random.uniform(0.7, 1, (b, t, g))}
    for name in ("x", "key"):
        values[name] *= n**-0.5
    arrays = {name: mx.array(v.astype(np.float32)) for name, v in values.items() if name not in without}
    return replace(case("rms_norm"), op=ops.plastic_scan, arrays=arrays, options=options)


THREE_SEGMENTS = ((1, 67, 1, 1, 7), FULL, "oja", ("key", "target"))
TWO_PARTS = ((1, 33, 1, 19, 6), 512, "hebb", ("key",))  # of which the second is not full
CASES: list[tuple[tuple[int, ...], int, str, tuple[str, ...]]] = [
    THREE_SEGMENTS,
    TWO_PARTS,
    ((1, 1, 1, 1, 1), FULL, "delta", ()),
    ((2, 5, 2, 21, 33), 1, "delta", ("target",)),  # several rows a simdgroup, and in turn
    ((3, 32, 1, 9, 32), FULL, "oja", ()),  # a whole segment, every lane, parts of one turn
    ((1, 11, 1, 3, 300), FULL, "delta", ("key", "target")),  # two traces a piece, and a piece of one
    ((1, 4, 1, 2, 512), 1, "hebb", ("target",)),  # one
]


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
@pytest.mark.parametrize(("sizes", "full", "rule", "without"), CASES, ids=str)
def test_agrees_with_the_reference(
    kernel: str, case: Any, agree: Any, sizes: tuple[int, ...], full: int, rule: str, without: tuple[str, ...]
) -> None:
    with patch.object(plastic_metal, "FULL", full):
        agree(make(case, *sizes, without=without, rule=rule), backward=1e-5)


@pytest.fixture
def two_parts(kernel: str, case: Any) -> Iterator[Any]:
    sizes, full, rule, without = TWO_PARTS
    with patch.object(plastic_metal, "FULL", full):
        yield make(case, *sizes, without=without, rule=rule)


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
def test_half_precision_agrees(two_parts: Any, agree: Any) -> None:
    agree(two_parts, "bfloat16")


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
def test_a_number_an_output_and_no_first_trace(two_parts: Any, agree: Any) -> None:
    arrays = two_parts.arrays | {"alpha": two_parts.arrays["alpha"][..., :1]}
    del arrays["H0"]
    agree(replace(two_parts, arrays=arrays), backward=1e-5)


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
def test_gradients_are_the_same_bits_every_run(two_parts: Any) -> None:
    first, again = two_parts.gradients(), two_parts.gradients()
    assert all(mx.array_equal(first[name], again[name]) for name in two_parts.arrays)


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
@pytest.mark.parametrize("name", ["x", "u"])
def test_nan_reaches_what_comes_after_it(kernel: str, case: Any, name: str) -> None:
    sizes, _, rule, without = THREE_SEGMENTS
    example = make(case, *sizes, without=without, rule=rule)
    late = mx.arange(sizes[1])[:, None, None] == 40
    y, last = example(**{name: mx.where(late, mx.nan, example.arrays[name])})
    assert np.isfinite(np.array(y[:, :40])).all() and np.isnan(np.array(y[:, 41:])).all()
    assert np.isnan(np.array(last)).all()


@pytest.mark.parametrize(("n", "taken"), [(1, True), (512, True), (513, False)])
def test_what_the_kernels_take(n: int, taken: bool) -> None:
    assert takes(n) is taken


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
def test_wider_rows_are_refused_plainly(kernel: str, case: Any) -> None:
    with pytest.raises(ValueError, match=r"^plastic_scan: x has 513 values a head, the metal kernel takes at most 512"):
        make(case, 1, 2, 1, 1, 513)()


def test_rows_a_simdgroup() -> None:
    assert [rows(64, 256, n) for n in (32, 128, 160, 256, 288, 512)] == [4, 4, 3, 2, 1, 1]
    assert [rows(pairs, 256, 32) for pairs in (1, 2, 4, 6, 8)] == [1, 1, 2, 3, 4]
    assert [rows(4096, m, 32) for m in (1, 3, 5)] == [1, 3, 4]


@pytest.mark.parametrize("pairs", [1, 3, 8, 100])
@pytest.mark.parametrize("m", [1, 5, 8, 9, 63, 256, 1000])
@pytest.mark.parametrize("n", [1, 256, 257, 512])
@pytest.mark.parametrize("keyed", [False, True])
def test_parts_hold_every_row_once(pairs: int, m: int, n: int, keyed: bool) -> None:
    groups, turns, count = parts(pairs, m, n, keyed)
    assert (count - 1) * groups * turns < m <= count * groups * turns
    assert count * pairs <= max(pairs, FULL // (32 * groups))
    assert 4 * groups * n * (1 + keyed) <= 16384


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
def test_what_the_forward_keeps(kernel: str, case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside y and the last trace: a trace every 32 elements, and for delta a number an output."""
    b, t, g, m, n = sizes = THREE_SEGMENTS[0]
    builder, launched = mx.fast.metal_kernel, []

    def recorded(**kernel: Any) -> Any:
        launch = builder(**kernel)

        def run(**call: Any) -> list[mx.array]:
            sizes = [math.prod(shape) for shape in call["output_shapes"]]
            launched.append(dict(zip(kernel["output_names"], sizes, strict=True)))
            return launch(**call)

        return run

    monkeypatch.setattr(mx.fast, "metal_kernel", recorded)
    for rule in ("oja", "delta"):
        mx.eval(make(case, *sizes, without=("key", "target"), rule=rule)())
        seen = b * t * g * m if rule == "delta" else 1
        expected = {"y": b * t * g * m, "H_last": b * g * m * n, "seen": seen, "checkpoints": 3 * b * g * m * n}
        assert launched.pop() == expected
