"""What a core of a given width does, cycle by cycle: its kinds of elements, its tapes, its cycles a byte."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from lasmlx.chip.chip_model import ChipModel, Scale

Ints = NDArray[np.int64]


class Kind(IntEnum):
    """What an element is when it is requantised: where it comes from, how wide it gets, where it goes."""

    NORM = 0  # direction of u -> activation
    X = 1  # rows of in_proj -> x
    Z = 2  # -> silu(z)
    CONV = 3  # -> s
    XS = 4  # s -> activation
    SKIP = 5  # s -> addend of READ
    LOW = 6  # rows of x_proj -> activation
    B = 7
    C = 8
    DT = 9  # rows of dt_proj -> dt
    DRIVE = 10  # dt s -> drive
    READ = 11  # C h + SKIP -> y
    GATE = 12  # y silu(z) -> activation
    OUT = 13  # rows of out_proj + u -> u
    HEAD = 14  # -> logits


CURVED = (Kind.Z, Kind.CONV, Kind.DT)  # these pass through the sigmoid
BIASED = (Kind.CONV, Kind.DT)

MULTIPLY = 11  # cycles from the issue of a block's last column to the element of its first row, or more
REQUANTISE = 11  # cycles from an element to what it is saturated to
CURVE = 8  # and through the sigmoid
NORM_SETTLE = 10  # cycles of the norm beside those that align its sum


@dataclass(frozen=True)
class Job:
    """A matrix on the MAC array: ``blocks`` blocks of rows, each ``columns`` cycles or more."""

    weight: Ints  # (rows, columns)
    macs: int

    @property
    def rows(self) -> int:
        return int(self.weight.shape[0])

    @property
    def columns(self) -> int:
        return int(self.weight.shape[1])

    @property
    def blocks(self) -> int:
        return -(-self.rows // self.macs)

    @property
    def period(self) -> int:
        """Cycles from a block to the next: its products, or its rows one by one."""
        return max(self.columns, self.macs)

    @property
    def cycles(self) -> int:
        """From the first product to the last row, latencies apart."""
        last = self.rows - (self.blocks - 1) * self.macs
        return (self.blocks - 1) * self.period + self.columns + last

    def words(self) -> list[int]:
        """The weights as the array reads them: ``macs`` bytes a word, one word a column of a block."""
        padded = np.zeros((self.blocks * self.macs, self.columns), np.uint8)
        padded[: self.rows] = (self.weight & 0xFF).astype(np.uint8)
        blocks = padded.reshape(self.blocks, self.macs, self.columns).transpose(0, 2, 1)
        return [int.from_bytes(word.tobytes(), "little") for word in blocks.reshape(-1, self.macs)]


@dataclass(frozen=True)
class Plan:
    """A core for ``chip`` with ``macs`` multipliers for the projections and ``lanes`` for the scan."""

    chip: ChipModel
    macs: int = 16  # products of the projections a cycle
    lanes: int = 1  # (channel, state) pairs of the scan a cycle; a power of two

    def __post_init__(self) -> None:
        name = self.chip.system.name
        if name != "int8":
            raise ValueError(f"rtl: system is {name!r}, expected 'int8': {name} has no RTL.")
        if not 1 <= self.macs <= 1024:
            raise ValueError(f"rtl: macs is {self.macs}, expected 1 to 1024.")
        if not (1 <= self.lanes <= 256 and self.lanes & (self.lanes - 1) == 0):
            raise ValueError(f"rtl: lanes is {self.lanes}, expected a power of two from 1 to 256.")

    @property
    def groups(self) -> int:
        """Cycles that one channel takes of the scan."""
        return -(-self.chip.config.n // self.lanes)

    @property
    def fetch(self) -> int:
        """Cycles from the issue of an element to its requantisation: memory, a product, a shift or a sum, a choice."""
        return 1 + max(6, 3 + ceil(log2(self.chip.config.k)))

    @property
    def decay_stage(self) -> int:
        """Cycles from the issue of a pair of the scan to its decay."""
        return 8 if self.chip.config.decay == "table" else 4

    @property
    def write_stage(self) -> int:
        """Cycles from the issue of a pair to the write of its h."""
        return self.decay_stage + 4

    @property
    def read_stage(self) -> int:
        """Cycles from the issue of a channel's last pair to its sum of C h."""
        return self.write_stage + 2 + self.lanes.bit_length() - 1

    @property
    def multiply(self) -> int:
        """Latency of the MAC array; never so short that its rows meet the elements of a pass issued with it."""
        return max(MULTIPLY, self.fetch + 1)

    @property
    def power_bits(self) -> int:
        """Bits, an even number, of the sum of squares of the norm."""
        bits = ((1 << 30) * self.chip.config.d + self.chip.config.eps).bit_length()
        return max(32, bits + bits % 2)

    @property
    def value_bits(self) -> int:
        """Bits of the widest sum that is requantised: that of out_proj, times the largest exponent of a block."""
        w = self.chip.system
        rows = max(int(np.abs(at.out_proj.weight).sum(1).max()) for at in self.chip.layers)
        return max(w.accumulator, (rows << w.lane).bit_length() + 1)

    def job(self, layer: int, kind: Kind) -> Job:
        """The matrix whose first rows are elements of ``kind``."""
        if kind is Kind.HEAD:
            return Job(self.chip.head.weight, self.macs)
        at = self.chip.layers[layer]
        linear = {Kind.X: at.in_proj, Kind.LOW: at.x_proj, Kind.DT: at.dt_proj, Kind.OUT: at.out_proj}[kind]
        return Job(linear.weight, self.macs)

    def weights(self) -> list[int]:
        """The tape of weights, one word a cycle of the array, in the order of a byte."""
        kinds = (Kind.X, Kind.LOW, Kind.DT, Kind.OUT)
        words = [word for i in range(self.chip.config.layers) for kind in kinds for word in self.job(i, kind).words()]
        return words + self.job(0, Kind.HEAD).words()

    def scales(self) -> list[int]:
        """The tape of requantisations: multiplier, and above its 16 bits the shift less 1."""
        pairs: list[Scale] = []
        for at in self.chip.layers:
            pairs += [at.norm, at.in_proj.scale, at.conv_scale, at.x_scale, at.skip_scale, at.x_proj.scale]
            pairs += [at.dt_proj.scale, at.drive_scale, at.read_scale, at.gate_scale, at.out_proj.scale]
        pairs += [self.chip.norm, self.chip.head.scale]
        return [int(m) & 0xFFFF | int(s) - 1 << 16 for by in pairs for m, s in zip(*by, strict=True)]

    def biases(self) -> list[int]:
        """The tape of biases."""
        return [int(v) for at in self.chip.layers for part in (at.conv_bias, at.dt_bias) for v in part]

    def convolutions(self) -> list[int]:
        """The tape of taps: a word a channel, its oldest tap lowest."""
        rows = np.concatenate([at.conv for at in self.chip.layers])
        return [int.from_bytes((row & 0xFF).astype(np.uint8).tobytes(), "little") for row in rows]

    def decays(self) -> list[int]:
        """A of every layer, channel and group: ``lanes`` values of 16 bits a word."""
        c = self.chip.config
        padded = np.zeros((c.layers * c.e, self.groups * self.lanes), "<u2")
        padded[:, : c.n] = np.concatenate([at.A for at in self.chip.layers])
        return [int.from_bytes(word.tobytes(), "little") for word in padded.reshape(-1, self.lanes)]

    def cycles(self) -> int:
        """Clock cycles from a byte taken to the next one taken."""
        c = self.chip.config
        vector, rows = c.e + self.fetch + REQUANTISE + 1, self.multiply + REQUANTISE
        norm = self.power_bits // 2 + NORM_SETTLE + 1 + c.d + self.fetch + REQUANTISE + 1
        step = c.d + 4 + norm + rows + self.job(0, Kind.HEAD).cycles + 2
        for i in range(c.layers):
            step += norm + sum(rows + self.job(i, kind).cycles for kind in (Kind.X, Kind.LOW, Kind.DT, Kind.OUT))
            step += 4 * vector + 3 * CURVE  # CONV, X, DRIVE, GATE; in_proj, CONV and dt_proj pass the sigmoid
            step += (c.substeps - 1) * (c.e * self.groups + self.write_stage)
            step += c.e * self.groups + self.read_stage + REQUANTISE + 2
        return step
