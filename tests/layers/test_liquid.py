"""The liquid and LTC cells: their equations, where tau starts, where it may go, the adaptive solver's steps."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.layers.liquid import BoundedTau, LiquidCell, LTCCell, SoftTau
from lasmlx.layers.wiring import AutoNCP, FullyConnected
from lasmlx.ops.adaptive import Adaptive, SolverError


def numbers(array: mx.array) -> Any:
    return np.array(array, dtype=np.float64)


def test_liquid_cell_is_its_equation() -> None:
    mx.random.seed(0)
    cell = LiquidCell(3, 5, BoundedTau(3, 5, 0.2, 2.0))
    x = mx.random.normal((2, 6, 3))
    y, state, tau = cell.traced(x, dt=0.05)
    W, U, b = numbers(cell.W), numbers(cell.U), numbers(cell.b)
    h = np.zeros((2, 5))
    for i in range(6):
        at = numbers(x[:, i])
        now = 0.2 + 1.8 / (1 + np.exp(-at @ numbers(cell.tau.W).T - h @ numbers(cell.tau.V).T - numbers(cell.tau.b)))
        np.testing.assert_allclose(numbers(tau[:, i]), now, rtol=1e-5)
        h = h + 0.05 * (-h + np.tanh(at @ W.T + h @ U.T + b)) / now
        np.testing.assert_allclose(numbers(y[:, i]), h, atol=1e-6)
    np.testing.assert_array_equal(numbers(state), numbers(y[:, -1]))


@settings(max_examples=30, deadline=None)
@given(scale=st.sampled_from([0.0, 1.0, 1e3]), seed=st.integers(0, 99))
def test_tau_keeps_its_bounds(scale: float, seed: int) -> None:
    x = mx.random.normal((1, 5, 3), key=mx.random.key(seed)) * scale
    for tau, high in ((BoundedTau(3, 4, 0.1, 1.0), 1.0), (SoftTau(3, 4, 6, 0.1, 1.0), np.inf)):
        values = numbers(LiquidCell(3, 4, tau).traced(x)[2])
        assert (values >= 0.1 * (1 - 1e-6)).all() and (values <= high * (1 + 1e-6)).all()


@pytest.mark.parametrize("make", [lambda: BoundedTau(3, 4000, 0.01, 10.0), lambda: SoftTau(3, 4000, 2, 0.01, 10.0)])
def test_tau_starts_log_uniform(make: Any) -> None:
    mx.random.seed(0)
    tau = make()(mx.zeros((1, 1, 3)))
    values = np.log10(numbers(tau.at(tau.v, mx.zeros((1, 1, 4000)))))
    np.testing.assert_allclose(np.quantile(values, [0.25, 0.5, 0.75]), [-1.25, -0.5, 0.25], atol=0.1)


def test_a_slow_input_is_followed_and_a_fast_one_smoothed() -> None:
    """tau is a time: a sine much slower than tau passes, one much faster is damped by 2 pi f tau."""
    cell = LiquidCell(1, 1, BoundedTau(1, 1, 0.999, 1.001), solver="exponential")
    cell.W, cell.U, cell.tau.W, cell.tau.V = mx.full((1, 1), 1e-2), *(mx.zeros((1, 1)) for _ in range(3))
    for period, gain, periods in ((100.0, 1.0, 3), (0.2, 0.2 / (2 * np.pi), 25)):
        time = np.arange(0, periods * period, period / 50)
        y, _ = cell(mx.array(np.sin(2 * np.pi * time / period), dtype=mx.float32)[None, :, None], dt=period / 50)
        tail = numbers(y)[0, -100:, 0]
        np.testing.assert_allclose((tail.max() - tail.min()) / 2e-2, gain, rtol=0.02)


def test_counted_reports_fixed_steps() -> None:
    cell = LiquidCell(3, 4, BoundedTau(3, 4, 0.1, 1.0), solver="rk4", substeps=3)
    mask = mx.array([[True, True, False]])
    y, _, steps = cell.counted(mx.ones((1, 3, 3)), dt=mx.array([1.0, 0.0, 1.0]), mask=mask)
    assert steps.tolist() == [[3, 0, 0]] and steps.dtype == mx.int32
    assert mx.array_equal(y, cell(mx.ones((1, 3, 3)), dt=mx.array([1.0, 0.0, 1.0]), mask=mask)[0])


@pytest.mark.parametrize("kind", ["liquid", "ltc"])
def test_hard_inputs_take_more_steps(kind: str) -> None:
    mx.random.seed(0)
    adaptive = Adaptive(rtol=1e-4, atol=1e-5)
    cell = (
        LiquidCell(3, 6, BoundedTau(3, 6, 0.05, 1.0), solver=adaptive)
        if kind == "liquid"
        else LTCCell(FullyConnected(3, 6, 2), solver=adaptive)
    )
    x = mx.concatenate([mx.zeros((1, 20, 3)), 4 * mx.random.normal((1, 20, 3))], 1)
    _, _, steps = cell.counted(x, dt=0.3)
    assert steps[:, 10:20].sum().item() * 2 < steps[:, 30:].sum().item()


def test_adaptive_refuses_what_it_cannot_reach() -> None:
    cell = LiquidCell(3, 4, BoundedTau(3, 4, 1e-3, 1e-2), solver=Adaptive(max_steps=10))
    with pytest.raises(SolverError, match="10 tries left"):
        cell(mx.ones((1, 2, 3)), dt=100.0)


def test_ltc_weights_start_in_their_ranges() -> None:
    mx.random.seed(0)
    wiring = AutoNCP(4, 30, 5)
    _, sensory, recurrent, leak = LTCCell(wiring)._network(mx.zeros((1, 1, 4)))
    for values, low, high in ((leak.g, 0.001, 1), (leak.v, -0.2, 0.2), (leak.cm, 0.4, 0.6)):
        assert low - 1e-5 <= values.min().item() < values.max().item() <= high + 1e-5
    for synapses, adjacency in ((sensory, wiring.sensory), (recurrent, wiring.recurrent)):
        w = np.array(synapses.w)
        assert (w[adjacency == 0] == 0).all() and ((w >= 0.001) & (w <= 1.001))[adjacency != 0].all()
        assert synapses.mu.min().item() >= 0.3 and synapses.sigma.max().item() <= 8
        np.testing.assert_array_equal(np.array(synapses.erev), adjacency)


def test_ltc_output_is_the_motor_neurons() -> None:
    cell = LTCCell(AutoNCP(4, 10, 3))
    cell.output_w, cell.output_b = mx.array([1.0, 2.0, 3.0]), mx.array([0.0, 0.5, -1.0])
    y, state = cell(mx.random.normal((2, 3, 4)))
    np.testing.assert_allclose(numbers(y[:, -1]), numbers(state)[:, :3] * [1, 2, 3] + [0, 0.5, -1], rtol=1e-6)


def test_absent_synapses_are_not_learnt() -> None:
    cell = LTCCell(AutoNCP(4, 10, 3))
    absent = cell._present == 0

    def loss(w: mx.array) -> mx.array:
        cell.w = w
        return cell(mx.ones((1, 3, 4)))[0].sum()

    gradient = mx.grad(loss)(cell.w)
    assert mx.abs(mx.where(absent, gradient, 0.0)).max().item() == 0
    assert "_present" not in cell.parameters()


@pytest.mark.parametrize("make", [lambda: BoundedTau(3, 4, 0.0, 1.0), lambda: SoftTau(3, 4, 2, 1.0, 1.0)])
def test_wrong_bounds_are_named(make: Any) -> None:
    with pytest.raises(ValueError, match=r"^(Bounded|Soft)Tau: low is .* and high 1\.0, expected 0 < low < high\."):
        make()


@pytest.mark.parametrize(
    "make", [lambda **o: LTCCell(FullyConnected(1, 1, 1), **o), lambda **o: LiquidCell(1, 1, None, **o)]
)
def test_wrong_solvers_are_named(make: Any) -> None:
    with pytest.raises(ValueError, match=r"^(LTC|Liquid)Cell: solver is 'heun', expected one of euler"):
        make(solver="heun")
    with pytest.raises(ValueError, match=r"^(LTC|Liquid)Cell: substeps is 0, expected an integer >= 1\."):
        make(substeps=0)
