"""The LTC scan: neurons that talk through synapses of changing conductance, so that time constants follow the input."""

from __future__ import annotations

from typing import Any, NamedTuple

import mlx.core as mx

from lasmlx.ops import ltc_scan_metal, native, ode
from lasmlx.ops.adaptive import Adaptive, adaptive_scan
from lasmlx.ops.dispatch import Impl, check_floating, check_shape


class Synapses(NamedTuple):
    """Conductance ``w sigmoid(sigma (pre - mu))`` towards the potential ``erev``, each (pre, hidden)."""

    w: mx.array  # >= 0; 0 where there is no synapse
    mu: mx.array
    sigma: mx.array
    erev: mx.array


class Leak(NamedTuple):
    """What a neuron does alone: conductance g towards the potential v, over the capacitance cm, each (hidden,)."""

    g: mx.array  # >= 0
    v: mx.array
    cm: mx.array  # > 0


def ltc_scan(
    x: mx.array,
    sensory: Synapses,
    recurrent: Synapses,
    leak: Leak,
    h0: mx.array | None = None,
    dt: Any = 1.0,
    *,
    mask: mx.array | None = None,
    solver: ode.Solver = "fused",
    substeps: int = 6,
    impl: Impl = "auto",
) -> tuple[mx.array, mx.array]:
    """``cm dh_i/dt = g_i (v_i - h_i) + sum_j w_ji sigmoid(sigma_ji (pre_j - mu_ji)) (erev_ji - h_i)``.

    The sum runs over the inputs (``pre = x``, ``sensory``) and the neurons (``pre = h``, ``recurrent``). The input is
    held during its element. Where the mask is False no time passes: h stays, bit by bit.

    Args:
        x: input, (b, t, inputs).
        sensory: synapses (inputs, hidden). recurrent: (hidden, hidden). leak: (hidden,).
        h0: initial state, (b, hidden), zeros if absent.
        dt: seconds if ``cm / g`` is, see :func:`lasmlx.ops.ode.time_steps`.
        mask: (b, t), bool; x must be finite where it is False too.
        solver, substeps: see :func:`lasmlx.ops.ode.step`.
        impl: see :func:`lasmlx.ops.dispatch.choose`.

    Returns:
        h after each element, (b, t, hidden), in the dtype of ``x``; the last state (b, hidden) in float32.

    Raises:
        ValueError: a shape, dtype, value, ``solver`` or ``substeps`` is not as above; :class:`ImplError` for ``impl``.

    Euler, midpoint and fused have kernels; the reference solves by the others.

    Error: reference against float64 and kernels against it, 2e-6 of the largest value, gradients 1e-5
    (``tests/ops/test_ltc_scan.py``).

    Source: Hasani et al. 2021, Liquid Time-constant Networks, eqs. 1-3 and algorithm 1; Lechner et al. 2020, eqs. 1-3.
    """
    op = "ltc_scan"
    _check(op, x, sensory, recurrent, leak, h0)
    ode.check_solver(op, solver, substeps)
    steps = ode.time_steps(dt, *x.shape[:2], mask=mask, op=op)
    fits = ltc_scan_metal.takes(leak.cm.shape[0], x.shape[2], solver)
    chosen = ode.choose_impl(op, impl, solver, on_gpu=None if fits else "cpu")
    if chosen == "reference":
        return reference(x, sensory, recurrent, leak, h0, steps, solver=solver, substeps=substeps)
    if chosen == "metal" or chosen == "cuda":
        states = ltc_scan_metal.ltc_scan(x, sensory, recurrent, leak, h0, steps, solver, substeps, chosen)
    else:
        scan: Any = native.module.ltc_scan
        states = scan(x, list(sensory), list(recurrent), list(leak), h0, steps[..., 0], solver, substeps)
    return states.astype(x.dtype), states[:, -1]


def adaptive_ltc_scan(
    x: mx.array,
    sensory: Synapses,
    recurrent: Synapses,
    leak: Leak,
    h0: mx.array | None = None,
    dt: Any = 1.0,
    *,
    mask: mx.array | None = None,
    adaptive: Adaptive,
) -> tuple[mx.array, mx.array, mx.array]:
    """:func:`ltc_scan` by the adaptive solver, with the steps each element took, (b, t), int32, as third.

    It evaluates as it goes, see :func:`lasmlx.ops.adaptive.adaptive_step`.
    """
    op = "adaptive_ltc_scan"
    _check(op, x, sensory, recurrent, leak, h0)
    steps = ode.time_steps(dt, *x.shape[:2], mask=mask, op=op)
    states, h, counts = adaptive_scan(*fields(x, sensory, recurrent, leak, h0), steps, adaptive)
    return states.astype(x.dtype), h, counts


def reference(
    x: mx.array,
    sensory: Synapses,
    recurrent: Synapses,
    leak: Leak,
    h0: mx.array | None,
    steps: mx.array,
    *,
    solver: ode.Solver = "fused",
    substeps: int = 6,
) -> tuple[mx.array, mx.array]:
    """The definition: a loop over time in float32, ``steps`` (b, t, 1) seconds. It keeps (b, t, hidden, hidden)."""
    field_at, h = fields(x, sensory, recurrent, leak, h0)
    states, h = ode.scan(field_at, h, steps, solver, substeps)
    return states.astype(x.dtype), h


def fields(
    x: mx.array, sensory: Synapses, recurrent: Synapses, leak: Leak, h0: mx.array | None
) -> tuple[Any, mx.array]:
    """The equation of each element, ``i -> field``, and the first state, in float32."""
    xf, sensory, recurrent, leak = x.astype(mx.float32), _float32(sensory), _float32(recurrent), _float32(leak)

    def field_at(i: int) -> ode.Field:
        current, conductance = currents(xf[:, i], sensory)  # the same in every sub-step
        current, conductance = current + leak.g * leak.v, conductance + leak.g

        def field(h: mx.array) -> tuple[mx.array, mx.array]:
            more, wider = currents(h, recurrent)
            return (current + more) / leak.cm, (conductance + wider) / leak.cm

        return field

    b, hidden = x.shape[0], leak.cm.shape[0]
    return field_at, mx.zeros((b, hidden)) if h0 is None else h0.astype(mx.float32)


def currents(pre: mx.array, synapses: Synapses) -> tuple[mx.array, mx.array]:
    """``sum_j G_ji erev_ji`` and ``sum_j G_ji``, ``G = w sigmoid(sigma (pre - mu))``: (b, pre) to (b, hidden) each."""
    w, mu, sigma, erev = synapses
    conductance = w * mx.sigmoid(sigma * (pre[..., None] - mu))  # (b, pre, hidden)
    return (conductance * erev).sum(-2), conductance.sum(-2)


def tau_along(
    x: mx.array, sensory: Synapses, recurrent: Synapses, leak: Leak, h: mx.array, h0: mx.array | None = None
) -> mx.array:
    """``tau = cm / (g + sum_j G_ji)`` at the start of each element, (b, t, hidden), seconds, float32.

    Args:
        x, sensory, recurrent, leak: as given to :func:`ltc_scan`.
        h: what it returned, (b, t, hidden).
        h0: the initial state it was given, zeros if absent.

    Source: Hasani et al. 2021, section 3: the system time constant ``tau / (1 + tau f)``.
    """
    field_at, first = fields(x, sensory, recurrent, leak, h0)
    earlier = [first, *(h[:, i].astype(mx.float32) for i in range(x.shape[1] - 1))]
    return mx.stack([1 / field_at(i)(state)[1] for i, state in enumerate(earlier)], 1)


def _float32(arrays: Any) -> Any:
    return type(arrays)(*(v.astype(mx.float32) for v in arrays))


def _check(op: str, x: mx.array, sensory: Synapses, recurrent: Synapses, leak: Leak, h0: mx.array | None) -> None:
    if x.ndim != 3 or 0 in x.shape:
        raise ValueError(f"{op}: x has shape {x.shape}, expected (b, t, inputs) with every size at least 1.")
    if leak.cm.ndim != 1 or leak.cm.size < 1:
        raise ValueError(f"{op}: leak.cm has shape {leak.cm.shape}, expected (hidden,).")
    b, _, inputs = x.shape
    hidden = leak.cm.shape[0]
    check_floating(op, x=x, h0=h0)
    if h0 is not None:
        check_shape(op, "h0", h0, (b, hidden))
    _check_group(op, "leak", leak, (hidden,))
    _check_group(op, "sensory", sensory, (inputs, hidden))
    _check_group(op, "recurrent", recurrent, (hidden, hidden))


def _check_group(op: str, name: str, arrays: Synapses | Leak, shape: tuple[int, ...]) -> None:
    for field, array in zip(arrays._fields, arrays, strict=True):
        check_shape(op, f"{name}.{field}", array, shape)
        check_floating(op, **{f"{name}.{field}": array})
