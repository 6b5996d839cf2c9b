"""Liquid cells: recurrent networks in continuous time whose time constants move with their input."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from lasmlx.layers.time_step import log_uniform
from lasmlx.layers.wiring import Wiring
from lasmlx.ops.adaptive import Adaptive
from lasmlx.ops.liquid_scan import BoundedTau as BoundedTauArrays
from lasmlx.ops.liquid_scan import SoftTau as SoftTauArrays
from lasmlx.ops.liquid_scan import adaptive_liquid_scan, liquid_scan
from lasmlx.ops.liquid_scan import tau_along as liquid_tau_along
from lasmlx.ops.ltc_scan import Leak, Synapses, adaptive_ltc_scan, ltc_scan
from lasmlx.ops.ltc_scan import tau_along as ltc_tau_along
from lasmlx.ops.ode import Solver, check_finite, check_mask, check_solver, time_steps


class BoundedTau(nn.Module):
    """``tau = low + (high - low) sigmoid(W x + V h + b)``, seconds.

    At the start the biases spread tau log-uniformly between the bounds.

    Args:
        inputs, hidden: widths of x and h.
        low, high: the bounds, seconds, ``0 < low < high``.

    Source: Hasani et al. 2021, section 2, for a tau that moves with input and state; the bounds are ours.
    """

    def __init__(self, inputs: int, hidden: int, low: float, high: float) -> None:
        super().__init__()
        if not 0 < low < high:
            raise ValueError(f"BoundedTau: low is {low} and high {high}, expected 0 < low < high.")
        self.W = uniform(hidden, inputs)
        self.V = uniform(hidden, hidden)
        share = (log_uniform(low, high, hidden, margin=0.02) - low) / (high - low)
        self.b = mx.log(share) - mx.log(1 - share)
        self._bounds = (low, high)

    def __call__(self, x: mx.array) -> BoundedTauArrays:
        """What the scan needs, for x (b, t, inputs)."""
        return BoundedTauArrays(x @ self.W.T + self.b, self.V, *self._bounds)


class SoftTau(nn.Module):
    """``tau = low + log(1 + exp(V2 tanh(W x + V h + b) + b2))``, seconds: unbounded above.

    At the start the biases spread tau log-uniformly over ``low .. high``.

    Args:
        inputs, hidden: widths of x and h.
        units: m, the width of the hidden layer.
        low: the bound below, seconds, > 0. high: the largest tau at the start.
    """

    def __init__(self, inputs: int, hidden: int, units: int, low: float, high: float) -> None:
        super().__init__()
        if not 0 < low < high:
            raise ValueError(f"SoftTau: low is {low} and high {high}, expected 0 < low < high.")
        self.W = uniform(units, inputs)
        self.V = uniform(units, hidden)
        self.b = mx.zeros((units,))
        self.V2 = uniform(hidden, units)
        self.b2 = _inverse_softplus(log_uniform(low, high, hidden, margin=0.02) - low)
        self._low = low

    def __call__(self, x: mx.array) -> SoftTauArrays:
        """What the scan needs, for x (b, t, inputs)."""
        return SoftTauArrays(x @ self.W.T + self.b, self.V, self.V2, self.b2, self._low)


class LiquidCell(nn.Module):
    """``dh/dt = (-h + tanh(W x + U h + b)) / tau(x, h)``, ``y = h``; the input is held during its element.

    Args:
        inputs, hidden: widths of x and h.
        tau: :class:`BoundedTau` or :class:`SoftTau`.
        solver: one of :func:`lasmlx.ops.ode.step` with K = ``substeps``, or :class:`lasmlx.ops.adaptive.Adaptive`.

    Source: Hasani et al. 2021, section 2; Funahashi & Nakamura 1993.
    """

    def __init__(
        self, inputs: int, hidden: int, tau: nn.Module, *, solver: Solver | Adaptive = "euler", substeps: int = 1
    ) -> None:
        super().__init__()
        _check_solver("LiquidCell", solver, substeps)
        self.W = uniform(hidden, inputs)
        self.U = uniform(hidden, hidden)
        self.b = mx.zeros((hidden,))
        self.tau = tau
        self._solver, self._substeps = solver, substeps

    def init_state(self, b: int) -> mx.array:
        """The state before the first input, for a batch of b: zeros, (b, hidden), float32."""
        return mx.zeros((b, self.U.shape[0]))

    def __call__(
        self, x: mx.array, state: mx.array | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, mx.array]:
        """(b, t, inputs) and the state before it to (b, t, hidden) and the state after it.

        Args:
            dt: seconds each element lasts, see :func:`lasmlx.ops.ode.time_steps`.
            mask: (b, t), bool; where it is False the element is not there: h stays and y repeats it.

        Raises:
            ValueError: a shape is not as above, or x or dt is not finite; SolverError: see :class:`Adaptive`.
        """
        y, last, _ = self._scan(x, state, dt, mask, self._solver)
        return y, last

    def traced(
        self, x: mx.array, state: mx.array | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, mx.array, mx.array]:
        """As calling, with the time constants tau (b, t, hidden), seconds, at the start of each element beside."""
        y, last = self(x, state, dt=dt, mask=mask)
        return y, last, liquid_tau_along(self.tau(present(x, mask)), y, state)

    def counted(
        self,
        x: mx.array,
        state: mx.array | None = None,
        *,
        dt: Any = 1.0,
        mask: mx.array | None = None,
        adaptive: Adaptive | None = None,
    ) -> tuple[mx.array, mx.array, mx.array]:
        """As calling, with the solver's steps (b, t) for each element beside.

        Args:
            adaptive: solve so instead.
        """
        y, last, steps = self._scan(x, state, dt, mask, adaptive or self._solver)
        return y, last, fixed_steps(x, dt, mask, self._substeps) if steps is None else steps

    def _scan(
        self, x: mx.array, state: mx.array | None, dt: Any, mask: mx.array | None, solver: Solver | Adaptive
    ) -> tuple[mx.array, mx.array, mx.array | None]:
        x = checked_input("LiquidCell", x, self.W.shape[1], mask, dt)
        u, tau = x @ self.W.T + self.b, self.tau(x)
        if isinstance(solver, Adaptive):
            return adaptive_liquid_scan(u, self.U, tau, state, dt, mask=mask, adaptive=solver)
        y, last = liquid_scan(u, self.U, tau, state, dt, mask=mask, solver=solver, substeps=self._substeps)
        return y, last, None


class LTCCell(nn.Module):
    """``cm dh/dt = g (v - h) + sum_j w_j sigmoid(sigma_j (pre_j - mu_j)) (erev_j - h)``, ``y = h[:outputs] o + p``.

    The sum runs over the inputs, scaled to ``x a + c``, and the neurons, where the wiring has a synapse. Conductances
    and capacitances stay positive: they are the softplus of what is learnt. A reversal potential starts at the sign of
    its synapse.

    Args:
        wiring: who talks to whom, see :mod:`lasmlx.layers.wiring`.
        solver: one of :func:`lasmlx.ops.ode.step` with K = ``substeps``, or :class:`lasmlx.ops.adaptive.Adaptive`.

    Source: Hasani et al. 2021, eqs. 1-3 and algorithm 1; ranges at the start: Lechner et al. 2020, methods.
    """

    def __init__(self, wiring: Wiring, *, solver: Solver | Adaptive = "fused", substeps: int = 6) -> None:
        super().__init__()
        _check_solver("LTCCell", solver, substeps)
        inputs, units, outputs = wiring.inputs, wiring.units, wiring.outputs
        self.gleak = _inverse_softplus(mx.random.uniform(0.001, 1, (units,)))
        self.vleak = mx.random.uniform(-0.2, 0.2, (units,))
        self.cm = _inverse_softplus(mx.random.uniform(0.4, 0.6, (units,)))
        self.w, self.mu, self.sigma = _synapse_weights(units, units)
        self.sensory_w, self.sensory_mu, self.sensory_sigma = _synapse_weights(inputs, units)
        self.erev = mx.array(wiring.recurrent).astype(mx.float32)
        self.sensory_erev = mx.array(wiring.sensory).astype(mx.float32)
        self.input_w, self.input_b = mx.ones((inputs,)), mx.zeros((inputs,))
        self.output_w, self.output_b = mx.ones((outputs,)), mx.zeros((outputs,))
        self._present, self._sensory_present = mx.abs(self.erev), mx.abs(self.sensory_erev)
        self._solver, self._substeps = solver, substeps

    def init_state(self, b: int) -> mx.array:
        """The state before the first input, for a batch of b: zeros, (b, units), float32."""
        return mx.zeros((b, self.cm.shape[0]))

    def __call__(
        self, x: mx.array, state: mx.array | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, mx.array]:
        """(b, t, inputs) and the state before it to (b, t, outputs) and the state after it; see :class:`LiquidCell`."""
        h, last, _ = self._scan(x, state, dt, mask)
        return self._output(h), last

    def traced(
        self, x: mx.array, state: mx.array | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, mx.array, mx.array]:
        """As calling, with the time constants tau (b, t, units), seconds, at the start of each element beside."""
        h, last, _ = self._scan(x, state, dt, mask)
        return self._output(h), last, ltc_tau_along(*self._network(present(x, mask)), h, state)

    def counted(
        self, x: mx.array, state: mx.array | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, mx.array, mx.array]:
        """As calling, with the solver's steps (b, t) for each element beside."""
        h, last, steps = self._scan(x, state, dt, mask)
        return self._output(h), last, fixed_steps(x, dt, mask, self._substeps) if steps is None else steps

    def _scan(
        self, x: mx.array, state: mx.array | None, dt: Any, mask: mx.array | None
    ) -> tuple[mx.array, mx.array, mx.array | None]:
        network = self._network(checked_input("LTCCell", x, self.input_w.shape[0], mask, dt))
        if isinstance(self._solver, Adaptive):
            return adaptive_ltc_scan(*network, state, dt, mask=mask, adaptive=self._solver)
        h, last = ltc_scan(*network, state, dt, mask=mask, solver=self._solver, substeps=self._substeps)
        return h, last, None

    def _network(self, x: mx.array) -> tuple[mx.array, Synapses, Synapses, Leak]:
        sensory_w = nn.softplus(self.sensory_w) * self._sensory_present
        sensory = Synapses(sensory_w, self.sensory_mu, self.sensory_sigma, self.sensory_erev)
        recurrent = Synapses(nn.softplus(self.w) * self._present, self.mu, self.sigma, self.erev)
        leak = Leak(nn.softplus(self.gleak), self.vleak, nn.softplus(self.cm))
        return x * self.input_w + self.input_b, sensory, recurrent, leak

    def _output(self, h: mx.array) -> mx.array:
        return h[..., : self.output_w.shape[0]] * self.output_w + self.output_b


def checked_input(cell: str, x: mx.array, inputs: int, mask: mx.array | None, dt: Any) -> mx.array:
    """x (b, t, inputs), finite, and zero where the mask is False, so that no padding reaches a gradient."""
    if x.ndim != 3 or x.shape[2] != inputs or 0 in x.shape:
        raise ValueError(f"{cell}: x has shape {x.shape}, expected (b, t, {inputs}) and not empty.")
    return checked_elements(cell, x, mask, dt)


def checked_elements(cell: str, x: mx.array, mask: mx.array | None, dt: Any) -> mx.array:
    """As :func:`checked_input`, for an x (b, t, any) whose width another cell will check."""
    if mask is not None:
        check_mask(cell, mask, *x.shape[:2])
    x = present(x, mask)
    check_finite(cell, x, dt)
    return x


def present(x: mx.array, mask: mx.array | None) -> mx.array:
    """x (b, t, inputs), zero where the mask (b, t) is False."""
    return x if mask is None else mx.where(mask[..., None], x, mx.zeros_like(x))


def fixed_steps(x: mx.array, dt: Any, mask: mx.array | None, substeps: int) -> mx.array:
    """(b, t), int32: K where time passes, 0 elsewhere."""
    passes = time_steps(dt, *x.shape[:2], mask=mask)[..., 0] > 0
    return passes.astype(mx.int32) * substeps


def _check_solver(cell: str, solver: Solver | Adaptive, substeps: int) -> None:
    if not isinstance(solver, Adaptive):
        check_solver(cell, solver, substeps)


def uniform(rows: int, columns: int) -> mx.array:
    return mx.random.uniform(-1, 1, (rows, columns)) * columns**-0.5


def _inverse_softplus(x: mx.array) -> mx.array:
    return x + mx.log(-mx.expm1(-x))


def _synapse_weights(sources: int, targets: int) -> tuple[mx.array, mx.array, mx.array]:
    ranges = ((0.001, 1.0), (0.3, 0.8), (3.0, 8.0))
    w, mu, sigma = (mx.random.uniform(low, high, (sources, targets)) for low, high in ranges)
    return _inverse_softplus(w), mu, sigma
