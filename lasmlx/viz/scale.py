"""Scales: from a quantity to a share of its range, a colour, a tick."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ramp = tuple[tuple[int, int, int], ...]

SPEED: Ramp = (  # red, orange, yellow, green; ever lighter, so that eyes that mix up red and green see it too
    (0x9E, 0x10, 0x30),
    (0xD8, 0x40, 0x2F),
    (0xE9, 0x8A, 0x2B),
    (0xDC, 0xC3, 0x3A),
    (0x86, 0xEB, 0x8E),
)
LEVEL: Ramp = ((0x14, 0x22, 0x52), (0x3F, 0x73, 0xB8), (0xE3, 0xEF, 0xFC))  # ever lighter blue
SIGNED: Ramp = (  # blue below 0, orange above
    (0x1B, 0x4F, 0x9C),
    (0x7F, 0xAE, 0xDB),
    (0xF5, 0xF3, 0xEF),
    (0xEE, 0xA4, 0x6B),
    (0xA8, 0x3A, 0x0C),
)


@dataclass(frozen=True)
class Scale:
    """``share = (v - low) / (high - low)``, clipped to 0 .. 1; ``low`` may be the larger."""

    low: float
    high: float

    @classmethod
    def of(cls, values: ArrayLike, low: float = 2, high: float = 98) -> Self:
        """Between two percentiles of ``values``."""
        a, b = np.percentile(np.asarray(values), (low, high))
        return cls(float(a), float(b))

    def share(self, values: ArrayLike) -> NDArray[np.float64]:
        """Where ``values`` are in the range; 0.5 where it has no width."""
        v = np.asarray(values, np.float64)
        if self.high == self.low:
            return np.full(v.shape, 0.5)
        return np.clip((v - self.low) / (self.high - self.low), 0.0, 1.0)


class LogScale(Scale):
    """``share = log(v / low) / log(high / low)``, clipped to 0 .. 1; for values above 0."""

    def share(self, values: ArrayLike) -> NDArray[np.float64]:
        """Where ``values`` are in the range; 0.5 where it has no width."""
        return Scale(math.log(self.low), math.log(self.high)).share(np.log(np.asarray(values, np.float64)))


def colour(share: ArrayLike, ramp: Ramp = SPEED) -> NDArray[np.uint8]:
    """From red at 0, slow, over yellow to green at 1, fast; or along another ramp: sRGB, (..., 3)."""
    at = np.clip(np.asarray(share, np.float64), 0.0, 1.0) * (len(ramp) - 1)
    stops = np.arange(len(ramp))
    return (
        np.stack([np.interp(at, stops, values) for values in zip(*ramp, strict=True)], axis=-1).round().astype(np.uint8)
    )


def luminance(rgb: ArrayLike) -> NDArray[np.float64]:
    """Relative luminance of sRGB colours (..., 3), 0 to 1.

    Source: WCAG 2.2, "relative luminance".
    """
    v = np.asarray(rgb, np.float64) / 255
    linear: NDArray[np.float64] = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ np.array([0.2126, 0.7152, 0.0722]))


def ink(rgb: ArrayLike) -> NDArray[np.uint8]:
    """Black or white, (..., 3): whichever is easier to read on ``rgb``; the contrast is at least 4.5."""
    white = luminance(rgb) < math.sqrt(1.05 * 0.05) - 0.05
    return np.where(white[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=-1)


def time_unit(seconds: float) -> tuple[str, float]:
    """The unit to write times up to ``seconds`` in, and its length in seconds."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    return next(((name, size) for name, size in units if seconds >= size), ("ns", 1e-9))


def three_digits(value: float) -> str:
    """``value`` for people: three digits, or all before the point up to a million."""
    return f"{value:.0f}" if 999.5 <= abs(value) < 1e6 else f"{value:.3g}"


def percent(share: float, digits: int = 1) -> str:
    """``share`` for people: ``13.4 %``."""
    return f"{100 * share:.{digits}f} %"


def log_ticks(low: float, high: float, most: int = 10) -> list[float]:
    """Round numbers from ``low`` to ``high`` for a logarithmic axis: 1, 2, 5 a decade, fewer where there are many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
        ticks = [d * 10.0**k for k in decades for d in digits if low * 0.999 <= d * 10.0**k <= high * 1.001]
        if len(ticks) <= most:
            return ticks
    return ticks[:: math.ceil(len(ticks) / most)]


def even_ticks(high: float, most: int = 8, finest: int = 0) -> list[float]:
    """Multiples of a round step from 0 to below ``high``, at most ``most``; the step is 10**finest or more."""
    steps = (d * 10.0**k for k in range(finest, 18) for d in (1, 2, 5))
    count, step = next((n, s) for s in steps if (n := math.ceil(high / s - 1e-9)) <= max(most, 1))
    ticks = [step * i for i in range(count)]
    return [round(tick) for tick in ticks] if finest >= 0 else ticks
