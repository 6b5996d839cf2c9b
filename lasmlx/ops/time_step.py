"""From a pre-activation to a positive time step: bounded (liquid) or softplus (Mamba)."""

from __future__ import annotations

import mlx.core as mx

from lasmlx.ops import native
from lasmlx.ops.dispatch import Impl, check_floating, check_shape, choose


def bounded_time_step(x: mx.array, bias: mx.array, dt_min: float, dt_max: float, *, impl: Impl = "auto") -> mx.array:
    """``dt = dt_min + (dt_max - dt_min) sigmoid(x + bias)``.

    Args:
        x: pre-activation, (..., d). bias: (d,). dt_min, dt_max: the bounds, seconds, ``0 < dt_min < dt_max``.

    Returns:
        dt, the shape and dtype of ``x``.

    Raises:
        ValueError: a shape, dtype or bound is not as above.

    Error: 2e-6 relative in float32 (``tests/ops/test_time_step.py``).

    Source: Liquid Analog Stream, "Δ = sigmoid(f(x)) * (max - min) + min".
    """
    _check("bounded_time_step", x, bias)
    if not 0 < dt_min < dt_max:
        raise ValueError(f"bounded_time_step: dt_min is {dt_min} and dt_max {dt_max}, expected 0 < dt_min < dt_max.")
    if choose("bounded_time_step", impl) == "cpu":
        return native.module.bounded_time_step(x, bias, dt_min, dt_max)
    share = mx.sigmoid(x.astype(mx.float32) + bias.astype(mx.float32))
    return mx.minimum(dt_min + (dt_max - dt_min) * share, dt_max).astype(x.dtype)  # rounding may pass the bound


def softplus_time_step(x: mx.array, bias: mx.array, *, impl: Impl = "auto") -> mx.array:
    """``dt = log(1 + exp(x + bias))``; shapes as :func:`bounded_time_step`.

    Source: Gu & Dao 2023, Mamba, section 3.5.
    """
    _check("softplus_time_step", x, bias)
    if choose("softplus_time_step", impl) == "cpu":
        return native.module.softplus_time_step(x, bias)
    return mx.logaddexp(x.astype(mx.float32) + bias.astype(mx.float32), mx.array(0.0)).astype(x.dtype)


def _check(op: str, x: mx.array, bias: mx.array) -> None:
    if x.ndim < 1 or x.size == 0:
        raise ValueError(f"{op}: x has shape {x.shape}, expected (..., d) and not empty.")
    check_shape(op, "bias", bias, (x.shape[-1],))
    check_floating(op, x=x, bias=bias)
