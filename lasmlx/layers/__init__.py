"""Blocks: ``mlx.nn`` modules built from the ops."""

from lasmlx.layers.embedding import ContinuousEmbedding, LookupEmbedding
from lasmlx.layers.mamba import Mamba, MambaBlock, MambaState, decay_rates, multi_scale_decay_rates
from lasmlx.layers.norm import RMSNorm
from lasmlx.layers.time_step import BoundedTimeStep, SoftplusTimeStep

__all__ = [
    "BoundedTimeStep",
    "ContinuousEmbedding",
    "LookupEmbedding",
    "Mamba",
    "MambaBlock",
    "MambaState",
    "RMSNorm",
    "SoftplusTimeStep",
    "decay_rates",
    "multi_scale_decay_rates",
]
