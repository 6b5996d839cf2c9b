"""The two number systems: how wide each kind of integer is, and where its point lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

System = Literal["int8", "q16"]


@dataclass(frozen=True)
class NumberSystem:
    """Widths in bits, the sign included, of every kind of integer that a step makes; see docs/chip.md."""

    name: System
    weight: int  # of the matrices and the convolution
    activation: int  # what is multiplied with a weight
    lane: int  # what is computed element by element
    fraction: int  # fraction bits of the lanes with a fixed point: v, z, s, p
    mix: int  # B and C
    drive: int  # dt x, scaled a channel
    state: int  # the range of h
    drive_left: int  # w B is shifted left by this,
    drive_right: int  # then right by this, to be added to h
    read_right: int  # h is shifted right by this to be multiplied with C
    norm_right: int  # u is shifted right by this before it is squared
    norm_fraction: int  # fraction bits of u / |u|
    accumulator: int  # of every sum of products
    multiplier: int  # of a requantisation


def number_system(name: System, n: int) -> NumberSystem:
    """The widths of a system for n states a channel: sum_j C_j h_j of int8 fits 32 bits whatever n is."""
    if name == "q16":
        return NumberSystem("q16", 32, 32, 32, 16, 24, 32, 32, 0, 16, 0, 8, 20, 64, 32)
    mix = min(12, 16 - (n - 1).bit_length())
    return NumberSystem("int8", 8, 8, 16, 10, mix, 18, 31, 14 - mix, 0, 15, 0, 15, 32, 16)
