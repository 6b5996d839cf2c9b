"""RMS normalisation: kernel against reference and definition."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.ops import ImplError, rms_norm

SIZES = [(1,), (7,), (1, 1), (3, 16), (2, 3, 17), (257, 33), (2, 256)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_agrees_with_reference(isa: str, case: Any, agree: Any, sizes: tuple[int, ...]) -> None:
    agree(case("rms_norm", *sizes))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_agrees_in_half_precision(isa: str, case: Any, agree: Any, dtype: str) -> None:
    agree(case("rms_norm", 33, 19), dtype)


def test_agrees_with_float64_definition(isa: str, case: Any, close: Any, slopes: Any) -> None:
    example = case("rms_norm", 5, 21)
    close("y", example()[0], example.exact_outputs()[0], 2e-6)
    slopes(example)


@pytest.mark.parametrize("size", [1e-15, 1e-3, 1e15])
def test_extreme_sizes(isa: str, size: float) -> None:
    x = mx.array([[3.0, -4.0, 0.0]]) * size
    expected = np.array([[3.0, -4.0, 0.0]]) * size / np.sqrt(25 / 3 * size**2 + 1e-5)
    np.testing.assert_allclose(np.array(rms_norm(x, mx.ones(3), impl="cpu")), expected, rtol=2e-6)
    gradient = mx.grad(lambda v: (rms_norm(v, mx.ones(3), impl="cpu") * mx.array([1.0, 2, 3])).sum())(x)
    assert mx.isfinite(gradient).all().item()


def test_zeros_stay_zero(isa: str) -> None:
    assert not rms_norm(mx.zeros((2, 5)), mx.ones(5), impl="cpu").any().item()


@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_result_has_the_dtype_of_x(case: Any, impl: str) -> None:
    example = case("rms_norm")
    assert example(impl, x=example.arrays["x"].astype(mx.float16))[0].dtype == mx.float16


def test_mistakes_are_named(case: Any) -> None:
    example = case("rms_norm", 2, 5)
    with pytest.raises(ImplError, match='rms_norm: impl="metal" cannot run: no Metal kernel yet'):
        example("metal")
    with pytest.raises(ValueError, match=r"rms_norm: weight has shape \(4,\), expected \(5,\)\."):
        example(weight=mx.zeros(4))
    with pytest.raises(ValueError, match=r"rms_norm: x has shape \(2, 0\), expected \(\.\.\., d\) and not empty\."):
        example(x=mx.zeros((2, 0)))
    with pytest.raises(ValueError, match=r"rms_norm: weight has dtype mlx\.core\.int8, expected float32, float16"):
        example(weight=mx.zeros(5, dtype=mx.int8))
