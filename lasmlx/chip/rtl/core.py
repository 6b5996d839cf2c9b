"""A whole chip: a byte in, 256 logits out, the likeliest byte last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lasmlx.chip.chip_model import ChipModel
from lasmlx.chip.rtl.curves import Curves
from lasmlx.chip.rtl.mac import Mac
from lasmlx.chip.rtl.memory import Ram, element_layout, later, one_of, rom
from lasmlx.chip.rtl.norm import Norm
from lasmlx.chip.rtl.operand import Operands
from lasmlx.chip.rtl.plan import CURVED, Kind, Plan
from lasmlx.chip.rtl.requantise import Requantiser
from lasmlx.chip.rtl.scan import Scan


@dataclass(frozen=True)
class Pass:
    """What runs until the last element of ``until`` is written: elements of ``vector``, rows of ``job``, the scan."""

    until: Kind
    then: str
    vector: Kind | None = None
    job: Kind | None = None
    scan: bool = False


LAYER = {
    "IN": Pass(Kind.Z, "CONV", job=Kind.X),
    "CONV": Pass(Kind.CONV, "X", vector=Kind.CONV),
    "X": Pass(Kind.XS, "MIX", vector=Kind.XS),
    "MIX": Pass(Kind.C, "DT", vector=Kind.SKIP, job=Kind.LOW),
    "DT": Pass(Kind.DT, "DRIVE", job=Kind.DT),
    "DRIVE": Pass(Kind.DRIVE, "SCAN", vector=Kind.DRIVE),
    "SCAN": Pass(Kind.READ, "GATE", scan=True),
    "GATE": Pass(Kind.GATE, "OUT", vector=Kind.GATE),
    "OUT": Pass(Kind.OUT, "NORMALISE", job=Kind.OUT),
    "HEAD": Pass(Kind.HEAD, "ANSWER", job=Kind.HEAD),
}


class Core(wiring.Component):
    """One step of ``chip`` a byte, ``cycles()`` clock cycles each, with the integers of :func:`lasmlx.chip.twin.step`.

    Ports:
        in_byte, in_valid, in_ready: a byte is taken in a cycle in which it is both valid and ready.
        clear: back to the state before the first byte, at the next idle cycle; a reset does so too.
        logit, logit_index, logit_valid: 256 logits, one at a time.
        best, best_valid: then the byte of the largest logit, the first of equals, for one cycle.
    """

    def __init__(self, chip: ChipModel, *, macs: int = 16, lanes: int = 1) -> None:
        self.plan = Plan(chip, macs, lanes)
        super().__init__(
            {
                "in_byte": In(8), "in_valid": In(1), "in_ready": Out(1), "clear": In(1),
                "logit": Out(signed(16)), "logit_index": Out(8), "logit_valid": Out(1),
                "best": Out(8), "best_valid": Out(1),
            }
        )  # fmt: skip

    def cycles(self) -> int:
        """Clock cycles from a byte taken to the next one taken."""
        return self.plan.cycles()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        c, plan = self.plan.chip.config, self.plan
        layout = element_layout((max(256, c.d, c.e) - 1).bit_length())
        self.mac, self.operands, self.scan = Mac(plan, layout), Operands(plan, layout), Scan(plan, layout)
        self.requantiser, self.curves, self.norm = Requantiser(plan, layout), Curves(plan, layout), Norm(plan)
        self.skip = Ram(signed(31), c.e)
        self._start, self._kind = Signal(), Signal(4)
        m.submodules.mac, m.submodules.operands, m.submodules.scan = self.mac, self.operands, self.scan
        m.submodules.requantiser, m.submodules.curves = self.requantiser, self.curves
        m.submodules.norm, m.submodules.skip = self.norm, self.skip
        self._scale(m)
        self._store(m)
        self._store_curved(m)
        self._sequence(m)
        return m

    def _scale(self, m: Module) -> None:
        """Elements of every source meet at the requantiser: no two come in one cycle."""
        to, sources = self.requantiser, (self.mac, self.operands, self.scan)
        m.d.sync += to.element.valid.eq(Cat(s.out.valid for s in sources).any())
        for source in sources:
            with m.If(source.out.valid):
                m.d.sync += [to.value.eq(source.value), to.element.last.eq(source.out.last)]
                m.d.sync += [to.element.kind.eq(source.out.kind), to.element.index.eq(source.out.index)]
        ahead = to.addend_element
        m.d.comb += [self.skip.read_at.eq(ahead.index), self.operands.u_at.eq(ahead.index)]
        m.d.comb += to.addend.eq(Mux(later(m, ahead.kind == Kind.OUT, 2), self.operands.u, self.skip.data))
        m.d.comb += [self.scan.dt.eq(self.operands.dt), self.operands.dt_at.eq(self.scan.dt_at)]
        m.d.comb += [self.operands.factor.eq(self.norm.factor), self.operands.shift.eq(self.norm.shift)]
        m.d.comb += [self.curves.element.eq(to.out), self.curves.value.eq(to.result)]
        m.d.comb += self.curves.element.valid.eq(to.out.valid & one_of(to.out.kind, *CURVED))

    def _store(self, m: Module) -> None:
        """Where an element goes that no curve changes."""
        c, lanes = self.plan.chip.config, self.plan.lanes
        out, result, scan = self.requantiser.out, self.requantiser.result, self.scan
        activations, left = self.mac.activations, self.operands.left
        low = out.kind == Kind.LOW
        m.d.comb += activations.write.eq(out.valid & one_of(out.kind, Kind.NORM, Kind.XS, Kind.GATE, Kind.LOW))
        m.d.comb += activations.write_at.eq(out.index + Mux(low, self.mac.low_at, 0))
        m.d.comb += [activations.write_data.eq(result), left.write_data.eq(result)]
        in_block = out.valid & one_of(out.kind, Kind.LOW, Kind.GATE)
        m.d.comb += [self.mac.in_block.eq(in_block), self.mac.lane_value.eq(result)]
        for kind, ram in ((Kind.X, self.operands.x), (Kind.SKIP, self.skip), (Kind.DRIVE, scan.drive)):
            m.d.comb += [ram.write.eq(out.valid & (out.kind == kind)), ram.write_data.eq(result)]
            m.d.comb += ram.write_at.eq(out.index)
        bits = lanes.bit_length() - 1
        for kind, ram in ((Kind.B, scan.B), (Kind.C, scan.C)):
            value = result[: self.plan.chip.system.mix]
            m.d.comb += [ram.write_at.eq(out.index >> bits), ram.write_data.eq(value.replicate(lanes))]
            for i in range(lanes):
                m.d.comb += ram.write[i].eq(out.valid & (out.kind == kind) & (out.index[:bits] == i))
        with m.If(out.valid & (out.kind == Kind.OUT)):
            m.d.comb += [left.write.eq(1), left.write_at.eq(out.index)]
            m.d.comb += [self.norm.valid.eq(1), self.norm.u.eq(result)]
        with m.If(out.valid & (out.kind == Kind.READ)):
            m.d.comb += [left.write.eq(1), left.write_at.eq(out.index + c.d)]
        self._answer(m, out.valid & (out.kind == Kind.HEAD), out, result)

    def _answer(self, m: Module, valid: Any, out: Any, result: Any) -> None:
        """Logits leave; the largest is kept."""
        largest, ended = Signal(signed(16), reset_less=True), Signal()
        m.d.sync += [self.logit_valid.eq(valid), self.logit.eq(result), self.logit_index.eq(out.index)]
        m.d.sync += [ended.eq(valid & out.last), self.best_valid.eq(ended)]
        with m.If(self.logit_valid & ((self.logit_index == 0) | (self.logit > largest))):
            m.d.sync += [largest.eq(self.logit), self.best.eq(self.logit_index)]

    def _store_curved(self, m: Module) -> None:
        c, left, right = self.plan.chip.config, self.operands.left, self.operands.right
        out, result = self.curves.out, self.curves.result
        m.d.comb += [right.write.eq(out.valid & one_of(out.kind, Kind.Z, Kind.DT)), right.write_data.eq(result)]
        m.d.comb += right.write_at.eq(Mux(out.kind == Kind.Z, out.index + c.e, out.index))
        with m.If(out.valid & (out.kind == Kind.CONV)):
            m.d.comb += [left.write.eq(1), left.write_at.eq(out.index + c.d), left.write_data.eq(result)]

    def _sequence(self, m: Module) -> None:
        c, plan = self.plan.chip.config, self.plan
        fresh, layer = Signal(), Signal(range(c.layers + 1))
        base, row_base = Signal(range(c.layers * c.e + 1)), Signal(range(c.layers * c.e * plan.groups + 1))
        m.d.sync += fresh.eq(0)
        m.d.comb += [self.operands.base.eq(base), self.scan.channel_base.eq(base), self.scan.base.eq(row_base)]
        cleared, begin, embed = self._clear(m), Signal(), Signal()
        embedded = self._embed(m, begin, embed)
        with m.FSM(init="CLEAR"):
            with m.State("CLEAR"):
                m.d.comb += self.scan.clear.eq(1)
                with m.If(cleared):
                    m.next = "IDLE"
            with m.State("IDLE"):
                m.d.comb += self.in_ready.eq(~self.clear)
                m.d.comb += [part.rewind.eq(1) for part in (self.mac, self.operands, self.requantiser)]
                m.d.sync += [layer.eq(0), base.eq(0), row_base.eq(0)]
                with m.If(self.clear):
                    m.next = "CLEAR"
                with m.Elif(self.in_valid):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [begin.eq(1), self.norm.begin.eq(1)]
                m.next = "EMBED"
            with m.State("EMBED"):
                m.d.comb += embed.eq(1)
                with m.If(embedded):
                    m.d.sync += fresh.eq(1)
                    m.next = "NORMALISE"
            with m.State("NORMALISE"):
                m.d.comb += self.norm.go.eq(fresh)
                with m.If(self.norm.done):
                    m.d.sync += fresh.eq(1)
                    m.next = "NORM"
            with m.State("NORM"), m.If(self._run(m, Pass(Kind.NORM, "", vector=Kind.NORM), fresh)):
                m.d.sync += fresh.eq(1)
                with m.If(layer == c.layers):
                    m.next = "HEAD"
                with m.Else():
                    m.next = "IN"
            for name, task in LAYER.items():
                with m.State(name), m.If(self._run(m, task, fresh)):
                    m.d.sync += fresh.eq(1)
                    m.next = task.then
                    if name == "OUT":
                        m.d.sync += [layer.eq(layer + 1), base.eq(base + c.e)]
                        m.d.sync += row_base.eq(row_base + c.e * plan.groups)
            with m.State("ANSWER"), m.If(self.best_valid):
                m.next = "IDLE"
        self._issue(m)

    def _clear(self, m: Module) -> Any:
        """h and the tails of the convolutions become 0, the generators their seeds; whether this is the last row."""
        c = self.plan.chip.config
        channels, rows = c.layers * c.e, c.layers * c.e * self.plan.groups
        at, seed = Signal(range(rows + 1)), Signal(32, init=0x9E3779B9)
        mixed = seed ^ c.seed
        m.d.comb += [self.scan.clear_at.eq(at), self.operands.clear_at.eq(at)]
        m.d.comb += self.scan.seed.eq(Mux(mixed == 0, 1, mixed))
        m.d.comb += [
            self.operands.clear.eq(self.scan.clear & (at < channels)),
            self.scan.clear_random.eq(at < channels),
        ]
        with m.If(self.scan.clear):
            m.d.sync += [at.eq(at + 1), seed.eq(seed + 0x9E3779B9)]
        with m.Else():
            m.d.sync += [at.eq(0), seed.eq(0x9E3779B9)]
        return at == rows - 1

    def _embed(self, m: Module, begin: Any, embed: Any) -> Any:
        """u of the byte; whether all of it is written."""
        c, left = self.plan.chip.config, self.operands.left
        byte, row, index = Signal(8), Signal(range(256 * c.d)), Signal(range(c.d + 2))
        words = [int(v) & 0xFF for v in self.plan.chip.embedding.ravel()]
        value = rom(m, row, words, 8).as_signed() << c.embedding_shift
        with m.If(self.in_ready):
            m.d.sync += byte.eq(self.in_byte)
        with m.If(begin):
            m.d.sync += [row.eq(byte * c.d), index.eq(0)]
        with m.Elif(embed):
            m.d.sync += [row.eq(row + 1), index.eq(index + 1)]
        with m.If(embed & (index >= 2)):
            m.d.comb += [left.write.eq(1), left.write_at.eq(index - 2), left.write_data.eq(value)]
            m.d.comb += [self.norm.valid.eq(1), self.norm.u.eq(value)]
        return index == c.d + 1

    def _run(self, m: Module, task: Pass, fresh: Any) -> Any:
        """Starts a pass in its first cycle; whether it ends in this one."""
        if task.vector is not None:
            m.d.comb += [self._start.eq(fresh), self._kind.eq(task.vector)]
        if task.job is not None:
            m.d.comb += [self.mac.start.eq(fresh), self.mac.job.eq(task.job)]
        if task.job is Kind.OUT:
            m.d.comb += self.norm.begin.eq(fresh)
        if task.scan:
            m.d.comb += self.scan.start.eq(fresh)
        out = self.curves.out if task.until in CURVED else self.requantiser.out
        return out.valid & out.last & (out.kind == task.until)

    def _issue(self, m: Module) -> None:
        """The elements of a pass over a vector, one a cycle."""
        c, issue = self.plan.chip.config, self.operands.issue
        run, kind, index = Signal(), Signal(4), Signal.like(issue.index, name="index")
        last = index == Mux(kind == Kind.NORM, c.d - 1, c.e - 1)
        with m.If(self._start):
            m.d.sync += [run.eq(1), kind.eq(self._kind), index.eq(0)]
        with m.Elif(run):
            m.d.sync += [run.eq(~last), index.eq(index + 1)]
        m.d.comb += [issue.valid.eq(run), issue.last.eq(last), issue.kind.eq(kind), issue.index.eq(index)]
