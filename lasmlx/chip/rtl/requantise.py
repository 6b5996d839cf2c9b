"""floor(v m / 2^s + 1/2), one element a cycle, for every requantisation of a step."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Elaboratable, Module, Mux, Signal, signed

from lasmlx.chip.rtl.memory import later, one_of, signed_bits, tape, trail
from lasmlx.chip.rtl.plan import BIASED, REQUANTISE, Kind, Plan

LONGEST = 31  # bits of the widest result, that of SKIP


class Requantiser(Elaboratable):
    """``value`` with its bias, scaled by its place on the tape, plus ``addend``, saturated to its kind's width.

    Signals:
        element, value: what to scale.
        addend_element: whose addend is wanted two cycles later, in ``addend``.
        out, result: what came of it, ``REQUANTISE`` cycles after ``element``.
    """

    def __init__(self, plan: Plan, layout: Any) -> None:
        self.plan = plan
        self.rewind = Signal()
        self.element, self.value = Signal(layout), Signal(signed(plan.value_bits))
        self.addend_element, self.addend = Signal(layout), Signal(signed(LONGEST))
        self.out, self.result = Signal(layout), Signal(signed(LONGEST))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        at, bits = trail(m, self.element, REQUANTISE), self.plan.value_bits
        scale = tape(m, self.rewind, self.element.valid, self.plan.scales(), 22)  # stage 2
        biases = self.plan.biases()
        bias_bits = signed_bits(biases)
        has_bias = self.element.valid & one_of(self.element.kind, *BIASED)
        bias = tape(m, self.rewind, has_bias, [v & ((1 << bias_bits) - 1) for v in biases], bias_bits)
        kept = Mux(one_of(at[2].kind, *BIASED), bias.as_signed(), 0)
        value = Signal(signed(bits), reset_less=True)
        m.d.sync += value.eq(later(m, self.value, 2) + kept)  # stage 3
        multiplier = later(m, scale[:16].as_signed())
        low, high = later(m, value[:16] * multiplier), later(m, value[16:].as_signed() * multiplier)
        whole = Signal(signed(bits + 16), reset_less=True)
        m.d.sync += whole.eq(low + (high << 16))  # stage 5
        shift = later(m, scale[16:], 3)
        coarse, fine, rounded = (Signal(signed(bits + 16), reset_less=True) for _ in range(3))
        m.d.sync += coarse.eq(Array(whole >> 8 * i for i in range(6))[shift[3:]])
        m.d.sync += fine.eq(Array(coarse >> i for i in range(8))[later(m, shift[:3])])
        m.d.sync += rounded.eq((fine + 1) >> 1)  # stage 8
        total = Signal(signed(bits + 17), reset_less=True)
        added = one_of(at[8].kind, Kind.READ, Kind.OUT)
        m.d.comb += self.addend_element.eq(at[6])
        m.d.sync += total.eq(rounded + Mux(added, self.addend, 0))  # stage 9
        m.d.comb += [self.out.eq(at[REQUANTISE]), self.result.eq(self._saturate(m, at[9], total))]
        return m

    def _saturate(self, m: Module, element: Any, total: Any) -> Any:
        """In two stages: whether it fits each width, then the width of its kind."""
        w = self.plan.chip.system
        widths = (
            (w.activation, (Kind.NORM, Kind.X, Kind.XS)),
            (w.mix, (Kind.B, Kind.C)),
            (w.lane, (Kind.Z, Kind.CONV, Kind.LOW, Kind.DT, Kind.READ, Kind.GATE, Kind.OUT, Kind.HEAD)),
            (w.drive, (Kind.DRIVE,)),
        )
        over, limit = Signal(reset_less=True), Signal(LONGEST, reset_less=True)
        flags: list[Any] = []
        for bits, kinds in widths:
            outside = total[bits - 1 :]
            flags.append((one_of(element.kind, *kinds), later(m, outside.any() & ~outside.all()), bits))
        m.d.comb += [over.eq(0), limit.eq(0)]
        for chosen, outside, bits in flags:
            with m.If(later(m, chosen)):
                m.d.comb += [over.eq(outside), limit.eq((1 << (bits - 1)) - 1)]
        sign, kept = later(m, total[-1]), later(m, total[:LONGEST])
        result = Signal(signed(LONGEST), reset_less=True)
        m.d.sync += result.eq(Mux(over, limit ^ sign.replicate(LONGEST), kept))
        return result
