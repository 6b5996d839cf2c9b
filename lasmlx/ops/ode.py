"""Solvers for ``dh/dt = drive - decay h``, and what a time step may look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.ops.dispatch import Impl, ImplError, choose

Field = Callable[[mx.array], tuple[mx.array, mx.array]]
"""From h (b, hidden) to the drive and the decay of ``dh/dt = drive - decay h``; both may depend on h."""

Solver = Literal["euler", "midpoint", "rk4", "fused", "exponential"]
KERNEL_SOLVERS = ("euler", "midpoint", "fused")


def step(field: Field, h: mx.array, dt: float | mx.array, solver: Solver = "euler", substeps: int = 1) -> mx.array:
    """``h(dt)`` from ``h(0) = h``: ``K`` sub-steps of ``d = dt / K``.

    ========= ===== ==========================================================================
    solver    order one sub-step
    ========= ===== ==========================================================================
    euler     1     ``h + d rate(h)``
    midpoint  2     ``h + d rate(h + d/2 rate(h))``
    rk4       4     the classical Runge-Kutta rule
    fused     1     ``(h + d drive) / (1 + d decay)``, semi-implicit
    exponential 1   ``exp(-d decay) h + d drive (1 - exp(-d decay)) / (d decay)``
    ========= ===== ==========================================================================

    The last two stay bounded for every ``dt >= 0`` where ``decay >= 0`` and ``drive / decay`` is bounded. ``dt = 0``
    leaves a finite h unchanged, bit by bit.

    Args:
        field: the equation.
        h: (b, hidden).
        dt: seconds, a number or (b, 1).
        substeps: K, at least 1.

    Returns:
        h after ``dt``, (b, hidden).

    Raises:
        ValueError: ``solver`` or ``substeps`` is not as above.

    Error: observed orders within 0.1 of the table (``tests/ops/test_ode.py``).

    Source: Hairer, Nørsett & Wanner, Solving ODEs I, II.1; fused: Hasani et al. 2021, LTC, algorithm 1; exponential:
    Hochbruck & Ostermann 2010, Exponential integrators, eq. 1.6.
    """
    check_solver("step", solver, substeps)
    d = dt / substeps
    for _ in range(substeps):
        h = _RULES[solver](field, h, d)
    return h


def scan(
    field_at: Callable[[int], Field], h: mx.array, dt: mx.array, solver: Solver, substeps: int
) -> tuple[mx.array, mx.array]:
    """``h_i = step(field_at(i), h_{i-1}, dt_i)``: a loop over time.

    Args:
        field_at: the equation during element i.
        h: the state before the first element, (b, hidden).
        dt: (b, t, 1), seconds.

    Returns:
        h after each element (b, t, hidden) and after the last (b, hidden).
    """
    states = []
    for i in range(dt.shape[1]):
        h = step(field_at(i), h, dt[:, i], solver, substeps)
        states.append(h)
    return mx.stack(states, 1), h


def rate(field: Field, h: mx.array) -> mx.array:
    """``dh/dt`` at h."""
    drive, decay = field(h)
    return drive - decay * h


def relative_expm1(z: mx.array) -> mx.array:
    """``(1 - exp(-z)) / z``, 1 at 0; a series below 1/4, where the quotient's gradient would cancel."""
    small = mx.abs(z) < 0.25
    near = mx.where(small, z, 0.0)
    series = mx.ones_like(z)
    for k in range(8, 1, -1):
        series = 1 - near / k * series
    safe = mx.where(small, 1.0, z)
    return mx.where(small, series, -mx.expm1(-safe) / safe)


def check_solver(op: str, solver: str, substeps: int) -> None:
    """Raise ``ValueError`` unless both are as :func:`step` takes them."""
    if solver not in get_args(Solver):
        raise ValueError(f"{op}: solver is {solver!r}, expected one of {', '.join(get_args(Solver))}.")
    if not isinstance(substeps, int) or substeps < 1:
        raise ValueError(f"{op}: substeps is {substeps!r}, expected an integer >= 1.")


def choose_impl(op: str, impl: Impl, solver: str, *, on_gpu: Impl | None, kernel: bool = True) -> Impl:
    """:func:`lasmlx.ops.dispatch.choose`, where only some solvers have kernels and the reference does the others.

    Raises:
        ImplError: ``impl`` is unknown or cannot run here, or has no such solver.
    """
    if solver in KERNEL_SOLVERS:
        return choose(op, impl, kernel=kernel, on_gpu=on_gpu)
    if impl not in ("auto", "reference"):
        known = ", ".join(KERNEL_SOLVERS)
        raise ImplError(f'{op}: impl="{impl}" cannot run: it solves by {known}, not {solver}. Use impl="auto".')
    return "reference"


def _euler(field: Field, h: mx.array, d: Any) -> mx.array:
    return h + d * rate(field, h)


def _midpoint(field: Field, h: mx.array, d: Any) -> mx.array:
    return h + d * rate(field, h + 0.5 * d * rate(field, h))


def _rk4(field: Field, h: mx.array, d: Any) -> mx.array:
    k1 = rate(field, h)
    k2 = rate(field, h + 0.5 * d * k1)
    k3 = rate(field, h + 0.5 * d * k2)
    k4 = rate(field, h + d * k3)
    return h + d / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def _fused(field: Field, h: mx.array, d: Any) -> mx.array:
    drive, decay = field(h)
    return (h + d * drive) / (1 + d * decay)


def _exponential(field: Field, h: mx.array, d: Any) -> mx.array:
    drive, decay = field(h)
    z = d * decay
    return mx.exp(-z) * h + d * drive * relative_expm1(z)


_RULES: dict[Solver, Callable[[Field, mx.array, Any], mx.array]] = {
    "euler": _euler,
    "midpoint": _midpoint,
    "rk4": _rk4,
    "fused": _fused,
    "exponential": _exponential,
}


class Steps(NamedTuple):
    """Time steps that were looked at already, as the inputs were: what a wrapper hands to the cells inside it."""

    seconds: mx.array  # (b, t, 1), or (b, t, units) where these have clocks of their own; float32, finite and >= 0


def time_steps(
    dt: Any, b: int, t: int, *, mask: mx.array | None = None, units: int = 1, op: str = "time_steps"
) -> mx.array:
    """Every form of a time step as (b, t, 1) float32, seconds: 0 where the mask is False, so that h stays.

    The values are looked at, which evaluates ``dt``; inside ``mx.compile`` and ``mx.vmap``, where nothing can be
    evaluated, and in :class:`Steps` they are not.

    Args:
        dt: seconds, >= 0: a number, or an array (t,), (b, t) or (b, t, 1).
        b, t: sizes of the batch and of the sequence.
        mask: (b, t), bool.
        units: where above 1, dt may be (b, t, units) too, a step for each unit, and stays so.
        op: whose argument this is, for the error.

    Raises:
        ValueError: a shape, a dtype or a value is not as above.
    """
    given = dt.seconds if isinstance(dt, Steps) else dt
    array = given if isinstance(given, mx.array) else _numbers(op, "dt", given, np.float32)
    if array.shape not in ((), (t,), (b, t), (b, t, 1), (b, t, units)):
        each = "" if units == 1 else f" or ({b}, {t}, {units})"
        raise ValueError(
            f"{op}: dt has shape {array.shape}, expected a number, ({t},), ({b}, {t}) or ({b}, {t}, 1){each}."
        )
    if not isinstance(dt, Steps):
        _check_values(op, array)
    steps = mx.array(array).astype(mx.float32)
    steps = steps if steps.ndim == 3 else mx.broadcast_to(steps[..., None], (b, t, 1))
    if mask is None:
        return steps
    check_mask(op, mask, b, t)
    return mx.where(mask[..., None], steps, 0.0)


def check_mask(op: str, mask: mx.array, b: int, t: int) -> None:
    """Raise ``ValueError`` unless the mask is (b, t), bool."""
    if mask.shape != (b, t) or mask.dtype != mx.bool_:
        raise ValueError(f"{op}: mask has shape {mask.shape} and dtype {mask.dtype}, expected ({b}, {t}) and bool.")


def check_finite(op: str, x: mx.array, dt: Any) -> None:
    """Raise ``ValueError`` where x (b, t, inputs) has a NaN or an infinity.

    As for :func:`time_steps` this evaluates x, and is left out inside ``mx.compile`` and ``mx.vmap`` and, for the cells
    inside a wrapper, where dt is :class:`Steps`.
    """
    if isinstance(dt, Steps):
        return
    finite = _known(mx.isfinite(x))
    wrong = np.argwhere(finite == 0)
    if len(wrong):
        at = tuple(wrong[0].tolist())
        raise ValueError(f"{op}: x is {np.array(x[at].astype(mx.float32))} at {at}, expected finite values.")


def steps_from_times(times: Any, start: Any) -> mx.array:
    """``dt_i = times_i - times_{i-1}``, ``times_{-1} = start``: from time stamps to steps.

    The differences are taken in float64: give stamps as NumPy arrays or lists, for float32 holds a Unix time to no
    better than a minute.

    Args:
        times: stamps that never go back, (t,) or (b, t), seconds.
        start: the moment of the state before the first element, a number or (b,), seconds: the last stamp of the
            piece before.

    Returns:
        dt, the shape of ``times``, float32, >= 0.

    Raises:
        ValueError: a shape is not as above, or a stamp is not finite or earlier than the one before.
    """
    op = "steps_from_times"
    stamps, first = _numbers(op, "times", times, np.float64), _numbers(op, "start", start, np.float64)
    if stamps.ndim not in (1, 2) or 0 in stamps.shape:
        raise ValueError(f"{op}: times has shape {stamps.shape}, expected (t,) or (b, t) and not empty.")
    if first.shape not in ((), stamps.shape[:-1]):
        raise ValueError(f"{op}: start has shape {first.shape}, expected a number or {stamps.shape[:-1]}.")
    first = np.broadcast_to(first, stamps.shape[:-1])[..., None]
    steps = np.diff(stamps, axis=-1, prepend=first)
    wrong = np.argwhere(~(np.isfinite(steps) & (steps >= 0)))
    if len(wrong):
        at = tuple(wrong[0].tolist())
        before = first[at[:-1]][0] if at[-1] == 0 else stamps[(*at[:-1], at[-1] - 1)]
        raise ValueError(
            f"{op}: times is {stamps[at]} at {at} after {before}, expected finite stamps that never go back."
        )
    return mx.array(steps.astype(np.float32))


def _numbers(op: str, name: str, given: Any, dtype: type) -> NDArray[Any]:
    try:
        return np.asarray(given, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{op}: {name} is {given!r}, expected numbers.") from error


def _check_values(op: str, dt: mx.array | NDArray[Any]) -> None:
    values = _known(dt)
    wrong = np.argwhere(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        at = tuple(wrong[0].tolist())
        raise ValueError(f"{op}: dt is {values[at]}{f' at {at}' if at else ''}, expected finite and >= 0.")


def _known(dt: mx.array | NDArray[Any]) -> NDArray[Any]:
    """The values; none inside a transformation that evaluates nothing."""
    try:
        return np.array(dt.astype(mx.float32) if isinstance(dt, mx.array) else dt)
    except (RuntimeError, ValueError) as error:
        if "function transformations" not in str(error):
            raise
        return np.zeros(0)
