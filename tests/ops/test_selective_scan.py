"""The scan's kernel against its reference and its definition in float64."""

import math
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.ops import ImplError, native, selective_scan

OPTIONAL = ("D", "z", "h0")
SIZES = [
    (1, 1, 1, 1),
    (1, 1, 5, 2),
    (3, 2, 1, 7),
    (1, 33, 16, 16),
    (3, 31, 17, 3),
    (1, 97, 7, 17),
    (2, 64, 37, 16),
    (1, 5, 3, 64),
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("substeps", [1, 4, math.inf])
def test_agrees_with_reference(kernel: str, case: Any, agree: Any, sizes: tuple[int, ...], substeps: float) -> None:
    agree(case("selective_scan", *sizes, substeps=substeps))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("substeps", [1, 2])
def test_agrees_in_half_precision(kernel: str, case: Any, agree: Any, dtype: str, substeps: float) -> None:
    agree(case("selective_scan", 2, 35, 21, 5, substeps=substeps), dtype)


@pytest.mark.parametrize("without", [OPTIONAL, ("D",), ("z",), ("h0",), ("D", "z")], ids=str)
def test_agrees_without_optional_inputs(kernel: str, case: Any, agree: Any, without: tuple[str, ...]) -> None:
    agree(case("selective_scan", 3, 34, 9, 3, without=without))


@pytest.mark.parametrize("substeps", [1, 2, 4, math.inf])
def test_agrees_with_float64_definition(kernel: str, case: Any, close: Any, slopes: Any, substeps: float) -> None:
    example = case("selective_scan", 2, 45, 19, 6, substeps=substeps)
    for actual, expected in zip(example(), example.exact_outputs(), strict=True):
        close("output", actual, expected, 2e-6)
    slopes(example)


def test_state_stays_float32_in_half_precision(kernel: str, case: Any) -> None:
    y, h = case("selective_scan").cast("bfloat16")()
    assert (y.dtype, h.dtype) == (mx.bfloat16, mx.float32)


def test_mixed_dtypes_keep_the_dtype_of_x(kernel: str, case: Any, agree: Any, close: Any) -> None:
    example = case("selective_scan", 2, 9, 6, 3)
    halves = {name: example.arrays[name].astype(mx.float16) for name in ("dt", "B", "z")}
    y, _ = example(**halves)
    close("y", y, example("reference", **halves)[0], 2e-6)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 69), max_size=6, unique=True), substeps=st.sampled_from([1, 3, math.inf]))
def test_one_pass_equals_any_split(cuts: list[int], substeps: float) -> None:
    random = np.random.default_rng(0)
    t, d, n = 70, 11, 3
    x, dt, z = (mx.array(random.uniform(0.1, 1, (2, t, d)).astype(np.float32)) for _ in range(3))
    B, C = (mx.array(random.standard_normal((2, t, n)).astype(np.float32)) for _ in range(2))
    A = mx.array(-random.uniform(0.1, 5, (d, n)).astype(np.float32))
    whole, last = selective_scan(x, dt, A, B, C, z=z, substeps=substeps, impl="cpu")
    h, pieces = None, []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), t], strict=True):
        now = slice(start, stop)
        y, h = selective_scan(
            x[:, now], dt[:, now], A, B[:, now], C[:, now], z=z[:, now], h0=h, substeps=substeps, impl="cpu"
        )
        pieces.append(y)
    assert mx.array_equal(mx.concatenate(pieces, 1), whole)
    assert mx.array_equal(h, last)


@pytest.fixture
def peak(case: Any, peak_bytes: Any) -> Callable[..., int]:
    """Of a forward and backward pass at these sizes."""

    def measure(*sizes: int) -> int:
        example = case("selective_scan", *sizes)
        return peak_bytes(mx.value_and_grad(lambda arrays: sum(out.sum() for out in example(**arrays))), example)

    return measure


def test_training_never_stores_the_states(peak: Any) -> None:
    # 16 MB of the 20 are the gradients of x, dt, z and the output; (b, t, d, n) alone would be 67 MB
    threads = native.module.threads()
    partial_sums = 2 * threads * 8 * 512 * 16 * 4 if threads > 2 else 0  # of dB and dC, at most one a thread
    assert peak(8, 512, 256, 16) < 20e6 + partial_sums


def test_memory_is_linear_in_time(peak: Any) -> None:
    short, long = peak(1, 1024, 64, 16), peak(1, 4096, 64, 16)
    assert long < 6 * short  # 4, and the order in which buffers come free


@pytest.mark.skipif(mx.metal.is_available(), reason="there is a Metal device: the kernel runs")
def test_metal_is_refused_plainly(case: Any) -> None:
    with pytest.raises(ImplError, match=r'selective_scan: impl="metal" cannot run: no Metal device here\.'):
        case("selective_scan")("metal")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": (4, 3)}, r"x has shape \(4, 3\), expected \(b, t, d\) with every size at least 1\."),
        ({"x": (2, 0, 3)}, r"x has shape \(2, 0, 3\), expected \(b, t, d\) with every size at least 1\."),
        ({"A": (4, 2)}, r"A has shape \(4, 2\), expected \(3, n\)\."),
        ({"A": (3, 0)}, r"A has shape \(3, 0\), expected \(3, n\)\."),
        ({"dt": (2, 5, 1)}, r"dt has shape \(2, 5, 1\), expected \(2, 5, 3\)\."),
        ({"B": (2, 7, 2)}, r"B has shape \(2, 7, 2\), expected \(2, 5, 2\)\."),
        ({"C": (2, 5, 3)}, r"C has shape \(2, 5, 3\), expected \(2, 5, 2\)\."),
        ({"D": (1, 3)}, r"D has shape \(1, 3\), expected \(3,\)\."),
        ({"z": (2, 5)}, r"z has shape \(2, 5\), expected \(2, 5, 3\)\."),
        ({"h0": (2, 2, 3)}, r"h0 has shape \(2, 2, 3\), expected \(2, 3, 2\)\."),
    ],
)
@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_wrong_shapes_are_named(case: Any, impl: str, changed: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match="^selective_scan: " + message):
        case("selective_scan", 2, 5, 3, 2)(impl, **{name: mx.zeros(shape) for name, shape in changed.items()})


@pytest.mark.parametrize("name", ["x", "dt", "A", "B", "C", "D", "z", "h0"])
def test_wrong_dtypes_are_named(case: Any, name: str) -> None:
    example = case("selective_scan", 2, 5, 3, 2)
    message = rf"^selective_scan: {name} has dtype mlx\.core\.int32, expected float32, float16 or bfloat16\."
    with pytest.raises(ValueError, match=message):
        example(**{name: example.arrays[name].astype(mx.int32)})


@pytest.mark.parametrize("substeps", [0, -1, 1.5, math.nan, -math.inf])
def test_wrong_substeps_are_named(case: Any, substeps: float) -> None:
    with pytest.raises(ValueError, match=rf"substeps is {substeps}, expected an integer >= 1 or math\.inf\."):
        case("selective_scan", 2, 5, 3, 2, substeps=substeps)()
