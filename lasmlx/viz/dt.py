"""The time steps a byte model takes while it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import mlx.core as mx
import numpy as np

from lasmlx.models import ByteModel, LASConfig
from lasmlx.viz.trace import MOST_MEMORY, WINDOW, Floats, LayerTrace


@dataclass(frozen=True, eq=False)
class DtTrace(LayerTrace):
    """The time step of every layer and channel at every byte of a text."""

    symbol: ClassVar[str] = "dt"
    units: ClassVar[str] = "channels"

    data: bytes
    dt: Floats  # (layers, t, e), seconds
    bounds: tuple[float, float] | None  # (dt_min, dt_max), seconds; None for a family without
    layers: tuple[int, ...]  # which of the model's layers these are

    def __post_init__(self) -> None:
        t, layers = len(self.data), len(self.layers)
        if self.dt.ndim != 3 or self.dt.shape[:2] != (layers, t) or not self.dt.size:
            raise ValueError(f"DtTrace: dt has shape {self.dt.shape}, expected ({layers}, {t}, e) and not empty.")


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
        hint = "; `las viz tau` shows its time constants" if kind == "lnn" else ""
        raise ValueError(f"a model of type {kind} has no time steps to look at; las and mamba models have{hint}.")
    return MOST_MEMORY // (4 * len(model.blocks) * _channels(model))


def _channels(model: ByteModel) -> int:
    return int(model.config.e)
