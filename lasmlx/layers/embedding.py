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
        """Bytes (b, t) to vectors (b, t, d), in the type of the weights."""
        return self.table().astype(self.weight.dtype)[x]


class LookupEmbedding(nn.Module):
    """A free vector for each byte, or each token of a vocabulary: ``u(v) = W_v``."""

    def __init__(self, d: int, vocab: int = 256) -> None:
        super().__init__()
        self.weight = mx.random.normal((vocab, d), scale=1 / math.sqrt(d))

    def table(self) -> mx.array:
        """The embedding of every byte or token, (vocab, d)."""
        return self.weight

    def __call__(self, x: mx.array) -> mx.array:
        """Bytes or tokens (b, t) to vectors (b, t, d)."""
        return self.weight[x]


POSITION_NORM = 0.1  # of an embedding's; at 1 a byte model of 75,000 parameters learnt half as fast


def sinusoidal_positions(positions: mx.array, d: int) -> mx.array:
    """``0.1 [sin(p w_i), cos(p w_i)] / sqrt(d / 2)`` with ``w_i = 10000^(-2 i / d)``: a tenth of an embedding's norm.

    Args:
        positions: whole numbers, (b, t).
        d: width, even.

    Returns:
        (b, t, d), float32.

    Source: Vaswani et al. 2017, Attention is all you need, section 3.5; the norm is ours, see docs/plasticity.md.
    """
    rates = 10000.0 ** (-2 * mx.arange(d // 2) / d)
    angles = positions[..., None].astype(mx.float32) * rates
    return mx.concatenate([mx.sin(angles), mx.cos(angles)], -1) * (POSITION_NORM * (2 / d) ** 0.5)
