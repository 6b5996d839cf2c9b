"""When the neurons of a spiking model fire while it reads, and what that spares."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.data import BYTES, Tokenizer
from lasmlx.layers import activity
from lasmlx.models.spiking import SpikingSequenceModel, SpikingTextModel
from lasmlx.models.synops import Operations, synaptic_operations
from lasmlx.ops import cross_entropy
from lasmlx.viz.scale import Scale, even_ticks, time_unit
from lasmlx.viz.tokens import MOST_BYTES, as_tokens
from lasmlx.viz.trace import MOST_MEMORY, WINDOW, Floats, LayerTrace, means_of_runs

LOGITS = 1 << 22  # the most logits of a pass


class Raster(NamedTuple):
    """Some neurons of each layer, from the busiest to the quietest."""

    edges: NDArray[Any]  # (m + 1,), where each column begins on the time axis, and the end
    spikes: NDArray[np.bool_]  # (layers, rows, m), whether the neuron fires within the column
    rates: Floats  # (layers, rows), of each neuron, spikes a tick


@dataclass(frozen=True)
class LayerActivity:
    """One layer over all ticks."""

    layer: int
    neurons: int
    rate: float  # spikes a neuron and tick
    sparsity: float  # share of zeros in what the layer says
    silent: int  # neurons that never fired
    busy: int  # that fired at nearly every tick
    liquid: float | None  # mean share of the liquid path; None without a gate


@dataclass(frozen=True, eq=False)
class SpikesTrace(LayerTrace):
    """The spikes of every layer at every tick of a text or of a sequence of vectors, and the gate between the paths."""

    symbol: ClassVar[str] = "spikes"
    units: ClassVar[str] = "neurons"

    data: bytes | None  # what was read,
    x: Floats | None  # or (ticks, channels)
    starts: NDArray[Any]  # (ticks + 1,), where each tick begins, and the end: tokens, or of vectors seconds
    lengths: NDArray[np.int64]  # (ticks,), bytes of each; of vectors zeros
    spikes: NDArray[np.bool_]  # (layers, ticks, neurons)
    share: Floats | None  # of the liquid path, (layers, ticks, heads); None where nothing chooses between paths
    surprise: Floats  # (ticks,), bits: -log2 p(token | those before); NaN of the first, and of vectors
    y: Floats  # (outputs,), what the model says after the last element
    operations: tuple[Operations, ...]  # a mean over elements
    mode: str  # how the paths are joined
    layers: tuple[int, ...]  # which of the model's layers these are

    def __post_init__(self) -> None:
        ticks, layers = len(self.starts) - 1, len(self.layers)
        if self.spikes.ndim != 3 or self.spikes.shape[:2] != (layers, ticks) or not self.spikes.size:
            shape = self.spikes.shape
            raise ValueError(
                f"SpikesTrace: spikes has shape {shape}, expected ({layers}, {ticks}, neurons), not empty."
            )
        if self.starts[-1] <= 0:
            raise ValueError(f"SpikesTrace: starts end at {self.starts[-1]:g} s, expected more than 0 to draw over.")

    @property
    def edges(self) -> NDArray[Any]:
        """Where each tick begins on the time axis, and the end, (ticks + 1,)."""
        return self.starts

    @property
    def unit(self) -> str:
        """What the model reads, and operations are counted by: byte, token or vector."""
        if self.data is None:
            return "vector"
        return "byte" if len(self.data) == len(self.lengths) else "token"

    @property
    def tick(self) -> str:
        """What a column of spikes is: a byte or token, or a tick, of which an element has one or some."""
        return "tick" if self.data is None else self.unit

    @property
    def axis(self) -> tuple[str, float]:
        """Bytes or tokens, or the unit of time that suits the whole."""
        return time_unit(float(self.edges[-1])) if self.data is None else (self.unit, 1)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Places on the time axis, at most so many, and what to write there."""
        if self.data is None:
            return super().ticks(most)
        return [(place, f"{place:g}" if place else f"{self.unit} 0") for place in even_ticks(self.edges[-1], most)]

    def per_byte(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (ticks,) for each byte of the text."""
        return np.repeat(values, self.lengths)

    def scale(self, values: Any) -> Scale:
        """From few to many."""
        return Scale.of(values)

    def rates(self, columns: int) -> tuple[NDArray[Any], Floats]:
        """Where each of at most so many columns begins, and the end; and the firing rates there, (layers, m)."""
        runs = self.runs(columns)
        return self.edges[runs], means_of_runs(self.layer_mean, runs)

    def gate(self, columns: int) -> Floats:
        """The liquid path's share, (layers, heads, m), over the columns of :meth:`rates`."""
        if self.share is None:
            raise ValueError(f"gate: this model has {self.no_gate()}.")
        return means_of_runs(self.share.swapaxes(1, 2), self.runs(columns))

    def no_gate(self) -> str:
        """Why there is none, in words."""
        return f"none: in mode {self.mode} spikes, liquid cell and scan follow one another"

    def gate_scale(self) -> Scale:
        """From the scan alone to the liquid path alone, as far as the gate goes; half and half in the middle."""
        most = 0.0 if self.share is None else float(np.percentile(np.abs(self.share - 0.5), 99))
        most = min(max(math.ceil(most * 100) / 100, 0.01), 0.5)
        return Scale(0.5 - most, 0.5 + most)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The neurons of each layer from the busiest to the quietest, (layers, neurons)."""
        return np.argsort(-self.spikes.sum(axis=1, dtype=np.int64), axis=1, kind="stable")

    def raster(self, rows: int, columns: int) -> Raster:
        """At most ``rows`` neurons a layer, evenly from the busiest to the quietest, in at most ``columns`` columns.

        Silent ones come last, and only where all others are there.
        """
        if rows < 1:
            raise ValueError(f"raster: rows is {rows}, expected at least 1.")
        runs, shown = self.runs(columns), min(rows, self.spikes.shape[2])
        fire = self.spikes.any(axis=1).sum(axis=1).clip(shown)  # (layers,)
        places = np.linspace(0, fire - 1, shown, axis=1).round().astype(int)
        chosen = np.take_along_axis(self.order, places, axis=1)
        spikes = np.take_along_axis(self.spikes, chosen[:, None], axis=2).swapaxes(1, 2)  # (layers, rows, ticks)
        found = np.logical_or.reduceat(spikes, runs[:-1], axis=2)
        return Raster(self.edges[runs], found, spikes.mean(axis=2, dtype=np.float64).astype(np.float32))

    def summary(self) -> Any:
        """The activity of each layer."""
        found, neurons = [], self.spikes.shape[2]
        for i, (layer, s) in enumerate(zip(self.layers, self.spikes, strict=True)):
            of = activity(mx.array(s[None]))
            rate = float(s.mean(dtype=np.float64))
            silent, busy = (round(float(share) * neurons) for share in (of.silent, of.busy))
            liquid = None if self.share is None else float(self.share[i].mean(dtype=np.float64))
            found.append(LayerActivity(layer, neurons, rate, 1 - rate, silent, busy, liquid))
        return tuple(found)

    def fired(self, tick: int) -> list[list[int]]:
        """The neurons of each layer that fire at a tick."""
        return [np.flatnonzero(s[tick]).tolist() for s in self.spikes]

    @property
    def bits_per_byte(self) -> float:
        """Mean over what was predicted, all but the first token; NaN where there is no more, and of vectors."""
        told = np.isfinite(self.surprise)
        size = int(self.lengths[told].sum())
        return float(self.surprise[told].sum(dtype=np.float64)) / size if size else math.nan

    def parts(self) -> tuple[Operations, ...]:
        """The operations of each part, all layers together, and at last of all parts."""
        sums: dict[str, NDArray[np.float64]] = {}
        for part, _, *numbers in self.operations:
            sums[part] = sums.get(part, np.zeros(3)) + np.array(numbers)
        sums["all"] = np.sum(list(sums.values()), axis=0)
        return tuple(Operations(part, None, *numbers.tolist()) for part, numbers in sums.items())

    @property
    def spared(self) -> float:
        """Share of all operations that zeros spare."""
        of = self.parts()[-1]
        return 1 - of.effective / of.dense

    def only(self, layer: int) -> Self:
        """The trace of one layer, and its own operations.

        Raises:
            ValueError: there is no such layer.
        """
        trace = super().only(layer)
        at = self.layers.index(layer)
        share = None if self.share is None else self.share[at : at + 1]
        operations = tuple(part for part in self.operations if part.layer == layer)
        return dataclasses.replace(trace, share=share, operations=operations)


def trace_spikes(
    model: Any, data: bytes | NDArray[np.float32], dt: NDArray[np.float32] | None = None, tokenizer: Tokenizer = BYTES
) -> SpikesTrace:
    """The spikes of ``model`` while it reads ``data``, from its initial state.

    Args:
        model: a ``spiking-mamba``.
        data: bytes, or vectors (t, inputs), whichever the model reads; at most :func:`most_ticks`.
        dt: seconds each vector lasts, (t,); without it one.
        tokenizer: that of a model of text.

    Raises:
        ValueError: no data, too much or of the wrong kind, or a model whose neurons do not fire.
    """
    most = most_ticks(model)
    config, text = model.config, isinstance(model, SpikingTextModel)
    read: NDArray[Any]
    if isinstance(data, bytes) != text:
        wanted = "bytes" if text else f"vectors (t, {config.inputs})"
        raise ValueError(f"trace_spikes: data is {type(data).__name__}, expected {wanted}.")
    if isinstance(data, bytes):
        read, ends = as_tokens("trace_spikes", tokenizer, data)
        lengths, x, starts = np.diff(ends, prepend=0), None, np.arange(len(read) + 1)
        seconds = np.ones(len(read), np.float32)
    else:
        x, seconds = _vectors(config, data, dt)
        read = x
        lengths = np.zeros(len(x) * config.ticks, np.int64)
        each = np.repeat(seconds / config.ticks, config.ticks)
        starts = np.concatenate([[0.0], np.cumsum(each, dtype=np.float64)])
    if not 1 <= len(lengths) <= most:
        what, most = "tokens" if text else "vectors", most // config.ticks
        raise ValueError(f"trace_spikes: there are {len(read)} {what} to read, expected 1 to {most} for this model.")
    spikes, share, surprise, y = _passes(model, read, seconds)
    operations, layers = synaptic_operations(model, spikes, x), tuple(range(config.layers))
    found, x = data if isinstance(data, bytes) else None, None if x is None else np.repeat(x, config.ticks, axis=0)
    return SpikesTrace(found, x, starts, lengths, spikes, share, surprise, y, operations, config.mode, layers)


def most_ticks(model: Any) -> int:
    """How many ticks a trace of ``model`` may have and stay below 512 MiB; of text no more than 16 MiB of it.

    Raises:
        ValueError: the model has no neurons that fire.
    """
    if not isinstance(model, SpikingTextModel | SpikingSequenceModel):
        kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
        other = {"las": "dt", "mamba": "dt", "lnn": "tau", "plastic-lm": "hebb"}.get(kind)
        shows = {"dt": "time steps", "tau": "time constants", "hebb": "traces"}
        hint = f"; `las viz {other}` shows its {shows[other]}" if other else ""
        raise ValueError(f"a model of type {kind} does not fire: spiking-mamba models do{hint}.")
    config = model.config
    heads = 0 if config.mode == "sequential" else config.gate_heads
    return min(MOST_BYTES, MOST_MEMORY // (config.layers * (config.hidden + 4 * heads) + 4))


def _vectors(config: Any, data: Any, dt: Any) -> tuple[Floats, Floats]:
    x = np.asarray(data, np.float32)
    seconds = np.ones(len(x), np.float32) if dt is None else np.asarray(dt, np.float32)
    if x.shape[1:] != (config.inputs,) or seconds.shape != x.shape[:1]:
        raise ValueError(
            f"trace_spikes: data has shape {x.shape} and dt {seconds.shape}, "
            f"expected (t, {config.inputs}) and (t,) for this model."
        )
    return x, seconds


def _passes(
    model: Any, read: NDArray[Any], seconds: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], Floats | None, Floats, Floats]:
    text, size = isinstance(model, SpikingTextModel), WINDOW
    if text:
        size = max(1, min(WINDOW, LOGITS // model.config.vocab))
    spikes, shares, bits = [], [], np.full(len(read) * model.config.ticks, np.nan, np.float32)
    state, last = model.init_state(1), None
    for start in range(0, len(read), size):
        part = slice(start, start + size)
        x = mx.array(read[None, part])
        trace = model.trace(x, state) if text else model.trace(x, state, dt=mx.array(seconds[None, part]))
        y, state = trace.y, trace.state
        if text:
            before = y[0, :-1] if last is None else mx.concatenate([last, y[0, :-1]])
            if before.shape[0]:
                nats = cross_entropy(before, x[0, x.shape[1] - before.shape[0] :])
                stop = start + x.shape[1]
                bits[stop - before.shape[0] : stop] = np.array(nats) / math.log(2)
            last = y[0, -1:]
        mx.eval(y, state, trace.felt)
        spikes.append(np.stack([np.array(felt.spikes[0] > 0) for felt in trace.felt]))
        if trace.felt[0].share is not None:
            shares.append(np.stack([np.array(felt.share[0].astype(mx.float32)) for felt in trace.felt]))
    share = np.concatenate(shares, axis=1) if shares else None
    return np.concatenate(spikes, axis=1), share, bits, np.array(y[0, -1].astype(mx.float32))
