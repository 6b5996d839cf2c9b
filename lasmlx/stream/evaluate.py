"""Bits per byte through the native step: what a stream with these weights really needs."""

import math
from dataclasses import dataclass
from typing import Any

from lasmlx.data import ByteSource
from lasmlx.stream.native import NativeModel, Weights

PIECE = 1 << 16  # bytes read at a time


@dataclass(frozen=True)
class Score:
    """How well a stream of bytes was predicted."""

    bits_per_byte: float
    bytes: int  # predicted, each from those before it


def evaluate_native(model: Any, source: ByteSource, *, weights: Weights = "int8", split: str = "") -> Score:
    """-log2 p(byte | all before it), averaged over `source` in one pass.

    Args:
        model: a model or a NativeModel, which keeps its own weights.
        weights: "float32" or "int8".
        split: what to call the source in errors.

    Raises:
        ValueError: fewer than two bytes, or a family without a native step.
    """
    if len(source) < 2:
        raise ValueError(f"evaluate_native: {split or 'the source'} has {len(source)} bytes, expected at least 2.")
    native = model if isinstance(model, NativeModel) else NativeModel.from_model(model, weights)
    return Score(stream_bits(native.session(), source), len(source) - 1)


def stream_bits(session: Any, source: ByteSource, most: int | None = None) -> float:
    """-log2 p(byte | all before it), averaged over `source` in one pass.

    Args:
        session: new, of a NativeModel or a chip's Emulator.
        most: look at the first so many bytes only.

    Raises:
        ValueError: fewer than two bytes.
    """
    count = len(source) if most is None else min(most, len(source))
    if count < 2:
        raise ValueError(f"stream_bits: the source has {count} bytes, expected at least 2.")
    nats = sum(session.log_loss(source[i : min(i + PIECE, count)].tobytes()) for i in range(0, count, PIECE))
    return nats / math.log(2) / (count - 1)
