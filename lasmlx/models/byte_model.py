"""The frame of the byte models: embedding, a stack of blocks, a head to 256 logits."""

from __future__ import annotations

from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn

from lasmlx.layers import ContinuousEmbedding, LookupEmbedding, MambaBlock, MambaState, RMSNorm
from lasmlx.models.config import Config
from lasmlx.models.model import Model

ByteState = list[MambaState]


class Trace(NamedTuple):
    """What a forward pass felt."""

    logits: mx.array  # (b, t, 256)
    state: ByteState  # after the last byte
    dt: list[mx.array]  # seconds, a layer each: (b, t, e)


class ByteModel(Model):
    """Bytes (b, t) to logits of the next byte (b, t, 256), with the state of every block carried along.

    Args:
        embedding: with ``table()`` (256, d).
        tied: the head is the embedding's table instead of a matrix of its own.
    """

    def __init__(
        self, config: Config, embedding: ContinuousEmbedding | LookupEmbedding, blocks: list[MambaBlock], tied: bool
    ) -> None:
        super().__init__(config)
        d = blocks[0].norm.weight.size
        self.embedding = embedding
        self.blocks = blocks
        self.norm = RMSNorm(d)
        if not tied:
            self.head = nn.Linear(d, 256, bias=False)

    def init_state(self, b: int) -> ByteState:
        """The state before the first byte, for a batch of b."""
        return [block.init_state(b) for block in self.blocks]

    def head_weight(self) -> mx.array:
        """The matrix from the last layer to the logits, (256, d)."""
        return self.head.weight if "head" in self else self.embedding.table()

    def trace(self, x: mx.array, state: ByteState | None = None) -> Trace:
        """As calling, with every layer's time steps beside: the one forward pass there is."""
        if state is None:
            state = self.init_state(x.shape[0])
        if len(state) != len(self.blocks):
            raise ValueError(f"state has {len(state)} layers, expected {len(self.blocks)}: make it with init_state(b).")
        u, after, steps = self.embedding(x), [], []
        for block, past in zip(self.blocks, state, strict=True):
            u, past, dt = block.traced(u, past)
            after.append(past)
            steps.append(dt)
        return Trace(self.norm(u) @ self.head_weight().T, after, steps)

    def __call__(self, x: mx.array, state: ByteState | None = None) -> tuple[mx.array, ByteState]:
        """Logits of the byte after each byte, and the state after the last.

        Args:
            x: bytes, uint8 or int, (b, t).
            state: of :meth:`init_state` or an earlier call; the caller's.
        """
        logits, state, _ = self.trace(x, state)
        return logits, state
