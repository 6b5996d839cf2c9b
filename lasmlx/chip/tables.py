"""The three curves a step looks up, each in straight pieces. A chip directory carries its own copy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ONE = 1 << 16  # all three are in 1/65536
SIGMOID_REACH = 16  # beyond it the sigmoid is 0 or 1
SIGMOID_PIECES, EXP2_PIECES, RSQRT_PIECES = 256, 64, 192

Table = NDArray[np.int32]


def sigmoid_table() -> Table:
    """sigmoid(16 i / 256) for i = 0 .. 256."""
    return _rounded(1 / (1 + np.exp(-np.arange(SIGMOID_PIECES + 1) * SIGMOID_REACH / SIGMOID_PIECES)))


def exp2_table() -> Table:
    """2^(-i / 64) for i = 0 .. 64."""
    return _rounded(np.exp2(-np.arange(EXP2_PIECES + 1) / EXP2_PIECES))


def rsqrt_table() -> Table:
    """1 / sqrt(1 + i / 64) for i = 0 .. 192."""
    return _rounded(1 / np.sqrt(1 + np.arange(RSQRT_PIECES + 1) / 64))


def _rounded(values: NDArray[np.float64]) -> Table:
    return np.round(ONE * values).astype(np.int32)
