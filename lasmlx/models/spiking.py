"""What models with neurons that fire share: how much they fire, and what that costs."""

from __future__ import annotations

from typing import Any, NamedTuple

import mlx.core as mx

from lasmlx.data import Statistics
from lasmlx.layers import Activity, activity
from lasmlx.models.cells import CellsConfig, SequenceModel, SequenceState, TextModel
from lasmlx.ops import time_steps


class SpikingTrace(NamedTuple):
    """What a forward pass felt."""

    y: mx.array  # logits, classes or values
    state: Any  # after the last element
    felt: tuple[Any, ...]  # a layer each: its spikes (b, ticks, hidden), and the gate's share if it has one


class _Fires:
    """The part of a spiking model that follows from its trace."""

    trace: Any
    config: Any

    def activity(self, x: mx.array, state: Any = None, **where: Any) -> list[Activity]:
        """How much each layer fires."""
        return [activity(felt.spikes) for felt in self.trace(x, state, **where).felt]

    def learn(self, x: mx.array, state: Any = None, **where: Any) -> tuple[mx.array, Any, mx.array]:
        """As calling, with ``spike_cost`` times the mean rate of the layers beside."""
        y, state, felt = self.trace(x, state, **where)
        rates = [layer.spikes.astype(mx.float32).mean() for layer in felt]
        return y, state, self.config.spike_cost * mx.stack(rates).mean()


class SpikingTextModel(_Fires, TextModel):
    """Bytes or tokens (b, t) to logits of the next (b, t, vocab)."""

    def trace(self, x: mx.array, state: Any = None) -> SpikingTrace:
        """As calling, with what every layer felt beside."""
        h, state, felt = self.stack.felt(self.embedding(x), state, dt=self._steps(x))
        return SpikingTrace(self.head(self.norm(h)), state, felt)


class SpikingSequenceModel(_Fires, SequenceModel):
    """Vectors (b, t, inputs) to what is known of the sequence after each of them, (b, t, outputs).

    Args:
        unit_range: inputs are scaled to 0 .. 1 over the training data, not by their mean and deviation.
    """

    def __init__(self, config: CellsConfig, stack: Any, *, unit_range: bool = False) -> None:
        super().__init__(config, stack)
        self._unit_range = unit_range

    def fit_inputs(self, statistics: Statistics) -> None:
        """Scale inputs over the training data: to 0 .. 1 where the encoder asks for that."""
        if not self._unit_range:
            super().fit_inputs(statistics)
            return
        spread = statistics.high - statistics.low
        self.shift, self.scale = mx.array(statistics.low), mx.where(mx.array(spread) > 0, mx.array(spread), 1)

    def trace(
        self, x: mx.array, state: SequenceState | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> SpikingTrace:
        """As calling, with what every layer felt beside."""
        state = self.init_state(x.shape[0]) if state is None else state
        h, cells, felt = self.stack.felt(self._scaled(x), state.cells, dt=dt, mask=mask)
        y, state = self._read(h, cells, state, time_steps(dt, *x.shape[:2], mask=mask))
        return SpikingTrace(y, state, felt)
