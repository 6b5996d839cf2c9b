"""The two rules for a time step: kernels against reference and definition, and the promise of the bounds."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.ops import ImplError, bounded_time_step, softplus_time_step

OPS = ["bounded_time_step", "softplus_time_step"]
SIZES = [(1,), (7,), (1, 1), (3, 16), (2, 3, 17), (257, 33)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("op", OPS)
def test_agrees_with_reference(isa: str, case: Any, agree: Any, op: str, sizes: tuple[int, ...]) -> None:
    agree(case(op, *sizes))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("op", OPS)
def test_agrees_in_half_precision(isa: str, case: Any, agree: Any, op: str, dtype: str) -> None:
    agree(case(op, 33, 19), dtype)


@pytest.mark.parametrize("op", OPS)
def test_agrees_with_float64_definition(isa: str, case: Any, close: Any, slopes: Any, op: str) -> None:
    example = case(op, 5, 21, scale=3)
    close("dt", example()[0], example.exact_outputs()[0], 2e-6)
    slopes(example)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_error_is_relative(isa: str, case: Any, op: str, impl: str) -> None:
    example = case(op, 40, 37, scale=4)
    np.testing.assert_allclose(np.array(example(impl)[0]), example.exact_outputs()[0], rtol=2e-6)


@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_bounds_hold_for_any_input(isa: str, impl: str) -> None:
    x = mx.array([[-np.inf, -1e30, -1e4, -100, -88, -17, 0, 15, 16, 17, 18, 88, 100, 1e4, 1e30, np.inf]])
    rounding_passes_these = [(0.0013106752, 0.007269298), (0.22338007, 0.4757065)]
    others = np.random.default_rng(0).uniform([-4, 0.1], [0, 3], (200, 2))
    for dt_min, dt_max in [*rounding_passes_these, *((10**a, 10 ** (a + b)) for a, b in others)]:
        dt = np.array(bounded_time_step(x, mx.zeros(16), float(dt_min), float(dt_max), impl=impl))
        assert (dt >= np.float32(dt_min)).all() and (dt <= np.float32(dt_max)).all()
        assert (np.diff(dt) >= 0).all()


def test_bounds_are_reached(isa: str) -> None:
    dt = bounded_time_step(mx.array([[-100.0, 100.0]]), mx.zeros(2), 0.001, 0.1, impl="cpu")
    np.testing.assert_allclose(np.array(dt)[0], [0.001, 0.1], rtol=2e-6)


@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_softplus_at_the_ends(isa: str, impl: str) -> None:
    x = mx.array([[-100.0, -20, 0, 20, 100, 1e30]])
    dt = softplus_time_step(x, mx.zeros(6), impl=impl)
    np.testing.assert_allclose(np.array(dt)[0], np.logaddexp(0, np.array(x)[0]), rtol=2e-6, atol=1e-30)
    slope = mx.grad(lambda v: softplus_time_step(v, mx.zeros(6), impl=impl).sum())(x)
    np.testing.assert_allclose(np.array(slope)[0], [0, 2e-9, 0.5, 1, 1, 1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [100.0, 1e4])
def test_gradients_vanish_at_the_bounds(isa: str, scale: float) -> None:
    x = mx.array([[-scale, scale]])
    gradient = mx.grad(lambda v: bounded_time_step(v, mx.zeros(2), 0.01, 0.5, impl="cpu").sum())(x)
    assert mx.isfinite(gradient).all().item()
    assert mx.abs(gradient).max().item() < 1e-30


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_result_has_the_dtype_of_x(case: Any, op: str, impl: str) -> None:
    example = case(op)
    assert example(impl, x=example.arrays["x"].astype(mx.float16))[0].dtype == mx.float16


@pytest.mark.parametrize("op", OPS)
def test_mistakes_are_named(case: Any, op: str) -> None:
    example = case(op, 2, 5)
    with pytest.raises(ImplError, match=f'{op}: impl="metal" cannot run: no Metal kernel yet'):
        example("metal")
    with pytest.raises(ValueError, match=rf"{op}: bias has shape \(4,\), expected \(5,\)\."):
        example(bias=mx.zeros(4))
    with pytest.raises(ValueError, match=rf"{op}: x has shape \(0, 5\), expected \(\.\.\., d\) and not empty\."):
        example(x=mx.zeros((0, 5)))
    with pytest.raises(ValueError, match=rf"{op}: x has shape \(\), expected"):
        example(x=mx.zeros(()))
    with pytest.raises(ValueError, match=rf"{op}: x has dtype mlx\.core\.int32, expected float32, float16 or bfloat16"):
        example(x=mx.zeros((2, 5), dtype=mx.int32))


@pytest.mark.parametrize("bounds", [(0.0, 0.1), (-0.1, 0.1), (0.1, 0.1), (0.2, 0.1), (float("nan"), 0.1)])
def test_wrong_bounds_are_named(bounds: tuple[float, float]) -> None:
    message = f"dt_min is {bounds[0]} and dt_max {bounds[1]}, expected 0 < dt_min < dt_max"
    with pytest.raises(ValueError, match=message):
        bounded_time_step(mx.zeros((1, 2)), mx.zeros(2), *bounds)
