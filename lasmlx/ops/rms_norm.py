"""Root-mean-square normalisation over the last axis."""

from __future__ import annotations

import mlx.core as mx

from lasmlx.ops import native
from lasmlx.ops.dispatch import Impl, check_floating, check_shape, choose


def rms_norm(x: mx.array, weight: mx.array, eps: float = 1e-5, *, impl: Impl = "auto") -> mx.array:
    """``y = weight x / sqrt(mean(x^2) + eps)``.

    Args:
        x: (..., d). weight: (d,).

    Returns:
        y, the shape and dtype of ``x``.

    Raises:
        ValueError: a shape or dtype is not as above.

    Error: 2e-6 in float32 (``tests/ops/test_rms_norm.py``).

    Source: Zhang & Sennrich 2019, eq. 4.
    """
    if x.ndim < 1 or x.size == 0:
        raise ValueError(f"rms_norm: x has shape {x.shape}, expected (..., d) and not empty.")
    check_shape("rms_norm", "weight", weight, (x.shape[-1],))
    check_floating("rms_norm", x=x, weight=weight)
    if choose("rms_norm", impl) == "cpu":
        return native.module.rms_norm(x, weight, eps)
    return mx.fast.rms_norm(x.astype(mx.float32), weight.astype(mx.float32), eps).astype(x.dtype)
