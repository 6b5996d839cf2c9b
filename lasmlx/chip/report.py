"""How good a chip is against its model, and what it would cost. Nothing here prints."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.chip.analog import ALL_BYTES, AnalogPart, column_spread, crossbars
from lasmlx.chip.analog_twin import with_crossbars
from lasmlx.chip.chip_model import ChipModel
from lasmlx.chip.costs import MEASURED_CORE_PJ, Counts, Estimate, count, estimate
from lasmlx.chip.emulator import Emulator
from lasmlx.chip.forward import forward
from lasmlx.chip.quantize import check_family
from lasmlx.chip.twin import init_state, logits_of, residuals
from lasmlx.chip.units import floats
from lasmlx.data import ByteSource
from lasmlx.models.las import LAS
from lasmlx.stream import NativeModel, stream_bits

Floats = NDArray[np.float64]

MINUTE, HOUR, DAY, MONTH, YEAR = 60.0, 3600.0, 86400.0, 2629800.0, 31557600.0  # s; a year has 365.25 days
TIMES = (1.0, MINUTE, HOUR, DAY, MONTH, YEAR)
TRACED = 200  # bytes that the twin steps through
CALIBRATION = 512  # bytes at most that the ADCs are set by
WIDTHS = {"norm": "activation", "conv": "activation", "x": "activation", "B": "mix", "C": "mix", "drive": "drive"}


@dataclass(frozen=True)
class TensorUse:
    """How one tensor fills its width."""

    saturated: float  # share of its values
    used: float  # largest magnitude before saturation, in shares of the largest that fits


@dataclass(frozen=True)
class Age:
    """An analog part some time after programming."""

    seconds: float
    bits_per_byte: tuple[float, ...]  # of each seed
    mean: float
    sd: float  # of the seeds, with n - 1; 0 of one


@dataclass(frozen=True)
class AnalogReport:
    """A chip with its matrices in an analog part."""

    part: AnalogPart
    ages: tuple[Age, ...]
    sqnr: dict[str, float]  # dB, of the first seed at the first time
    cost: Estimate
    measured_core: float  # pJ a byte for the matrices alone, at what a core of phase-change cells was measured at


@dataclass(frozen=True)
class ChipReport:
    """A chip against its model."""

    scored: int  # bytes
    float_bits_per_byte: float  # the model in float32
    bits_per_byte: float  # the digital chip
    tensors: dict[str, TensorUse]
    sqnr: dict[str, float]  # dB, by "layers.0" for u after it, and "logits"
    counts: Counts
    cost: Estimate
    analog: AnalogReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an estimate has its totals too."""
        values = dataclasses.asdict(self)
        for cost, place in ((self.cost, values), (self.analog and self.analog.cost, values["analog"])):
            if cost:
                place["cost"] |= {"total_energy": cost.total_energy, "total_area": cost.total_area, "estimate": True}
        return values


def report(
    chip: ChipModel,
    model: LAS,
    source: ByteSource | bytes,
    part: AnalogPart | None = None,
    times: Sequence[float] = TIMES,
    *,
    seeds: int = 3,
    calibration: bytes = b"",
) -> ChipReport:
    """Measure ``chip`` on ``source``.

    Args:
        model: that the chip was made of.
        source: bytes that neither has seen; two at least.
        part: an analog part to measure too, at each of ``times``.
        times: seconds since programming.
        seeds: parts to draw, from the seed of ``part`` on.
        calibration: to set the ADCs by, the first ``CALIBRATION`` bytes of it; empty takes each byte once.

    Raises:
        ValueError: another family or other sizes than the chip's, fewer than two bytes, no time or no seed;
            with a part, a chip that is not int8.
    """
    check_family(model)
    if (model.config.d, model.config.layers) != (chip.config.d, chip.config.layers):
        raise ValueError(
            f"report: the model has {model.config.layers} layers of width {model.config.d}, "
            f"the chip {chip.config.layers} of {chip.config.d}."
        )
    if isinstance(source, bytes):
        source = ByteSource.from_bytes("bytes", source)
    if part and (not times or seeds < 1):
        raise ValueError(f"report: got {len(times)} times and {seeds} seeds, expected one or more of each.")
    analog = _analog(chip, model, source, part, times, seeds, calibration) if part else None
    counting = Emulator(chip).session(counting=True)
    bits = stream_bits(counting, source)
    return ChipReport(
        scored=len(source) - 1,
        float_bits_per_byte=stream_bits(NativeModel.from_model(model).session(), source),
        bits_per_byte=bits,
        tensors={name: _use(chip, name, r.count, r.saturated, r.low, r.high) for name, r in counting.ranges.items()},
        sqnr=sqnr(chip, model, source[:TRACED].tobytes()),
        counts=count(chip),
        cost=estimate(chip),
        analog=analog,
    )


def sqnr(chip: ChipModel, model: LAS, data: bytes) -> dict[str, float]:
    """10 log10(sum f^2 / sum (f - q)^2) in dB, for u after each layer ("layers.0") and the logits.

    f is the float forward pass and q the integers of the chip, both from the first byte of ``data`` on with their own
    past; so what is lost adds up from layer to layer and from byte to byte. A chip of
    :func:`lasmlx.chip.analog_twin.with_crossbars` is an analog one.
    """
    exact: list[Floats] = []

    def tap(name: str, x: mx.array) -> mx.array:
        if name == "u":
            exact.append(floats(x)[0])
        return x

    logits, _ = forward(model, mx.array(np.frombuffer(data, np.uint8)[None]), model.init_state(1), tap)
    exact.append(floats(logits)[0])
    names = [*(f"layers.{i}" for i in range(chip.config.layers)), "logits"]
    units = [unit_of_u(chip, model)] * chip.config.layers + [2.0**-chip.config.logit_fraction]
    got = (q.astype(np.float64) * unit for q, unit in zip(trace(chip, data), units, strict=True))
    return {name: _decibels(f, q) for name, f, q in zip(names, exact, got, strict=True)}


def unit_of_u(chip: ChipModel, model: LAS) -> float:
    """Real value of one of u: the embedding was rounded to it."""
    if chip.config.system == "q16":
        return 2.0**-chip.system.fraction
    return float(floats(mx.abs(model.embedding.table()).max())) / 127 / 2**chip.config.embedding_shift


def trace(chip: ChipModel, data: bytes) -> list[NDArray[np.int64]]:
    """The integers of u (t, d) after each layer, then of the logits (t, 256), of :func:`lasmlx.chip.twin.step`."""
    state = init_state(chip)
    seen: list[list[NDArray[np.int64]]] = [[] for _ in range(chip.config.layers + 1)]
    for byte in data:
        passed = residuals(chip, state, byte)
        for rows, values in zip(seen, [*passed, logits_of(chip, passed[-1])], strict=True):
            rows.append(values)
    return [np.array(rows) for rows in seen]


def _analog(
    chip: ChipModel,
    model: LAS,
    source: ByteSource,
    part: AnalogPart,
    times: Sequence[float],
    seeds: int,
    calibration: bytes,
) -> AnalogReport:
    spread = column_spread(chip, calibration[:CALIBRATION] or ALL_BYTES)
    parts = [dataclasses.replace(part, seed=(part.seed + i) % (1 << 32)) for i in range(seeds)]

    def age(seconds: float) -> Age:
        bars = (crossbars(chip, p, seconds, spread) for p in parts)
        values = tuple(stream_bits(Emulator(chip, b).session(), source) for b in bars)
        return Age(seconds, values, float(np.mean(values)), float(np.std(values, ddof=1)) if seeds > 1 else 0.0)

    first = with_crossbars(chip, crossbars(chip, part, times[0], spread))
    return AnalogReport(
        part=part,
        ages=tuple(age(seconds) for seconds in times),
        sqnr=sqnr(first, model, source[:TRACED].tobytes()),
        cost=estimate(chip, part),
        measured_core=MEASURED_CORE_PJ * count(chip).matrix_macs,
    )


def _use(chip: ChipModel, name: str, values: int, saturated: int, low: int, high: int) -> TensorUse:
    kind = name.rsplit(".", 1)[-1]
    bits = chip.system.state if kind == "h" else getattr(chip.system, WIDTHS.get(kind, "lane"))
    return TensorUse(saturated / values, max(-low, high) / (2 ** (bits - 1) - 1))


def _decibels(exact: Floats, got: Floats) -> float:
    noise = float(((exact - got) ** 2).sum())
    return 10 * math.log10(float((exact**2).sum()) / noise) if noise else math.inf
