"""Blocks: ``mlx.nn`` modules built from the ops."""

from lasmlx.layers.cfc import CfCCell, WiredCfCCell
from lasmlx.layers.embedding import ContinuousEmbedding, LookupEmbedding, sinusoidal_positions
from lasmlx.layers.liquid import BoundedTau, LiquidCell, LTCCell, SoftTau
from lasmlx.layers.lstm import LSTMCell
from lasmlx.layers.mamba import Mamba, MambaBlock, MambaState, decay_rates, multi_scale_decay_rates
from lasmlx.layers.norm import RMSNorm
from lasmlx.layers.plastic import (
    ConstantRates,
    FixedLinear,
    LiquidWithSynapses,
    PlasticLinear,
    PlasticLiquidCell,
    PlasticRates,
    PlasticState,
    SynapseState,
)
from lasmlx.layers.sequence import Bidirectional, MixedMemory, MixedMemoryState, Stack, length_mask
from lasmlx.layers.time_step import BoundedTimeStep, SoftplusTimeStep
from lasmlx.layers.wiring import NCP, AutoNCP, Explicit, FullyConnected, Random, Wiring, picture

__all__ = [
    "NCP",
    "AutoNCP",
    "Bidirectional",
    "BoundedTau",
    "BoundedTimeStep",
    "CfCCell",
    "ConstantRates",
    "ContinuousEmbedding",
    "Explicit",
    "FixedLinear",
    "FullyConnected",
    "LSTMCell",
    "LTCCell",
    "LiquidCell",
    "LiquidWithSynapses",
    "LookupEmbedding",
    "Mamba",
    "MambaBlock",
    "MambaState",
    "MixedMemory",
    "MixedMemoryState",
    "PlasticLinear",
    "PlasticLiquidCell",
    "PlasticRates",
    "PlasticState",
    "RMSNorm",
    "Random",
    "SoftTau",
    "SoftplusTimeStep",
    "Stack",
    "SynapseState",
    "WiredCfCCell",
    "Wiring",
    "decay_rates",
    "length_mask",
    "multi_scale_decay_rates",
    "picture",
    "sinusoidal_positions",
]
