"""A long stream through MLX: the time a byte takes, the memory, and what the traces come to."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from lasmlx.benchmark.records import Row
from lasmlx.stream.stepwise import StepwiseSession


@dataclass(frozen=True)
class SoakRow(Row):
    """A stretch of the stream."""

    bytes: int  # made so far
    p50_us: float  # a byte, in this stretch
    p99_us: float
    resident_mb: float  # MB, the most so far
    trace_norm: float  # Frobenius, of all traces together; 0 for a model without
    bound: float  # of the norm


def measure_soak(
    model: Any, *, count: int = 100_000, stretch: int = 10_000, prompt: bytes = b"\n"
) -> Iterator[SoakRow]:
    """Generate ``count`` bytes with a model of bytes, a row a stretch.

    Raises:
        ValueError: a size is below 1.
    """
    if count < 1 or stretch < 1:
        raise ValueError(f"bench soak: bytes {count}, stretch {stretch}: expected at least 1 of both.")
    session = StepwiseSession(model)
    session.feed(b"\n")
    bound = float(np.sqrt(sum(b * b for b in bounds(model))))
    for done in range(0, count, stretch):
        _, taken = session.generate(min(stretch, count - done))
        p50, p99 = (float(v) / 1e3 for v in np.percentile(taken, (50, 99)))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        yield SoakRow(done + len(taken), p50, p99, peak, norm(model, session.state), bound)


def norm(model: Any, state: Any) -> float:
    """Of all traces in a state together, Frobenius."""
    traces = model.traces(state) if hasattr(model, "traces") else []
    return float(np.sqrt(sum(mx.square(v).sum().item() for v in traces)))


def bounds(model: Any) -> list[float]:
    """What each plastic layer's trace can grow to."""
    found = []
    for _, module in model.named_modules():
        if hasattr(module, "trace_bound"):
            found.append(module.trace_bound())
    return found
