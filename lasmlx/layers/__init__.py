"""Blocks: ``mlx.nn`` modules built from the ops."""

from lasmlx.layers.attention import Attention, AttentionState
from lasmlx.layers.cfc import CfCCell, WiredCfCCell
from lasmlx.layers.embedding import ContinuousEmbedding, LookupEmbedding, sinusoidal_positions
from lasmlx.layers.exchange import (
    Adapter,
    AdaptiveGate,
    CrossAttention,
    Gated,
    PotentialAdapter,
    RateAdapter,
    StateExchange,
    TemporalAdapter,
)
from lasmlx.layers.kan import KANLinear, formula_of
from lasmlx.layers.liquid import BoundedTau, LiquidCell, LTCCell, SoftTau
from lasmlx.layers.lstm import LSTMCell
from lasmlx.layers.mamba import Mamba, MambaBlock, MambaState, decay_rates, multi_scale_decay_rates, plain_mamba
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
from lasmlx.layers.spiking import (
    Activity,
    DeltaEncoder,
    LatencyEncoder,
    LIFCell,
    RateEncoder,
    SpikingSSM,
    activity,
)
from lasmlx.layers.spiking_block import BidirectionalBlock, Felt, Flow, ParallelBlock, SequentialBlock
from lasmlx.layers.symbolic import EdgeFormula, Formula
from lasmlx.layers.symbolic_search import search_formula
from lasmlx.layers.time_step import BoundedTimeStep, SoftplusTimeStep
from lasmlx.layers.transformer import SwiGLU, TimedLinear, TransformerBlock
from lasmlx.layers.wiring import NCP, AutoNCP, Explicit, FullyConnected, Random, Wiring, picture

__all__ = [
    "NCP",
    "Activity",
    "Adapter",
    "AdaptiveGate",
    "Attention",
    "AttentionState",
    "AutoNCP",
    "Bidirectional",
    "BidirectionalBlock",
    "BoundedTau",
    "BoundedTimeStep",
    "CfCCell",
    "ConstantRates",
    "ContinuousEmbedding",
    "CrossAttention",
    "DeltaEncoder",
    "EdgeFormula",
    "Explicit",
    "Felt",
    "FixedLinear",
    "Flow",
    "Formula",
    "FullyConnected",
    "Gated",
    "KANLinear",
    "LIFCell",
    "LSTMCell",
    "LTCCell",
    "LatencyEncoder",
    "LiquidCell",
    "LiquidWithSynapses",
    "LookupEmbedding",
    "Mamba",
    "MambaBlock",
    "MambaState",
    "MixedMemory",
    "MixedMemoryState",
    "ParallelBlock",
    "PlasticLinear",
    "PlasticLiquidCell",
    "PlasticRates",
    "PlasticState",
    "PotentialAdapter",
    "RMSNorm",
    "Random",
    "RateAdapter",
    "RateEncoder",
    "SequentialBlock",
    "SoftTau",
    "SoftplusTimeStep",
    "SpikingSSM",
    "Stack",
    "StateExchange",
    "SwiGLU",
    "SynapseState",
    "TemporalAdapter",
    "TimedLinear",
    "TransformerBlock",
    "WiredCfCCell",
    "Wiring",
    "activity",
    "decay_rates",
    "formula_of",
    "length_mask",
    "multi_scale_decay_rates",
    "picture",
    "plain_mamba",
    "search_formula",
    "sinusoidal_positions",
]
