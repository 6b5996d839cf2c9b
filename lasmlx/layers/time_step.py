"""Input-dependent time steps: the "viscosity" of a liquid layer."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

from lasmlx.ops import bounded_time_step, softplus_time_step


class BoundedTimeStep(nn.Module):
    """``dt = dt_min + (dt_max - dt_min) sigmoid(W x + b)``, (..., rank) to (..., d), seconds.

    At the start the biases spread dt log-uniformly between the bounds.
    """

    def __init__(self, rank: int, d: int, dt_min: float, dt_max: float) -> None:
        super().__init__()
        self.weight = mx.random.uniform(-1, 1, (d, rank)) * rank**-0.5
        inside = log_uniform(dt_min, dt_max, d, margin=0.02)
        share = (inside - dt_min) / (dt_max - dt_min)
        self.bias = mx.log(share) - mx.log(1 - share)
        self._bounds = (dt_min, dt_max)

    def __call__(self, x: mx.array) -> mx.array:
        return bounded_time_step(x @ self.weight.T, self.bias, *self._bounds)


class SoftplusTimeStep(nn.Module):
    """``dt = log(1 + exp(W x + b))``, (..., rank) to (..., d), seconds: Mamba's rule, unbounded above.

    At the start the biases spread dt log-uniformly over ``dt_min .. dt_max``.
    """

    def __init__(self, rank: int, d: int, dt_min: float, dt_max: float) -> None:
        super().__init__()
        self.weight = mx.random.uniform(-1, 1, (d, rank)) * rank**-0.5
        inside = log_uniform(dt_min, dt_max, d)
        self.bias = inside + mx.log(-mx.expm1(-inside))

    def __call__(self, x: mx.array) -> mx.array:
        return softplus_time_step(x @ self.weight.T, self.bias)


def log_uniform(low: float, high: float, d: int, margin: float = 0.0) -> mx.array:
    """d numbers spread log-uniformly over ``low .. high``, less a share ``margin`` of the range at each end."""
    width = math.log(high / low)
    return mx.exp(mx.random.uniform(math.log(low) + margin * width, math.log(high) - margin * width, (d,)))
