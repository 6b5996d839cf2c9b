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
from lasmlx.models.byte_model import ByteModel, ByteModelConfig
from lasmlx.models.config import expect


@dataclass(frozen=True)
class LASConfig(ByteModelConfig):
    """Sizes and rates of a ``las`` model."""

    model_type: ClassVar[str] = "las"

    substeps: float = 1.0  # sub-steps of the state equation; inf: exact zero-order hold
    slow: tuple[float, float] = (0.5, 8.0)  # 1/s, initial decay rates of the slow half of the states
    fast: tuple[float, float] = (8.0, 64.0)  # 1/s, of the fast half
    embedding: Literal["continuous", "lookup"] = "continuous"
    frequencies: int = 64  # of the continuous embedding

    def __post_init__(self) -> None:
        super().__post_init__()
        expect("las", "frequencies", self.frequencies, self.frequencies >= 1, "at least 1")
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
