"""The multiply-accumulate array that all projections share."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Elaboratable, Module, Mux, Signal, signed

from lasmlx.chip.rtl.memory import Ram, kept, later, saturated, tape, trail
from lasmlx.chip.rtl.plan import MULTIPLY, Job, Kind, Plan

FIRST = (Kind.X, Kind.LOW, Kind.DT, Kind.OUT, Kind.HEAD)  # a matrix is named by its first rows
LAST = (Kind.Z, Kind.C, Kind.DT, Kind.OUT, Kind.HEAD)


class Mac(Elaboratable):
    """W x, ``macs`` rows at a time: an activation a cycle goes to all of them, then the sums leave one by one.

    Signals:
        start, job: begins the matrix whose first rows are of kind ``job``.
        activations: its input, as lanes: the low part of x_proj lies behind the rest.
        in_block, lane_value: a lane of those that share an exponent, as it is written.
        out, value: the rows as elements, in order.
    """

    def __init__(self, plan: Plan, layout: Any) -> None:
        c = plan.chip.config
        self.plan, self.low_at = plan, max(c.d, c.e)
        self.rewind, self.start, self.job = Signal(), Signal(), Signal(4)
        self.lane, self.activation = plan.chip.system.lane, plan.chip.system.activation
        self.activations = Ram(signed(self.lane), self.low_at + c.rank)
        self.in_block, self.lane_value = Signal(), Signal(signed(self.lane))
        self.out, self.value = Signal(layout), Signal(signed(plan.value_bits))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.activations = self.activations
        jobs = {kind: self.plan.job(0, kind) for kind in FIRST}
        valid, first, end = self._issue(m, jobs)
        exponent = self._exponent(m)
        x = self._activation(m, self.activations.data, exponent)  # stage 5
        valid, first, end = (kept(m, flag, 3) for flag in (valid, first, end))
        w = tape(m, self.rewind, valid, self.plan.weights(), 8 * self.plan.macs)  # stage 5
        valid, first, end = (kept(m, flag, 3) for flag in (valid, first, end))
        longest = max(job.columns for job in jobs.values())
        bits = min(32, (127 * 128 * longest).bit_length() + 1)
        sums = []
        for i in range(self.plan.macs):
            times = later(m, x * w[8 * i : 8 * i + 8].as_signed())  # stage 6
            total = Signal(signed(bits), name=f"sum{i}", reset_less=True)
            with m.If(valid):
                m.d.sync += total.eq(Mux(first, 0, total) + times)  # stage 7
            sums.append(total)
        self._drain(m, kept(m, end, 1), sums, bits, exponent)
        return m

    def _exponent(self, m: Module) -> Any:
        """How many low bits go of the lanes of low and of what is gated, so that the largest of them fits."""
        bits, exponent = Signal(self.lane), Signal(4)
        size = Mux(self.lane_value[-1], -self.lane_value, self.lane_value)[: self.lane]
        with m.If(self.start):
            m.d.sync += [bits.eq(0), exponent.eq(0)]
            with m.If((self.job == Kind.DT) | (self.job == Kind.OUT)):
                for e in range(1, self.lane - self.activation + 2):
                    with m.If(bits[e + self.activation - 2]):
                        m.d.sync += exponent.eq(e)
        with m.Elif(self.in_block):
            m.d.sync += bits.eq(bits | size)
        return exponent

    def _activation(self, m: Module, lane: Any, exponent: Any) -> Any:
        """round(lane / 2^exponent), saturated; three cycles later."""
        doubled = Signal(signed(self.lane + 1))
        m.d.comb += doubled.eq(lane << 1)
        coarse = later(m, Array(doubled >> 4 * i for i in range(3))[exponent[2:]])
        fine = later(m, Array(coarse >> i for i in range(4))[exponent[:2]])
        return later(m, saturated((fine + 1) >> 1, self.activation))

    def _issue(self, m: Module, jobs: dict[Kind, Job]) -> tuple[Any, Any, Any]:
        """A column a cycle; whether there is one, begins a block, ends it."""
        run, valid = Signal(), Signal()
        slot = Signal(range(max(job.period for job in jobs.values()) + 1))
        block = Signal(range(max(job.blocks for job in jobs.values()) + 1))
        columns, period, blocks = Signal.like(slot), Signal.like(slot), Signal.like(block)
        is_low = Signal()
        with m.If(self.start):
            m.d.sync += [run.eq(1), slot.eq(0), block.eq(0), is_low.eq(self.job == Kind.DT)]
            with m.Switch(self.job):
                for kind, job in jobs.items():
                    with m.Case(kind):
                        m.d.sync += [columns.eq(job.columns - 1), period.eq(job.period - 1), blocks.eq(job.blocks - 1)]
        with m.Elif(run):
            m.d.sync += slot.eq(slot + 1)
            with m.If((slot == columns) & (block == blocks)):
                m.d.sync += run.eq(0)
            with m.Elif(slot == period):
                m.d.sync += [slot.eq(0), block.eq(block + 1)]
        m.d.comb += valid.eq(run & (slot <= columns))
        m.d.comb += self.activations.read_at.eq(slot + Mux(is_low, self.low_at, 0))
        return valid, slot == 0, run & (slot == columns)

    def _drain(self, m: Module, load: Any, sums: list[Any], bits: int, exponent: Any) -> None:
        """The sums of a block leave through a shift register; the kind and index of a row follow from its place."""
        c = self.plan.chip.config
        ends = {
            Kind.X: c.e, Kind.Z: c.e, Kind.LOW: c.rank, Kind.B: c.n, Kind.C: c.n,
            Kind.DT: c.e, Kind.OUT: c.d, Kind.HEAD: 256,
        }  # fmt: skip
        held = Signal(bits * len(sums), reset_less=True)
        left = Signal(range(len(sums) + 1))
        out = Signal(self.out.shape())
        final, ends_kind = Signal(), Signal()
        with m.Switch(out.kind):
            for kind, size in ends.items():
                with m.Case(kind):
                    m.d.comb += [ends_kind.eq(out.index == size - 1), final.eq(kind in LAST)]
        m.d.comb += [out.valid.eq(left != 0), out.last.eq(ends_kind & final)]
        with m.If(self.start):
            m.d.sync += [out.kind.eq(self.job), out.index.eq(0)]
        with m.Elif(out.valid):
            m.d.sync += [out.index.eq(Mux(ends_kind, 0, out.index + 1)), out.kind.eq(out.kind + ends_kind)]
        with m.If(load):
            m.d.sync += [held.eq(Cat(*sums)), left.eq(len(sums))]  # stage 8
        with m.Elif(out.valid):
            m.d.sync += [held.eq(held >> bits), left.eq(Mux(out.last, 0, left - 1))]
        value = held[:bits].as_signed()
        value = later(m, Array(value << 4 * i for i in range(3))[exponent[2:]])
        value = later(m, Array(value << i for i in range(4))[exponent[:2]])  # stage 10
        spare = self.plan.multiply - MULTIPLY
        m.d.comb += [self.out.eq(trail(m, out, 2 + spare)[-1]), self.value.eq(later(m, value, spare))]
