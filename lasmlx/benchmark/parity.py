"""No number without parity: what is timed side by side must first compute the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class ParityError(ValueError):
    """Two implementations that are to be compared disagree."""


def relative_error(got: Any, expected: Any) -> float:
    """``max |got - expected| / max |expected|``; infinite if anything is not finite."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    if not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return float("inf")
    scale = float(np.abs(expected).max())
    return float(np.abs(got - expected).max()) / (scale or 1.0)


def check_parity(what: str, got: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float) -> float:
    """The largest :func:`relative_error` over all of ``expected``, array by array.

    Args:
        what: the two that are compared, for the error.
        got, expected: arrays by name.

    Raises:
        ParityError: an array is missing, has another shape, or is off by more than ``tolerance``.
    """
    worst = 0.0
    for name, wanted in expected.items():
        if name not in got or np.shape(got[name]) != np.shape(wanted):
            shape = np.shape(got[name]) if name in got else "none"
            raise ParityError(f"{what}: {name} has shape {shape}, expected {np.shape(wanted)}. Nothing was timed.")
        error = relative_error(got[name], wanted)
        if not error <= tolerance:
            raise ParityError(
                f"{what} disagree: {name} is off by {error:.1e} of its largest value, allowed {tolerance:.0e}. "
                "Nothing was timed."
            )
        worst = max(worst, error)
    return worst
