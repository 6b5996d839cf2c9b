"""Spikes that can be learnt through: a step on the way forward, something smoother on the way back."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Literal, get_args

import mlx.core as mx

Surrogate = Literal["fast_sigmoid", "arctan", "triangular", "straight_through"]


def surrogate_slope(x: mx.array, surrogate: Surrogate, slope: float) -> mx.array:
    """What stands for the derivative of a step at x, k = ``slope``.

    ================ =================================== ======================================================
    surrogate        derivative                          source
    ================ =================================== ======================================================
    fast_sigmoid     ``1 / (1 + k |x|)^2``               Zenke & Ganguli 2018, SuperSpike, eq. 3
    arctan           ``(k / 2) / (1 + (pi k x / 2)^2)``  Fang et al. 2021, Learnable membrane time constants, eq. 12
    triangular       ``max(0, 1 - k |x|)``               Bellec et al. 2018, Long short-term memory in SNNs, eq. 3
    straight_through 1                                   Bengio, Leonard & Courville 2013, section 4
    ================ =================================== ======================================================
    """
    if surrogate == "fast_sigmoid":
        return 1 / mx.square(1 + slope * mx.abs(x))
    if surrogate == "arctan":
        return (slope / 2) / (1 + mx.square(math.pi / 2 * slope * x))
    if surrogate == "triangular":
        return mx.maximum(0, 1 - slope * mx.abs(x))
    return mx.ones_like(x)


def spike(x: mx.array, surrogate: Surrogate = "fast_sigmoid", slope: float = 25.0) -> mx.array:
    """1 where ``x > 0``, else 0, with the gradient of :func:`surrogate_slope`.

    Raises:
        ValueError: ``surrogate`` is unknown or ``slope`` not above 0.
    """
    check_surrogate("spike", surrogate, slope)
    step: mx.array = _step(surrogate, float(slope))(x)
    return step


def check_surrogate(op: str, surrogate: str, slope: float) -> None:
    """Raise ``ValueError`` unless both are as :func:`surrogate_slope` wants them."""
    if surrogate not in get_args(Surrogate):
        raise ValueError(f"{op}: surrogate is {surrogate!r}, expected one of {', '.join(get_args(Surrogate))}.")
    if not 0 < slope < math.inf:
        raise ValueError(f"{op}: slope is {slope}, expected a number above 0.")


@cache
def _step(surrogate: Surrogate, slope: float) -> Callable[[mx.array], mx.array]:
    @mx.custom_function
    def step(x: mx.array) -> mx.array:
        return (x > 0).astype(x.dtype)

    @step.vjp
    def gradient(x: mx.array, cotangent: mx.array, _: mx.array) -> mx.array:
        return cotangent * surrogate_slope(x, surrogate, slope)

    return step  # type: ignore[return-value]
