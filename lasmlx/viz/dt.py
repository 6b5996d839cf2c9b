"""The time steps a byte model takes while it reads."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.models import ByteModel, LASConfig

Floats = NDArray[np.float32]

WINDOW = 1024  # bytes a forward pass
MOST_MEMORY = 512 << 20  # bytes a trace may take


class Timeline(NamedTuple):
    """dt over time, the bytes of a column taken together; seconds."""

    edges: NDArray[np.int64]  # (m + 1,), the first byte of each column, and the end
    mean: Floats  # (m,)
    low: Floats  # (m,), lower percentile
    high: Floats  # (m,), upper percentile
    layers: Floats  # (layers, m), mean of each layer


class Histogram(NamedTuple):
    """How many (byte, channel) pairs of each layer have a dt between two edges."""

    edges: NDArray[np.float64]  # (bins + 1,), seconds, evenly spaced in log dt
    counts: NDArray[np.int64]  # (layers, bins)


@dataclass(frozen=True)
class LayerSummary:
    """dt of one layer over all bytes and channels, seconds."""

    layer: int
    mean: float
    min: float
    p5: float
    p95: float
    max: float


@dataclass(frozen=True, eq=False)
class DtTrace:
    """The time step of every layer and channel at every byte of a text."""

    data: bytes
    dt: Floats  # (layers, t, e), seconds
    bounds: tuple[float, float] | None  # (dt_min, dt_max), seconds; None for a family without
    layers: tuple[int, ...]  # which of the model's layers these are

    def __post_init__(self) -> None:
        t, layers = len(self.data), len(self.layers)
        if self.dt.ndim != 3 or self.dt.shape[:2] != (layers, t) or not self.dt.size:
            raise ValueError(f"DtTrace: dt has shape {self.dt.shape}, expected ({layers}, {t}, e) and not empty.")

    @cached_property
    def mean(self) -> Floats:
        """Mean over layers and channels at each byte, (t,)."""
        return np.asarray(self.dt.mean(axis=(0, 2), dtype=np.float64), np.float32)

    @cached_property
    def layer_mean(self) -> Floats:
        """Mean over channels, (layers, t): the heat map."""
        return np.asarray(self.dt.mean(axis=2, dtype=np.float64), np.float32)

    @cached_property
    def range(self) -> tuple[float, float]:
        """The bounds, or where there are none the middle 99.8 % of all dt, seconds."""
        if self.bounds is not None:
            return self.bounds
        low, high = (float(v) for v in np.percentile(self.dt, (0.1, 99.9)))
        high = max(high, 1e-9)
        return min(max(low, high * 1e-6), high * 0.99), high

    def band(self, low: float = 5, high: float = 95) -> tuple[Floats, Floats]:
        """Two percentiles over layers and channels at each byte, each (t,)."""
        p = np.percentile(self.dt, (low, high), axis=(0, 2)).astype(np.float32)
        return p[0], p[1]

    def timeline(self, columns: int, low: float = 5, high: float = 95) -> Timeline:
        """At most ``columns`` columns: a byte each where they are enough, else runs of bytes as even as they can be."""
        m = min(columns, len(self.data))
        if m < 1:
            raise ValueError(f"timeline: columns is {columns}, expected at least 1.")
        edges = np.arange(m + 1, dtype=np.int64) * len(self.data) // m
        sizes = np.diff(edges)
        if m == len(self.data):
            return Timeline(edges, self.mean, *self.band(low, high), self.layer_mean)
        layers = (np.add.reduceat(self.layer_mean, edges[:-1], axis=1, dtype=np.float64) / sizes).astype(np.float32)
        runs = (self.dt[:, start:stop] for start, stop in pairwise(edges))
        p = np.array([np.percentile(run, (low, high)) for run in runs], np.float32)
        return Timeline(edges, layers.mean(axis=0), p[:, 0], p[:, 1], layers)

    def histogram(self, bins: int = 60) -> Histogram:
        """Counts over :attr:`range`; what is beyond it counts in the first and the last bin."""
        low, high = self.range
        edges = np.geomspace(low, high, bins + 1)
        inside = edges[1:-1].astype(np.float32)
        counts = [np.bincount(np.searchsorted(inside, dt.ravel(), "right"), minlength=bins) for dt in self.dt]
        return Histogram(edges, np.array(counts, np.int64))

    def summary(self) -> tuple[LayerSummary, ...]:
        """A summary of each layer."""
        found = []
        for layer, dt in zip(self.layers, self.dt, strict=True):
            least, p5, p95, most = (float(v) for v in np.percentile(dt, (0, 5, 95, 100)))
            found.append(LayerSummary(layer, float(dt.mean(dtype=np.float64)), least, p5, p95, most))
        return tuple(found)

    def only(self, layer: int) -> DtTrace:
        """The trace of one layer.

        Raises:
            ValueError: there is no such layer.
        """
        if layer not in self.layers:
            raise ValueError(f"layer is {layer}, expected {_span(self.layers)}.")
        at = self.layers.index(layer)
        return dataclasses.replace(self, dt=self.dt[at : at + 1], layers=(layer,))


def trace_dt(model: Any, data: bytes) -> DtTrace:
    """The time steps ``model`` takes while it reads ``data``, from its initial state.

    Args:
        model: a byte model (``las``, ``mamba``).
        data: at least one byte, at most :func:`most_bytes`.

    Raises:
        ValueError: no data, too much, or a model without time steps.
    """
    most = most_bytes(model)
    if not 1 <= len(data) <= most:
        raise ValueError(f"trace_dt: there are {len(data)} bytes to read, expected 1 to {most} for this model.")
    x, state = np.frombuffer(data, np.uint8), model.init_state(1)
    dt = np.empty((len(model.blocks), len(data), _channels(model)), np.float32)
    for start in range(0, len(data), WINDOW):
        _, state, steps = model.trace(mx.array(x[None, start : start + WINDOW]), state)
        mx.eval(state, steps)
        for layer, step in enumerate(steps):
            dt[layer, start : start + WINDOW] = np.array(step[0].astype(mx.float32))
    config = model.config
    bounds = (config.dt_min, config.dt_max) if isinstance(config, LASConfig) else None
    return DtTrace(data, dt, bounds, tuple(range(len(dt))))


def most_bytes(model: Any) -> int:
    """How many bytes a trace of ``model`` may have and stay below 512 MiB.

    Raises:
        ValueError: the model has no time steps.
    """
    if not isinstance(model, ByteModel):
        kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
        raise ValueError(f"a {kind} model has no time steps to look at; las and mamba models have.")
    return MOST_MEMORY // (4 * len(model.blocks) * _channels(model))


def _channels(model: ByteModel) -> int:
    return int(model.config.e)


def _span(layers: tuple[int, ...]) -> str:
    return f"0 to {layers[-1]}" if len(layers) > 1 and layers[0] == 0 else ", ".join(map(str, layers))
