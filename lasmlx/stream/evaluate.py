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
    session = native.session()
    nats = sum(session.log_loss(source[i : i + PIECE].tobytes()) for i in range(0, len(source), PIECE))
    return Score(nats / math.log(2) / (len(source) - 1), len(source) - 1)
