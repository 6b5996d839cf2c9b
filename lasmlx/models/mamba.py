"""The Mamba baseline: the same blocks with a softplus time step, Mamba's rates and a lookup embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lasmlx.layers import LookupEmbedding, Mamba, MambaBlock, SoftplusTimeStep, decay_rates
from lasmlx.models.byte_model import ByteModel, ByteModelConfig


@dataclass(frozen=True)
class MambaConfig(ByteModelConfig):
    """Sizes of a ``mamba`` model; ``dt_min .. dt_max`` is the range of dt at the start."""

    model_type: ClassVar[str] = "mamba"

    @property
    def substeps(self) -> float:
        """One: Mamba's discretisation."""
        return 1.0


class MambaLM(ByteModel):
    """``mamba``: lookup embedding -> layers x (norm -> Mamba -> +) -> norm -> 256 logits."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__(
            config,
            LookupEmbedding(config.d),
            [MambaBlock(config.d, _mixer(config)) for _ in range(config.layers)],
        )


def _mixer(config: MambaConfig) -> Mamba:
    return Mamba(
        config.d,
        k=config.k,
        rank=config.dt_rank,
        time_step=SoftplusTimeStep(config.dt_rank, config.e, config.dt_min, config.dt_max),
        rates=decay_rates(config.e, config.n),
    )
