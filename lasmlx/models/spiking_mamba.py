"""Spikes, liquid cells and selective scans that talk to each other, in three arrangements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import mlx.core as mx
import mlx.nn as nn

from lasmlx.layers import (
    Adapter,
    AdaptiveGate,
    BidirectionalBlock,
    CfCCell,
    CrossAttention,
    DeltaEncoder,
    Felt,
    Flow,
    FullyConnected,
    LatencyEncoder,
    LIFCell,
    LTCCell,
    ParallelBlock,
    PotentialAdapter,
    RateAdapter,
    RateEncoder,
    SequentialBlock,
    StateExchange,
    TemporalAdapter,
    TimedLinear,
    plain_mamba,
)
from lasmlx.models.cells import CellsConfig
from lasmlx.models.config import expect
from lasmlx.models.spiking import SpikingSequenceModel, SpikingTextModel
from lasmlx.ops import Reset, Steps, Surrogate, time_steps

Mode = Literal["sequential", "parallel", "bidirectional"]
Coding = Literal["rate", "temporal", "potential"]
Encoder = Literal["learned", "rate", "latency", "delta"]


@dataclass(frozen=True)
class SpikingMambaConfig(CellsConfig):
    """Sizes of a ``spiking-mamba``, and how its parts are joined."""

    model_type: ClassVar[str] = "spiking-mamba"

    mode: Mode = "bidirectional"
    backbone: Literal["cfc", "ltc"] = "cfc"  # of the liquid path
    n: int = 16  # states a channel of the scan
    k: int = 4  # taps of its convolution
    expand: int = 2  # its inner channels are expand hidden
    beta: float = 0.3  # what is left of a potential after a tick, at the start
    theta: float = 0.5  # threshold at the start
    adaptive: bool = False  # spikes lift the threshold for a while
    reset: Reset = "soft"
    refractory: int = 0  # ticks of rest after a spike
    surrogate: Surrogate = "fast_sigmoid"
    slope: float = 5.0  # of the surrogate
    adapter: Coding = "temporal"  # from spikes to the scan
    spike_window: int = 16  # ticks, of the adapter rate
    spike_tau: float = 1.0  # ticks at the start, of the adapter temporal
    attention_heads: int = 4
    window: int = 64  # elements that cross-attention looks back
    gate_heads: int = 4
    temperature: float = 1.0  # of the gate, at the start
    encoder: Encoder = "learned"  # of vectors: a learnt map, or spikes by rate, latency or change
    ticks: int = 1  # an element, of the encoders rate and latency
    spike_cost: float = 0.0  # what the loss pays for a spike a neuron and tick

    def __post_init__(self) -> None:
        super().__post_init__()
        family = self.model_type
        for name in ("n", "k", "expand", "spike_window", "attention_heads", "window", "gate_heads", "ticks"):
            value = getattr(self, name)
            expect(family, name, value, value >= 1, "at least 1")
        for name in ("theta", "slope", "spike_tau", "temperature"):
            value = getattr(self, name)
            expect(family, name, value, value > 0, "above 0")
        for name, kind in (("mode", Mode), ("adapter", Coding), ("encoder", Encoder)):
            value = getattr(self, name)
            expect(family, name, value, value in get_args(kind), f"one of {', '.join(get_args(kind))}")
        expect(family, "backbone", self.backbone, self.backbone in ("cfc", "ltc"), "cfc or ltc")
        expect(family, "reset", self.reset, self.reset in get_args(Reset), f"one of {', '.join(get_args(Reset))}")
        known = get_args(Surrogate)
        expect(family, "surrogate", self.surrogate, self.surrogate in known, f"one of {', '.join(known)}")
        expect(family, "beta", self.beta, 0 < self.beta < 1, "above 0 and below 1")
        expect(family, "refractory", self.refractory, self.refractory >= 0, "0 ticks or more")
        expect(family, "spike_cost", self.spike_cost, self.spike_cost >= 0, "0 or more")
        fits = self.encoder in ("rate", "latency") or self.ticks == 1
        expect(family, "ticks", self.ticks, fits, "1 unless encoder is rate or latency")
        expect(
            family, "encoder", self.encoder, self.encoder == "learned" or self.inputs > 0, "learned without channels"
        )
        if self.mode != "sequential":
            whole = self.hidden % self.gate_heads == 0
            expect(family, "hidden", self.hidden, whole, f"a multiple of gate_heads = {self.gate_heads}")
        if self.mode == "bidirectional":
            whole = self.hidden % (2 * self.attention_heads) == 0
            expect(
                family, "hidden", self.hidden, whole, f"a multiple of 2 attention_heads = {2 * self.attention_heads}"
            )


class SpikingStack(nn.Module):
    """Blocks on top of each other, behind an encoder where vectors come in; a cell.

    Args:
        config: with its mode.
    """

    def __init__(self, config: SpikingMambaConfig) -> None:
        super().__init__()
        if config.encoder != "learned":
            self.encoder = _encoder(config)
        if config.inputs:
            self.map = TimedLinear(config.inputs * (2 if config.encoder == "delta" else 1), config.hidden)
        self.blocks = [_block(config) for _ in range(config.layers)]
        self._ticks = config.ticks

    def init_state(self, b: int) -> tuple[Any, ...]:
        """The states of the encoder and of each block, for a batch of b."""
        encoder = self.encoder.init_state(b) if "encoder" in self else ()
        return (encoder, *(block.init_state(b) for block in self.blocks))

    def __call__(
        self, x: mx.array, state: tuple[Any, ...] | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, tuple[Any, ...]]:
        """(b, t, inputs) and the states before it to (b, t, hidden) and the states after it."""
        y, state, _ = self.felt(x, state, dt=dt, mask=mask)
        return y, state

    def felt(
        self, x: mx.array, state: tuple[Any, ...] | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, tuple[Any, ...], tuple[Felt, ...]]:
        """As calling, with what each block felt beside, tick by tick."""
        encoder, *before = self.init_state(x.shape[0]) if state is None else state
        if len(before) != len(self.blocks):
            raise ValueError(
                f"state has {len(before)} blocks, expected {len(self.blocks)}: make it with init_state(b)."
            )
        b, t, _ = x.shape
        steps = time_steps(dt, b, t, op="spiking-mamba")
        if "encoder" in self:
            x, encoder = self.encoder(x, encoder, mask=mask)
        steps = mx.repeat(steps / self._ticks, self._ticks, 1)
        mask = None if mask is None else mx.repeat(mask, self._ticks, 1)
        if "map" in self:
            x, _ = self.map(x, dt=Steps(steps), mask=mask)
        flow, after, felt = Flow(x, x), [], []
        for block, past in zip(self.blocks, before, strict=True):
            flow, past, here = block(flow, past, steps, mask)
            after.append(past)
            felt.append(here)
        y = flow.x if self._ticks == 1 else flow.x.reshape(b, t, self._ticks, -1).mean(2)
        return y, (encoder, *after), tuple(felt)


def make_spiking_mamba(config: SpikingMambaConfig) -> SpikingTextModel | SpikingSequenceModel:
    """A model of bytes or tokens if there are no input channels, of vectors otherwise."""
    stack = SpikingStack(config)
    if not config.inputs:
        return SpikingTextModel(config, stack)
    return SpikingSequenceModel(config, stack, unit_range=config.encoder in ("rate", "latency"))


def _encoder(config: SpikingMambaConfig) -> Any:
    if config.encoder == "delta":
        return DeltaEncoder(config.inputs)
    return (RateEncoder if config.encoder == "rate" else LatencyEncoder)(config.inputs, config.ticks)


def _block(config: SpikingMambaConfig) -> Any:
    d = config.hidden
    parts = (d, _neurons(config), _cell(config), plain_mamba(d, n=config.n, k=config.k, expand=config.expand))
    if config.mode == "sequential":
        return SequentialBlock(*parts)
    gate = AdaptiveGate(d, config.gate_heads, config.temperature)
    if config.mode == "parallel":
        return ParallelBlock(*parts, _adapter(config), gate)
    # An LTC network takes one duration an element, so there one factor scales all its time constants.
    exchange = StateExchange(d, config.n, d if config.backbone == "cfc" else 1)
    return BidirectionalBlock(
        *parts, _adapter(config), gate, exchange, CrossAttention(d, config.attention_heads, config.window)
    )


def _neurons(config: SpikingMambaConfig) -> LIFCell:
    return LIFCell(
        config.hidden,
        config.hidden,
        beta=config.beta,
        theta=config.theta,
        adaptive=config.adaptive,
        reset=config.reset,
        refractory=config.refractory,
        surrogate=config.surrogate,
        slope=config.slope,
    )


def _cell(config: SpikingMambaConfig) -> Any:
    d = config.hidden
    return CfCCell(d, d, units=d) if config.backbone == "cfc" else LTCCell(FullyConnected(d, d, d), substeps=1)


def _adapter(config: SpikingMambaConfig) -> Adapter:
    if config.adapter == "rate":
        return RateAdapter(config.hidden, config.spike_window)
    if config.adapter == "temporal":
        return TemporalAdapter(config.hidden, config.spike_tau)
    return PotentialAdapter(config.hidden)
