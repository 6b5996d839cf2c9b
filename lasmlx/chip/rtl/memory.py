"""Memories with a registered output, and delays: what every part of the core is built with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.memory import Memory


def element_layout(index_bits: int) -> data.StructLayout:
    """What travels beside a value: whether it is one, of which kind, its index, whether it ends its pass."""
    return data.StructLayout({"valid": 1, "last": 1, "kind": 4, "index": index_bits})


def later(m: Module, value: Any, by: int = 1) -> Any:
    """``value`` by so many cycles later."""
    for _ in range(by):
        kept = Signal.like(value, name="later", reset_less=True)
        m.d.sync += kept.eq(value)
        value = kept
    return value


def kept(m: Module, flag: Any, by: int) -> Any:
    """A flag so many cycles later; low after a reset."""
    for _ in range(by):
        stage = Signal(name="flag")
        m.d.sync += stage.eq(flag)
        flag = stage
    return flag


def trail(m: Module, element: Any, length: int) -> list[Any]:
    """``element`` as it is 0, 1 .. ``length`` cycles later; what is invalid stays so through a reset."""
    stages = [element]
    for _ in range(length):
        kept = Signal(element.shape(), name="trail")
        m.d.sync += kept.eq(stages[-1])
        stages.append(kept)
    return stages


def one_of(kind: Any, *kinds: int) -> Any:
    """Whether ``kind`` is one of ``kinds``."""
    return Cat(kind == k for k in kinds).any()


def saturated(value: Any, bits: int) -> Any:
    """``value`` within ``bits`` bits, the sign included."""
    sign, over = value[-1], value[bits - 1 :].any() & ~value[bits - 1 :].all()
    limit = Mux(sign, 1 << (bits - 1), (1 << (bits - 1)) - 1)
    return Mux(over, limit, value[:bits])[:bits].as_signed()


def summed(m: Module, values: Sequence[Any]) -> tuple[Any, int]:
    """The sum of ``values`` through registered pairs, and its latency."""
    level, latency = list(values), 0
    while len(level) > 1:
        pairs = [level[i] + level[i + 1] if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]
        level, latency = [later(m, pair) for pair in pairs], latency + 1
    return level[0], latency


def product(m: Module, value: Any, by: Any, low_bits: int = 17) -> Any:
    """value by, two cycles later, from products no wider than ``low_bits`` of ``value``."""
    if len(value) <= low_bits + 1:
        return later(m, later(m, value * by))
    low, high = later(m, value[:low_bits] * by), later(m, value[low_bits:].as_signed() * by)
    return later(m, low + (high << low_bits))


def rom(m: Module, address: Any, words: Sequence[int], bits: int) -> Any:
    """The word at ``address``, two cycles later; in slices as wide as a block RAM of 18 kbit is at that depth."""
    padded = [*words, *[0] * (2 - len(words))]
    width = max(1, min(32, (1 << 14) >> (len(padded) - 1).bit_length()))
    slices = []
    for low in range(0, bits, width):
        size = min(width, bits - low)
        part = [word >> low & ((1 << size) - 1) for word in padded]
        memory = m.submodules[f"rom{len(m._named_submodules)}"] = Memory(shape=size, depth=len(padded), init=part)
        port = memory.read_port()
        m.d.comb += port.addr.eq(address)
        slices.append(later(m, port.data))
    return Cat(slices)


def tape(m: Module, rewind: Any, move: Any, words: Sequence[int], bits: int) -> Any:
    """The words in their order: ``move`` shows the present one two cycles later and goes on to the next."""
    at = Signal(range(max(2, len(words) + 1)))
    with m.If(rewind):
        m.d.sync += at.eq(0)
    with m.Elif(move):
        m.d.sync += at.eq(at + 1)
    return rom(m, at, words, bits)


class Ram(Elaboratable):
    """Words that are read two cycles after their address and written in one."""

    def __init__(self, shape: Any, depth: int, parts: int = 1) -> None:
        self.depth, self.parts = max(2, depth), parts
        self.shape = shape
        bits = Const(0, shape).shape().width * parts
        self.read_at = Signal(range(self.depth))
        self.data = Signal(bits if parts > 1 else shape, reset_less=True)
        self.write = Signal(parts)
        self.write_at = Signal(range(self.depth))
        self.write_data = Signal(bits if parts > 1 else shape)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bits = len(self.data)
        m.submodules.memory = memory = Memory(shape=bits, depth=self.depth, init=[])
        port = memory.read_port()
        write = memory.write_port(granularity=bits // self.parts if self.parts > 1 else None)
        m.d.comb += [port.addr.eq(self.read_at), write.addr.eq(self.write_at)]
        m.d.comb += [write.data.eq(self.write_data), write.en.eq(self.write)]
        m.d.sync += self.data.eq(port.data)
        return m


def signed_bits(values: Sequence[int]) -> int:
    """Bits, the sign included, that hold all of ``values``."""
    return max([(v if v >= 0 else ~v).bit_length() + 1 for v in values] or [1])
