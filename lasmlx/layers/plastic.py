"""Layers whose synapses change while they read: a plastic linear map and a plastic liquid cell."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import mlx.core as mx
import mlx.nn as nn

from lasmlx.layers.liquid import BoundedTau, LiquidCell, SoftTau, checked_input, uniform
from lasmlx.ops import Adaptive, Plasticity, Rule, Solver, adaptive_plastic_liquid_scan, plastic_liquid_scan
from lasmlx.ops.liquid_scan import tau_along
from lasmlx.ops.ode import Steps, check_solver, time_steps
from lasmlx.ops.plastic import check_rule, plastic_scan

Update = Literal["element", "substep"]

LEAST_FADING = 1e-3  # of c below
EPS = 1e-6  # of a squared norm


class PlasticRates(nn.Module):
    """``rate = sigmoid(w x + a)``, neuromodulated by the input; ``keep = 1 - c rate``: what is not written to stays.

    ``c = 0.001 + 0.499 sigmoid(d)``, so the trace of each rule stays below ``max(|H_0|, sqrt(m) / c)``; see
    :func:`lasmlx.ops.plastic.plastic_scan`. w starts at zero.

    Args:
        inputs: width of x.
        heads: g.
        rate, fading: rate and c at the start.

    Source: the modulated rate: Miconi et al. 2019, Backpropamine, eq. 3, whose M(t) it is.
    """

    def __init__(self, inputs: int, heads: int, *, rate: float = 0.5, fading: float = 0.01) -> None:
        super().__init__()
        self.w = mx.zeros((heads, inputs))
        self.a = mx.full((heads,), _logit(rate))
        self.d = mx.full((heads,), _logit((fading - LEAST_FADING) / (0.5 - LEAST_FADING)))

    @property
    def fading(self) -> mx.array:
        """c, (g,)."""
        return LEAST_FADING + (0.5 - LEAST_FADING) * mx.sigmoid(self.d)

    def bound(self, m: int) -> mx.array:
        """The largest norm that a trace of m outputs can grow to, (g,)."""
        return m**0.5 / self.fading

    def __call__(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """rate and keep, (b, t, g), for x (b, t, inputs)."""
        rate = mx.sigmoid(x @ self.w.T + self.a)
        return rate, 1 - self.fading * rate


class ConstantRates(PlasticRates):
    """As :class:`PlasticRates` with a rate that is learnt but does not move with the input."""

    def __init__(self, inputs: int, heads: int, *, rate: float = 0.5, fading: float = 0.01) -> None:
        super().__init__(inputs, heads, rate=rate, fading=fading)
        del self.w

    def __call__(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """rate and keep, (b, t, g), for x (b, t, inputs)."""
        rate = mx.broadcast_to(mx.sigmoid(self.a), (*x.shape[:2], self.a.shape[0]))
        return rate, 1 - self.fading * rate


class SynapseState(NamedTuple):
    """What plastic synapses keep."""

    trace: mx.array  # (b, g, m, n), float32
    key: mx.array  # (b, g, n), float32, of the last element


class PlasticLinear(nn.Module):
    """``y_t = W x_t + b + (alpha * H_{t-1}) k_t``, ``H_t = rule(H_{t-1}, k_{t-lag}, tanh(y_t))``, ``k = x / |x|``.

    With a lag of 0 a trace links what is there at once, and recalls no more than the input says already. With a lag of
    1 it links what was there to what came next, so that ``k_t`` recalls what followed the last time.

    Args:
        inputs, outputs: widths of x and y.
        rule: "hebb", "oja" or "delta".
        lag: 0 or 1.
        heads: g traces of (outputs / g, inputs / g) instead of one of (outputs, inputs).
        rank: where not 0 ``k = Q x / |Q x|`` with a learnt Q (rank, inputs): a trace (outputs, rank) whose map from x
            is of that rank.
        rates: :class:`PlasticRates` by default.

    Source: Miconi, Clune & Stanley 2018, eqs. 1 and 2, whose x(t - 1) and x(t) a lag of 1 links.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rule: Rule = "delta",
        lag: int = 1,
        heads: int = 1,
        rank: int = 0,
        rates: PlasticRates | None = None,
    ) -> None:
        super().__init__()
        check_rule("PlasticLinear", rule)
        check_lag("PlasticLinear", lag)
        width = rank or inputs
        _check_heads("PlasticLinear", heads, inputs=width, outputs=outputs)
        self.W = uniform(outputs, inputs)
        self.b = mx.zeros((outputs,))
        if rank:
            self.Q = uniform(rank, inputs)
        self.alpha = _plastic_at_first(heads, outputs // heads, width // heads)
        self.rates = PlasticRates(inputs, heads) if rates is None else rates
        self._rule, self._lag = rule, lag

    def init_state(self, b: int) -> SynapseState:
        """The state before the first input, for a batch of b: zeros."""
        g, m, n = self.alpha.shape
        return SynapseState(mx.zeros((b, g, m, n)), mx.zeros((b, g, n)))

    def trace_bound(self) -> float:
        """The largest norm (Frobenius, of all heads together) that a trace can grow to from zero."""
        return _bound(self.alpha, self.rates)

    def __call__(self, x: mx.array, state: SynapseState | None = None) -> tuple[mx.array, SynapseState]:
        """(b, t, inputs) and the state before it to (b, t, outputs) and the state after it.

        Raises:
            ValueError: a shape is not as above.
        """
        if x.ndim != 3 or x.shape[2] != self.W.shape[1]:
            raise ValueError(f"PlasticLinear: x has shape {x.shape}, expected (b, t, {self.W.shape[1]}).")
        b, t, _ = x.shape
        g, m, n = self.alpha.shape
        trace, key = self.init_state(b) if state is None else state
        k = unit((x @ self.Q.T if "Q" in self else x).reshape(b, t, g, n))
        written = mx.concatenate([key[:, None].astype(k.dtype), k[:, :-1]], 1) if self._lag else None
        rate, keep = self.rates(x)
        u = (x @ self.W.T + self.b).reshape(b, t, g, m)
        y, trace = plastic_scan(u, k, self.alpha, trace, rate=rate, keep=keep, rule=self._rule, key=written)
        return y.reshape(b, t, g * m), SynapseState(trace, k[:, -1].astype(mx.float32))


class FixedLinear(nn.Module):
    """``y = W x + b`` in the place of :class:`PlasticLinear`: what is left of it without plasticity."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.W = uniform(outputs, inputs)
        self.b = mx.zeros((outputs,))

    def init_state(self, b: int) -> tuple[()]:
        """Nothing is kept."""
        return ()

    def __call__(self, x: mx.array, state: tuple[()] | None = None) -> tuple[mx.array, tuple[()]]:
        """(b, t, inputs) to (b, t, outputs)."""
        return x @ self.W.T + self.b, ()


class LiquidWithSynapses(nn.Module):
    """``y = cell(x) + synapses(x)``: a liquid cell and, beside it, synapses that no time constant delays.

    Args:
        cell: any liquid cell.
        synapses: :class:`PlasticLinear` or :class:`FixedLinear`.
    """

    def __init__(self, cell: LiquidCell, synapses: PlasticLinear | FixedLinear) -> None:
        super().__init__()
        self.cell, self.synapses = cell, synapses

    def init_state(self, b: int) -> tuple[Any, Any]:
        """The states of both before the first input, for a batch of b."""
        return self.cell.init_state(b), self.synapses.init_state(b)

    def __call__(self, x: mx.array, state: Any = None, *, dt: Any = 1.0) -> tuple[mx.array, Any]:
        """(b, t, inputs) and both states to (b, t, outputs) and both states."""
        y, after, _ = self._each(x, state, lambda before: (*self.cell(x, before, dt=dt), None))
        return y, after

    def traced(self, x: mx.array, state: Any = None, *, dt: Any = 1.0) -> tuple[mx.array, Any, mx.array]:
        """As calling, with the cell's time constants tau (b, t, units), seconds, beside."""
        return self._each(x, state, lambda before: self.cell.traced(x, before, dt=dt))

    def counted(
        self, x: mx.array, state: Any = None, *, dt: Any = 1.0, adaptive: Adaptive
    ) -> tuple[mx.array, Any, mx.array]:
        """As calling, the cell by the adaptive solver, with its steps (b, t), int32, for each element beside."""
        return self._each(x, state, lambda before: self.cell.counted(x, before, dt=dt, adaptive=adaptive))

    def _each(self, x: mx.array, state: Any, run: Any) -> tuple[mx.array, Any, Any]:
        before, kept = self.init_state(x.shape[0]) if state is None else state
        h, after, felt = run(before)
        y, kept = self.synapses(x, kept)
        return h + y, (after, kept), felt


class PlasticState(NamedTuple):
    """What a plastic liquid cell keeps."""

    h: mx.array  # (b, hidden), float32
    trace: mx.array  # (b, g, m, n), float32
    key: mx.array  # (b, g, n), float32, what was there before the last element


class PlasticLiquidCell(nn.Module):
    """``dh/dt = (-h + tanh(W x + U h + b + (alpha * H) k)) / tau(x, h)``, ``H <- rule(H, k, h)`` after each element.

    ``k = [x / |x|, h / sqrt(m)] / sqrt(2)`` as the element begins: synapses from the input (W) and from the layer
    itself (U) are plastic, and ``|k| <= 1``.

    Args:
        inputs, hidden: widths of x and h.
        tau: :class:`lasmlx.layers.BoundedTau` or :class:`lasmlx.layers.SoftTau`.
        rule: "hebb", "oja" or "delta".
        lag: 0 writes h with the key of its own element, 1 with the one before, so that what is read is what followed.
        heads: g; each has the g-th part of x and of h on both sides of its trace.
        update: once an element, or at each of the solver's sub-steps, which see the trace that the one before left.
        solver, substeps: see :func:`lasmlx.ops.ode.step`.
        rates: :class:`PlasticRates` with one head by default.

    Source: Hasani et al. 2021, section 2; Miconi, Clune & Stanley 2018, eq. 1.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        tau: BoundedTau | SoftTau,
        *,
        rule: Rule = "hebb",
        lag: int = 0,
        heads: int = 1,
        update: Update = "element",
        solver: Solver = "midpoint",
        substeps: int = 3,
        rates: PlasticRates | None = None,
    ) -> None:
        super().__init__()
        check_rule("PlasticLiquidCell", rule)
        check_lag("PlasticLiquidCell", lag)
        check_solver("PlasticLiquidCell", solver, substeps)
        if update not in ("element", "substep"):
            raise ValueError(f'PlasticLiquidCell: update is {update!r}, expected "element" or "substep".')
        _check_heads("PlasticLiquidCell", heads, inputs=inputs, hidden=hidden)
        self.W = uniform(hidden, inputs)
        self.U = uniform(hidden, hidden)
        self.b = mx.zeros((hidden,))
        self.tau = tau
        self.alpha = _plastic_at_first(heads, hidden // heads, (inputs + hidden) // heads)
        self.rates = PlasticRates(inputs, 1) if rates is None else rates
        self._rule, self._lag, self._solver, self._substeps = rule, lag, solver, substeps
        self._repeats = substeps if update == "substep" else 1

    def init_state(self, b: int) -> PlasticState:
        """The state before the first input, for a batch of b: zeros."""
        g, m, n = self.alpha.shape
        return PlasticState(mx.zeros((b, g * m)), mx.zeros((b, g, m, n)), mx.zeros((b, g, n)))

    def trace_bound(self) -> float:
        """The largest norm (Frobenius) that a trace can grow to from zero."""
        return _bound(self.alpha, self.rates)

    def __call__(
        self, x: mx.array, state: PlasticState | None = None, *, dt: Any = 1.0
    ) -> tuple[mx.array, PlasticState]:
        """(b, t, inputs) and the state before it to (b, t, hidden) and the state after it.

        Args:
            dt: seconds each element lasts, see :func:`lasmlx.ops.ode.time_steps`; where it is 0 nothing changes.

        Raises:
            ValueError: a shape is not as above, or x or dt is not finite.
        """
        state, x, (u, tau, plasticity, steps) = self._prepare(x, state, dt)
        h, last, trace = plastic_liquid_scan(
            *(u, self.U, tau, plasticity, *state, Steps(steps)),
            solver=self._solver,
            substeps=self._substeps // self._repeats,
        )
        return h[:, self._repeats - 1 :: self._repeats], self._after(plasticity, h, last, trace, state)

    def traced(
        self, x: mx.array, state: PlasticState | None = None, *, dt: Any = 1.0
    ) -> tuple[mx.array, PlasticState, mx.array]:
        """As calling, with the time constants tau (b, t, hidden), seconds, at the start of each element beside."""
        state = self.init_state(x.shape[0]) if state is None else state
        h, after = self(x, state, dt=dt)
        return h, after, tau_along(self.tau(x), h, state.h)

    def counted(
        self, x: mx.array, state: PlasticState | None = None, *, dt: Any = 1.0, adaptive: Adaptive
    ) -> tuple[mx.array, PlasticState, mx.array]:
        """As calling, by the adaptive solver, with its steps (b, t), int32, for each element beside."""
        state, x, (u, tau, plasticity, steps) = self._prepare(x, state, dt)
        h, last, trace, counts = adaptive_plastic_liquid_scan(
            u, self.U, tau, plasticity, *state, Steps(steps), adaptive=adaptive
        )
        counts = counts.reshape(*counts.shape[:1], -1, self._repeats).sum(-1)
        return h[:, self._repeats - 1 :: self._repeats], self._after(plasticity, h, last, trace, state), counts

    def _prepare(self, x: mx.array, state: PlasticState | None, dt: Any) -> tuple[PlasticState, mx.array, Any]:
        x = checked_input("PlasticLiquidCell", x, self.W.shape[1], None, dt)
        b, t, inputs = x.shape
        steps = time_steps(dt, b, t, op="PlasticLiquidCell")
        if self._repeats > 1:
            x, steps = (mx.repeat(v, self._repeats, 1) for v in (x, steps / self._repeats))
        rate, keep = (v[..., 0] for v in self.rates(x))
        passes = steps[..., 0] > 0
        g = self.alpha.shape[0]
        key = unit(x.reshape(*x.shape[:2], g, inputs // g)).reshape(x.shape) * 0.5**0.5
        plasticity = Plasticity(
            *(key, self.alpha, mx.where(passes, rate, 0.0), mx.where(passes, keep, 1.0)), self._rule, self._lag
        )
        state = self.init_state(b) if state is None else PlasticState(*state)
        return state, x, (x @ self.W.T + self.b, self.tau(x), plasticity, steps)

    def _after(
        self, plasticity: Plasticity, h: mx.array, last: mx.array, trace: mx.array, state: PlasticState
    ) -> PlasticState:
        before = state.h if h.shape[1] == 1 else h[:, -2].astype(mx.float32)
        return PlasticState(last, trace, plasticity.keys(plasticity.x[:, -1].astype(mx.float32), before))


def unit(x: mx.array) -> mx.array:
    """``x / |x|`` over the last axis, 0 where x is."""
    return x * mx.rsqrt(mx.square(x).sum(-1, keepdims=True) + EPS)


def check_lag(layer: str, lag: int) -> None:
    """Raise ``ValueError`` unless it is 0 or 1."""
    if lag not in (0, 1):
        raise ValueError(f"{layer}: lag is {lag!r}, expected 0 or 1.")


def _bound(alpha: mx.array, rates: PlasticRates) -> float:
    g, m, _ = alpha.shape
    total: Any = mx.sqrt(mx.square(mx.broadcast_to(rates.bound(m), (g,))).sum()).item()
    return float(total)


def _plastic_at_first(heads: int, m: int, n: int) -> mx.array:
    return mx.random.uniform(0, 1, (heads, m, n))


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def _check_heads(layer: str, heads: int, **widths: int) -> None:
    for name, width in widths.items():
        if heads < 1 or width % heads:
            raise ValueError(f"{layer}: heads is {heads}, expected a divisor of {name} = {width}.")
