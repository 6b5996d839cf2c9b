"""Bytes over two wires: 8 data bits, no parity, one stop bit."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lasmlx.chip.chip_model import ChipModel
from lasmlx.chip.rtl.core import Core


def divisor_of(clock_hz: float, baud: float) -> int:
    """Clock cycles a bit.

    Raises:
        ValueError: the clock makes no baud rate within 2 % of ``baud``.
    """
    divisor = max(1, round(clock_hz / baud))
    off = abs(clock_hz / divisor / baud - 1)
    if divisor < 4 or off > 0.02:
        raise ValueError(f"rtl: baud is {baud:g}, expected one that a clock of {clock_hz:g} Hz makes to 2 %.")
    return divisor


class Receiver(wiring.Component):
    """A byte of ``rx``, with ``valid`` for one cycle."""

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "byte": Out(8), "valid": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        wire = Signal(3, init=7)  # two stages against metastability, one to see an edge
        m.d.sync += [wire.eq(Cat(self.rx, wire)), self.valid.eq(0)]
        left, bits = Signal(range(self.divisor * 3 // 2 + 1)), Signal(range(10))
        with m.If(bits == 0), m.If(wire[2] & ~wire[1]):
            m.d.sync += [bits.eq(9), left.eq(self.divisor * 3 // 2 - 1)]  # the middle of the first data bit
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += [left.eq(self.divisor - 1), bits.eq(bits - 1)]
            with m.If(bits == 1):
                m.d.sync += self.valid.eq(wire[2])
            with m.Else():
                m.d.sync += self.byte.eq(Cat(self.byte[1:], wire[2]))
        return m


class Transmitter(wiring.Component):
    """``byte`` on ``tx``, when valid and ready."""

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"tx": Out(1, init=1), "byte": In(8), "valid": In(1), "ready": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        left, bits, frame = Signal(range(self.divisor)), Signal(range(11)), Signal(10, init=0x3FF)
        m.d.comb += [self.tx.eq(frame[0]), self.ready.eq(bits == 0)]
        with m.If(bits == 0), m.If(self.valid):
            m.d.sync += [frame.eq(Cat(0, self.byte, 1)), bits.eq(10), left.eq(self.divisor - 1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += [left.eq(self.divisor - 1), bits.eq(bits - 1), frame.eq(Cat(frame[1:], 1))]
        return m


class SerialChip(wiring.Component):
    """A chip on a serial line: every byte received is stepped, and the likeliest next byte is sent back.

    Ports:
        rx, tx: the line.
        overrun: a byte came while the one before it was still waiting, and was lost; stays high until a reset.
    """

    def __init__(
        self, chip: ChipModel, *, macs: int = 16, lanes: int = 1, clock_hz: float = 50e6, baud: float = 115200
    ) -> None:
        self.core = Core(chip, macs=macs, lanes=lanes)
        self.divisor = divisor_of(clock_hz, baud)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "overrun": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        core = m.submodules.core = self.core
        m.submodules.receiver = receiver = Receiver(self.divisor)
        m.submodules.transmitter = transmitter = Transmitter(self.divisor)
        waiting = Signal()
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx), core.in_valid.eq(waiting)]
        with m.If(core.in_ready):
            m.d.sync += waiting.eq(0)
        with m.If(receiver.valid):
            m.d.sync += [waiting.eq(1), core.in_byte.eq(receiver.byte)]
            with m.If(waiting & ~core.in_ready):
                m.d.sync += self.overrun.eq(1)
        answer, sending = Signal(8), Signal()
        m.d.comb += [transmitter.byte.eq(answer), transmitter.valid.eq(sending)]
        with m.If(transmitter.ready):
            m.d.sync += sending.eq(0)
        with m.If(core.best_valid):
            m.d.sync += [answer.eq(core.best), sending.eq(1)]
        return m
