"""The liquid scan: a recurrent network as an ODE whose time constants move with its input and state."""

from __future__ import annotations

from typing import Any, NamedTuple

import mlx.core as mx

from lasmlx.ops import liquid_scan_metal, native, ode
from lasmlx.ops.adaptive import Adaptive, adaptive_scan
from lasmlx.ops.dispatch import Impl, check_floating, check_shape


class BoundedTau(NamedTuple):
    """``tau = low + (high - low) sigmoid(v + V h)``, seconds; v is what the input contributes."""

    v: mx.array  # (b, t, hidden)
    V: mx.array  # (hidden, hidden)
    low: float  # seconds, > 0
    high: float  # seconds, > low

    def at(self, v: mx.array, h: mx.array) -> mx.array:
        """tau where the input contributes v and the state is h, both (..., hidden)."""
        return self.low + (self.high - self.low) * mx.sigmoid(v + h @ self.V.T)


class SoftTau(NamedTuple):
    """``tau = low + log(1 + exp(V2 tanh(v + V h) + b2))``, seconds: unbounded above, by a hidden layer of m units."""

    v: mx.array  # (b, t, m)
    V: mx.array  # (m, hidden)
    V2: mx.array  # (hidden, m)
    b2: mx.array  # (hidden,)
    low: float  # seconds, > 0

    def at(self, v: mx.array, h: mx.array) -> mx.array:
        """tau where the input contributes v (..., m) and the state is h (..., hidden)."""
        inner = mx.tanh(v + h @ self.V.T)
        return self.low + mx.logaddexp(inner @ self.V2.T + self.b2, mx.array(0.0))


Tau = BoundedTau | SoftTau


def liquid_scan(
    u: mx.array,
    U: mx.array,
    tau: Tau,
    h0: mx.array | None = None,
    dt: Any = 1.0,
    *,
    mask: mx.array | None = None,
    solver: ode.Solver = "euler",
    substeps: int = 1,
    impl: Impl = "auto",
) -> tuple[mx.array, mx.array]:
    """``dh/dt = (-h + tanh(u_i + U h)) / tau(v_i, h)`` over ``dt_i`` seconds for each element i.

    The input is held during its element. Where the mask is False no time passes: h stays, bit by bit.

    Args:
        u: what the input contributes, ``W x + b``, (b, t, hidden).
        U: (hidden, hidden).
        tau: the time constants, :class:`BoundedTau` or :class:`SoftTau`.
        h0: initial state, (b, hidden), zeros if absent.
        dt: seconds, see :func:`lasmlx.ops.ode.time_steps`.
        mask: (b, t), bool; u must be finite where it is False too.
        solver, substeps: see :func:`lasmlx.ops.ode.step`.
        impl: see :func:`lasmlx.ops.dispatch.choose`.

    Returns:
        h after each element, (b, t, hidden), in the dtype of ``u``; the last state (b, hidden) in float32.

    Raises:
        ValueError: a shape, dtype, value, ``solver`` or ``substeps`` is not as above; :class:`ImplError` for ``impl``.

    Euler, midpoint and fused have kernels; the reference solves by the others.

    Error: reference against float64 and kernels against it, 2e-6 of the largest value, gradients 1e-5
    (``tests/ops/test_liquid_scan.py``).

    Source: Funahashi & Nakamura 1993 for the network; its moving time constants: Hasani et al. 2021, section 2.
    """
    op = "liquid_scan"
    check_network(op, u, U, tau, h0)
    ode.check_solver(op, solver, substeps)
    steps = ode.time_steps(dt, *u.shape[:2], mask=mask, op=op)
    inner = 0 if isinstance(tau, BoundedTau) else tau.v.shape[2]
    fits = liquid_scan_metal.takes(u.shape[2], inner, solver)
    chosen = ode.choose_impl(op, impl, solver, on_gpu=None if fits else "cpu")
    if chosen == "reference":
        return reference(u, U, tau, h0, steps, solver=solver, substeps=substeps)
    if chosen == "metal" or chosen == "cuda":
        states = liquid_scan_metal.liquid_scan(u, U, tau, h0, steps, solver, substeps, chosen)
    else:
        states = _on_cpu(u, U, tau, h0, steps[..., 0], solver, substeps)
    return states.astype(u.dtype), states[:, -1]


def adaptive_liquid_scan(
    u: mx.array,
    U: mx.array,
    tau: Tau,
    h0: mx.array | None = None,
    dt: Any = 1.0,
    *,
    mask: mx.array | None = None,
    adaptive: Adaptive,
) -> tuple[mx.array, mx.array, mx.array]:
    """:func:`liquid_scan` by the adaptive solver, with the steps each element took, (b, t), int32, as third.

    It evaluates as it goes, see :func:`lasmlx.ops.adaptive.adaptive_step`.
    """
    op = "adaptive_liquid_scan"
    check_network(op, u, U, tau, h0)
    steps = ode.time_steps(dt, *u.shape[:2], mask=mask, op=op)
    states, h, counts = adaptive_scan(*fields(u, U, tau, h0), steps, adaptive)
    return states.astype(u.dtype), h, counts


def reference(
    u: mx.array,
    U: mx.array,
    tau: Tau,
    h0: mx.array | None,
    steps: mx.array,
    *,
    solver: ode.Solver = "euler",
    substeps: int = 1,
) -> tuple[mx.array, mx.array]:
    """The definition: a loop over time in float32, ``steps`` (b, t, 1) seconds."""
    field_at, h = fields(u, U, tau, h0)
    states, h = ode.scan(field_at, h, steps, solver, substeps)
    return states.astype(u.dtype), h


def fields(u: mx.array, U: mx.array, tau: Tau, h0: mx.array | None) -> tuple[Any, mx.array]:
    """The equation of each element, ``i -> field``, and the first state, in float32."""
    uf, Uf, tauf = u.astype(mx.float32), U.astype(mx.float32), float32(tau)

    def field_at(i: int) -> ode.Field:
        return field(uf[:, i], Uf, tauf, tauf.v[:, i])

    b, _, hidden = u.shape
    return field_at, mx.zeros((b, hidden)) if h0 is None else h0.astype(mx.float32)


def field(u: mx.array, U: mx.array, tau: Tau, v: mx.array) -> ode.Field:
    """The equation of an element to which the input contributes u (b, hidden) and v, all float32."""

    def at(h: mx.array) -> tuple[mx.array, mx.array]:
        decay = 1 / tau.at(v, h)
        return mx.tanh(u + h @ U.T) * decay, decay

    return at


def tau_along(tau: Tau, h: mx.array, h0: mx.array | None = None) -> mx.array:
    """tau at the start of each element, ``tau(v_i, h_{i-1})``, (b, t, hidden), seconds, float32.

    Args:
        tau: as given to :func:`liquid_scan`.
        h: what it returned, (b, t, hidden).
        h0: the initial state it was given, zeros if absent.
    """
    tauf = float32(tau)
    return tauf.at(tauf.v, before(h.astype(mx.float32), h0))


def before(h: mx.array, h0: mx.array | None) -> mx.array:
    """The state before each element: h (b, t, hidden) one later, with h0 (b, hidden) in front."""
    first = mx.zeros_like(h[:, 0]) if h0 is None else h0.astype(h.dtype)
    return mx.concatenate([first[:, None], h[:, :-1]], 1)


def _on_cpu(
    u: mx.array, U: mx.array, tau: Tau, h0: mx.array | None, dt: mx.array, solver: ode.Solver, substeps: int
) -> mx.array:
    """(b, t, hidden), float32, by the compiled primitive."""
    outer, high = ((None, None), tau.high) if isinstance(tau, BoundedTau) else ((tau.V2, tau.b2), 0.0)
    scan: Any = native.module.liquid_scan
    states: mx.array = scan(u, U, tau.v, tau.V, *outer, h0, dt, tau.low, high, solver, substeps)
    return states


def float32(tau: Tau) -> Tau:
    cast: dict[str, Any] = {k: v.astype(mx.float32) for k, v in tau._asdict().items() if isinstance(v, mx.array)}
    return tau._replace(**cast)


def check_network(op: str, u: mx.array, U: mx.array, tau: Tau, h0: mx.array | None) -> None:
    if u.ndim != 3 or 0 in u.shape:
        raise ValueError(f"{op}: u has shape {u.shape}, expected (b, t, hidden) with every size at least 1.")
    b, t, hidden = u.shape
    check_shape(op, "U", U, (hidden, hidden))
    if h0 is not None:
        check_shape(op, "h0", h0, (b, hidden))
    check_floating(op, u=u, U=U, h0=h0)
    if isinstance(tau, BoundedTau):
        _check_bounded(op, tau, b, t, hidden)
    else:
        _check_soft(op, tau, b, t, hidden)


def _check_bounded(op: str, tau: BoundedTau, b: int, t: int, hidden: int) -> None:
    check_shape(op, "tau.v", tau.v, (b, t, hidden))
    check_shape(op, "tau.V", tau.V, (hidden, hidden))
    check_floating(op, **{"tau.v": tau.v, "tau.V": tau.V})
    if not 0 < tau.low < tau.high:
        raise ValueError(f"{op}: tau.low is {tau.low} and tau.high {tau.high}, expected 0 < low < high.")


def _check_soft(op: str, tau: SoftTau, b: int, t: int, hidden: int) -> None:
    if tau.v.ndim != 3 or tau.v.shape[:2] != (b, t) or tau.v.shape[2] < 1:
        raise ValueError(f"{op}: tau.v has shape {tau.v.shape}, expected ({b}, {t}, m).")
    m = tau.v.shape[2]
    check_shape(op, "tau.V", tau.V, (m, hidden))
    check_shape(op, "tau.V2", tau.V2, (hidden, m))
    check_shape(op, "tau.b2", tau.b2, (hidden,))
    check_floating(op, **{"tau.v": tau.v, "tau.V": tau.V, "tau.V2": tau.V2, "tau.b2": tau.b2})
    if not tau.low > 0:
        raise ValueError(f"{op}: tau.low is {tau.low}, expected > 0.")
