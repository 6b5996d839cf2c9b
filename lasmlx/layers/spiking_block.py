"""One layer of spikes, a liquid cell and a selective scan, in three arrangements."""

from __future__ import annotations

from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn

from lasmlx.layers.exchange import Adapter, AdaptiveGate, CrossAttention, StateExchange
from lasmlx.layers.mamba import Mamba
from lasmlx.layers.norm import RMSNorm
from lasmlx.layers.spiking import LIFCell
from lasmlx.ops import Steps


class Flow(NamedTuple):
    """What passes from block to block, (b, t, hidden) each."""

    x: mx.array  # the stream that blocks add to
    mamba: mx.array  # what the scan of the block before said; the stream, before the first


class Felt(NamedTuple):
    """What a block felt."""

    spikes: mx.array  # (b, t, hidden)
    share: mx.array | None  # of the liquid path in what the gate let through, (b, t, heads)


class SequentialBlock(nn.Module):
    """``x + mamba(liquid(spikes(norm(x))))``."""

    def __init__(self, d: int, neurons: LIFCell, cell: Any, mixer: Mamba) -> None:
        super().__init__()
        self.norm = RMSNorm(d)
        self.neurons, self.cell, self.mixer = neurons, cell, mixer

    def init_state(self, b: int) -> tuple[Any, ...]:
        """The states of its parts, for a batch of b."""
        return tuple(part.init_state(b) for part in (self.neurons, self.cell, self.mixer))

    def __call__(
        self, flow: Flow, state: tuple[Any, ...], steps: mx.array, mask: mx.array | None
    ) -> tuple[Flow, tuple[Any, ...], Felt]:
        """One block on; ``steps`` (b, t, 1), seconds."""
        neurons, cell, mixer = state
        s, neurons = self.neurons(self.norm(flow.x), neurons, mask=mask)
        liquid, cell = self.cell(s, cell, dt=Steps(steps), mask=mask)
        mamba, mixer = self.mixer(liquid, mixer)
        return Flow(flow.x + mamba, mamba), (neurons, cell, mixer), Felt(s, None)


class ParallelBlock(nn.Module):
    """``x + W gate(liquid(s), mamba(adapter(s)))``, ``s = spikes(norm(x))``."""

    def __init__(self, d: int, neurons: LIFCell, cell: Any, mixer: Mamba, adapter: Adapter, gate: AdaptiveGate) -> None:
        super().__init__()
        self.norm = RMSNorm(d)
        self.neurons, self.cell, self.mixer, self.adapter, self.gate = neurons, cell, mixer, adapter, gate
        self.out = nn.Linear(d, d, bias=False)

    def init_state(self, b: int) -> tuple[Any, ...]:
        """The states of its parts, for a batch of b."""
        return tuple(part.init_state(b) for part in (self.neurons, self.cell, self.mixer, self.adapter))

    def __call__(
        self, flow: Flow, state: tuple[Any, ...], steps: mx.array, mask: mx.array | None
    ) -> tuple[Flow, tuple[Any, ...], Felt]:
        """One block on; ``steps`` (b, t, 1), seconds."""
        neurons, cell, mixer, adapter = state
        s, v, neurons = self.neurons.fired(self.norm(flow.x), neurons, mask=mask, potential=self.adapter.asks_potential)
        liquid, cell = self.cell(s, cell, dt=Steps(steps), mask=mask)
        heard, adapter = self.adapter(s, v, adapter)
        mamba, mixer = self.mixer(heard, mixer)
        y, share = self.gate(liquid, mamba)
        return Flow(flow.x + self.out(y), mamba), (neurons, cell, mixer, adapter), Felt(s, share)


class BidirectionalBlock(nn.Module):
    """As :class:`ParallelBlock`, where both paths talk before they meet.

    What the scan of the block before said scales the liquid cell's time constants; what the cell says moves B and C of
    the scan; then each attends to the other within a window. So each direction is a scan over the whole sequence.
    """

    def __init__(
        self,
        d: int,
        neurons: LIFCell,
        cell: Any,
        mixer: Mamba,
        adapter: Adapter,
        gate: AdaptiveGate,
        exchange: StateExchange,
        attention: CrossAttention,
    ) -> None:
        super().__init__()
        self.norm = RMSNorm(d)
        self.neurons, self.cell, self.mixer, self.adapter, self.gate = neurons, cell, mixer, adapter, gate
        self.out = nn.Linear(d, d, bias=False)
        self.exchange, self.attention = exchange, attention

    def init_state(self, b: int) -> tuple[Any, ...]:
        """The states of its parts, for a batch of b."""
        return tuple(part.init_state(b) for part in (self.neurons, self.cell, self.mixer, self.adapter, self.attention))

    def __call__(
        self, flow: Flow, state: tuple[Any, ...], steps: mx.array, mask: mx.array | None
    ) -> tuple[Flow, tuple[Any, ...], Felt]:
        """One block on; ``steps`` (b, t, 1), seconds."""
        neurons, cell, mixer, adapter, attention = state
        s, v, neurons = self.neurons.fired(self.norm(flow.x), neurons, mask=mask, potential=self.adapter.asks_potential)
        liquid, cell = self.cell(s, cell, dt=Steps(steps / self.exchange.to_tau(flow.mamba)), mask=mask)
        heard, adapter = self.adapter(s, v, adapter)
        mamba, mixer, _ = self.mixer.traced(heard, mixer, told=self.exchange.to_matrices(liquid))
        liquid, mamba, attention = self.attention(liquid, mamba, attention, mask)
        y, share = self.gate(liquid, mamba)
        return Flow(flow.x + self.out(y), mamba), (neurons, cell, mixer, adapter, attention), Felt(s, share)
