"""A solver that chooses its steps: few where the input is easy, many where it is hard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from lasmlx.ops.ode import Field, rate


@dataclass(frozen=True)
class Adaptive:
    """Tolerances of the Bogacki-Shampine pair 3(2); each row of a batch has its own step size.

    The largest ``|error| / (atol + rtol |h|)`` over hidden stays below 1 in each step taken.
    """

    rtol: float = 1e-3  # of the state
    atol: float = 1e-5  # in units of the state
    min_step: float = 0.0  # seconds; a step this small is taken whatever its error
    max_steps: int = 1000  # tries an element, rejected ones too

    def __post_init__(self) -> None:
        if not (self.rtol >= 0 and self.atol > 0):
            raise ValueError(f"Adaptive: rtol is {self.rtol} and atol {self.atol}, expected rtol >= 0 and atol > 0.")
        if not self.min_step >= 0:
            raise ValueError(f"Adaptive: min_step is {self.min_step}, expected >= 0.")
        if not (isinstance(self.max_steps, int) and self.max_steps >= 1):
            raise ValueError(f"Adaptive: max_steps is {self.max_steps!r}, expected an integer >= 1.")


class SolverError(ValueError):
    """The adaptive solver did not reach the end of a time step."""


def adaptive_step(field: Field, h: mx.array, dt: mx.array, adaptive: Adaptive) -> tuple[mx.array, mx.array]:
    """``h(dt)`` from ``h(0) = h`` within the tolerances, and how many steps each row took.

    It evaluates as it goes: the host reads when every row is done. The whole of ``dt`` is tried first. Gradients run
    through the steps taken; their sizes count as constants, but for the last, which ends at ``dt``.

    Args:
        field: the equation.
        h: (b, hidden).
        dt: seconds, (b, 1).

    Returns:
        h after ``dt``, (b, hidden); steps taken, (b,), int32, 0 where ``dt`` is 0.

    Raises:
        SolverError: ``max_steps`` tries were not enough for some row, or it runs inside ``mx.compile`` or ``mx.vmap``.

    Error: five times the tolerance on a smooth field (``tests/ops/test_adaptive.py``).

    Source: Bogacki & Shampine 1989, A 3(2) pair of Runge-Kutta formulas; step control: Hairer, Nørsett & Wanner,
    Solving ODEs I, II.4.
    """
    left, size = dt, mx.stop_gradient(dt)  # (b, 1) each
    k, steps = rate(field, h), mx.zeros(dt.shape, dtype=mx.int32)
    for _ in range(adaptive.max_steps):
        ends = size * (1 + 1e-6) >= mx.stop_gradient(left)
        d = mx.where(ends, left, size)
        new, k_new, error = _bogacki_shampine(field, h, d, k)
        ratio = _ratio(error, h, new, adaptive)
        taken = (ratio <= 1) | (mx.stop_gradient(d) <= adaptive.min_step)
        size = mx.maximum(mx.stop_gradient(d) * mx.clip(0.9 * ratio ** (-1 / 3), 0.2, 5), adaptive.min_step)
        if _any(mx.logical_not(taken)):  # once more without the rows that were refused, or they reach the gradient
            d = mx.where(taken, d, 0.0)
            new, k_new, _ = _bogacki_shampine(field, h, d, k)
        h, k, steps = new, k_new, steps + (d > 0)
        left = mx.where(taken & ends, 0.0, left - d)
        if not _any(left > 0):
            return h, steps[:, 0]
    raise SolverError(_unfinished(left, dt, adaptive))


def adaptive_scan(
    field_at: Callable[[int], Field], h: mx.array, dt: mx.array, adaptive: Adaptive
) -> tuple[mx.array, mx.array, mx.array]:
    """:func:`adaptive_step` element after element, as :func:`lasmlx.ops.ode.scan`.

    Returns:
        h after each element (b, t, hidden), h after the last (b, hidden), steps taken (b, t), int32.
    """
    states, counts = [], []
    for i in range(dt.shape[1]):
        h, steps = adaptive_step(field_at(i), h, dt[:, i], adaptive)
        states.append(h)
        counts.append(steps)
    return mx.stack(states, 1), h, mx.stack(counts, 1)


def _bogacki_shampine(field: Field, h: mx.array, d: mx.array, k1: mx.array) -> tuple[mx.array, mx.array, mx.array]:
    """The third-order result, the rate there, and its distance from the second-order result."""
    k2 = rate(field, h + d / 2 * k1)
    k3 = rate(field, h + d * 3 / 4 * k2)
    new = h + d / 9 * (2 * k1 + 3 * k2 + 4 * k3)
    k4 = rate(field, new)
    return new, k4, d / 72 * (-5 * k1 + 6 * k2 + 8 * k3 - 9 * k4)


def _ratio(error: mx.array, h: mx.array, new: mx.array, adaptive: Adaptive) -> mx.array:
    """The error over what is allowed, (b, 1); a step that overflowed is far off."""
    allowed = adaptive.atol + adaptive.rtol * mx.maximum(mx.abs(h), mx.abs(new))
    ratio = mx.abs(mx.stop_gradient(error / allowed)).max(-1, keepdims=True)
    return mx.where(mx.isfinite(ratio), mx.maximum(ratio, 1e-6), 1e6)


def _any(flags: mx.array) -> bool:
    try:
        return bool(mx.any(flags).item())
    except (RuntimeError, ValueError) as error:
        if "function transformations" not in str(error):
            raise
        raise SolverError(
            "adaptive_step: cannot run inside mx.compile or mx.vmap, for the host reads when every row is done. "
            "Use a solver with fixed steps there."
        ) from error


def _unfinished(left: mx.array, dt: mx.array, adaptive: Adaptive) -> str:
    row = int(np.argmax(np.array(left)))
    return (
        f"adaptive_step: {adaptive.max_steps} tries left {left[row].item():.3g} s of {dt[row].item():.3g} s in row "
        f'{row}. Raise max_steps, rtol or atol, or use solver="fused", which takes stiff time constants.'
    )
