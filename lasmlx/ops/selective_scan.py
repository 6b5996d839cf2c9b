"""The selective scan: a diagonal linear recurrence whose step, input and output matrices move with the input."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

from lasmlx.ops import native, selective_scan_metal
from lasmlx.ops.dispatch import Impl, check_floating, check_shape, choose


def selective_scan(
    x: mx.array,
    dt: mx.array,
    A: mx.array,
    B: mx.array,
    C: mx.array,
    D: mx.array | None = None,
    z: mx.array | None = None,
    h0: mx.array | None = None,
    *,
    substeps: float = 1,
    impl: Impl = "auto",
) -> tuple[mx.array, mx.array]:
    """``h_t = exp(dt A) h_{t-1} + dt phi(dt A) B_t x_t``, ``y_t = (C_t . h_t + D x_t) silu(z_t)``.

    ``phi(a) = expm1(a) / (K expm1(a / K))`` is the geometric series of ``K`` sub-steps of ``dt / K`` in closed form:
    1 for one sub-step (the Mamba rule), ``expm1(a) / a`` for ``math.inf`` (exact zero-order hold).

    Args:
        x: input, (b, t, d).
        dt: time step, (b, t, d), seconds if ``A`` is in 1/s; >= 0 for a decaying state.
        A: decay rates, (d, n), negative.
        B, C: input and output matrices, (b, t, n).
        D: skip, (d,). z: gate, (b, t, d). h0: initial state, (b, d, n), zeros if absent.
        substeps: K, an integer >= 1 or ``math.inf``.
        impl: see :func:`lasmlx.ops.dispatch.choose`.

    Returns:
        y (b, t, d) in the dtype of ``x``; the last state (b, d, n) in float32, whatever the inputs are.

    Raises:
        ValueError: a shape, dtype or ``substeps`` is not as above; :class:`ImplError` for ``impl``.

    Error: kernel against reference 2e-6 of the largest value in float32, 1e-2 in bfloat16
    (``tests/ops/test_selective_scan.py``).

    Source: Gu & Dao 2023, Mamba, eqs. 2-4 and algorithm 2; the sub-steps' closed form is ours.
    """
    _check(x, dt, A, B, C, D, z, h0, substeps)
    wide = A.shape[1] > selective_scan_metal.MOST_STATES
    chosen = choose("selective_scan", impl, kernel=True, on_gpu="cpu" if wide else None)
    if chosen == "metal" or chosen == "cuda":
        return selective_scan_metal.selective_scan(x, dt, A, B, C, D, z, h0, substeps, chosen)
    if chosen == "cpu":
        y, h = native.module.selective_scan(x, dt, A, B, C, D, z, h0, float(substeps))
        return y, h
    return reference(x, dt, A, B, C, D, z, h0, substeps=substeps)


def substep_gain(a: mx.array, substeps: float) -> mx.array:
    """``phi(a) = expm1(a) / (K expm1(a / K))``, 1 where ``a`` is 0."""
    if substeps == 1:
        return mx.ones_like(a)
    small = mx.abs(a) < 1e-20
    safe = mx.where(small, 1.0, a)
    denominator = safe if math.isinf(substeps) else substeps * mx.expm1(safe / substeps)
    return mx.where(small, 1.0, mx.expm1(safe) / denominator)


def reference(
    x: mx.array,
    dt: mx.array,
    A: mx.array,
    B: mx.array,
    C: mx.array,
    D: mx.array | None = None,
    z: mx.array | None = None,
    h0: mx.array | None = None,
    *,
    substeps: float = 1,
) -> tuple[mx.array, mx.array]:
    """The definition: a loop over time in float32. It keeps (b, t, d, n) for the gradient; the kernels do not."""
    b, t, d = x.shape
    xf, dtf, Af, Bf, Cf = (v.astype(mx.float32) for v in (x, dt, A, B, C))
    h = mx.zeros((b, d, A.shape[1])) if h0 is None else h0.astype(mx.float32)
    outputs = []
    for i in range(t):
        a = dtf[:, i, :, None] * Af  # (b, d, n)
        step = dtf[:, i, :, None] * substep_gain(a, substeps)
        h = mx.exp(a) * h + step * Bf[:, i, None, :] * xf[:, i, :, None]
        outputs.append((h * Cf[:, i, None, :]).sum(-1))
    y = mx.stack(outputs, 1)  # (b, t, d)
    if D is not None:
        y = y + D.astype(mx.float32) * xf
    if z is not None:
        y = y * nn.silu(z.astype(mx.float32))
    return y.astype(x.dtype), h


def _check(
    x: mx.array,
    dt: mx.array,
    A: mx.array,
    B: mx.array,
    C: mx.array,
    D: mx.array | None,
    z: mx.array | None,
    h0: mx.array | None,
    substeps: float,
) -> None:
    op = "selective_scan"
    if x.ndim != 3 or 0 in x.shape:
        raise ValueError(f"{op}: x has shape {x.shape}, expected (b, t, d) with every size at least 1.")
    b, t, d = x.shape
    if A.ndim != 2 or A.shape[0] != d or A.shape[1] < 1:
        raise ValueError(f"{op}: A has shape {A.shape}, expected ({d}, n).")
    n = A.shape[1]
    check_shape(op, "dt", dt, (b, t, d))
    check_shape(op, "B", B, (b, t, n))
    check_shape(op, "C", C, (b, t, n))
    for name, array, shape in (("D", D, (d,)), ("z", z, (b, t, d)), ("h0", h0, (b, d, n))):
        if array is not None:
            check_shape(op, name, array, shape)
    check_floating(op, x=x, dt=dt, A=A, B=B, C=C, D=D, z=z, h0=h0)
    if not substeps >= 1 or (not math.isinf(substeps) and substeps != int(substeps)):
        raise ValueError(f"{op}: substeps is {substeps}, expected an integer >= 1 or math.inf.")
