"""What a spiking model reads for a picture, and how well it does on it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lasmlx.viz import SpikesTrace


class Reading(NamedTuple):
    """A trace, what to call what was read and how the model does on it, and what a summary says of it."""

    trace: SpikesTrace
    label: str
    facts: dict[str, Any]


def read(
    model: Any,
    folder: Path,
    *,
    text: str | None,
    data: str | None,
    generate: int | None,
    count: int | None,
    sequence: int | None,
    fits: int,
) -> Reading:
    """The trace of the bytes or of the test sequence that was asked for.

    Args:
        count: how many bytes of data; None takes ``fits``.
        sequence: which of the test sequences, from 0; None the first.

    Raises:
        ValueError: the model does not fire, or reads something else than what was asked for.
    """
    from lasmlx.apps.viz_input import read_input
    from lasmlx.apps.viz_tau_input import expect_kind, find_example, said
    from lasmlx.data import tokenizer_of
    from lasmlx.viz import most_ticks, trace_spikes

    most = most_ticks(model)
    expect_kind(model, text=text, data=data, count=count, sequence=sequence, generate=generate)
    if model.config.inputs:
        example = find_example(model, folder, data, sequence)
        trace = trace_spikes(model, example.x, example.dt)
        return Reading(trace, *said(example, folder, trace.y))
    tokenizer = tokenizer_of(model.config, folder)
    asked: Any = {"text": text, "data": data, "generate": generate, "count": count}
    source = read_input(model, folder, **asked, fits=fits, most=most, tokenizer=tokenizer)
    trace = trace_spikes(model, source.data, tokenizer=tokenizer)
    bits = trace.bits_per_byte
    score = "" if math.isnan(bits) else f", {bits:.2f} bits per byte"
    return Reading(trace, source.label + score, {})
