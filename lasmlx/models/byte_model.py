"""The frame of the byte models: embedding, a stack of blocks, a head to 256 logits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn

from lasmlx.layers import ContinuousEmbedding, LookupEmbedding, MambaBlock, MambaState, RMSNorm
from lasmlx.models.config import Config, expect
from lasmlx.models.model import Model

ByteState = list[MambaState]


@dataclass(frozen=True)
class ByteModelConfig(Config):
    """Sizes that all stacks of Mamba blocks share."""

    d: int = 128  # width
    layers: int = 3
    n: int = 16  # states a channel
    expand: int = 2  # inner channels e = expand d
    k: int = 4  # taps of the causal convolution
    rank: int = 0  # bottleneck of the time step; 0: ceil(d / 16)
    dt_min: float = 0.001  # s
    dt_max: float = 0.1  # s
    tied: bool = False  # the head is the embedding

    @property
    def e(self) -> int:
        """Inner channels."""
        return self.expand * self.d

    @property
    def dt_rank(self) -> int:
        """Width of the bottleneck before the time step."""
        return self.rank or math.ceil(self.d / 16)

    def __post_init__(self) -> None:
        family = self.model_type
        for name in ("d", "layers", "n", "expand", "k"):
            value = getattr(self, name)
            expect(family, name, value, value >= 1, "at least 1")
        expect(family, "rank", self.rank, self.rank >= 0, "0 (for d / 16) or more")
        bounds = (self.dt_min, self.dt_max)
        expect(family, "(dt_min, dt_max)", bounds, 0 < self.dt_min < self.dt_max < math.inf, "0 < dt_min < dt_max")


class Trace(NamedTuple):
    """What a forward pass felt."""

    logits: mx.array  # (b, t, 256)
    state: ByteState  # after the last byte
    dt: list[mx.array]  # seconds, a layer each: (b, t, e)


class ByteModel(Model):
    """Bytes (b, t) to logits of the next byte (b, t, 256), with the state of every block carried along.

    Args:
        embedding: with ``table()`` (256, d).
    """

    def __init__(
        self, config: ByteModelConfig, embedding: ContinuousEmbedding | LookupEmbedding, blocks: list[MambaBlock]
    ) -> None:
        super().__init__(config)
        self.embedding = embedding
        self.blocks = blocks
        self.norm = RMSNorm(config.d)
        if not config.tied:
            self.head = nn.Linear(config.d, 256, bias=False)

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
