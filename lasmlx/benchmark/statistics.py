"""A mean over seeds, and how far it may be off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# 0.975 quantiles of Student's t for 1 to 12 degrees of freedom; 1.96 + 2.4 / df is within 0.5 % beyond
T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179)


@dataclass(frozen=True)
class Interval:
    """A mean and the half width of its 95 % interval."""

    mean: float
    half: float
    count: int


def interval(values: Sequence[float]) -> Interval:
    """``mean +- t s / sqrt(n)``, Student's t with n - 1 degrees of freedom; infinitely wide for one value.

    Raises:
        ValueError: there are no values.
    """
    n = len(values)
    if not n:
        raise ValueError("interval: there are no values, expected at least one.")
    if n == 1:
        return Interval(float(values[0]), math.inf, 1)
    t = T[n - 2] if n - 2 < len(T) else 1.96 + 2.4 / (n - 1)
    return Interval(float(np.mean(values)), float(t * np.std(values, ddof=1) / math.sqrt(n)), n)
