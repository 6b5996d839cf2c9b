"""The closed form of the sub-steps: equal to the loop, converging to zero-order hold, well-behaved at the ends."""

import math
from types import ModuleType
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.ops import selective_scan


def one_step(a: np.ndarray, substeps: float, impl: str) -> np.ndarray:
    """The state after one step of dt = 1 with B = x = 1 from 0, for each rate: phi(a)."""
    d = a.size
    ones = mx.ones((1, 1, d))
    _, h = selective_scan(
        ones, ones, mx.array(a.astype(np.float32))[:, None], mx.ones((1, 1, 1)), mx.ones((1, 1, 1)),
        substeps=substeps, impl=impl,
    )  # fmt: skip
    return np.array(h, dtype=np.float64)[0, :, 0]


@pytest.mark.parametrize("substeps", [1, 2, 4, 33])
@pytest.mark.parametrize("impl", ["kernel", "reference"], indirect=True)
def test_closed_form_is_the_loop(impl: str, substeps: int) -> None:
    a = -np.geomspace(1e-6, 50, 41).astype(np.float32).astype(np.float64)
    h = np.zeros_like(a)
    for _ in range(substeps):
        h = np.exp(a / substeps) * h + 1 / substeps
    np.testing.assert_allclose(one_step(a, substeps, impl), h, rtol=2e-6)


@pytest.mark.parametrize("impl", ["kernel", "reference"], indirect=True)
def test_infinite_substeps_are_zero_order_hold(impl: str) -> None:
    a = -np.geomspace(1e-18, 80, 60).astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(one_step(a, math.inf, impl), np.expm1(a) / a, rtol=2e-6)


@pytest.mark.parametrize("impl", ["kernel", "reference"], indirect=True)
def test_many_substeps_converge_to_zero_order_hold(impl: str) -> None:
    a = -np.linspace(0.1, 5, 20).astype(np.float32).astype(np.float64)
    limit = np.expm1(a) / a
    errors = [np.abs(one_step(a, k, impl) - limit).max() for k in (10, 100, 1000)]
    ratios = np.divide(errors[:-1], errors[1:])
    assert (ratios > 9).all() and (ratios < 12).all()  # first order in 1 / K
    np.testing.assert_allclose(one_step(a, 10**6, impl), limit, rtol=5e-6)


@pytest.mark.parametrize("substeps", [1, 2, 1000, math.inf])
@pytest.mark.parametrize("impl", ["kernel", "reference"], indirect=True)
def test_a_vanishing_rate_integrates(impl: str, substeps: float) -> None:
    a = np.array([0.0, -0.0, -1e-45, -1e-38, -1e-30, -1e-20, -1e-12, -1e-8, 1e-20])
    np.testing.assert_allclose(one_step(a, substeps, impl), 1, rtol=1e-6)


@pytest.mark.parametrize("substeps", [1, 3, math.inf])
def test_extreme_rates_stay_finite(kernel: str, case: Any, substeps: float) -> None:
    example = case("selective_scan", 1, 40, 9, 4, substeps=substeps, dt=(1e-6, 100))
    example.arrays["A"] = -mx.exp(mx.linspace(-12, 12, 36)).reshape(9, 4)
    for name, value in {"y": example()[0], "h": example()[1], **example.gradients()}.items():
        assert mx.isfinite(value).all().item(), name


@pytest.mark.parametrize("substeps", [2, math.inf])
def test_gradient_holds_from_series_to_closed_form(kernel: str, case: Any, slopes: Any, substeps: float) -> None:
    for dt in ((1e-5, 1e-3), (0.1, 0.5), (1, 20)):
        slopes(case("selective_scan", 1, 7, 9, 4, substeps=substeps, dt=dt))


def test_gain_is_one_at_zero(scan_module: ModuleType) -> None:
    for substeps in (1, 5, math.inf):
        assert scan_module.substep_gain(mx.array([0.0]), substeps).item() == 1
