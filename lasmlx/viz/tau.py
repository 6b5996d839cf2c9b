"""The time constants a liquid network has while it reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.models.lnn import ByteLNN, LNNConfig, SequenceLNN
from lasmlx.viz.scale import LogScale, Scale, time_unit
from lasmlx.viz.trace import MOST_MEMORY, WINDOW, Floats, LayerTrace, means_of_runs

WIDE = 4  # a range of more than this is drawn on a logarithmic scale


class HeatMap(NamedTuple):
    """tau of the units over time, neighbours taken together; seconds."""

    edges: NDArray[Any]  # (m + 1,), where each column begins on the time axis, and the end
    values: Floats  # (layers, rows, m)
    means: Floats  # (layers, rows), over time


@dataclass(frozen=True, eq=False)
class TauTrace(LayerTrace):
    """The time constant of every layer and unit at every element of a text or of a sequence of vectors."""

    symbol: ClassVar[str] = "tau"
    units: ClassVar[str] = "units"

    data: bytes | None  # what was read,
    x: Floats | None  # or (t, channels)
    times: NDArray[np.float64]  # (t + 1,), seconds; element i lasts from times[i] to times[i + 1]
    tau: Floats  # (layers, t, units), seconds
    y: Floats  # (outputs,), what the model says after the last element
    bounds: tuple[float, ...] | None  # tau_min, or tau_min and tau_max, seconds; None for cells without
    layers: tuple[int, ...]  # which of the model's layers these are

    def __post_init__(self) -> None:
        t, layers = len(self.times) - 1, len(self.layers)
        if self.tau.ndim != 3 or self.tau.shape[:2] != (layers, t) or not self.tau.size:
            raise ValueError(f"TauTrace: tau has shape {self.tau.shape}, expected ({layers}, {t}, units), not empty.")
        if self.times[-1] <= 0:
            raise ValueError(f"TauTrace: times end at {self.times[-1]:g} s, expected more than 0 to draw over.")

    @property
    def edges(self) -> NDArray[Any]:
        """Where each element begins, and the end, (t + 1,): of bytes their number, of vectors seconds."""
        return self.times if self.data is None else np.arange(len(self.times))

    @property
    def axis(self) -> tuple[str, float]:
        """Bytes, or the unit of time that suits the whole."""
        return time_unit(float(self.times[-1])) if self.data is None else ("byte", 1)

    def scale(self, values: Any) -> Scale:
        """From the long time constants, which are slow, to the short ones; logarithmic if they are far apart."""
        scale = Scale.of(values, 98, 2)
        return LogScale(scale.low, scale.high) if scale.low > WIDE * scale.high else scale

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The units of each layer from the slowest to the fastest by their mean over time, (layers, units)."""
        return np.argsort(-self.tau.mean(axis=1, dtype=np.float64), axis=1, kind="stable")

    def heat_map(self, rows: int, columns: int) -> HeatMap:
        """At most ``rows`` rows a layer, units in their order, and at most ``columns`` columns."""
        runs, units = self.runs(columns), self.tau.shape[2]
        parts = min(rows, units)
        if parts < 1:
            raise ValueError(f"heat_map: rows is {rows}, expected at least 1.")
        ordered = np.take_along_axis(self.tau, self.order[:, None], axis=2)  # (layers, t, units)
        rowwise = means_of_runs(ordered, np.arange(parts + 1) * units // parts).swapaxes(1, 2)
        return HeatMap(self.edges[runs], means_of_runs(rowwise, runs), rowwise.mean(axis=2))


def trace_tau(model: Any, data: bytes | NDArray[np.float32], dt: NDArray[np.float32] | None = None) -> TauTrace:
    """The time constants ``model`` has while it reads ``data``, from its initial state.

    Args:
        model: an ``lnn``.
        data: bytes, or vectors (t, inputs), whichever the model reads; at most :func:`most_elements`.
        dt: seconds each vector lasts, (t,); without it one. Bytes last as long as the model's configuration says.

    Raises:
        ValueError: no data, too much or of the wrong kind, or a model without time constants.
    """
    most = most_elements(model)
    if not 1 <= len(data) <= most:
        raise ValueError(f"trace_tau: there are {len(data)} elements to read, expected 1 to {most} for this model.")
    config: LNNConfig = model.config
    if isinstance(data, bytes) != isinstance(model, ByteLNN):
        wanted = "bytes" if isinstance(model, ByteLNN) else f"vectors (t, {config.inputs})"
        raise ValueError(f"trace_tau: data is {type(data).__name__}, expected {wanted}.")
    if isinstance(data, bytes):
        x: NDArray[Any] = np.frombuffer(data, np.uint8)
        seconds = np.full(len(x), config.dt, np.float32)
    else:
        x = np.asarray(data, np.float32)
        seconds = np.ones(len(x), np.float32) if dt is None else np.asarray(dt, np.float32)
        if x.shape[1:] != (config.inputs,) or seconds.shape != x.shape[:1]:
            raise ValueError(
                f"trace_tau: data has shape {x.shape} and dt {seconds.shape}, "
                f"expected (t, {config.inputs}) and (t,) for this model."
            )
    tau, y = _passes(model, x, seconds)
    times = np.concatenate([[0.0], np.cumsum(seconds, dtype=np.float64)])
    text, vectors = (data, None) if isinstance(data, bytes) else (None, x)
    return TauTrace(text, vectors, times, tau, y, _bounds(config), tuple(range(len(tau))))


def most_elements(model: Any) -> int:
    """How many bytes or vectors a trace of ``model`` may have and stay below 512 MiB.

    Raises:
        ValueError: the model has no time constants.
    """
    if not isinstance(model, ByteLNN | SequenceLNN):
        kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
        hint = "; `las viz dt` shows its time steps" if kind in ("las", "mamba") else ""
        raise ValueError(f"a model of type {kind} has no time constants to look at; lnn models have{hint}.")
    return MOST_MEMORY // (4 * model.config.layers * model.config.hidden)


def _passes(model: ByteLNN | SequenceLNN, x: NDArray[Any], seconds: NDArray[np.float32]) -> tuple[Floats, Floats]:
    tau = np.empty((model.config.layers, len(x), model.config.hidden), np.float32)
    state = model.init_state(1)
    for start in range(0, len(x), WINDOW):
        part = slice(start, start + WINDOW)
        window = mx.array(x[None, part])
        if isinstance(model, ByteLNN):
            y, state, taus = model.trace(window, state)
        else:
            y, state, taus = model.trace(window, state, dt=mx.array(seconds[None, part]))
        mx.eval(y, state, taus)
        for layer, values in enumerate(taus):
            tau[layer, part] = np.array(values[0].astype(mx.float32))
    return tau, np.array(y[0, -1].astype(mx.float32))


def _bounds(config: LNNConfig) -> tuple[float, ...] | None:
    if config.cell == "liquid":
        return config.tau_min, config.tau_max
    return (config.tau_min,) if config.cell == "soft" else None
