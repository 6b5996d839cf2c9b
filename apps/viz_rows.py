"""A trace as lines of numbers, for other programs."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lasmlx.viz import DtTrace, HebbTrace, SpikesTrace, StepsTrace, readable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lasmlx.viz import LayerTrace, TauTrace, TokenTrace

LISTED = 10  # synapses or tokens that stand out
Columns = dict[str, "NDArray[Any]"]  # (t,), a row a layer (layers, t), or one a head (layers, heads, t)


def write(
    trace: DtTrace | TauTrace | HebbTrace | StepsTrace | SpikesTrace,
    *,
    as_json: bool,
    facts: dict[str, Any] | None = None,
) -> None:
    """A line an element to standard output: its index, what was measured, and that of each layer.

    Args:
        facts: what else the summary says, as JSON.
    """
    columns, summary = _columns(trace)
    if not as_json:
        for line in _table(trace, columns):
            print(*line, sep="\t")
        return
    for i in range(len(columns["index"])):
        fired = {"fired": trace.fired(i)} if isinstance(trace, SpikesTrace) else {}
        print(json.dumps({name: _number(values[..., i]) for name, values in columns.items()} | fired))
    layers = [_entries(dataclasses.asdict(layer)) for layer in trace.summary()]
    print(json.dumps(summary | {"layers": layers} | (facts or {})))


def _columns(trace: DtTrace | TauTrace | HebbTrace | StepsTrace | SpikesTrace) -> tuple[Columns, dict[str, Any]]:
    """The columns, and how a summary begins."""
    if isinstance(trace, HebbTrace | StepsTrace):
        columns, found = _of_hebb(trace) if isinstance(trace, HebbTrace) else _of_steps(trace)
        return _of_tokens(trace) | columns, {"bytes": len(trace.data), "tokens": int(trace.edges[-1])} | found
    if isinstance(trace, SpikesTrace):
        return _of_spikes(trace)
    bounds = None if trace.bounds is None else [*trace.bounds, None][:2]
    size = "elements" if trace.data is None else "bytes"
    columns = _of_dt(trace) if isinstance(trace, DtTrace) else _of_tau(trace)
    return columns, {size: trace.values.shape[1], "bounds_s": bounds}


def _of_dt(trace: DtTrace) -> Columns:
    data = np.frombuffer(trace.data, np.uint8)
    return {"index": np.arange(len(data)), "byte": data, "dt_s": trace.mean, "layers_s": trace.layer_mean}


def _of_tau(trace: TauTrace) -> Columns:
    columns: Columns = {"index": np.arange(len(trace.times) - 1), "seconds": trace.times[:-1]}
    if trace.data is not None:
        columns["byte"] = np.frombuffer(trace.data, np.uint8)
    p5, p95 = np.percentile(trace.tau, (5, 95), axis=2)
    return columns | {"tau_s": trace.mean, "layers_s": trace.layer_mean, "layers_p5_s": p5, "layers_p95_s": p95}


def _of_tokens(trace: TokenTrace) -> Columns:
    """What an element is: the byte of a model that reads bytes, else the first token and how much it stands for."""
    index = trace.edges[:-1]
    if trace.element == "byte":
        return {"index": index, "byte": np.frombuffer(trace.data, np.uint8)}
    return {"index": index, "tokens": np.diff(trace.edges), "bytes": trace.lengths}


def _of_hebb(trace: HebbTrace) -> tuple[Columns, dict[str, Any]]:
    moved = [_entries(synapse._asdict()) for synapse in trace.most_moved(LISTED)]
    columns = {"change": trace.change, "layers_norm": trace.norms, "layers_change": trace.moved}
    return columns, {"synapses": moved}


def _of_steps(trace: StepsTrace) -> tuple[Columns, dict[str, Any]]:
    found = _entries({"rtol": trace.rtol, "correlation": trace.correlation, "chance": trace.chance})
    quarters = [_entries(quarter._asdict()) for quarter in trace.quarters()]
    hardest = [
        _entries({"index": token.position, "token": readable(token.token), "steps": token.steps, "bits": token.bits})
        for token in trace.hardest(LISTED)
    ]
    columns = {"bits": trace.surprise, "steps": trace.mean, "layers_steps": trace.steps}
    return columns, found | {"verdict": trace.verdict(), "quarters": quarters, "hardest": hardest}


def _of_spikes(trace: SpikesTrace) -> tuple[Columns, dict[str, Any]]:
    columns: Columns = {"index": np.arange(len(trace.lengths))}
    if trace.data is None:
        columns |= {"seconds": trace.edges[:-1]}
    else:
        read = np.frombuffer(trace.data, np.uint8) if trace.unit == "byte" else trace.lengths
        columns |= {trace.unit if trace.unit == "byte" else "bytes": read, "bits": trace.surprise}
    columns |= {"rate": trace.mean, "layers_rate": trace.layer_mean}
    if trace.share is not None:
        columns |= {"layers_liquid": trace.share.mean(axis=2), "heads_liquid": trace.share.swapaxes(1, 2)}
    size = {} if trace.data is None else {"bytes": len(trace.data), "bits_per_byte": trace.bits_per_byte}
    found = _entries({"ticks": len(trace.lengths), **size, "mode": trace.mode})
    parts = [part._asdict() | {"effective": part.effective} for part in trace.operations]
    return columns, found | {"operations": [_entries(part) for part in parts]}


def _entries(values: dict[str, Any]) -> dict[str, Any]:
    return {name: v if v is None or isinstance(v, str) else _number(np.asarray(v)) for name, v in values.items()}


def _table(trace: LayerTrace | TokenTrace, columns: Columns) -> list[list[Any]]:
    names, series = [], []
    for name, values in columns.items():
        if values.ndim == 3:
            names += [name.replace("heads", f"layer{i}_head{j}") for i in trace.layers for j in range(values.shape[1])]
        else:
            names += [name] if values.ndim == 1 else [name.replace("layers", f"layer{i}") for i in trace.layers]
        series += [values] if values.ndim == 1 else list(values.reshape(-1, values.shape[-1]))
    rows = ([v if v.dtype.kind in "iu" else f"{v:.6g}" for v in row] for row in zip(*series, strict=True))
    return [names, *rows]


def _number(value: NDArray[Any]) -> Any:
    if value.ndim:
        return [_number(v) for v in value]
    if value.dtype.kind in "iu":
        return int(value)
    return float(f"{value:.6g}") if math.isfinite(value) else None
