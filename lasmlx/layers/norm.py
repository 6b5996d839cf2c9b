"""Normalisation layers."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from lasmlx.ops import rms_norm


class RMSNorm(nn.Module):
    """``y = weight x / sqrt(mean(x^2) + eps)`` over the last axis; see :func:`lasmlx.ops.rms_norm`."""

    def __init__(self, d: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = mx.ones((d,))
        self._eps = eps

    def __call__(self, x: mx.array) -> mx.array:
        return rms_norm(x, self.weight, self._eps)
