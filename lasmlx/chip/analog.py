"""An analog part: a memory array that multiplies where its weights lie, with what its devices and converters add.

A weight w, a whole number within -127 .. 127, is the difference of two conductances,
``w = 127 (g+ - g-) / (g_max - g_min)``; one of the two is at g_min. The device model is that of phase-change memory
(Nandakumar et al. 2019, Joshi et al. 2020) with the constants that aihwkit publishes for it.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.chip.analog_twin import analog_chip, matrices
from lasmlx.chip.chip_model import ChipModel
from lasmlx.chip.emulator import Crossbar
from lasmlx.chip.twin import init_state, step
from lasmlx.models.config import ConfigError, build, expect

Floats = NDArray[np.float64]

MOST = 127  # the largest weight
PROGRAMMING = (0.26348, 1.9650, -1.1731)  # sigma in uS at g_max = 25 uS, by powers of g / g_max (Joshi et al. 2020)
PROGRAMMED_AT = 25.0  # uS
DRIFT_MEAN = (-0.0155, 0.0244, 0.049, 0.1)  # nu = a ln(g / g_max) + b, within low .. high (Joshi et al. 2020)
DRIFT_SD = (-0.0125, -0.0059, 0.008, 0.045)
FIRST_READ = 20.0  # s, t_c: the conductance 20 s after its last pulse counts as the programmed one
READ_TIME = 250e-9  # s, of a reading's pulse
FLICKER = (0.0088, 0.65, 0.2)  # Q_s = min(a / (g / g_max)^b, most)
ACTIVITY = 0.25  # |x| / 127 of a row on average, for the wires' voltage drop
ALL_BYTES = bytes(range(256))
ALL_BITS = 40  # of an ADC without limits: no sum has more
MOST_GAIN = 1000.0  # of drift compensation
LIMIT = 1 << 30  # of a cell in 1/256, an ADC's step in 1/256 and the reading noise in 1/65536


@dataclass(frozen=True)
class AnalogPart:
    """What an analog array is made of; the default is phase-change memory with 8-bit converters.

    A scale of 0 switches its fault off. Names of the same knob in aihwkit are in brackets.
    """

    g_max: float = 25.0  # uS [g_max]; Joshi et al. 2020
    g_min: float = 0.0  # uS, of the device that carries nothing
    programming_noise: float = 1.0  # times sigma(g) of Joshi et al. 2020 [prog_noise_scale]
    drift: float = 1.0  # times the exponents nu of Joshi et al. 2020 [drift_scale]
    compensation: bool = True  # one gain a matrix that restores its mean magnitude [GlobalDriftCompensation]
    flicker_noise: float = 1.0  # times the 1/f noise since programming [read_noise_scale]
    read_noise: float = 0.0175  # sd of a reading at g_max in shares of it, anew at each [w_noise]; Rasch et al. 2023
    mismatch: float = 0.0  # relative sd of a device
    wire: float = 0.35  # ohm of a column's wire from cell to cell [ir_drop_g_ratio = 1 / (0.35 ohm 5 uS)]
    stuck_low: float = 0.0  # share of devices stuck at g_min
    stuck_high: float = 0.0  # share of devices stuck at g_max
    dac_bits: int = 8  # [inp_res]
    adc_bits: int = 8  # [out_res]; 0: as many as the sums need
    adc_range: float = 4.0  # sd of the widest column's sum on calibration data; beyond them the ADC clips [out_bound]
    rows: int = 512  # inputs that one array takes [max_input_size]; columns are free
    seed: int = 0  # of the devices: one seed, one part

    def __post_init__(self) -> None:
        for name, low, high in (
            ("programming_noise", 0, 100), ("drift", 0, 10), ("flicker_noise", 0, 100), ("read_noise", 0, 10),
            ("mismatch", 0, 1), ("wire", 0, 1e3), ("stuck_low", 0, 1), ("stuck_high", 0, 1), ("dac_bits", 1, 8),
            ("adc_bits", 0, 24), ("rows", 1, 8192), ("seed", 0, (1 << 32) - 1),
        ):  # fmt: skip
            value = getattr(self, name)
            expect("an analog part", name, value, low <= value <= high, f"{low:g} to {high:g}")
        expect("an analog part", "g_max", self.g_max, 0 < self.g_max <= 1e6, "more than 0, to 1e6 uS")
        expect("an analog part", "g_min", self.g_min, 0 <= self.g_min < self.g_max, f"0 to below g_max = {self.g_max}")
        expect("an analog part", "adc_bits", self.adc_bits, self.adc_bits != 1, "0 or 2 to 24")
        expect("an analog part", "adc_range", self.adc_range, 0 < self.adc_range <= 1e3, "more than 0, to 1000")
        stuck = self.stuck_low + self.stuck_high
        expect("an analog part", "stuck_low + stuck_high", stuck, stuck <= 1, "1 at most")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON or TOML."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The reverse of :meth:`to_dict`; what is left out keeps its default.

        Raises:
            ConfigError: a key is unknown, or a value has the wrong type or range.
        """
        return build(cls, values, "an analog part")

    @classmethod
    def parse(cls, text: str) -> Self:
        """``"pcm"``, ``"ideal"``, or either with changes: ``"pcm,adc_bits=8,read_noise=0.01"``.

        Raises:
            ConfigError: the first word is no part that ships, or a change is no ``name=value`` that the part takes.
        """
        name, *changes = (piece.strip() for piece in text.split(","))
        if name not in PARTS:
            raise ConfigError(f"an analog part: {name!r} is not one of {', '.join(PARTS)}.")
        values = dict(PARTS[name])
        for change in changes:
            key, equals, value = (piece.strip() for piece in change.partition("="))
            if not equals:
                raise ConfigError(f"an analog part: {change!r} is no change such as adc_bits=8.")
            values[key] = _value(value)
        return cls.from_dict(values)


PARTS: dict[str, dict[str, Any]] = {
    "pcm": {},
    "ideal": {
        "programming_noise": 0.0, "drift": 0.0, "flicker_noise": 0.0, "read_noise": 0.0, "wire": 0.0, "adc_bits": 0,
    },
}  # fmt: skip
"""Parts that ship, as what they change of the default."""


def column_spread(chip: ChipModel, data: bytes) -> dict[str, float]:
    """Standard deviation, by matrix, of the widest column's sum while the digital chip reads ``data``.

    Raises:
        ValueError: ``data`` has no bytes.
    """
    if not data:
        raise ValueError("column_spread: data has 0 bytes, expected some to measure the sums on.")
    seen: dict[str, list[NDArray[np.int64]]] = {}
    watched = analog_chip(chip, lambda name, weight: _Watched(weight, seen.setdefault(name, [])))
    state = init_state(chip)
    for byte in data:
        _, state = step(watched, state, byte)
    return {name: max(1.0, float(np.sqrt((np.array(sums, float) ** 2).mean(0).max()))) for name, sums in seen.items()}


def crossbars(
    chip: ChipModel, part: AnalogPart, seconds: float = 0.0, spread: Mapping[str, float] | None = None
) -> dict[str, Crossbar]:
    """What the array of every matrix has become, for :class:`lasmlx.chip.emulator.Emulator`.

    The devices are drawn once from the seed of ``part``, a stream of draws for each matrix and fault: the same part at
    a later time is the same part, older.

    Args:
        seconds: since the part was programmed (that is, since ``FIRST_READ`` after the last pulse), as in aihwkit.
        spread: of :func:`column_spread`, to set the ADC by; None calibrates on each byte once.

    Raises:
        ValueError: the chip is not int8, a matrix has more inputs than the array, ``seconds`` is no time, or
            ``spread`` lacks a matrix.
    """
    if chip.config.system != "int8":
        raise ValueError(f"crossbars: the chip is {chip.config.system}, expected int8: no device holds 32 bits.")
    if not 0 <= seconds < math.inf:
        raise ValueError(f"crossbars: seconds is {seconds}, expected 0 or more.")
    weights = {name: linear.weight for name, linear in matrices(chip).items()}
    for name, weight in weights.items():
        if weight.shape[1] > part.rows:
            raise ValueError(f"crossbars: {name} has {weight.shape[1]} inputs, the array {part.rows} rows.")
    if spread is None:
        spread = column_spread(chip, ALL_BYTES) if part.adc_bits else {}
    if part.adc_bits and (missing := weights.keys() - spread.keys()):
        raise ValueError(f"crossbars: spread lacks {', '.join(sorted(missing))}.")
    return {name: _crossbar(part, name, weight, seconds, spread.get(name, 1.0)) for name, weight in weights.items()}


def weight_noise(part: AnalogPart) -> Callable[[str, mx.array], mx.array]:
    """``w -> 127 (g+ - g-) / (g_max - g_min)`` with programming noise and mismatch, drawn anew at each call.

    For :class:`lasmlx.chip.fake.FakeQuantized`, so that training meets the faults; the gradient is that of the
    identity.
    """
    wide = part.g_max - part.g_min

    def device(share: mx.array) -> mx.array:
        g = part.g_min + wide * share
        sigma = programming_sigma(g, part)
        g = mx.maximum(g + sigma * mx.random.normal(g.shape), 0.0)
        return g * mx.maximum(1 + part.mismatch * mx.random.normal(g.shape), 0.0)

    def noisy(name: str, whole: mx.array) -> mx.array:
        positive, negative = (device(mx.clip(sign * whole / MOST, 0.0, 1.0)) for sign in (1, -1))
        return whole + mx.stop_gradient(MOST / wide * (positive - negative) - whole)

    return noisy


def programming_sigma(g: Any, part: AnalogPart) -> Any:
    """sigma(g) = sum_i c_i (g / g_max)^i g_max / 25 uS, in uS; g an array of NumPy or MLX."""
    share = g / part.g_max
    c0, c1, c2 = PROGRAMMING
    return part.programming_noise * part.g_max / PROGRAMMED_AT * (c0 + share * (c1 + share * c2))


def conductances(part: AnalogPart, name: str, weight: NDArray[np.int64], seconds: float) -> Floats:
    """g+ and g- (2, out, in) in uS, ``seconds`` after programming, wires not yet counted."""
    sides = np.stack([weight, -weight]).clip(0) / MOST
    target = part.g_min + (part.g_max - part.g_min) * sides
    shape = target.shape

    def draw(fault: str) -> np.random.Generator:
        return np.random.default_rng([part.seed, zlib.crc32(f"{name}/{fault}".encode())])

    g = np.maximum(target + programming_sigma(target, part) * draw("programming").standard_normal(shape), 0.0)
    g *= np.maximum(1 + part.mismatch * draw("mismatch").standard_normal(shape), 0.0)
    age, share = seconds + FIRST_READ, np.maximum(g / part.g_max, 1e-7)
    nu = np.abs(_line(DRIFT_MEAN, target, part) + _line(DRIFT_SD, target, part) * draw("drift").standard_normal(shape))
    then = g * (age / FIRST_READ) ** (-part.drift * nu)
    a, b, most = FLICKER
    flicker = np.minimum(a / share**b, most) * math.sqrt(math.log((age + READ_TIME) / (2 * READ_TIME)))
    then = np.maximum(then * (1 + part.flicker_noise * flicker * draw("flicker").standard_normal(shape)), 0.0)
    luck = draw("stuck").random(shape)
    then = np.where(luck < part.stuck_low, part.g_min, then)
    return np.where(luck >= 1 - part.stuck_high, part.g_max, then)


def wire_drop(g: Floats, wire: float) -> Floats:
    """The conductance that a cell seems to have at the far end of its wire: g_i (1 - r sum_j min(i, j) a g_j).

    First order in the wire's resistance r: the current of cell j, of the mean activity a, flows through the
    ``min(i, j)`` resistances that it shares with cell i = 1 .. in, counted from the ADC.

    Args:
        g: (..., out, in), uS.
        wire: r, ohm.
    """
    current = g[..., ::-1].cumsum(-1)[..., ::-1].cumsum(-1)  # sum_j min(i, j) g_j
    return g * np.maximum(1 - wire * ACTIVITY * 1e-6 * current, 0.0)


def _crossbar(part: AnalogPart, name: str, weight: NDArray[np.int64], seconds: float, spread: float) -> Crossbar:
    fresh, g = (wire_drop(conductances(part, name, weight, t), part.wire) for t in (0.0, seconds))
    one = MOST / (part.g_max - part.g_min)
    gain = 1.0
    if part.compensation:
        before, after = (float(np.abs(v[0] - v[1]).mean()) for v in (fresh, g))
        gain = min(before / after, MOST_GAIN) if before > 0 and after > 0 else 1.0
    cell = np.rint(256 * gain * one * (g[0] - g[1])).clip(-LIMIT, LIMIT).astype(np.int64)
    noise = part.read_noise * part.g_max * one * gain * math.sqrt(g.sum(0).mean() / part.g_max)
    full = part.adc_range * spread * gain * 256
    step = min(max(1, round(full / 2 ** (part.adc_bits - 1))), LIMIT) if part.adc_bits else 1
    steps = np.full(len(weight), step, np.int64)
    return Crossbar(cell, 8 - part.dac_bits, part.adc_bits or ALL_BITS, steps, min(round(65536 * noise), LIMIT))


def _line(constants: tuple[float, float, float, float], g: Floats, part: AnalogPart) -> Floats:
    slope, offset, low, high = constants
    return np.clip(slope * np.log(np.maximum(g / part.g_max, 1e-7)) + offset, low, high)


class _Watched:
    """A matrix that keeps its sums."""

    def __init__(self, weight: NDArray[np.int64], sums: list[NDArray[np.int64]]) -> None:
        self._weight, self._sums = weight, sums

    def __matmul__(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        self._sums.append(self._weight @ x)
        return self._sums[-1]


def _value(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
