"""The state equation: a few (channel, state) pairs a cycle, h in block RAM."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, signed

from lasmlx.chip.rtl.curves import curve
from lasmlx.chip.rtl.memory import Ram, later, product, rom, saturated, summed, trail
from lasmlx.chip.rtl.plan import Kind, Plan
from lasmlx.chip.rtl.xorshift import applied, moves
from lasmlx.chip.tables import ONE

Stages = list[Any]


class Scan(Elaboratable):
    """h = decay h + drive B of one layer, ``substeps`` times over, then C h of each channel.

    Signals:
        start: begins the layer that ``base`` (its first row of h) and ``channel_base`` (its first channel) say.
        drive, B, C: memories that other parts fill.
        dt_at, dt: the time step of a channel, two cycles apart.
        out, value: C h of each channel, an element of READ.
        clear, clear_at, seed: overwrite a row of h, and a generator while ``clear_random``.
    """

    def __init__(self, plan: Plan, layout: Any) -> None:
        c, w = plan.chip.config, plan.chip.system
        self.plan, self.layout, self.drop = plan, layout, w.state - c.state_bits
        self.stochastic = self.drop > 0 and c.rounding == "stochastic"
        rows = c.layers * c.e * plan.groups
        self.start, self.base, self.channel_base = Signal(), Signal(range(rows + 1)), Signal(range(c.layers * c.e + 1))
        self.drive = Ram(signed(w.drive), c.e)
        self.B, self.C = (Ram(signed(w.mix), plan.groups, plan.lanes) for _ in range(2))
        self.dt_at, self.dt = Signal(range(max(2, c.e))), Signal(16)
        self.h = Ram(c.state_bits * plan.lanes, rows)
        self.clear, self.clear_random, self.clear_at = Signal(), Signal(), Signal(range(max(2, rows)))
        self.seed = Signal(32)
        self.out, self.value = Signal(layout), Signal(signed(32))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.drive, m.submodules.B, m.submodules.C, m.submodules.h = self.drive, self.B, self.C, self.h
        plan, lanes = self.plan, self.plan.lanes
        pair, group, row, repeat = self._issue(m)
        at = trail(m, pair, plan.read_stage)
        group_at, row_at = [group], [row]
        for _ in range(plan.write_stage):
            group_at.append(later(m, group_at[-1]))
            row_at.append(later(m, row_at[-1]))
        decay = plan.decay_stage
        m.d.comb += [self.dt_at.eq(pair.index), self.h.read_at.eq(row_at[decay - 2])]
        m.d.comb += [self.drive.read_at.eq(at[decay - 2].index), self.B.read_at.eq(group_at[decay - 2])]
        m.d.comb += self.C.read_at.eq(group_at[plan.write_stage - 2])
        a = rom(m, row, plan.decays(), 16 * lanes)
        random = self._random(m, at, group_at) if self.stochastic else None
        kept, reads = [], []
        for i in range(lanes):
            factor = self._decay(m, a[16 * i : 16 * i + 16])
            h = self._move(m, i, factor, random[i] if random is not None else None)
            kept.append(h)
            reads.append(self._read(m, i, h))
        with m.If(self.clear):
            m.d.comb += [self.h.write.eq(1), self.h.write_at.eq(self.clear_at)]
        with m.Else():
            m.d.comb += [self.h.write.eq(at[plan.write_stage].valid), self.h.write_data.eq(Cat(*kept))]
            m.d.comb += self.h.write_at.eq(row_at[plan.write_stage])
        m.d.comb += repeat.eq(at[plan.write_stage].valid & at[plan.write_stage].last)
        self._sum(m, at, group_at, reads)
        return m

    def _issue(self, m: Module) -> tuple[Any, Any, Any, Any]:
        """A group of pairs a cycle: its channel as an element, its place in the channel, its row of h."""
        c, plan = self.plan.chip.config, self.plan
        run, group = Signal(), Signal(range(max(2, plan.groups)))
        channel, row = Signal(range(max(2, c.e))), Signal(range(max(2, c.layers * c.e * plan.groups)))
        left, repeat = Signal(range(c.substeps + 1)), Signal()
        with m.If(self.start):
            m.d.sync += [run.eq(1), left.eq(c.substeps - 1)]
        with m.Elif(repeat & (left != 0)):
            m.d.sync += [run.eq(1), left.eq(left - 1)]
        with m.If(run):
            m.d.sync += [row.eq(row + 1), group.eq(group + 1)]
            with m.If(group == plan.groups - 1):
                m.d.sync += [group.eq(0), channel.eq(channel + 1)]
                with m.If(channel == c.e - 1):
                    m.d.sync += run.eq(0)
        with m.Else():
            m.d.sync += [row.eq(self.base), group.eq(0), channel.eq(0)]
        pair = Signal(self.layout)
        m.d.comb += [pair.valid.eq(run), pair.index.eq(channel), pair.kind.eq(left == 0)]
        m.d.comb += pair.last.eq((channel == c.e - 1) & (group == plan.groups - 1))
        return pair, group, row, repeat

    def _decay(self, m: Module, a: Any) -> Any:
        """2^-(dt A), or 1 - dt A; ``decay_stage`` cycles after its pair."""
        c = self.plan.chip.config
        exponent = later(m, self.dt * a) >> c.decay_shift  # stage 3
        if c.decay == "euler":
            result = Signal(17, name="decay", reset_less=True)
            m.d.sync += result.eq(Mux(exponent >= ONE, 0, ONE - exponent))
            return result
        table = [int(v) for v in self.plan.chip.tables.exp2]
        padded = Signal(48, name="exponent")
        m.d.comb += padded.eq(exponent)
        whole = curve(m, padded[10:16], padded[:10], table, 10, rising=False)  # stage 7
        halvings = padded[16:]
        some = Signal(5, name="halvings", reset_less=True)
        m.d.sync += some.eq(Mux(halvings > 31, 31, halvings))  # stage 4
        return later(m, (whole >> later(m, some, 3))[:17])

    def _move(self, m: Module, lane: int, decay: Any, random: Any) -> Any:
        """The new h of a lane as it is stored; ``write_stage`` cycles after its pair."""
        c, w, drop = self.plan.chip.config, self.plan.chip.system, self.drop
        bits = c.state_bits
        h = self.h.data[bits * lane : bits * (lane + 1)].as_signed()
        whole = product(m, h, decay) << drop  # two cycles after decay
        half = 1 << (drop - 1) if drop else 0
        fed = later(m, self.drive.data * self.B.data[w.mix * lane : w.mix * (lane + 1)].as_signed())
        fed = later(m, (fed << w.drive_left >> w.drive_right) + (half if random is None else random))
        total = Signal(signed(35), name="moved", reset_less=True)
        m.d.sync += total.eq(((whole + ONE // 2) >> 16) + fed)
        return later(m, saturated(total[drop:].as_signed(), bits))

    def _read(self, m: Module, lane: int, h: Any) -> Any:
        """C h of a lane, one cycle after h."""
        w = self.plan.chip.system
        c = self.C.data[w.mix * lane : w.mix * (lane + 1)].as_signed()
        return later(m, ((h << self.drop) >> w.read_right) * c)

    def _random(self, m: Module, at: Stages, group_at: Stages) -> list[Any]:
        """What each lane adds to h before its low bits go, one cycle after its decay.

        Each (state, sub-step) of a channel has its own move of the channel's generator. A pass over the layer starts
        from the generator one move later than the pass before, and the last pass leaves it behind all moves.
        """
        c, plan = self.plan.chip.config, self.plan
        m.submodules.random = memory = Ram(32, c.layers * c.e)
        channel = Signal(range(max(2, c.layers * c.e)))
        stage = plan.decay_stage
        m.d.comb += [channel.eq(self.channel_base + at[stage - 2].index), memory.read_at.eq(channel)]
        begins = group_at[stage] == 0
        last_pass, step = moves(c.n * c.substeps - (c.substeps - 1)), moves(1)
        after = Mux(at[stage].kind[0], applied(last_pass, memory.data), applied(step, memory.data))
        with m.If(self.clear):
            m.d.comb += [memory.write.eq(self.clear_random), memory.write_at.eq(self.clear_at)]
            m.d.comb += memory.write_data.eq(self.seed)
        with m.Else():
            write = Signal()
            m.d.sync += write.eq(at[stage].valid & begins)
            m.d.comb += [memory.write.eq(write), memory.write_data.eq(later(m, after))]
            m.d.comb += memory.write_at.eq(later(m, channel, 3))
        jump, values = moves(plan.lanes * c.substeps), []
        for i in range(plan.lanes):
            x = Signal(32, name=f"random{i}", reset_less=True)
            m.d.sync += x.eq(Mux(begins, applied(moves(i * c.substeps + 1), memory.data), applied(jump, x)))
            values.append(x[32 - self.drop :])
        return values

    def _sum(self, m: Module, at: Stages, group_at: Stages, reads: list[Any]) -> None:
        """The lanes' products, then the groups'."""
        plan = self.plan
        total, latency = summed(m, reads)
        stage = plan.write_stage + 1 + latency
        begins = later(m, group_at[-1] == 0, stage - plan.write_stage)
        ends = later(m, group_at[-1] == plan.groups - 1, stage + 1 - plan.write_stage)
        m.d.sync += self.value.eq(Mux(begins, 0, self.value) + total)
        here = at[stage + 1]
        m.d.comb += [self.out.valid.eq(here.valid & here.kind[0] & ends), self.out.kind.eq(Kind.READ)]
        m.d.comb += [self.out.last.eq(here.last), self.out.index.eq(here.index)]
