"""The solvers: order of convergence, exact cases, bounds, gradients; the forms of a time step."""

import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.ops import ode

ORDERS = {"euler": 1, "midpoint": 2, "rk4": 4, "fused": 1, "exponential": 1}
TWO_ROWS = mx.array([[0.3, -1.2, 0.8], [-0.5, 0.1, 2.0]])


def field(h: mx.array) -> tuple[mx.array, mx.array]:
    """Smooth, coupled, nonlinear in drive and decay."""
    U = mx.array([[0.5, -1.1, 0.3], [0.9, 0.2, -0.7], [-0.4, 0.6, 1.0]], dtype=h.dtype)
    decay = 0.5 + mx.sigmoid(h @ U)
    return mx.tanh(0.3 + h @ U.T) * decay, decay


def error(solver: Any, substeps: int, exact: mx.array, dt: float = 2.0) -> float:
    h = ode.step(field, TWO_ROWS.astype(mx.float64), dt, solver, substeps)
    return mx.abs(h - exact).max().item()


@pytest.mark.parametrize("solver", ORDERS)
def test_order_of_convergence(solver: Any) -> None:
    exact = ode.step(field, TWO_ROWS.astype(mx.float64), 2.0, "rk4", 1000)
    substeps = 16 if solver == "rk4" else 32  # further down MLX's float64 sigmoid, good to 2e-7, shows
    coarse, fine = error(solver, substeps, exact), error(solver, 2 * substeps, exact)
    assert abs(math.log2(coarse / fine) - ORDERS[solver]) < 0.1


@pytest.mark.parametrize("solver", ORDERS)
def test_solvers_meet_in_float32(solver: Any) -> None:
    exact = ode.step(field, TWO_ROWS.astype(mx.float64), 2.0, "rk4", 1000)
    h = ode.step(field, TWO_ROWS, 2.0, solver, 400)
    assert h.dtype == mx.float32
    np.testing.assert_allclose(np.array(h), np.array(exact), atol=5e-3)


@pytest.mark.parametrize("dt", [1e-4, 0.1, 1.0, 50.0, 1e3])
def test_exponential_is_exact_where_nothing_moves(dt: float) -> None:
    drive, decay = mx.array([[0.7, -2.0, 0.0]]), mx.array([[0.5, 3.0, 1e-6]])
    h = ode.step(lambda _: (drive, decay), mx.array([[0.1, 0.2, 0.3]]), dt, "exponential")
    rest = np.array(drive, dtype=np.float64) / np.array(decay, dtype=np.float64)
    exact = rest + (np.array([[0.1, 0.2, 0.3]]) - rest) * np.exp(-dt * np.array(decay, dtype=np.float64))
    np.testing.assert_allclose(np.array(h), exact, rtol=2e-6)


@pytest.mark.parametrize("dt", [0.01, 1.0, 1e3])
def test_fused_solves_the_implicit_equation(dt: float) -> None:
    drive, decay = mx.array([[0.7, -2.0]]), mx.array([[0.5, 3.0]])
    before = mx.array([[0.1, 0.2]])
    h = ode.step(lambda _: (drive, decay), before, dt, "fused")
    np.testing.assert_allclose(np.array(h - dt * (drive - decay * h)), np.array(before), rtol=1e-4, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    dt=st.floats(1e-4, 1e3),
    solver=st.sampled_from(["fused", "exponential"]),
    substeps=st.sampled_from([1, 6]),
    scale=st.sampled_from([1.0, 100.0]),
    seed=st.integers(0, 99),
)
def test_stays_bounded_for_any_step(dt: float, solver: Any, substeps: int, scale: float, seed: int) -> None:
    h, U, V = (mx.random.normal((4, 4), key=k) * scale for k in mx.random.split(mx.random.key(seed), 3))

    def stiff(h: mx.array) -> tuple[mx.array, mx.array]:
        decay = 1 / (1e-3 + mx.sigmoid(h @ V))
        return mx.tanh(h @ U) * decay, decay

    most = max(1.0, mx.abs(h).max().item())
    for _ in range(3):
        h = ode.step(stiff, h, dt, solver, substeps)
    assert mx.isfinite(h).all().item() and mx.abs(h).max().item() <= most * (1 + 1e-5)


@pytest.mark.parametrize("solver", ORDERS)
def test_no_time_no_change(solver: Any) -> None:
    assert mx.array_equal(ode.step(field, TWO_ROWS, mx.zeros((2, 1)), solver, 3), TWO_ROWS)


@pytest.mark.parametrize("solver", ORDERS)
def test_each_row_has_its_own_step(solver: Any) -> None:
    both = ode.step(field, TWO_ROWS, mx.array([[0.1], [0.9]]), solver, 2)
    for i, dt in enumerate((0.1, 0.9)):
        np.testing.assert_allclose(both[i], ode.step(field, TWO_ROWS[i : i + 1], dt, solver, 2)[0], rtol=1e-6)


@pytest.mark.parametrize("solver", ORDERS)
def test_gradients_against_finite_differences(solver: Any) -> None:
    h, dt = TWO_ROWS.astype(mx.float64), mx.array([[0.4], [0.9]], dtype=mx.float64)
    weights = mx.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.0]], dtype=mx.float64)

    def loss(h: mx.array, dt: mx.array) -> mx.array:
        return (ode.step(field, h, dt, solver, 3) * weights).sum()

    of_h, of_dt = mx.grad(loss, argnums=(0, 1))(h, dt)
    for i in range(2):
        nudge = mx.zeros((2, 1), dtype=mx.float64)
        nudge[i, 0] = 1e-3
        slope = (loss(h, dt + nudge) - loss(h, dt - nudge)) / 2e-3
        assert abs(slope.item() - of_dt[i, 0].item()) < 1e-4
        for j in range(3):
            nudge = mx.zeros((2, 3), dtype=mx.float64)
            nudge[i, j] = 1e-3
            slope = (loss(h + nudge, dt) - loss(h - nudge, dt)) / 2e-3
            assert abs(slope.item() - of_h[i, j].item()) < 1e-4


def test_relative_expm1_and_its_gradient_do_not_cancel() -> None:
    z = np.concatenate([[0.0], np.geomspace(1e-8, 100, 400)]).astype(np.float32)
    exact = np.array([-math.expm1(-v) / v if v else 1.0 for v in z.tolist()])
    slope = [
        (math.exp(-v) * v + math.expm1(-v)) / v**2 if v > 1e-2 else -0.5 + v / 3 - v**2 / 8 + v**3 / 30
        for v in z.tolist()
    ]
    np.testing.assert_allclose(np.array(ode.relative_expm1(mx.array(z))), exact, rtol=3e-7)
    gradient = mx.grad(lambda z: ode.relative_expm1(z).sum())(mx.array(z))
    np.testing.assert_allclose(np.array(gradient), slope, rtol=5e-6)


@pytest.mark.parametrize("dt", [0.5, np.float64(0.5), 1, mx.array(0.5)], ids=repr)
def test_one_number_is_every_step(dt: Any) -> None:
    steps = ode.time_steps(dt, 2, 3)
    assert (steps.shape, steps.dtype) == ((2, 3, 1), mx.float32)
    assert steps.tolist() == [[[float(dt)]] * 3] * 2


@pytest.mark.parametrize("kind", [np.array, mx.array, lambda v: mx.array(v).astype(mx.float16), lambda v: v])
def test_arrays_of_steps(kind: Any) -> None:
    one, both = [1.0, 2.0, 3.0], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert ode.time_steps(kind(one), 2, 3)[..., 0].tolist() == [one, one]
    assert ode.time_steps(kind(both), 2, 3)[..., 0].tolist() == both
    assert ode.time_steps(kind([[[v] for v in row] for row in both]), 2, 3)[..., 0].tolist() == both


def test_a_row_of_steps_is_time_even_where_the_batch_is_as_long() -> None:
    assert ode.time_steps([1.0, 2.0, 3.0], 3, 3)[..., 0].tolist() == [[1.0, 2.0, 3.0]] * 3


def test_masked_steps_are_zero() -> None:
    mask = mx.array([[True, False, True], [False, False, True]])
    assert ode.time_steps([1.0, 2.0, 3.0], 2, 3, mask=mask)[..., 0].tolist() == [[1, 0, 3], [0, 0, 3]]


@pytest.mark.parametrize("shape", [(2,), (1,), (3, 2), (1, 3), (2, 1), (2, 3, 3), (2, 1, 1), (1, 2, 3, 1)], ids=str)
def test_other_shapes_are_named(shape: tuple[int, ...]) -> None:
    message = r"^time_steps: dt has shape .*, expected a number, \(3,\), \(2, 3\) or \(2, 3, 1\)\."
    with pytest.raises(ValueError, match=message):
        ode.time_steps(np.ones(shape), 2, 3)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, -math.inf, -1e-30])
@pytest.mark.parametrize("kind", [float, mx.array, np.array])
def test_wrong_values_are_named(value: float, kind: Any) -> None:
    with pytest.raises(ValueError, match=r"^cell: dt is .*, expected finite and >= 0\."):
        ode.time_steps(kind(value), 2, 3, op="cell")
    with pytest.raises(ValueError, match=r"^cell: dt is .* at \(1, 2\), expected finite and >= 0\."):
        ode.time_steps(np.array([[1.0, 2.0, 0.0], [1.0, 2.0, value]]), 2, 3, op="cell")


@pytest.mark.parametrize("value", ["soon", None, [[1.0], [1.0, 2.0]], object()], ids=lambda v: type(v).__name__)
def test_what_is_no_number_is_named(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^time_steps: dt (has shape|is) "):
        ode.time_steps(value, 2, 3)


@pytest.mark.parametrize("mask", [mx.ones((3, 2), dtype=mx.bool_), mx.ones((2, 3))], ids=["shape", "dtype"])
def test_wrong_masks_are_named(mask: mx.array) -> None:
    with pytest.raises(ValueError, match=r"^time_steps: mask has shape .*, expected \(2, 3\) and bool\."):
        ode.time_steps(1.0, 2, 3, mask=mask)


def test_steps_pass_through_transformations_unseen() -> None:
    dt = mx.array([[1.0, 2.0, 3.0], [4.0, 5.0, -6.0]])

    def double(dt: mx.array) -> mx.array:
        return 2 * ode.time_steps(dt, 2, 3).sum()

    assert mx.compile(double)(dt).item() == 18
    assert mx.vmap(double)(dt[None]).tolist() == [18]
    assert mx.grad(double)(mx.abs(dt)).tolist() == [[2.0] * 3] * 2
    with pytest.raises(ValueError, match=r"dt is -6\.0 at \(1, 2\)"):
        mx.grad(double)(dt)


def test_checked_steps_are_not_looked_at_again() -> None:
    assert ode.time_steps(ode.Steps(mx.full((2, 3, 1), -1.0)), 2, 3).tolist() == [[[-1.0]] * 3] * 2


def test_unix_times_keep_their_milliseconds() -> None:
    times = np.array([1.7e9, 1.7e9 + 0.25, 1.7e9 + 0.251])
    np.testing.assert_allclose(np.array(ode.steps_from_times(times, 1.7e9 - 1)), [1, 0.25, 0.001], rtol=1e-3)


def test_pieces_of_times_give_pieces_of_steps() -> None:
    times = np.array([[0.5, 0.7, 3.0, 3.0], [1.0, 2.0, 4.0, 9.0]])
    whole = np.array(ode.steps_from_times(times, [0.0, 1.0]))
    np.testing.assert_allclose(whole, [[0.5, 0.2, 2.3, 0.0], [0.0, 1.0, 2.0, 5.0]], rtol=1e-6)
    pieces = [ode.steps_from_times(times[:, :2], [0.0, 1.0]), ode.steps_from_times(times[:, 2:], times[:, 1])]
    np.testing.assert_array_equal(whole, np.concatenate(pieces, 1))


@pytest.mark.parametrize(
    ("times", "start", "message"),
    [
        ([1.0, 3.0, 2.0], 0.0, r"times is 2\.0 at \(2,\) after 3\.0, expected finite stamps that never go back\."),
        ([[1.0, 3.0], [4.0, 5.0]], [0.0, 4.5], r"times is 4\.0 at \(1, 0\) after 4\.5, expected"),
        ([1.0, math.nan], 0.0, r"times is nan at \(1,\) after 1\.0, expected"),
        (5.0, 0.0, r"times has shape \(\), expected \(t,\) or \(b, t\) and not empty\."),
        ([], 0.0, r"times has shape \(0,\), expected \(t,\) or \(b, t\) and not empty\."),
        ([1.0, 2.0], [0.0, 0.0], r"start has shape \(2,\), expected a number or \(\)\."),
        (["now"], 0.0, r"times is \['now'\], expected numbers\."),
    ],
)
def test_wrong_times_are_named(times: Any, start: Any, message: str) -> None:
    with pytest.raises(ValueError, match="^steps_from_times: " + message):
        ode.steps_from_times(times, start)


@pytest.mark.parametrize(
    ("solver", "substeps", "message"),
    [
        ("heun", 1, "solver is 'heun', expected one of euler, midpoint, rk4, fused, exponential"),
        ("euler", 0, "substeps is 0, expected an integer >= 1"),
        ("euler", 1.5, r"substeps is 1\.5, expected an integer >= 1"),
    ],
)
def test_wrong_solvers_are_named(solver: Any, substeps: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^step: {message}"):
        ode.step(field, TWO_ROWS, 1.0, solver, substeps)
