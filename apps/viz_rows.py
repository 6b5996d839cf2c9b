"""A trace as lines of numbers, for other programs."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from lasmlx.viz import DtTrace, LayerTrace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lasmlx.viz import TauTrace

Columns = dict[str, "NDArray[Any]"]  # (t,), or a row a layer (layers, t)


def write(trace: DtTrace | TauTrace, *, as_json: bool, facts: dict[str, Any] | None = None) -> None:
    """A line an element to standard output: its index, mean time and that of each layer, in seconds.

    Args:
        facts: what else the summary says, as JSON.
    """
    columns = _of_dt(trace) if isinstance(trace, DtTrace) else _of_tau(trace)
    if not as_json:
        for line in _table(trace, columns):
            print(*line, sep="\t")
        return
    for i in range(trace.values.shape[1]):
        print(json.dumps({name: _number(values[..., i]) for name, values in columns.items()}))
    layers = [{name: _number(np.asarray(v)) for name, v in dataclasses.asdict(s).items()} for s in trace.summary()]
    bounds = None if trace.bounds is None else [*trace.bounds, None][:2]
    size = "elements" if trace.data is None else "bytes"
    print(json.dumps({size: trace.values.shape[1], "bounds_s": bounds, "layers": layers} | (facts or {})))


def _of_dt(trace: DtTrace) -> Columns:
    data = np.frombuffer(trace.data, np.uint8)
    return {"index": np.arange(len(data)), "byte": data, "dt_s": trace.mean, "layers_s": trace.layer_mean}


def _of_tau(trace: TauTrace) -> Columns:
    columns: Columns = {"index": np.arange(len(trace.times) - 1), "seconds": trace.times[:-1]}
    if trace.data is not None:
        columns["byte"] = np.frombuffer(trace.data, np.uint8)
    p5, p95 = np.percentile(trace.tau, (5, 95), axis=2)
    return columns | {"tau_s": trace.mean, "layers_s": trace.layer_mean, "layers_p5_s": p5, "layers_p95_s": p95}


def _table(trace: LayerTrace, columns: Columns) -> list[list[Any]]:
    names, series = [], []
    for name, values in columns.items():
        names += [name] if values.ndim == 1 else [name.replace("layers", f"layer{i}") for i in trace.layers]
        series += [values] if values.ndim == 1 else list(values)
    rows = ([v if v.dtype.kind in "iu" else f"{v:.6g}" for v in row] for row in zip(*series, strict=True))
    return [names, *rows]


def _number(value: NDArray[Any]) -> Any:
    if value.ndim:
        return [_number(v) for v in value]
    return int(value) if value.dtype.kind in "iu" else float(f"{value:.6g}")
