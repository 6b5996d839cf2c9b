"""The Mamba baseline: the same blocks with a softplus time step, Mamba's rates and a lookup embedding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from lasmlx.layers import LookupEmbedding, Mamba, MambaBlock, SoftplusTimeStep, decay_rates
from lasmlx.models.byte_model import ByteModel
from lasmlx.models.config import Config, expect


@dataclass(frozen=True)
class MambaConfig(Config):
    """Sizes of a ``mamba`` model."""

    model_type: ClassVar[str] = "mamba"

    d: int = 128  # width
    layers: int = 3
    n: int = 16  # states a channel
    expand: int = 2  # inner channels e = expand d
    k: int = 4  # taps of the causal convolution
    rank: int = 0  # bottleneck of the time step; 0: ceil(d / 16)
    dt_min: float = 0.001  # s, range of dt at the start
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

    @property
    def substeps(self) -> float:
        """One: Mamba's discretisation."""
        return 1.0

    def __post_init__(self) -> None:
        for name in ("d", "layers", "n", "expand", "k"):
            value = getattr(self, name)
            expect("mamba", name, value, value >= 1, "at least 1")
        expect("mamba", "rank", self.rank, self.rank >= 0, "0 (for d / 16) or more")
        bounds = (self.dt_min, self.dt_max)
        expect("mamba", "(dt_min, dt_max)", bounds, 0 < self.dt_min < self.dt_max < math.inf, "0 < dt_min < dt_max")


class MambaLM(ByteModel):
    """``mamba``: lookup embedding -> layers x (norm -> Mamba -> +) -> norm -> 256 logits."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__(
            config,
            LookupEmbedding(config.d),
            [MambaBlock(config.d, _mixer(config)) for _ in range(config.layers)],
            config.tied,
        )


def _mixer(config: MambaConfig) -> Mamba:
    return Mamba(
        config.d,
        k=config.k,
        rank=config.dt_rank,
        time_step=SoftplusTimeStep(config.dt_rank, config.e, config.dt_min, config.dt_max),
        rates=decay_rates(config.e, config.n),
    )
