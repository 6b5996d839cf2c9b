"""The scan of spiking neurons on a GPU: grid and gradient. The kernels: ``metal/lif_scan.metal``."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, get_args

import mlx.core as mx

from lasmlx.ops.metal import Backend, kernel
from lasmlx.ops.surrogate import Surrogate

SEGMENT = 16  # elements from one checkpoint to the next
LANES = 32  # of a simdgroup
ROWS = 8  # of a batch a threadgroup: 256 threads, fewer than the 384 that fit at 128 registers each


def lif_scan(
    u: mx.array,
    neurons: mx.array,
    state: mx.array | None,
    hard: bool,
    refractory: int,
    surrogate: Surrogate,
    slope: float,
    potential: bool,
    backend: Backend,
) -> tuple[mx.array, ...]:
    """s, the state after the last element and the potentials, if asked for, as :func:`lasmlx.ops.lif_scan`.

    Args:
        neurons: (4, d), or (2, d) where none adapts, float32.
        state: (b, 4, d), float32.
    """
    rests = refractory > 0 or state is not None
    before = mx.zeros((u.shape[0], 4, u.shape[2])) if state is None else state
    which = get_args(Surrogate).index(surrogate)
    s, along, after, _ = _scan(hard, rests, refractory, which, slope, potential, backend)(u, neurons, before)
    return (s, after, along) if potential else (s, after)


@cache
def _scan(
    hard: bool, rests: bool, refractory: int, surrogate: int, slope: float, potential: bool, backend: Backend
) -> Callable[..., Any]:
    def launch(name: str, inputs: list[mx.array], shapes: list[Any], dtypes: list[Any], **own: int) -> list[mx.array]:
        u, neurons = inputs[:2]
        b, _, d = u.shape
        flags = {"SEGMENT": SEGMENT, "HARD": hard, "ADAPTS": neurons.shape[0] == 4, "RESTS": rests, **own}
        flags |= {"POTENTIAL": potential, "REFRACTORY": refractory}
        rows = min(b, ROWS)
        return kernel("lif_scan", name, backend)(
            inputs=inputs,
            template=[("T", u.dtype), *flags.items()],
            grid=(math.ceil(d / LANES) * LANES, math.ceil(b / rows) * rows, 1),
            threadgroup=(LANES, rows, 1),
            output_shapes=shapes,
            output_dtypes=dtypes,
        )

    @mx.custom_function
    def scan(u: mx.array, neurons: mx.array, state: mx.array) -> tuple[mx.array, ...]:
        b, t, d = u.shape
        kept = (b, math.ceil(t / SEGMENT), 1 + rests + (neurons.shape[0] == 4), d)
        shapes = [u.shape, u.shape if potential else (1,), state.shape, kept]
        return tuple(launch("forward", [u, neurons, state], shapes, [u.dtype, u.dtype, mx.float32, mx.float32]))

    @scan.vjp
    def gradient(
        primals: tuple[mx.array, ...], cotangents: tuple[mx.array, ...], outputs: tuple[mx.array, ...]
    ) -> tuple[mx.array, ...]:
        u, neurons, state = primals
        gs, gv, gafter, _ = cotangents
        gu, gneurons, gstate = launch(
            "backward",
            [u, neurons, state, mx.array([slope]), outputs[0], outputs[3], gs, gv, gafter],
            [u.shape, (u.shape[0], *neurons.shape), state.shape],
            [u.dtype, mx.float32, mx.float32],
            SURROGATE=surrogate,
        )
        return gu, gneurons.sum(0), gstate

    return scan
