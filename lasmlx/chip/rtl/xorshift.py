"""The generator of stochastic rounding, which is linear over bits: any number of its moves is one matrix."""

from __future__ import annotations

from functools import reduce
from typing import Any

from amaranth.hdl import Mux

Matrix = tuple[int, ...]  # the bits that make up each bit of the result
IDENTITY: Matrix = tuple(1 << i for i in range(32))
MASK = (1 << 32) - 1


def _moved(x: int) -> int:
    x ^= x << 13 & MASK
    x ^= x >> 17
    return x ^ x << 5 & MASK


def times(a: Matrix, b: Matrix) -> Matrix:
    """b, then a."""
    return tuple(reduce(int.__xor__, (b[i] for i in range(32) if row >> i & 1), 0) for row in a)


def moves(count: int) -> Matrix:
    """The matrix of ``count`` moves."""
    columns = [_moved(1 << i) for i in range(32)]
    power: Matrix = tuple(sum((columns[i] >> bit & 1) << i for i in range(32)) for bit in range(32))
    result = IDENTITY
    while count:
        if count & 1:
            result = times(power, result)
        power, count = times(power, power), count >> 1
    return result


def applied(matrix: Matrix, x: Any) -> Any:
    """The generator ``x`` moved: the columns of its bits, added in pairs."""
    columns = [sum((row >> i & 1) << bit for bit, row in enumerate(matrix)) for i in range(32)]
    level = [Mux(x[i], column, 0) for i, column in enumerate(columns)]
    while len(level) > 1:
        level = [a ^ b for a, b in zip(level[::2], level[1::2], strict=True)]
    return level[0]
