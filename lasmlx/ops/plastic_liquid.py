"""The liquid scan with plastic synapses beside the fixed ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import mlx.core as mx

from lasmlx.ops import native, ode
from lasmlx.ops.adaptive import Adaptive, adaptive_step
from lasmlx.ops.dispatch import Impl, check_floating, check_shape
from lasmlx.ops.liquid_scan import BoundedTau, Tau, check_network, field, float32
from lasmlx.ops.plastic import RULES, Rule, check_rule


class Plasticity(NamedTuple):
    """How the synapses of a liquid layer change: see :func:`plastic_liquid_scan`."""

    x: mx.array  # (b, t, inputs), what the plastic synapses see of the input
    alpha: mx.array  # (g, m, n), how plastic each synapse is; n = (inputs + hidden) / g, m = hidden / g
    rate: mx.array  # (b, t), of the rule; 0 where no time passes
    keep: mx.array  # (b, t); 1 where no time passes
    rule: Rule = "hebb"
    lag: int = 0  # 0: h is written with its own key; 1: with the key before it, so that a key recalls what followed

    @property
    def h_scale(self) -> float:
        """By which h is scaled in k: ``1 / sqrt(2 m)``, so that its part of ``|k|^2`` stays below 1/2."""
        return float((2 * self.alpha.shape[1]) ** -0.5)

    def keys(self, x: mx.array, h: mx.array) -> mx.array:
        """``k = [x, h / sqrt(2 m)]`` head by head, (..., g, n), for x (..., inputs) and h (..., hidden)."""
        g = self.alpha.shape[0]
        parts = [v.reshape(*v.shape[:-1], g, -1) for v in (x, h * self.h_scale)]
        return mx.concatenate(parts, -1)

    def read(self, H: mx.array, k: mx.array) -> mx.array:
        """``(alpha * H) k``, (b, hidden)."""
        return (self.alpha * H * k[..., None, :]).sum(-1).reshape(H.shape[0], -1)

    def write(self, H: mx.array, k: mx.array, h: mx.array, i: int) -> mx.array:
        """The trace after element i, of which h (b, hidden) is the state."""
        b, g, m, _ = H.shape
        rate, keep = (mx.broadcast_to(v[:, i, None], (b, g)) for v in (self.rate, self.keep))
        return RULES[self.rule](H, k, h.reshape(b, g, m), rate, keep)


def plastic_liquid_scan(
    u: mx.array,
    U: mx.array,
    tau: Tau,
    plasticity: Plasticity,
    h0: mx.array | None = None,
    H0: mx.array | None = None,
    k0: mx.array | None = None,
    dt: Any = 1.0,
    *,
    solver: ode.Solver = "midpoint",
    substeps: int = 1,
    impl: Impl = "auto",
) -> tuple[mx.array, mx.array, mx.array]:
    """``dh/dt = (-h + tanh(u_i + (alpha * H_{i-1}) k_i + U h)) / tau(v_i, h)``; ``H <- rule(H, k_{i-lag}, h_i)``.

    ``k_i = [x_i, h_{i-1} / sqrt(2 m)]``: what was there when the element began, so plastic synapses from the input and
    from the layer itself transmit and change once an element. Of g heads each has the g-th part of x and of h on both
    sides of its trace. With a lag of 1 the trace links what was there to what came next.

    Args:
        u, U, tau, h0, dt: as for :func:`lasmlx.ops.liquid_scan.liquid_scan`.
        plasticity: the synapses.
        H0: the trace before the first element, (b, g, m, n), zeros if absent.
        k0: the key before the first element, (b, g, n), zeros if absent; of a lag of 1 only.
        solver, substeps: see :func:`lasmlx.ops.ode.step`.
        impl: see :func:`lasmlx.ops.dispatch.choose`; on a GPU the CPU primitive runs, in the memory they share.

    Returns:
        h after each element, (b, t, hidden), in the dtype of ``u``; the last state (b, hidden) and trace
        (b, g, m, n) in float32.

    Raises:
        ValueError: a shape, dtype, value, ``solver`` or ``substeps`` is not as above; :class:`ImplError` for ``impl``.

    Error: kernels against the reference, 2e-6 of the largest value, gradients 1e-5
    (``tests/ops/test_plastic_liquid.py``).

    Source: the liquid network of :func:`lasmlx.ops.liquid_scan.liquid_scan`; plastic synapses: Miconi, Clune & Stanley
    2018, eq. 1.
    """
    op = "plastic_liquid_scan"
    _check(op, u, U, tau, plasticity, h0, H0, k0)
    ode.check_solver(op, solver, substeps)
    steps = ode.time_steps(dt, *u.shape[:2], op=op)
    chosen = ode.choose_impl(op, impl, solver, on_gpu="cpu", kernel=False)
    if chosen == "reference":
        return reference(u, U, tau, plasticity, h0, H0, k0, steps, solver=solver, substeps=substeps)
    outer, high = ((None, None), tau.high) if isinstance(tau, BoundedTau) else ((tau.V2, tau.b2), 0.0)
    scan: Any = native.module.plastic_liquid_scan
    states, H = scan(
        *(u, U, tau.v, tau.V, *outer, h0, H0, k0, steps[..., 0], *plasticity[:4]),
        *(tau.low, high, solver, substeps, plasticity.rule, plasticity.lag),
    )
    return states.astype(u.dtype), states[:, -1], H


def reference(
    u: mx.array,
    U: mx.array,
    tau: Tau,
    plasticity: Plasticity,
    h0: mx.array | None,
    H0: mx.array | None,
    k0: mx.array | None,
    steps: mx.array,
    *,
    solver: ode.Solver,
    substeps: int,
) -> tuple[mx.array, mx.array, mx.array]:
    """The definition: a loop over time in float32, ``steps`` (b, t, 1) seconds."""

    def advance(field: ode.Field, h: mx.array, dt: mx.array) -> mx.array:
        return ode.step(field, h, dt, solver, substeps)

    h, last, H = _loop(u, U, tau, plasticity, h0, H0, k0, steps, advance)
    return h.astype(u.dtype), last, H


def adaptive_plastic_liquid_scan(
    u: mx.array,
    U: mx.array,
    tau: Tau,
    plasticity: Plasticity,
    h0: mx.array | None = None,
    H0: mx.array | None = None,
    k0: mx.array | None = None,
    dt: Any = 1.0,
    *,
    adaptive: Adaptive,
) -> tuple[mx.array, mx.array, mx.array, mx.array]:
    """:func:`plastic_liquid_scan` by the adaptive solver, with the steps of each element, (b, t), int32, as fourth."""
    op = "adaptive_plastic_liquid_scan"
    _check(op, u, U, tau, plasticity, h0, H0, k0)
    steps, counts = ode.time_steps(dt, *u.shape[:2], op=op), []

    def advance(field: ode.Field, h: mx.array, dt: mx.array) -> mx.array:
        h, count = adaptive_step(field, h, dt, adaptive)
        counts.append(count)
        return h

    h, last, H = _loop(u, U, tau, plasticity, h0, H0, k0, steps, advance)
    return h.astype(u.dtype), last, H, mx.stack(counts, 1)


def _loop(
    u: mx.array,
    U: mx.array,
    tau: Tau,
    plasticity: Plasticity,
    h0: mx.array | None,
    H0: mx.array | None,
    k0: mx.array | None,
    steps: mx.array,
    advance: Callable[[ode.Field, mx.array, mx.array], mx.array],
) -> tuple[mx.array, mx.array, mx.array]:
    b, t, hidden = u.shape
    u, U, tau = u.astype(mx.float32), U.astype(mx.float32), float32(tau)
    x, alpha, rate, keep = (v.astype(mx.float32) for v in plasticity[:4])
    plasticity = Plasticity(x, alpha, rate, keep, plasticity.rule, plasticity.lag)
    h = mx.zeros((b, hidden)) if h0 is None else h0.astype(mx.float32)
    H = mx.zeros((b, *plasticity.alpha.shape)) if H0 is None else H0.astype(mx.float32)
    before = mx.zeros(H.shape[:2] + H.shape[3:]) if k0 is None else k0.astype(mx.float32)
    states = []
    for i in range(t):
        k = plasticity.keys(plasticity.x[:, i], h)
        h = advance(field(u[:, i] + plasticity.read(H, k), U, tau, tau.v[:, i]), h, steps[:, i])
        H = plasticity.write(H, before if plasticity.lag else k, h, i)
        before = k
        states.append(h)
    return mx.stack(states, 1), h, H


def _check(
    op: str,
    u: mx.array,
    U: mx.array,
    tau: Tau,
    plasticity: Plasticity,
    h0: mx.array | None,
    H0: mx.array | None,
    k0: mx.array | None,
) -> None:
    check_network(op, u, U, tau, h0)
    check_rule(op, plasticity.rule)
    b, t, hidden = u.shape
    x, alpha, rate, keep, _, lag = plasticity
    if lag not in (0, 1):
        raise ValueError(f"{op}: lag is {lag!r}, expected 0 or 1.")
    if x.ndim != 3 or x.shape[:2] != (b, t):
        raise ValueError(f"{op}: x has shape {x.shape}, expected {(b, t, 'inputs')}.")
    inputs = x.shape[2]
    heads = alpha.shape[0] if alpha.ndim == 3 else 0
    if not heads or hidden % heads or inputs % heads:
        raise ValueError(
            f"{op}: alpha has shape {alpha.shape}, expected (g, m, n), "
            f"g a divisor of {hidden} units and {inputs} inputs."
        )
    shape = (heads, hidden // heads, (inputs + hidden) // heads)
    check_shape(op, "alpha", alpha, shape)
    check_shape(op, "rate", rate, (b, t))
    check_shape(op, "keep", keep, (b, t))
    if H0 is not None:
        check_shape(op, "H0", H0, (b, *shape))
    if k0 is not None:
        check_shape(op, "k0", k0, (b, heads, shape[2]))
    check_floating(op, x=x, alpha=alpha, rate=rate, keep=keep, H0=H0, k0=k0)
