"""A time that every unit of every layer has at every element of what a model reads: what dt and tau share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from lasmlx.viz.scale import Scale, even_ticks

Floats = NDArray[np.float32]

WINDOW = 1024  # elements a forward pass
MOST_MEMORY = 512 << 20  # bytes a trace may take


class Timeline(NamedTuple):
    """The values over time, the elements of a column taken together; seconds."""

    edges: NDArray[Any]  # (m + 1,), where each column begins on the time axis, and the end
    mean: Floats  # (m,)
    low: Floats  # (m,), lower percentile
    high: Floats  # (m,), upper percentile
    layers: Floats  # (layers, m), mean of each layer


class Histogram(NamedTuple):
    """How many (element, unit) pairs of each layer have a value between two edges."""

    edges: NDArray[np.float64]  # (bins + 1,), seconds, evenly spaced in the logarithm
    counts: NDArray[np.int64]  # (layers, bins)


@dataclass(frozen=True)
class LayerSummary:
    """One layer over all elements and units, seconds."""

    layer: int
    mean: float
    min: float
    p5: float
    p95: float
    max: float


class LayerTrace:
    """What can be said of times (layers, t, units). A subclass is a frozen dataclass; its first array is the times."""

    symbol: ClassVar[str]  # dt, tau
    units: ClassVar[str]  # what a layer has many of

    data: Any  # the bytes read; None: vectors
    bounds: Any  # seconds, the lower one or both; None for a family without
    layers: tuple[int, ...]  # which of the model's layers these are

    @property
    def values(self) -> Floats:
        """The times, (layers, t, units), seconds."""
        times: Floats = getattr(self, self.symbol)
        return times

    @property
    def edges(self) -> NDArray[Any]:
        """Where each element begins on the time axis, and the end, (t + 1,): of bytes their number."""
        return np.arange(self.values.shape[1] + 1)

    @property
    def axis(self) -> tuple[str, float]:
        """What the time axis counts, and how much of :attr:`edges` one of that is."""
        return "byte", 1

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Places on the time axis, at most so many, and what to write there."""
        name, size = self.axis
        whole = name == "byte"
        places = even_ticks(self.edges[-1] / size, most, finest=0 if whole else -3)
        return [(place * size, f"{place:g}" if place else (f"{name} 0" if whole else f"0 {name}")) for place in places]

    def scale(self, values: Any) -> Scale:
        """From the slow values to the fast ones."""
        return Scale.of(values)

    @cached_property
    def mean(self) -> Floats:
        """Mean over layers and units at each element, (t,)."""
        return np.asarray(self.values.mean(axis=(0, 2), dtype=np.float64), np.float32)

    @cached_property
    def layer_mean(self) -> Floats:
        """Mean over units, (layers, t)."""
        return np.asarray(self.values.mean(axis=2, dtype=np.float64), np.float32)

    @cached_property
    def range(self) -> tuple[float, float]:
        """The bounds; for one that is missing, where the middle 99.8 % of all values end; seconds."""
        if self.bounds is not None and len(self.bounds) == 2:
            return self.bounds[0], self.bounds[1]
        low, high = (float(v) for v in np.percentile(self.values, (0.1, 99.9)))
        if self.bounds is not None:
            return self.bounds[0], max(high, self.bounds[0] * 1.01)
        high = max(high, 1e-9)
        return min(max(low, high * 1e-6), high * 0.99), high

    def band(self, low: float = 5, high: float = 95) -> tuple[Floats, Floats]:
        """Two percentiles over layers and units at each element, each (t,)."""
        p = np.percentile(self.values, (low, high), axis=(0, 2)).astype(np.float32)
        return p[0], p[1]

    def runs(self, columns: int) -> NDArray[np.int64]:
        """The first element of each of at most ``columns`` columns of the time axis, and the end."""
        if columns < 1:
            raise ValueError(f"runs: columns is {columns}, expected at least 1.")
        edges, t = self.edges, self.values.shape[1]
        if t <= columns:
            return np.arange(t + 1)
        column = np.minimum(edges[:-1] * columns // edges[-1], columns - 1)
        return np.append(np.unique(column, return_index=True)[1], t)

    def timeline(self, columns: int, low: float = 5, high: float = 95) -> Timeline:
        """At most ``columns`` columns: an element each where they are enough, else those that begin in a column."""
        runs = self.runs(columns)
        edges = self.edges[runs]
        if len(runs) == self.values.shape[1] + 1:
            return Timeline(edges, self.mean, *self.band(low, high), self.layer_mean)
        layers = means_of_runs(self.layer_mean, runs)
        p = np.array([np.percentile(self.values[:, a:b], (low, high)) for a, b in pairwise(runs)], np.float32)
        return Timeline(edges, layers.mean(axis=0), p[:, 0], p[:, 1], layers)

    def histogram(self, bins: int = 60) -> Histogram:
        """Counts over :attr:`range`; what is beyond it counts in the first and the last bin."""
        edges = np.geomspace(*self.range, bins + 1)
        inside = edges[1:-1].astype(np.float32)
        counts = [np.bincount(np.searchsorted(inside, v.ravel(), "right"), minlength=bins) for v in self.values]
        return Histogram(edges, np.array(counts, np.int64))

    def summary(self) -> tuple[LayerSummary, ...]:
        """A summary of each layer."""
        found = []
        for layer, values in zip(self.layers, self.values, strict=True):
            least, p5, p95, most = (float(v) for v in np.percentile(values, (0, 5, 95, 100)))
            found.append(LayerSummary(layer, float(values.mean(dtype=np.float64)), least, p5, p95, most))
        return tuple(found)

    def only(self, layer: int) -> Self:
        """The trace of one layer.

        Raises:
            ValueError: there is no such layer.
        """
        if layer not in self.layers:
            raise ValueError(f"layer is {layer}, expected {_span(self.layers)}.")
        at = self.layers.index(layer)
        changed: Any = {self.symbol: self.values[at : at + 1], "layers": (layer,)}
        return dataclasses.replace(self, **changed)  # type: ignore[type-var]


def means_of_runs(values: NDArray[Any], runs: NDArray[np.int64]) -> Floats:
    """Means over the last axis: from each of ``runs`` to the next."""
    sums = np.add.reduceat(values, runs[:-1], axis=-1, dtype=np.float64)
    return (sums / np.diff(runs)).astype(np.float32)


def _span(layers: tuple[int, ...]) -> str:
    return f"0 to {layers[-1]}" if len(layers) > 1 and layers[0] == 0 else ", ".join(map(str, layers))
