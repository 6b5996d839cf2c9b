"""1 / sqrt(sum u^2 + eps) as a table and a shift."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal, signed

from lasmlx.chip.rtl.curves import curve
from lasmlx.chip.rtl.memory import later
from lasmlx.chip.rtl.plan import NORM_SETTLE, Plan


class Norm(Elaboratable):
    """Sums the squares of what is written to u; ``go`` turns the sum into ``factor`` and ``shift``.

    Signals:
        begin: the sum starts anew from eps.
        valid, u: one more square.
        go, done: ``plan.power_bits / 2 + NORM_SETTLE`` cycles apart.
        factor, shift: ``u factor >> shift`` is the direction of u.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.begin, self.valid, self.u = Signal(), Signal(), Signal(signed(16))
        self.go, self.done = Signal(), Signal()
        self.factor, self.shift = Signal(17), Signal(5)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c, w, bits = self.plan.chip.config, self.plan.chip.system, self.plan.power_bits
        steps = bits // 2 + NORM_SETTLE
        valid = Signal(2)
        m.d.sync += valid.eq(valid << 1 | self.valid)
        u = later(m, self.u)
        square = later(m, u * u)
        power, aligned = Signal(bits), Signal(bits, reset_less=True)
        with m.If(self.begin):
            m.d.sync += power.eq(c.eps)
        with m.Elif(valid[1]):
            m.d.sync += power.eq(power + square[:31])
        left, exponent = Signal(range(steps + 1)), Signal(5, reset_less=True)
        with m.If(self.go):
            m.d.sync += left.eq(steps)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(left > steps - 4):  # the last squares arrive
            m.d.sync += [aligned.eq(power), exponent.eq(bits // 2 - 1)]
        with m.Elif(~aligned[-2:].any()):
            m.d.sync += [aligned.eq(aligned << 2), exponent.eq(exponent - 1)]
        piece = Signal(8, reset_less=True)
        m.d.sync += piece.eq(aligned[-8:] - 64)
        table = [int(v) for v in self.plan.chip.tables.rsqrt]
        rest = later(m, aligned[-24:-8])
        m.d.comb += self.factor.eq(curve(m, piece, rest, table, 16, rising=False))
        m.d.sync += self.shift.eq(exponent + (w.norm_right + 16 - w.norm_fraction))
        m.d.comb += self.done.eq(left == 1)
        return m
