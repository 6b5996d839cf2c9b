"""The closed-form scan: a closed-form continuous-time cell over a whole sequence."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from lasmlx.ops import cfc_scan_metal, native
from lasmlx.ops.dispatch import Impl, check_floating, check_shape, choose
from lasmlx.ops.liquid_scan import before
from lasmlx.ops.ode import check_mask, time_steps


def cfc_scan(
    u: mx.array,
    V: mx.array,
    W: mx.array | None,
    b: mx.array | None,
    h0: mx.array | None = None,
    dt: Any = 1.0,
    *,
    gate: bool = True,
    mask: mx.array | None = None,
    impl: Impl = "auto",
) -> tuple[mx.array, mx.array]:
    """``h_i = (1 - s) tanh(f) + s tanh(g)``, ``s = sigmoid(a dt_i + c)``, ``(f, g, a, c) = W z + b``.

    z is a layer of m units, ``z = activation(u_i + V h_{i-1})``, see :func:`activation`. Without W and b there is none:
    ``(f, g, a, c) = u_i + V h_{i-1}``. Where the mask is False h stays, bit by bit; dt = 0 alone does not do that.

    Args:
        u: what the input contributes to z, (b, t, m); without W m is 4 hidden.
        V: (m, hidden).
        W: (4 hidden, m), the rows of f, g, a and c in this order.
        b: (4 hidden,).
        h0: initial state, (b, hidden), zeros if absent.
        dt: seconds, see :func:`lasmlx.ops.ode.time_steps`; or (b, t, hidden), a duration of its own for every unit.
        gate: whether there is the first gate; without it ``h_i = tanh(f) + s tanh(g)``.
        mask: (b, t), bool; u must be finite where it is False too.
        impl: see :func:`lasmlx.ops.dispatch.choose`.

    Returns:
        h after each element, (b, t, hidden), in the dtype of ``u``; the last state (b, hidden) in float32.

    Raises:
        ValueError: a shape, dtype or value is not as above; :class:`ImplError` for ``impl``.

    Error: reference against float64 and kernels against it, 2e-6 of the largest value, gradients 1e-5
    (``tests/ops/test_cfc_scan.py``).

    Source: Hasani et al. 2022, Closed-form continuous-time neural networks, eq. 4.
    """
    op = "cfc_scan"
    _check(op, u, V, W, b, h0)
    rows, t, _ = u.shape
    if mask is not None:
        check_mask(op, mask, rows, t)
    steps = time_steps(dt, rows, t, units=V.shape[1], op=op)
    fits = cfc_scan_metal.takes(V.shape[1], 0 if W is None else u.shape[2])
    chosen = choose(op, impl, kernel=True, on_gpu=None if fits else "cpu")
    if chosen == "reference":
        return reference(u, V, W, b, h0, steps, gate=gate, mask=mask)
    if chosen == "metal" or chosen == "cuda":
        states = cfc_scan_metal.cfc_scan(u, V, W, b, h0, steps, mask, gate, chosen, activation)
    else:
        states = native.module.cfc_scan(u, V, W, b, h0, steps, mask, gate)
    return states.astype(u.dtype), states[:, -1]


def reference(
    u: mx.array,
    V: mx.array,
    W: mx.array | None,
    b: mx.array | None,
    h0: mx.array | None,
    steps: mx.array,
    *,
    gate: bool = True,
    mask: mx.array | None = None,
) -> tuple[mx.array, mx.array]:
    """The definition: a loop over time in float32, ``steps`` (b, t, 1) or (b, t, hidden) seconds."""
    uf, Vf = u.astype(mx.float32), V.astype(mx.float32)
    h = mx.zeros((u.shape[0], V.shape[1])) if h0 is None else h0.astype(mx.float32)
    states = []
    for i in range(u.shape[1]):
        f, g, a, c = mx.split(_heads(uf[:, i], h, Vf, W, b), 4, axis=-1)
        new = mix(mx.tanh(f), mx.tanh(g), mx.sigmoid(a * steps[:, i] + c), gate)
        h = new if mask is None else mx.where(mask[:, i, None], new, h)
        states.append(h)
    return mx.stack(states, 1).astype(u.dtype), h


def mix(f: mx.array, g: mx.array, s: mx.array, gate: bool) -> mx.array:
    """From f to g as s opens; without the gate g on top of f."""
    return f * (1 - s) + s * g if gate else f + s * g


def activation(z: mx.array) -> mx.array:
    """``1.7159 tanh(0.666 z)``.

    Source: LeCun et al. 1998, Efficient BackProp, 4.4, its 2/3 rounded as in the code of Hasani et al. 2022.
    """
    return 1.7159 * mx.tanh(0.666 * z)


def rate_along(
    u: mx.array, V: mx.array, W: mx.array | None, b: mx.array | None, h: mx.array, h0: mx.array | None = None
) -> mx.array:
    """a of each element, (b, t, hidden), 1/s, float32: how fast the argument of its gate moves.

    Args:
        u, V, W, b: as given to :func:`cfc_scan`.
        h: what it returned, (b, t, hidden).
        h0: the initial state it was given, zeros if absent.
    """
    hidden = V.shape[1]
    its = slice(2 * hidden, 3 * hidden)
    uf, Vf, earlier = u.astype(mx.float32), V.astype(mx.float32), before(h.astype(mx.float32), h0)
    if W is None or b is None:
        return _heads(uf[..., its], earlier, Vf[its], None, None)
    return _heads(uf, earlier, Vf, W[its], b[its])


def _heads(u: mx.array, h: mx.array, V: mx.array, W: mx.array | None, b: mx.array | None) -> mx.array:
    z = u + h @ V.T
    return z if W is None or b is None else activation(z) @ W.T.astype(mx.float32) + b.astype(mx.float32)


def _check(op: str, u: mx.array, V: mx.array, W: mx.array | None, b: mx.array | None, h0: mx.array | None) -> None:
    if u.ndim != 3 or 0 in u.shape:
        raise ValueError(f"{op}: u has shape {u.shape}, expected (b, t, m) with every size at least 1.")
    m = u.shape[2]
    if V.ndim != 2 or V.shape[0] != m or V.shape[1] < 1:
        raise ValueError(f"{op}: V has shape {V.shape}, expected ({m}, hidden).")
    hidden = V.shape[1]
    if (W is None) != (b is None):
        raise ValueError(f"{op}: {'W' if W is None else 'b'} is absent, expected W and b, or neither.")
    if W is None or b is None:
        if m != 4 * hidden:
            raise ValueError(f"{op}: V has shape {V.shape}, expected ({m}, {m / 4:g}) without W: m is 4 hidden.")
    else:
        check_shape(op, "W", W, (4 * hidden, m))
        check_shape(op, "b", b, (4 * hidden,))
    if h0 is not None:
        check_shape(op, "h0", h0, (u.shape[0], hidden))
    check_floating(op, u=u, V=V, W=W, b=b, h0=h0)
