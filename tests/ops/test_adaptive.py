"""The adaptive solver: tolerance met, steps where they are needed, every row as if alone, gradients, named errors."""

import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.ops import ode
from lasmlx.ops.adaptive import Adaptive, SolverError, adaptive_scan, adaptive_step

U = mx.array([[0.5, -1.1, 0.3], [0.9, 0.2, -0.7], [-0.4, 0.6, 1.0]])
ROWS = mx.array([[0.3, -1.2, 0.8], [-0.5, 0.1, 2.0], [0.0, 0.0, 0.0], [1.0, 1.0, -1.0]])
STEPS = mx.array([[0.02], [3.0], [0.0], [40.0]])


def field(h: mx.array) -> tuple[mx.array, mx.array]:
    decay = 1 / (0.1 + mx.sigmoid(h @ U))
    return mx.tanh(0.3 + h @ U.T) * decay, decay


def test_tolerance_is_met() -> None:
    exact = ode.step(field, ROWS, STEPS, "rk4", 1500)
    for tolerance in (1e-2, 1e-3, 1e-4):
        h, _ = adaptive_step(field, ROWS, STEPS, Adaptive(rtol=tolerance, atol=tolerance))
        assert mx.abs(h - exact).max().item() < 5 * tolerance


def test_third_order() -> None:
    """An eighth of the tolerance costs about twice the steps."""
    counts = [
        adaptive_step(field, ROWS, STEPS, Adaptive(rtol=0, atol=tol))[1][1].item() for tol in (8e-3, 1e-3, 1.25e-4)
    ]
    assert counts[0] < counts[1] < counts[2] < 3 * counts[1]


def test_easy_rows_take_few_steps_and_hard_rows_many() -> None:
    _, steps = adaptive_step(field, ROWS, STEPS, Adaptive())
    easy, middle, none, hard = steps.tolist()
    assert none == 0
    assert easy <= 2 < middle < hard


def test_an_easy_input_is_one_step() -> None:
    h, steps = adaptive_step(lambda h: (mx.zeros_like(h), mx.full(h.shape, 1e-4)), ROWS, mx.ones((4, 1)), Adaptive())
    assert steps.tolist() == [1, 1, 1, 1]
    np.testing.assert_allclose(np.array(h), np.array(ROWS) * np.exp(-1e-4), rtol=1e-6)


def test_rows_are_as_if_alone() -> None:
    together, steps = adaptive_step(field, ROWS, STEPS, Adaptive())
    for i in range(4):
        alone, count = adaptive_step(field, ROWS[i : i + 1], STEPS[i : i + 1], Adaptive())
        assert count.item() == steps[i].item()
        np.testing.assert_allclose(np.array(together[i]), np.array(alone[0]), rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_the_flow() -> None:
    weights = mx.array([1.0, -2.0, 0.5])

    def loss(h: mx.array, dt: mx.array, solve: Any) -> mx.array:
        return (solve(h, dt) * weights).sum()

    def fixed(h: mx.array, dt: mx.array) -> mx.array:
        return ode.step(field, h, dt, "rk4", 400)

    def adaptive(h: mx.array, dt: mx.array) -> mx.array:
        return adaptive_step(field, h, dt, Adaptive(rtol=1e-5, atol=1e-6))[0]

    rows, steps = ROWS[:3], STEPS[:3]
    expected = mx.grad(loss, argnums=(0, 1))(rows, steps, fixed)
    for gradient, exact in zip(mx.grad(loss, argnums=(0, 1))(rows, steps, adaptive), expected, strict=True):
        np.testing.assert_allclose(np.array(gradient), np.array(exact), atol=1e-3 * mx.abs(exact).max().item())


def test_an_overflowing_try_reaches_neither_state_nor_gradient() -> None:
    def cubic(h: mx.array) -> tuple[mx.array, mx.array]:
        return mx.zeros_like(h), 1 + h**2  # the whole of dt at once would end at infinity

    def end(h: mx.array) -> mx.array:
        return adaptive_step(cubic, h, mx.full((2, 1), 2.0), Adaptive(rtol=1e-5))[0]

    h = mx.array([[3.0], [300.0]])
    exact = [math.exp(-2) * v / math.sqrt(1 + v * v * (1 - math.exp(-4))) for v in (3, 300)]
    slopes = [math.exp(-2) / (1 + v * v * (1 - math.exp(-4))) ** 1.5 for v in (3, 300)]
    np.testing.assert_allclose(np.array(end(h))[:, 0], exact, rtol=5e-4)
    np.testing.assert_allclose(np.array(mx.grad(lambda h: end(h).sum())(h))[:, 0], slopes, rtol=1e-2)


def test_min_step_bounds_the_work() -> None:
    _, steps = adaptive_step(field, ROWS, STEPS, Adaptive(rtol=0, atol=1e-7, min_step=0.5))
    assert steps.tolist()[:3] == [1, 6, 0] and steps[3].item() <= 80


def test_too_few_tries_are_named() -> None:
    with pytest.raises(SolverError, match=r"^adaptive_step: 5 tries left .* s of 40 s in row 3\. Raise max_steps"):
        adaptive_step(field, ROWS, STEPS, Adaptive(max_steps=5))


def test_a_state_that_is_not_finite_is_named() -> None:
    with pytest.raises(SolverError, match="20 tries left 1 s of 1 s in row 0"):
        adaptive_step(field, ROWS * float("nan"), mx.ones((4, 1)), Adaptive(max_steps=20))


@pytest.mark.parametrize("transform", [mx.compile, mx.vmap])
def test_transformations_that_cannot_wait_are_named(transform: Any) -> None:
    with pytest.raises(SolverError, match=r"cannot run inside mx\.compile or mx\.vmap"):
        transform(lambda h: adaptive_step(field, h, STEPS, Adaptive())[0])(ROWS[None])


def test_scan_counts_each_element() -> None:
    dt = mx.array([[1.0, 0.0, 5.0], [0.1, 2.0, 0.0]])[..., None]
    states, last, steps = adaptive_scan(lambda i: field, ROWS[:2], dt, Adaptive())
    assert (states.shape, steps.shape, steps.dtype) == ((2, 3, 3), (2, 3), mx.int32)
    assert mx.array_equal(states[:, -1], last)
    assert [[bool(v) for v in row] for row in steps.tolist()] == [[True, False, True], [True, True, False]]
    assert mx.array_equal(states[0, 1], states[0, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rtol": -1.0}, r"rtol is -1\.0 and atol 1e-05, expected rtol >= 0 and atol > 0\."),
        ({"atol": 0.0}, r"rtol is 0\.001 and atol 0\.0, expected"),
        ({"min_step": -1.0}, r"min_step is -1\.0, expected >= 0\."),
        ({"max_steps": 0}, r"max_steps is 0, expected an integer >= 1\."),
    ],
)
def test_wrong_tolerances_are_named(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match="^Adaptive: " + message):
        Adaptive(**options)
