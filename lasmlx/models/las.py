"""Liquid Analog Stream: bytes in, bytes out, and a time step that moves between two bounds with the input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from lasmlx.layers import (
    BoundedTimeStep,
    ContinuousEmbedding,
    LookupEmbedding,
    Mamba,
    MambaBlock,
    multi_scale_decay_rates,
)
from lasmlx.models.byte_model import ByteModel
from lasmlx.models.config import Config, expect


@dataclass(frozen=True)
class LASConfig(Config):
    """Sizes and rates of a ``las`` model."""

    model_type: ClassVar[str] = "las"

    d: int = 128  # width
    layers: int = 3
    n: int = 16  # states a channel
    expand: int = 2  # inner channels e = expand d
    k: int = 4  # taps of the causal convolution
    rank: int = 0  # bottleneck of the time step; 0: ceil(d / 16)
    dt_min: float = 0.001  # s
    dt_max: float = 0.1  # s
    substeps: float = 1.0  # sub-steps of the state equation; inf: exact zero-order hold
    slow: tuple[float, float] = (0.5, 8.0)  # 1/s, initial decay rates of the slow half of the states
    fast: tuple[float, float] = (8.0, 64.0)  # 1/s, of the fast half
    embedding: Literal["continuous", "lookup"] = "continuous"
    frequencies: int = 64  # of the continuous embedding
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
        for name in ("d", "layers", "n", "expand", "k", "frequencies"):
            value = getattr(self, name)
            expect("las", name, value, value >= 1, "at least 1")
        expect("las", "rank", self.rank, self.rank >= 0, "0 (for d / 16) or more")
        bounds = (self.dt_min, self.dt_max)
        expect("las", "(dt_min, dt_max)", bounds, 0 < self.dt_min < self.dt_max < math.inf, "0 < dt_min < dt_max")
        whole = math.isinf(self.substeps) or self.substeps % 1 == 0
        expect("las", "substeps", self.substeps, self.substeps >= 1 and whole, "an integer >= 1 or inf")
        for name in ("slow", "fast"):
            low, high = getattr(self, name)
            expect("las", name, (low, high), 0 < low <= high < math.inf, "two rates, 0 < low <= high")
        known = self.embedding in ("continuous", "lookup")
        expect("las", "embedding", self.embedding, known, '"continuous" or "lookup"')


class LAS(ByteModel):
    """``las``: embedding -> layers x (norm -> liquid Mamba -> +) -> norm -> 256 logits."""

    def __init__(self, config: LASConfig) -> None:
        continuous = config.embedding == "continuous"
        super().__init__(
            config,
            ContinuousEmbedding(config.d, config.frequencies) if continuous else LookupEmbedding(config.d),
            [MambaBlock(config.d, _mixer(config)) for _ in range(config.layers)],
            config.tied,
        )


def _mixer(config: LASConfig) -> Mamba:
    return Mamba(
        config.d,
        k=config.k,
        rank=config.dt_rank,
        time_step=BoundedTimeStep(config.dt_rank, config.e, config.dt_min, config.dt_max),
        rates=multi_scale_decay_rates(config.e, config.n, config.slow, config.fast),
        substeps=config.substeps,
    )
