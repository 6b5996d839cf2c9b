"""What a model of splines reads for a picture of its edges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from lasmlx.viz import KANTrace

ELEMENTS = 8192  # of sequences
BYTES = 4096


class Reading(NamedTuple):
    """A trace, and what to call what was read."""

    trace: KANTrace
    label: str


def read(model: Any, folder: Path, spec: str | None) -> Reading:
    """The edges over the first test sequences, or the first held-out bytes, of ``spec``.

    By default of what the model was trained on; where the sequences cannot be had any more, over the grids.

    Raises:
        ValueError: the model has no splines, or reads something else than ``spec``.
    """
    from lasmlx.apps.viz_tau_input import expect_kind
    from lasmlx.viz import expect_splines

    expect_splines(model)
    expect_kind(model, text=None, data=spec, count=None, sequence=None)
    return _sequences(model, folder, spec) if model.config.inputs else _text(model, folder, spec)


def _sequences(model: Any, folder: Path, spec: str | None) -> Reading:
    import mlx.core as mx

    from lasmlx.apps.viz_tau_input import expect_channels, find_sequences
    from lasmlx.viz import trace_kan

    try:
        data = find_sequences(folder, spec)
    except ValueError:
        if spec is not None:
            raise
        return Reading(trace_kan(model), "over the grids: what it was trained on cannot be had, --data names other")
    expect_channels(model, data)
    count = int(np.clip(ELEMENTS // data.test.x.shape[1], 1, len(data.test)))
    part = data.test.take(np.arange(count))
    x, dt = (mx.array(v[:, : part.lengths.max()]) for v in (part.x, part.dt))
    trace = trace_kan(model, x, mask=part.mask[:, : x.shape[1]], dt=dt)
    return Reading(trace, f"over {int(part.lengths.sum()):,} elements of {data.name}, test")


def _text(model: Any, folder: Path, spec: str | None) -> Reading:
    import mlx.core as mx

    from lasmlx.apps.viz_input import read_input
    from lasmlx.data import tokenizer_of
    from lasmlx.viz import trace_kan

    source = read_input(model, folder, text=None, data=spec, count=None, fits=BYTES, most=BYTES)
    ids = tokenizer_of(model.config, folder).encode(source.data)
    return Reading(trace_kan(model, mx.array(ids)[None]), f"over {source.label}")
