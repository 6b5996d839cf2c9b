"""The vectors between two bytes' passes, and what one element of a pass is before it is scaled."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Elaboratable, Module, Mux, Signal, signed

from lasmlx.chip.rtl.memory import Ram, later, summed, tape, trail
from lasmlx.chip.rtl.plan import Kind, Plan


class Operands(Elaboratable):
    """The product or sum of an element: u p, s, dt s, y silu(z) or a convolution, ``plan.fetch - 1`` cycles later.

    Signals:
        issue: an element of NORM, CONV, XS, SKIP, DRIVE or GATE.
        factor, shift: of the norm.
        base: the first channel of the layer among those of all layers.
        left: u (d), then s, which y replaces (e).
        right: dt (e), then silu(z) (e).
        x: the newest input of the convolution.
        dt_at, dt: what the scan reads, while no element is issued.
        u_at, u: what an addend reads, two cycles apart, while no element is issued.
    """

    def __init__(self, plan: Plan, layout: Any) -> None:
        c = plan.chip.config
        self.plan = plan
        self.rewind, self.base = Signal(), Signal(range(c.layers * c.e + 1))
        self.issue, self.factor, self.shift = Signal(layout), Signal(17), Signal(5)
        self.left, self.right = Ram(signed(16), c.d + c.e), Ram(16, 2 * c.e)
        self.x = Ram(signed(8), c.e)
        self.clear, self.clear_at = Signal(), Signal(range(max(2, c.layers * c.e)))
        self.dt_at, self.dt = Signal(range(max(2, c.e))), Signal(16)
        self.u_at, self.u = Signal(range(max(2, c.d))), Signal(signed(16))
        self.out, self.value = Signal(layout), Signal(signed(32))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.left, m.submodules.right, m.submodules.x = self.left, self.right, self.x
        c, kind, index = self.plan.chip.config, self.issue.kind, self.issue.index
        at = trail(m, self.issue, self.plan.fetch - 1)
        m.d.comb += [self.dt.eq(self.right.data), self.u.eq(self.left.data), self.out.eq(at[-1])]
        with m.If(self.issue.valid):
            m.d.comb += self.left.read_at.eq(Mux(kind == Kind.NORM, index, index + c.d))
            m.d.comb += self.right.read_at.eq(Mux(kind == Kind.GATE, index + c.e, index))
        with m.Else():
            m.d.comb += [self.left.read_at.eq(self.u_at), self.right.read_at.eq(self.dt_at)]
        a, b = later(m, self.left.data), Signal(signed(18), reset_less=True)  # stage 3
        with m.Switch(at[2].kind):
            with m.Case(Kind.NORM):
                m.d.sync += b.eq(self.factor)
            with m.Case(Kind.DRIVE):
                m.d.sync += b.eq(self.right.data)
            with m.Case(Kind.GATE):
                m.d.sync += b.eq(self.right.data.as_signed())
            with m.Default():
                m.d.sync += b.eq(1)
        whole, shift = later(m, a * b), Mux(at[4].kind == Kind.NORM, self.shift, 0)  # stage 4
        coarse = later(m, Array(whole >> 8 * i for i in range(4))[shift[3:]])
        fine = Signal(signed(34), reset_less=True)
        m.d.sync += fine.eq(Array(coarse >> i for i in range(8))[later(m, shift[:3])])  # stage 6
        sums, latency = self._convolve(m, at)
        sums, fine = later(m, sums, self.plan.fetch - 1 - latency), later(m, fine, self.plan.fetch - 7)
        m.d.comb += self.value.eq(Mux(at[-1].kind == Kind.CONV, sums, fine))
        return m

    def _convolve(self, m: Module, at: list[Any]) -> tuple[Any, int]:
        """The sum of taps times inputs, and its latency; the tail moves on by one input."""
        c = self.plan.chip.config
        is_conv = self.issue.valid & (self.issue.kind == Kind.CONV)
        taps = tape(m, self.rewind, is_conv, self.plan.convolutions(), 8 * c.k)  # stage 2
        m.d.comb += self.x.read_at.eq(self.issue.index)
        window = self.x.data
        if c.k > 1:
            m.submodules.tail = tail = Ram(8 * (c.k - 1), c.layers * c.e)
            row = Signal(range(max(2, c.layers * c.e)))
            m.d.comb += [row.eq(self.base + self.issue.index), tail.read_at.eq(row)]
            window = Cat(tail.data, self.x.data)
            with m.If(self.clear):
                m.d.comb += [tail.write.eq(1), tail.write_at.eq(self.clear_at)]
            with m.Else():
                m.d.comb += [tail.write.eq(at[2].valid & (at[2].kind == Kind.CONV))]
                m.d.comb += [tail.write_at.eq(later(m, row, 2)), tail.write_data.eq(window[8:])]
        parts = [(window[i : i + 8].as_signed(), taps[i : i + 8].as_signed()) for i in range(0, 8 * c.k, 8)]
        total, levels = summed(m, [later(m, tap * x) for x, tap in parts])
        return total, 3 + levels
