"""One AdamW update of one parameter."""

from __future__ import annotations

import mlx.core as mx

from lasmlx.ops import native
from lasmlx.ops.dispatch import Impl, check_shape, choose


def adamw(
    p: mx.array,
    g: mx.array,
    m: mx.array,
    v: mx.array,
    *,
    lr: mx.array,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    scale: mx.array,
    bias_correction: mx.array,
    impl: Impl = "auto",
) -> tuple[mx.array, mx.array, mx.array]:
    """``m = b1 m + (1 - b1) s g``, ``v = b2 v + (1 - b2) (s g)^2``, ``p = (1 - lr wd) p - lr c m / (sqrt(v) + eps)``.

    Args:
        p, g, m, v: the parameter, its gradient, first and second moment, all of one shape, float32.
        lr, scale, bias_correction: scalars: the rate, ``s`` (the factor of gradient clipping) and ``c``.

    Returns:
        The new p, m and v.

    Source: Loshchilov & Hutter 2019, algorithm 2, with the bias correction of both moments in one factor.
    """
    for name, array in (("g", g), ("m", m), ("v", v)):
        check_shape("adamw", name, array, p.shape)
    b1, b2 = betas
    if choose("adamw", impl) == "cpu" and p.dtype == mx.float32:
        rates = mx.stack([lr.astype(mx.float32), scale, bias_correction])
        return native.module.adamw(p, g, m, v, rates, b1, b2, eps, weight_decay)
    g = g * scale
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * mx.square(g)
    return p * (1 - lr * weight_decay) - lr * bias_correction * m / (mx.sqrt(v) + eps), m, v
