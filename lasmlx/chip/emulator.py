"""A chip on this processor: the fast step of int8 chips, and the plain one that counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lasmlx._chip as _chip
from lasmlx.chip.chip_model import ChipModel
from lasmlx.chip.twin import ChipState


@dataclass(frozen=True)
class Range:
    """What passed through one tensor."""

    count: int
    saturated: int
    low: int  # before saturation
    high: int


class Emulator:
    """The integers of :mod:`lasmlx.chip.twin`, bit for bit, as fast as this processor goes.

    Args:
        chip: what to run.
        crossbars: for each matrix that an analog array multiplies, its cells and converters; none is the digital chip.
        isa: instruction set; empty picks the best of this processor.
    """

    def __init__(self, chip: ChipModel, crossbars: Mapping[str, Crossbar] | None = None, isa: str = "") -> None:
        self.chip = chip
        names = {f.name for f in dataclasses.fields(chip.system)} - {"name", "weight", "accumulator", "multiplier"}
        settings = {name: getattr(chip.system, name) for name in names}
        c = chip.config
        sizes = ("d", "layers", "e", "n", "k", "rank", "substeps", "state_bits", "dt_min", "dt_range", "decay_shift")
        settings |= {name: getattr(c, name) for name in (*sizes, "embedding_shift", "eps", "seed")}
        settings |= {"wide": c.system == "q16", "euler": c.decay == "euler", "stochastic": c.rounding == "stochastic"}
        arrays = {name: np.ascontiguousarray(v, dtype=np.int64) for name, v in chip.arrays.items()}
        self._model = _chip.Model(settings, arrays, isa)
        for matrix, bar in (crossbars or {}).items():
            cell, step = (np.ascontiguousarray(v, dtype=np.int64) for v in (bar.cell, bar.adc_step))
            self._model.add_crossbar(matrix, cell, bar.dac_drop, bar.adc_bits, step, bar.read_noise)
        self.isa: str = self._model.isa

    def session(self, seed: int = 0, *, counting: bool = False, plain: bool = False) -> ChipSession:
        """A new stream.

        Args:
            seed: of the numbers that `generate` draws.
            counting: keep ranges and saturations of every tensor; takes the plain step.
            plain: take the plain step in any case.
        """
        return ChipSession(self, seed, counting, plain)


@dataclass(frozen=True)
class Crossbar:
    """How an analog array multiplies in the place of a matrix."""

    cell: NDArray[np.int64]  # (out, in), what each weight has become, in 1/256
    dac_drop: int  # low bits of an input that the DAC does not have
    adc_bits: int
    adc_step: NDArray[np.int64]  # (out,), one of the ADC's, in 1/256
    read_noise: int  # standard deviation of a cell at each reading, in 1/65536 of a weight's one


class ChipSession:
    """One stream through a chip, as :class:`lasmlx.stream.Session`; one thread at a time uses it."""

    def __init__(self, emulator: Emulator, seed: int, counting: bool, plain: bool) -> None:
        self._chip = emulator.chip
        unit = 2.0**-emulator.chip.config.logit_fraction
        self._session: Any = _chip.Session(emulator._model, seed, unit, counting, plain)

    @property
    def fast(self) -> bool:
        """Whether the fast step runs."""
        return self._session.fast

    @property
    def logits(self) -> NDArray[np.float32]:
        """The scores (256,) of the byte to come."""
        return self._session.logits * np.float32(2.0**-self._chip.config.logit_fraction)

    def step(self, byte: int) -> NDArray[np.int32]:
        """Logits (256,) after one more byte, in 2^-logit_fraction."""
        return self._session.step(byte)

    def feed(self, data: bytes) -> NDArray[np.float32]:
        """The scores (256,) after all of data."""
        self._session.feed(data)
        return self.logits

    def trace(self, data: bytes) -> NDArray[np.int32]:
        """Logits after every byte of data, (len(data), 256), in 2^-logit_fraction."""
        return self._session.trace(data)

    def log_loss(self, data: bytes) -> float:
        """As :meth:`lasmlx.stream.Session.log_loss`, nats."""
        return self._session.log_loss(data)

    def generate(self, count: int, temperature: float = 0.8, top_k: int = 0) -> tuple[bytes, NDArray[np.uint32]]:
        """As :meth:`lasmlx.stream.Session.generate`."""
        return self._session.generate(count, temperature, top_k)

    def scan_seconds(self, count: int) -> float:
        """Seconds that the scan of the first layer takes alone, the mean of ``count`` times; the state moves on."""
        return self._session.scan_seconds(count)

    def reset(self) -> None:
        """Back to the state before the first byte."""
        self._session.reset()

    def seed(self, seed: int) -> None:
        """Start the numbers that `generate` draws again."""
        self._session.seed(seed)

    @property
    def ranges(self) -> dict[str, Range]:
        """What passed through every tensor, by the names of docs/chip.md; of a session that counts."""
        return {name: Range(*values) for name, values in self._session.ranges().items()}

    @property
    def state(self) -> ChipState:
        """What the chip keeps between two bytes. Reading copies; setting it also discards the last logits.

        The reading noise of an analog part is no part of it: it starts anew.
        """
        return ChipState(*self._session.state())

    @state.setter
    def state(self, state: ChipState) -> None:
        c, w = self._chip.config, self._chip.system
        top, activation = 1 << (w.state - 1), 1 << (w.activation - 1)
        bounds = {"tail": (-activation, activation - 1), "h": (-top, top - 1), "random": (1, (1 << 32) - 1)}
        shapes = {"tail": (c.layers, c.k - 1, c.e), "h": (c.layers, c.e, c.n), "random": (c.layers, c.e)}
        parts = []
        for name, (low, high) in bounds.items():
            value = np.asarray(getattr(state, name))
            if value.shape != shapes[name] or value.dtype.kind not in "iu":
                raise ValueError(
                    f"state: {name} is {value.dtype} of shape {value.shape}, expected integers {shapes[name]}."
                )
            if value.size and not (low <= value.min() and value.max() <= high):
                raise ValueError(f"state: {name} holds {value.min()} to {value.max()}, expected {low} to {high}.")
            parts.append(np.ascontiguousarray(value, dtype=np.int64))
        self._session.set_state(tuple(parts))


def feed_many(sessions: Sequence[ChipSession], data: Sequence[bytes]) -> None:
    """Each session through its own bytes, the sessions spread over the cores."""
    _chip.feed_many([s._session for s in sessions], list(data))


def supported_isas() -> Sequence[str]:
    """The instruction sets that this processor runs, slowest first."""
    return _chip.supported_isas()
