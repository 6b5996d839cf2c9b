"""Time-step layers: bounds for any input, and the spread of the steps at the start."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.layers import BoundedTimeStep, SoftplusTimeStep


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3),
    dt_min=st.floats(1e-4, 1),
    width=st.floats(1e-3, 10),
)
def test_bounded_for_any_input(values: list[float], dt_min: float, width: float) -> None:
    dt_max = dt_min + width
    dt = np.array(BoundedTimeStep(3, 8, dt_min, dt_max)(mx.array([[values]])))
    assert dt.shape == (1, 1, 8)
    assert (dt >= np.float32(dt_min)).all() and (dt <= np.float32(dt_max)).all()


@pytest.mark.parametrize("layer", [BoundedTimeStep, SoftplusTimeStep])
def test_steps_start_spread_over_their_range(layer: type) -> None:
    mx.random.seed(0)
    dt = np.array(layer(2, 2000, 0.001, 0.1)(mx.zeros((1, 2))))[0]
    assert (dt > 0.00099).all() and (dt < 0.101).all()
    counts, _ = np.histogram(np.log10(dt), bins=4, range=(-3, -1))
    assert (counts > 400).all()  # log-uniform: 500 each


def test_bounded_is_its_formula() -> None:
    layer, x = BoundedTimeStep(3, 5, 0.01, 0.5), mx.random.normal((2, 4, 3))
    share = 1 / (1 + np.exp(-(np.array(x) @ np.array(layer.weight).T + np.array(layer.bias))))
    np.testing.assert_allclose(np.array(layer(x)), 0.01 + 0.49 * share, rtol=1e-5)


def test_softplus_is_its_formula() -> None:
    layer, x = SoftplusTimeStep(3, 5, 0.01, 0.5), mx.random.normal((2, 4, 3))
    before = np.array(x) @ np.array(layer.weight).T + np.array(layer.bias)
    np.testing.assert_allclose(np.array(layer(x)), np.log1p(np.exp(before)), rtol=1e-5)


def test_bounds_are_no_parameters() -> None:
    assert sorted(BoundedTimeStep(3, 5, 0.01, 0.5).parameters()) == ["bias", "weight"]
