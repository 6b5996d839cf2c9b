"""The sigmoid in straight pieces, and what is made of it: silu and the time step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal, signed

from lasmlx.chip.rtl.memory import later, rom, trail
from lasmlx.chip.rtl.plan import CURVE, Kind, Plan
from lasmlx.chip.tables import ONE, SIGMOID_REACH


def pieces(table: Sequence[int]) -> tuple[list[int], int, int]:
    """Each piece's start and, above it, what it rises or falls by; the bits of both."""
    steps = [abs(b - a) for a, b in pairwise(table)]
    low, high = max(table).bit_length(), max(1, max(steps).bit_length())
    return [start | step << low for start, step in zip(table, steps, strict=False)], low, high


def curve(m: Module, at: Any, rest: Any, table: Sequence[int], bits: int, *, rising: bool) -> Any:
    """start +- (step rest >> bits) of piece ``at``, four cycles later."""
    words, low, high = pieces(table)
    word = rom(m, at, words, low + high)
    move = later(m, word[low:] * later(m, rest, 2)) >> bits
    start = later(m, word[:low])
    value = Signal(17, name="curve", reset_less=True)
    m.d.sync += value.eq(start + move if rising else start - move)
    return value


class Curves(Elaboratable):
    """``result`` of a value, ``CURVE`` cycles later: v sigmoid(v), or dt_min + dt_range sigmoid(v) of a DT."""

    def __init__(self, plan: Plan, layout: Any) -> None:
        self.plan = plan
        self.element, self.value = Signal(layout), Signal(signed(16))
        self.out, self.result = Signal(layout), Signal(16)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c, w = self.plan.chip.config, self.plan.chip.system
        at = trail(m, self.element, CURVE)
        last = (SIGMOID_REACH << w.fraction) - 1
        size = Signal(14, reset_less=True)
        magnitude = Mux(self.value[-1], -self.value, self.value)
        m.d.sync += size.eq(Mux(magnitude > last, last, magnitude))  # stage 1
        piece = w.fraction - 4
        table = [int(v) for v in self.plan.chip.tables.sigmoid]
        risen = curve(m, size[piece:], size[:piece], table, piece, rising=True)  # stage 5
        value = later(m, self.value, 5)
        is_dt = at[5].kind == Kind.DT
        by = Signal(signed(18), reset_less=True)
        m.d.sync += by.eq(Mux(value[-1], ONE - risen, risen))
        factor = Signal(signed(17), reset_less=True)
        m.d.sync += factor.eq(Mux(is_dt, c.dt_range, value))  # stage 6
        whole = Signal(signed(35), reset_less=True)
        m.d.sync += whole.eq(factor * by)  # stage 7
        add = Mux(at[7].kind == Kind.DT, c.dt_min << 16, 1 << 15)
        total = Signal(signed(36), reset_less=True)
        m.d.sync += total.eq(whole + add)  # stage 8
        m.d.comb += [self.out.eq(at[CURVE]), self.result.eq(total[16:32])]
        return m
