"""The Mamba mixer and its residual block. What makes it liquid is the time step it is given."""

from __future__ import annotations

import math
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn

from lasmlx.layers.norm import RMSNorm
from lasmlx.layers.time_step import SoftplusTimeStep
from lasmlx.ops import causal_conv1d, selective_scan


class MambaState(NamedTuple):
    """The past of one mixer: its last inputs to the convolution and the state of its scan."""

    tail: mx.array  # (b, k - 1, e)
    h: mx.array  # (b, e, n), float32


def decay_rates(e: int, n: int) -> mx.array:
    """Mamba's initial ``-A``: 1, 2, ..., n for each channel, (e, n), 1/s. Source: S4D-Real, Gu et al. 2022."""
    return mx.broadcast_to(mx.arange(1, n + 1).astype(mx.float32), (e, n))


def multi_scale_decay_rates(e: int, n: int, slow: tuple[float, float], fast: tuple[float, float]) -> mx.array:
    """Initial ``-A`` in two groups, (e, n), 1/s: the first half of the states slow, the second fast.

    Each group is spaced geometrically over its range. ``n = 1`` is all fast.
    """
    half = n // 2
    groups = [_geometric(*slow, half), _geometric(*fast, n - half)]
    return mx.broadcast_to(mx.concatenate(groups), (e, n))


def _geometric(low: float, high: float, count: int) -> mx.array:
    return mx.exp(mx.linspace(math.log(low), math.log(high), count)) if count else mx.zeros(0)


class Mamba(nn.Module):
    """``x, z = in(u)``, ``x = silu(conv(x))``, ``dt, B, C = proj(x)``, ``y = out(scan(x, dt, A, B, C, D) silu(z))``.

    Args:
        d: width of the input and output.
        k: taps of the causal convolution.
        rank: width of the bottleneck before the time step.
        time_step: module from (b, t, rank) to dt (b, t, e).
        rates: initial ``-A``, (e, n), 1/s; its shape sets the e inner channels and n states.
        substeps: see :func:`lasmlx.ops.selective_scan`.

    Source: Gu & Dao 2023, figure 3 and algorithm 2.
    """

    def __init__(
        self, d: int, *, k: int, rank: int, time_step: nn.Module, rates: mx.array, substeps: float = 1
    ) -> None:
        super().__init__()
        e, n = rates.shape
        self.in_proj = nn.Linear(d, 2 * e, bias=False)
        self.conv = DepthwiseTaps(e, k)
        self.x_proj = nn.Linear(e, rank + 2 * n, bias=False)
        self.dt_proj = time_step
        self.A_log = mx.log(rates)
        self.D = mx.ones((e,))
        self.out_proj = nn.Linear(e, d, bias=False)
        self._rank, self._substeps = rank, substeps

    def init_state(self, b: int) -> MambaState:
        """The state before the first input, for a batch of b: zeros."""
        e, n = self.A_log.shape
        return MambaState(mx.zeros((b, self.conv.weight.shape[1] - 1, e)), mx.zeros((b, e, n)))

    def traced(
        self, u: mx.array, state: MambaState | None = None, *, told: mx.array | None = None
    ) -> tuple[mx.array, MambaState, mx.array]:
        """As calling, with the time steps dt (b, t, e) beside.

        Args:
            told: added to B and C, side by side, (b, t, 2 n).
        """
        tail, h = self.init_state(u.shape[0]) if state is None else state
        x, z = mx.split(self.in_proj(u), 2, axis=-1)  # (b, t, e) each
        x, tail = causal_conv1d(x, self.conv.weight, self.conv.bias, tail, activation="silu")
        low, matrices = mx.split(self.x_proj(x), [self._rank], axis=-1)
        B, C = mx.split(matrices if told is None else matrices + told, 2, axis=-1)
        dt = self.dt_proj(low)
        y, h = selective_scan(x, dt, -mx.exp(self.A_log), B, C, self.D, z, h, substeps=self._substeps)
        return self.out_proj(y), MambaState(tail, h), dt

    def __call__(self, u: mx.array, state: MambaState | None = None) -> tuple[mx.array, MambaState]:
        """(b, t, d) and the state before it to (b, t, d) and the state after it."""
        y, state, _ = self.traced(u, state)
        return y, state


def plain_mamba(d: int, *, n: int, k: int, expand: int) -> Mamba:
    """A mixer of ``expand d`` inner channels as Gu & Dao start theirs: dt from 0.001 to 0.1, rates 1 to n."""
    e, rank = expand * d, -(-d // 16)
    step = SoftplusTimeStep(rank, e, 0.001, 0.1)
    return Mamba(d, k=k, rank=rank, time_step=step, rates=decay_rates(e, n))


class DepthwiseTaps(nn.Module):
    """The parameters of a depthwise causal convolution: weight (d, k), bias (d,)."""

    def __init__(self, d: int, k: int) -> None:
        super().__init__()
        self.weight = mx.random.uniform(-1, 1, (d, k)) * k**-0.5
        self.bias = mx.zeros((d,))


class MambaBlock(nn.Module):
    """``u + mixer(norm(u))``."""

    def __init__(self, d: int, mixer: Mamba) -> None:
        super().__init__()
        self.norm = RMSNorm(d)
        self.mixer = mixer

    def init_state(self, b: int) -> MambaState:
        """The state before the first input."""
        return self.mixer.init_state(b)

    def traced(self, u: mx.array, state: MambaState | None = None) -> tuple[mx.array, MambaState, mx.array]:
        """As calling, with the time steps dt (b, t, e) beside."""
        y, state, dt = self.mixer.traced(self.norm(u), state)
        return u + y, state, dt

    def __call__(self, u: mx.array, state: MambaState | None = None) -> tuple[mx.array, MambaState]:
        """(b, t, d) and the state before it to (b, t, d) and the state after it."""
        u, state, _ = self.traced(u, state)
        return u, state
