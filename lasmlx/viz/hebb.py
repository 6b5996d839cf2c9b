"""How the synapses of a plastic model change while it reads."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Self

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.data import BYTES, Tokenizer
from lasmlx.viz.scale import Scale
from lasmlx.viz.tokens import TokenTrace, as_tokens, expect_plastic
from lasmlx.viz.trace import Floats, means_of_runs

MOST_ELEMENTS = 2048  # of a text; the tokens of a longer one are taken together


class Synapse(NamedTuple):
    """One entry of a trace, before the first token and after the last."""

    layer: int
    head: int
    source: str  # "x 3" is unit 3 of the layer's input, "h 3" of the layer itself
    target: int  # unit of the layer
    before: float
    after: float


@dataclass(frozen=True)
class TraceSummary:
    """The trace of one layer."""

    layer: int
    norm_before: float  # Frobenius, all heads together
    norm: float  # after the last token
    largest: float  # norm after any
    bound: float  # on the norm, from zero
    moved: float  # sum over elements of the change's norm


@dataclass(frozen=True, eq=False)
class HebbTrace(TokenTrace):
    """The traces of a plastic model's layers over a text: their norms, and what they came to."""

    symbol: ClassVar[str] = "hebb"

    data: bytes
    edges: NDArray[np.int64]  # (n + 1,), the token that each element begins with, and how many there are
    lengths: NDArray[np.int64]  # (n,), bytes of each element
    norms: Floats  # (layers, n), Frobenius, after each element
    moved: Floats  # (layers, n), norm of the change over each element
    before: Floats  # (layers, g, m, n), before the first token
    after: Floats  # (layers, g, m, n), after the last
    bounds: Floats  # (layers,), on the norm, from zero
    inputs: int  # columns of a head that are inputs; what is left are units of the layer itself
    layers: tuple[int, ...]  # which of the model's layers these are

    def __post_init__(self) -> None:
        wanted = (len(self.layers), len(self.lengths))
        for name in ("norms", "moved"):
            if getattr(self, name).shape != wanted or not wanted[1]:
                shape = getattr(self, name).shape
                raise ValueError(f"HebbTrace: {name} has shape {shape}, expected {wanted} and not empty.")

    @cached_property
    def change(self) -> Floats:
        """Mean over layers of the change at each element, (n,)."""
        return np.asarray(self.moved.mean(axis=0, dtype=np.float64), np.float32)

    def heat_map(self, rows: int, columns: int) -> Floats:
        """The trace after the last token, (layers, g, r, c): neighbours averaged to at most so many a head."""
        if rows < 1 or columns < 1:
            raise ValueError(f"heat_map: rows is {rows} and columns {columns}, expected at least 1 of each.")
        m, n = self.after.shape[2:]
        r, c = min(rows, m), min(columns, n)
        across = means_of_runs(self.after, np.arange(c + 1) * n // c)
        return means_of_runs(across.swapaxes(2, 3), np.arange(r + 1) * m // r).swapaxes(2, 3)

    def signed_scale(self, values: Any) -> Scale:
        """From negative to positive values, 0 in the middle."""
        most = float(np.percentile(np.abs(values), 99)) or float(np.abs(values).max()) or 1.0
        return Scale(-most, most)

    def most_moved(self, count: int) -> list[Synapse]:
        """The synapses that changed most over the text, at most so many."""
        change = np.abs(self.after - self.before)
        order = np.argsort(-change, axis=None, kind="stable")[:count]
        found = np.stack(np.unravel_index(order, change.shape), axis=1)
        return [self._synapse(*map(int, place)) for place in found]

    def summary(self) -> tuple[TraceSummary, ...]:
        """A summary of each layer."""
        starts = np.sqrt(np.square(self.before, dtype=np.float64).sum(axis=(1, 2, 3)))
        numbers = (starts, self.norms[:, -1], self.norms.max(axis=1), self.bounds, self.moved.sum(axis=1))
        return tuple(TraceSummary(*row) for row in zip(self.layers, *(v.tolist() for v in numbers), strict=True))

    def only(self, layer: int) -> Self:
        """The trace of one layer.

        Raises:
            ValueError: there is no such layer, or it has no trace.
        """
        one = slice(i := self.at(layer), i + 1)
        arrays = {name: getattr(self, name)[one] for name in ("norms", "moved", "before", "after", "bounds")}
        return dataclasses.replace(self, layers=(layer,), **arrays)

    def _synapse(self, layer: int, head: int, row: int, column: int) -> Synapse:
        m, n = self.after.shape[2:]
        own = n - self.inputs
        name = f"x {head * self.inputs + column}" if column < self.inputs else f"h {head * own + column - self.inputs}"
        values = (float(v[layer, head, row, column]) for v in (self.before, self.after))
        return Synapse(self.layers[layer], head, name, head * m + row, *values)


def trace_hebb(model: Any, data: bytes, tokenizer: Tokenizer = BYTES, state: Any = None) -> HebbTrace:
    """The traces that ``model`` has while it reads ``data``, token by token and in constant memory.

    Args:
        model: a ``plastic-lm``.
        data: at least one byte; more than 2048 tokens are taken together, a few an element.
        tokenizer: that of the model.
        state: to begin with; the initial one where it is None.

    Raises:
        ValueError: no data, too much, or a model without traces.
    """
    expect_traces(model)
    ids, ends = as_tokens("trace_hebb", tokenizer, data)
    size = -(-len(ids) // MOST_ELEMENTS)
    edges = np.append(np.arange(0, len(ids), size), len(ids))
    state = model.init_state(1) if state is None else state
    traces = model.traces(state)
    before, felt = _arrays(traces), []
    for start, stop in pairwise(edges):
        _, state = model(mx.array(ids[None, start:stop]), state)
        earlier, traces = traces, model.traces(state)
        norm = mx.stack([_norm(H) for H in traces])
        change = mx.stack([_norm(H - last) for H, last in zip(traces, earlier, strict=True)])
        mx.eval(state, norm, change)
        felt.append(np.stack([np.array(norm), np.array(change)]))
    layers = tuple(range(len(model.cells)))[-len(traces) :]
    bounds = np.array([_bound(model.cells[i]) for i in layers], np.float32)
    lengths = np.diff(ends[edges[1:] - 1], prepend=0)
    inputs = model.config.d // model.config.heads
    norms, moved = np.stack(felt, axis=2)  # (layers, n) each
    return HebbTrace(data, edges, lengths, norms, moved, before, _arrays(traces), bounds, inputs, layers)


def expect_traces(model: Any) -> None:
    """Raise ``ValueError`` unless the model has traces."""
    expect_plastic(model, "traces")
    if model.config.rule == "none":
        raise ValueError(
            "this plastic-lm has the rule none: its synapses are fixed and have no traces to look at; "
            "plastic-lm models with the rule hebb, oja or delta have."
        )


def _arrays(traces: list[mx.array]) -> Floats:
    return np.stack([np.array(H[0].astype(mx.float32)) for H in traces])


def _norm(H: mx.array) -> mx.array:
    return mx.sqrt(mx.square(H.astype(mx.float32)).sum())


def _bound(cell: Any) -> float:
    bound: float = getattr(cell, "synapses", cell).trace_bound()
    return bound
