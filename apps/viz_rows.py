"""A trace as lines of numbers, for other programs."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lasmlx.viz import DtTrace


def write(trace: DtTrace, *, as_json: bool) -> None:
    """A line a byte to standard output: its index, the byte, mean dt and that of each layer, in seconds."""
    rows = zip(trace.data, trace.mean, trace.layer_mean.T, strict=True)
    if not as_json:
        print("index", "byte", "dt_s", *(f"layer{i}_s" for i in trace.layers), sep="\t")
        for index, (byte, mean, layers) in enumerate(rows):
            print(index, byte, *(f"{value:.6g}" for value in (mean, *layers)), sep="\t")
        return
    for index, (byte, mean, layers) in enumerate(rows):
        by_layer = [_short(value) for value in layers]
        print(json.dumps({"index": index, "byte": byte, "dt_s": _short(mean), "layers_s": by_layer}))
    summary = [{k: _short(v) if k != "layer" else v for k, v in dataclasses.asdict(s).items()} for s in trace.summary()]
    print(json.dumps({"bytes": len(trace.data), "bounds_s": trace.bounds, "layers": summary}))


def _short(value: float) -> float:
    return float(f"{value:.6g}")
