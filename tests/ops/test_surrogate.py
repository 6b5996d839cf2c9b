"""The slopes that stand for that of a step: values by hand, areas in closed form, gradients of a spike."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.ops import spike, surrogate_slope

SMOOTH = ["fast_sigmoid", "arctan", "triangular"]


@pytest.mark.parametrize(
    ("surrogate", "x", "slope", "expected"),
    [
        ("fast_sigmoid", 0.0, 25.0, 1.0),
        ("fast_sigmoid", -0.5, 2.0, 0.25),
        ("arctan", 0.0, 4.0, 2.0),
        ("arctan", 1 / np.pi, 2.0, 0.5),
        ("triangular", 0.1, 2.5, 0.75),
        ("triangular", -0.5, 2.5, 0.0),
        ("straight_through", 7.0, 2.5, 1.0),
    ],
)
def test_values_by_hand(surrogate: Any, x: float, slope: float, expected: float) -> None:
    assert surrogate_slope(mx.array(x), surrogate, slope).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("surrogate", "area"), [("fast_sigmoid", 2 / 3), ("arctan", 1.0), ("triangular", 1 / 3)])
def test_areas_at_slope_3(surrogate: Any, area: float) -> None:
    x = np.linspace(-300, 300, 1_200_001)
    values = np.array(surrogate_slope(mx.array(x.astype(np.float32)), surrogate, 3.0), np.float64)
    assert np.trapezoid(values, x) == pytest.approx(area, abs=2e-3)


@pytest.mark.parametrize("surrogate", SMOOTH)
def test_slopes_are_even_and_fall_away_from_the_threshold(surrogate: Any) -> None:
    x = mx.linspace(0, 2, 50)
    values = np.array(surrogate_slope(x, surrogate, 5.0))
    assert (np.diff(values) <= 0).all() and values[0] > values[-1]
    np.testing.assert_array_equal(np.array(surrogate_slope(-x, surrogate, 5.0)), values)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_a_spike_is_a_strict_step(dtype: Any) -> None:
    s = spike(mx.array([-1.0, -0.0, 0.0, 1e-3, 2.0, mx.nan], dtype=dtype))
    assert s.dtype == dtype and s.tolist() == [0, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("surrogate", [*SMOOTH, "straight_through"])
def test_a_spike_has_the_slope_as_gradient(surrogate: Any) -> None:
    x, weights = mx.linspace(-1, 1, 21), mx.linspace(1, 2, 21)
    gradient = mx.grad(lambda x: (spike(x, surrogate, 3.0) * weights).sum())(x)
    expected = weights * surrogate_slope(x, surrogate, 3.0)
    np.testing.assert_allclose(np.array(gradient), np.array(expected), rtol=1e-6)


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match=r"^spike: surrogate is 'relu', expected one of fast_sigmoid, arctan, "):
        spike(mx.zeros(1), "relu")  # type: ignore[arg-type]
    for slope in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"^spike: slope is .*, expected a number above 0\."):
            spike(mx.zeros(1), slope=slope)
