"""From a byte to a vector. Both start with entries of variance 1/d: larger ones drown the first layers' output."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn


class ContinuousEmbedding(nn.Module):
    """``u(v) = W [sin(w a + p), cos(w a + p)]`` with the byte's angle ``a = 2 pi v / 256``.

    Frequencies ``w`` and phases ``p`` are learnt, so neighbouring byte values start out close, and an analog front end
    can compute the embedding from a voltage.

    Args:
        d: width.
        frequencies: number of frequencies; they start at 1, 2, 3, ... turns over the 256 values.
    """

    def __init__(self, d: int, frequencies: int) -> None:
        super().__init__()
        self.frequency = mx.arange(1, frequencies + 1).astype(mx.float32)
        self.phase = mx.zeros((frequencies,))
        self.weight = mx.random.normal((d, 2 * frequencies), scale=1 / math.sqrt(d * frequencies))

    def table(self) -> mx.array:
        """The embedding of every byte, (256, d)."""
        angle = mx.arange(256)[:, None] * (2 * math.pi / 256) * self.frequency + self.phase  # (256, frequencies)
        return mx.concatenate([mx.sin(angle), mx.cos(angle)], axis=-1) @ self.weight.T

    def __call__(self, x: mx.array) -> mx.array:
        """Bytes (b, t) to vectors (b, t, d)."""
        return self.table()[x]


class LookupEmbedding(nn.Module):
    """A free vector for each byte: ``u(v) = W_v``."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.weight = mx.random.normal((256, d), scale=1 / math.sqrt(d))

    def table(self) -> mx.array:
        """The embedding of every byte, (256, d)."""
        return self.weight

    def __call__(self, x: mx.array) -> mx.array:
        """Bytes (b, t) to vectors (b, t, d)."""
        return self.weight[x]
