"""Synaptic operations: how much of a spiking model's arithmetic its spikes spare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.layers import CfCCell

Counts = NDArray[np.int64]

SCAN = 3  # multiply-accumulates a state of a scan: what is left of it, what enters it, what is read of it
CONDUCTANCE = 2  # of a synapse with a reversal potential: its conductance and its current


class Operations(NamedTuple):
    """Synaptic operations of a part of a model, a mean over elements."""

    part: str
    layer: int | None  # None: outside the layers
    dense: float  # all of them, whatever is zero
    macs: float  # multiply-accumulates by a number that is no spike, without those by zero
    acs: float  # accumulates that a spike causes

    @property
    def effective(self) -> float:
        """What is left where nothing is done for zeros."""
        return self.macs + self.acs


def synaptic_operations(
    model: Any, spikes: NDArray[np.bool_], x: NDArray[np.float32] | None = None
) -> tuple[Operations, ...]:
    """The operations of each part of a ``spiking-mamba`` while its neurons fire as ``spikes`` says, from no past.

    Counted are the products of matrices, the convolution and the scan: a weight of zero does nothing, nor does an
    activation of zero; a spike adds a weight. Zeros are looked for among spikes, what adapters make of them, and the
    vectors that are read; any other activation is taken not to be zero. What goes number by number (leaks, filters,
    norms, gates, biases) and the embedding, which is a row of a table, are not counted.

    Args:
        model: of bytes, tokens or vectors.
        spikes: of each layer from its initial state on, (layers, ticks, hidden).
        x: the vectors that were read, (t, inputs), as the model takes them; absent for bytes and tokens.

    Raises:
        ValueError: a shape is not as above.

    Source: Yik et al. 2025, The NeuroBench framework for benchmarking neuromorphic computing, "synaptic operations".
    """
    config, stack = model.config, model.stack
    layers, ticks, hidden = spikes.shape
    t = ticks // config.ticks
    wanted = (t, config.inputs) if config.inputs else None
    if (layers, hidden) != (config.layers, config.hidden) or t * config.ticks != ticks or not ticks:
        raise ValueError(
            f"synaptic_operations: spikes has shape {spikes.shape}, "
            f"expected ({config.layers}, a multiple of {config.ticks}, {config.hidden}) and not empty."
        )
    if (None if x is None else x.shape) != wanted:
        raise ValueError(f"synaptic_operations: x is {None if x is None else x.shape}, expected {wanted}.")
    found: list[tuple[str, int | None, tuple[int, int, int]]] = []
    if x is not None:
        found += [("input map", None, n) for n in _map(model, x, ticks)]
    for i, (block, s) in enumerate(zip(stack.blocks, spikes, strict=True)):
        found += [(part, i, n) for part, n in _block(config, block, s)]
    found.append(("readout", None, _product(model.head.weight, t)))
    sums: dict[tuple[str, int | None], Counts] = {}
    for part, layer, n in found:
        sums[part, layer] = sums.get((part, layer), np.zeros(3, np.int64)) + np.array(n)
    return tuple(Operations(part, layer, *(n / t).tolist()) for (part, layer), n in sums.items())


def _map(model: Any, x: NDArray[np.float32], ticks: int) -> Iterator[tuple[int, int, int]]:
    """From vectors, or the spikes of an encoder, and the duration of an element, to the stream."""
    stack, weight = model.stack, model.stack.map.linear.weight
    vectors = ((mx.array(x) - model.shift) / model.scale)[None]
    spiking = "encoder" in stack
    if spiking:
        vectors, _ = stack.encoder(vectors)
    yield _product(weight[:, :-1], ticks, np.count_nonzero(np.array(vectors[0]), axis=0), binary=spiking)
    yield _product(weight[:, -1:], ticks)


def _block(config: Any, block: Any, s: NDArray[np.bool_]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    ticks, d = s.shape
    fired = s.sum(axis=0, dtype=np.int64)
    yield "neurons", _product(block.neurons.W, ticks)
    yield from _cell(block.cell, fired, ticks)
    if "adapter" in block:
        active = None if config.adapter == "potential" else _heard(s, config)
        yield "adapter", _product(block.adapter.linear.weight, ticks, active)
    mixer = block.mixer
    for linear in (mixer.in_proj, mixer.conv, mixer.x_proj, mixer.dt_proj, mixer.out_proj):
        yield "scan", _product(linear.weight, ticks)
    yield "scan", _always(SCAN * mixer.A_log.size * ticks)
    if "exchange" in block:
        for linear in (block.exchange.matrices, block.exchange.tau):
            yield "exchange", _product(linear.weight, ticks)
    if "attention" in block:
        seen = int(np.minimum(np.arange(1, ticks + 1), config.window).sum())
        for side in (block.attention.of_liquid, block.attention.of_mamba):
            for linear in (side.Q, side.K, side.V, side.O):
                yield "attention", _product(linear.weight, ticks)
            yield "attention", _always(2 * d * seen)  # scores, and the values they weigh
    if "gate" in block:
        yield "gate", _product(block.gate.linear.weight, ticks)


def _cell(cell: Any, fired: Counts, ticks: int) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """The liquid cell: what spikes cause, and the rest."""
    if isinstance(cell, CfCCell):
        first, *others = [linear.weight for linear in cell.backbone] + [cell.head.weight]
        yield "cell, spikes", _product(first[:, : len(fired)], ticks, fired, binary=True)
        for weight in (first[:, len(fired) :], *others):
            yield "cell, rest", _product(weight, ticks)
        return
    # The conductance of an LTC's synapse is a sigmoid of what reaches it: not zero, spike or none.
    for part, erev in (("cell, spikes", cell.sensory_erev), ("cell, rest", cell.erev)):
        yield part, _always(CONDUCTANCE * int(np.count_nonzero(np.array(erev))) * ticks)


def _heard(s: NDArray[np.bool_], config: Any) -> Counts:
    """At how many ticks something is left of each neuron's spikes: within the window, or ever since the first."""
    ticks = len(s)
    at = np.where(s, np.arange(ticks)[:, None], -ticks - config.spike_window)
    last = np.maximum.accumulate(at, axis=0)  # (ticks, hidden), the tick of the last spike
    age = np.arange(ticks)[:, None] - last
    most = config.spike_window if config.adapter == "rate" else ticks
    counts: Counts = (age < most).sum(axis=0, dtype=np.int64)
    return counts


def _product(
    weight: mx.array, ticks: int, active: Counts | None = None, *, binary: bool = False
) -> tuple[int, int, int]:
    """Dense, effective multiply-accumulates and effective accumulates of ``W z``, weight (out, in).

    Args:
        active: at how many ticks each entry of z is not zero, (in,); without it at all of them.
        binary: z is spikes.
    """
    present = np.count_nonzero(np.array(weight.astype(mx.float32)), axis=0)  # (in,)
    effective = int(present @ (np.full(len(present), ticks) if active is None else active))
    return weight.size * ticks, 0 if binary else effective, effective if binary else 0


def _always(count: int) -> tuple[int, int, int]:
    return count, count, 0
