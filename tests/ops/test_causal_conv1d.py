"""The convolution's kernel against its reference and its definition in float64."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.ops import ImplError, causal_conv1d

SIZES = [
    (1, 1, 1, 1),
    (1, 1, 5, 4),
    (3, 2, 7, 4),
    (2, 5, 3, 1),
    (1, 63, 64, 3),
    (3, 67, 65, 2),
    (2, 131, 17, 5),
    (2, 9, 129, 7),
    (1, 40, 5, 67),
    (2, 150, 3, 131),
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("activation", [None, "silu"])
def test_agrees_with_reference(
    kernel: str, case: Any, agree: Any, sizes: tuple[int, ...], activation: str | None
) -> None:
    agree(case("causal_conv1d", *sizes, activation=activation), forward=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_agrees_in_half_precision(kernel: str, case: Any, agree: Any, dtype: str) -> None:
    agree(case("causal_conv1d", 2, 35, 21), dtype)


@pytest.mark.parametrize("without", [("bias",), ("tail",), ("bias", "tail")], ids=str)
def test_agrees_without_optional_inputs(kernel: str, case: Any, agree: Any, without: tuple[str, ...]) -> None:
    agree(case("causal_conv1d", 3, 66, 9, 4, without=without), forward=1e-6)


@pytest.mark.parametrize("activation", [None, "silu"])
def test_agrees_with_float64_definition(
    kernel: str, case: Any, close: Any, slopes: Any, activation: str | None
) -> None:
    example = case("causal_conv1d", 2, 71, 19, 4, activation=activation)
    for actual, expected in zip(example(), example.exact_outputs(), strict=True):
        close("output", actual, expected, 1e-6)
    slopes(example)


def test_newest_input_meets_the_last_tap() -> None:
    x = mx.array([1.0, 0, 0, 0, 0]).reshape(1, 5, 1)
    y, tail = causal_conv1d(x, mx.array([[3.0, 2.0, 1.0]]), impl="cpu")
    assert y.reshape(-1).tolist() == [1, 2, 3, 0, 0]
    assert tail.shape == (1, 2, 1)


def test_tail_keeps_its_own_dtype(kernel: str, case: Any) -> None:
    example = case("causal_conv1d", 2, 3, 5, 4)
    for impl in (kernel, "reference"):
        y, tail = example(impl, x=example.arrays["x"].astype(mx.bfloat16))
        assert (y.dtype, tail.dtype) == (mx.bfloat16, mx.float32)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 139), max_size=8, unique=True), k=st.integers(1, 6))
def test_one_pass_equals_any_split(cuts: list[int], k: int) -> None:
    random = np.random.default_rng(k)
    x = mx.array(random.standard_normal((2, 140, 7)).astype(np.float32))
    weight, bias = mx.array(random.standard_normal((7, k)).astype(np.float32)), mx.ones(7)
    whole, last = causal_conv1d(x, weight, bias, activation="silu", impl="cpu")
    tail, pieces = None, []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 140], strict=True):
        y, tail = causal_conv1d(x[:, start:stop], weight, bias, tail, activation="silu", impl="cpu")
        pieces.append(y)
    assert mx.array_equal(mx.concatenate(pieces, 1), whole)
    assert mx.array_equal(tail, last)


@pytest.mark.skipif(mx.metal.is_available(), reason="there is a Metal device: the kernel runs")
def test_metal_is_refused_plainly(case: Any) -> None:
    with pytest.raises(ImplError, match=r'causal_conv1d: impl="metal" cannot run: no Metal device here\.'):
        case("causal_conv1d")("metal")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": (4, 3)}, r"x has shape \(4, 3\), expected \(b, t, d\) with every size at least 1\."),
        ({"x": (0, 5, 3)}, r"x has shape \(0, 5, 3\), expected \(b, t, d\) with every size at least 1\."),
        ({"weight": (4, 3)}, r"weight has shape \(4, 3\), expected \(3, k\)\."),
        ({"weight": (3, 0)}, r"weight has shape \(3, 0\), expected \(3, k\)\."),
        ({"bias": (3, 1)}, r"bias has shape \(3, 1\), expected \(3,\)\."),
        ({"tail": (2, 4, 3)}, r"tail has shape \(2, 4, 3\), expected \(2, 3, 3\)\."),
    ],
)
@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_wrong_shapes_are_named(case: Any, impl: str, changed: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match="^causal_conv1d: " + message):
        case("causal_conv1d", 2, 5, 3, 4)(impl, **{name: mx.zeros(shape) for name, shape in changed.items()})


@pytest.mark.parametrize("name", ["x", "weight", "bias", "tail"])
def test_wrong_dtypes_are_named(case: Any, name: str) -> None:
    example = case("causal_conv1d", 2, 5, 3, 4)
    message = rf"^causal_conv1d: {name} has dtype mlx\.core\.uint8, expected float32, float16 or bfloat16\."
    with pytest.raises(ValueError, match=message):
        example(**{name: example.arrays[name].astype(mx.uint8)})


def test_unknown_activation_is_named(case: Any) -> None:
    with pytest.raises(ValueError, match=r'^causal_conv1d: activation is \'relu\', expected None or "silu"\.'):
        case("causal_conv1d", activation="relu")()
