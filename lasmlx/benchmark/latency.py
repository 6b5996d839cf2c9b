"""What line rate a model sustains, a byte at a time, sampling included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lasmlx.benchmark.records import Row, Stage
from lasmlx.benchmark.step import TEXT, TOLERANCE, checked_session
from lasmlx.benchmark.training import new_model
from lasmlx.stream.pace import BITS_PER_BYTE, MAX_BAUD, MIN_BAUD

BAUDS = (9600, 115200, 921600)


@dataclass(frozen=True)
class LatencyRow(Row):
    """One model and how its weights are kept; 8N1, ten bits a byte."""

    preset: str
    weights: str
    parameters: int
    bytes: int
    p50_us: float
    p99_us: float
    max_us: float
    sustained_baud: float  # ten bits over the mean time of a byte: what a buffered line can have
    byte_us: dict[str, float]  # baud -> microseconds the line takes for a byte
    margin: dict[str, float]  # baud -> byte_us / p99_us; 1 or more needs no buffer
    error: float  # of the logits against MLX


def measure_latency(
    preset: str, config: Any, *, bauds: Sequence[float] = BAUDS, count: int = 4096
) -> Iterator[LatencyRow | Stage]:
    """The native generator, timed inside, byte by byte, with float32 and int8 weights.

    Raises:
        ParityError: the native logits are not those of the MLX model.
        ValueError: a baud or ``count`` is out of range.
    """
    for baud in bauds:
        if not MIN_BAUD <= baud <= MAX_BAUD:
            raise ValueError(f"bench: baud is {baud}, expected {MIN_BAUD} to {MAX_BAUD}.")
    if count < 1:
        raise ValueError(f"bench: bytes is {count}, expected at least 1.")
    yield Stage(f"{preset}: checking parity, then making {count} bytes")
    model = new_model(config)
    byte_us = {f"{baud:g}": BITS_PER_BYTE / baud * 1e6 for baud in bauds}
    for weights in TOLERANCE:
        session, error = checked_session(preset, model, weights)
        session.feed(TEXT.tobytes())
        session.generate(min(count, 256))
        us = session.generate(count)[1] / 1e3
        p99 = float(np.quantile(us, 0.99))
        yield LatencyRow(
            preset=preset,
            weights=weights,
            parameters=model.size,
            bytes=count,
            p50_us=float(np.median(us)),
            p99_us=p99,
            max_us=float(us.max()),
            sustained_baud=BITS_PER_BYTE * 1e6 / float(us.mean()),
            byte_us=byte_us,
            margin={baud: time / p99 for baud, time in byte_us.items()},
            error=error,
        )
