"""Bits per byte through a chip."""

from __future__ import annotations

import math
from typing import Any

from lasmlx.data import ByteSource

PIECE = 1 << 16  # bytes read at a time


def chip_bits(session: Any, source: ByteSource, most: int | None = None) -> float:
    """-log2 p(byte | all before it), the mean over ``source`` in one pass.

    Args:
        session: of an :class:`lasmlx.chip.Emulator` or of a native model, new.
        most: look at the first so many bytes only.

    Raises:
        ValueError: fewer than two bytes.
    """
    count = len(source) if most is None else min(most, len(source))
    if count < 2:
        raise ValueError(f"chip: the source has {count} bytes, expected at least 2.")
    nats = sum(session.log_loss(source[i : min(i + PIECE, count)].tobytes()) for i in range(0, count, PIECE))
    return nats / math.log(2) / (count - 1)
