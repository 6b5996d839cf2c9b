"""The selective scan on Metal: which kernel, its grid, the gradient. The kernels: ``metal/selective_scan.metal``."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import mlx.core as mx

from lasmlx.ops.metal import kernel

MOST_STATES = 64  # a lane holds two floats a state; Apple GPUs have 128 registers a lane
SEGMENT = 16  # steps from one checkpoint to the next
LANES = 32  # of a simdgroup
GROUPS = 8  # simdgroups of the backward kernel: 256 threads, fewer than the 384 that fit at 128 registers each
SLICE = 4  # steps whose sums over states meet at once in the backward kernel's threadgroup memory
FULL = 16384  # lanes that fill a GPU: 24 simdgroups a core, 20 cores


def selective_scan(
    x: mx.array,
    dt: mx.array,
    A: mx.array,
    B: mx.array,
    C: mx.array,
    D: mx.array | None,
    z: mx.array | None,
    h0: mx.array | None,
    substeps: float,
) -> tuple[mx.array, mx.array]:
    """As :func:`lasmlx.ops.selective_scan`, arguments checked there, for at most 64 states."""
    b, _, d = x.shape
    n = A.shape[1]
    if n > MOST_STATES:
        raise ValueError(f"selective_scan: A has {n} states, the Metal kernel takes at most {MOST_STATES}.")
    D = mx.zeros((d,)) if D is None else D
    h0 = mx.zeros((b, d, n)) if h0 is None else h0
    gate = () if z is None else (z,)
    y, h_last, _ = _scan(z is not None, float(substeps))(x, dt, A, B, C, D, h0, *gate)
    return y, h_last


def chunks(b: int, t: int, d: int, n: int) -> int:
    """Into how many pieces of time the forward cuts a row: 1 (one lane a channel), 2, 4 or 8.

    Chunks cost a second pass over x, dt and B and a second exponential, so there is one where the channels fill the GPU
    by themselves, and never more than fill it. A chunk is two segments at least; the states that all of them hand on
    take 128 bytes each of threadgroup memory, 17 KB at the most.
    """
    best = 1
    while 2 * best <= 8 and 2 * best * b * d <= FULL and 2 * best * n <= 128 and t >= 2 * best * 2 * SEGMENT:
        best *= 2
    return best


@cache
def _scan(gated: bool, substeps: float) -> Callable[..., Any]:
    inverse = 1 / substeps
    flags = [("SEGMENT", SEGMENT), ("SUBSTEPS", substeps != 1), ("GATED", gated)]

    def absent_or(z: tuple[mx.array, ...]) -> mx.array:
        return z[0] if gated else mx.zeros((1,))

    @mx.custom_function
    def scan(
        x: mx.array, dt: mx.array, A: mx.array, B: mx.array, C: mx.array, D: mx.array, h0: mx.array, *z: mx.array
    ) -> tuple[mx.array, mx.array, mx.array]:
        b, t, d = x.shape
        n = A.shape[1]
        width, pieces = math.ceil(d / LANES) * LANES, chunks(b, t, d, n)
        one = pieces == 1
        template = [("T", x.dtype), ("N", n), *flags]
        y, h_last, checkpoints = kernel("selective_scan", "forward" if one else "forward_chunked")(
            inputs=[x, dt, A, B, C, D, h0, absent_or(z), mx.array([inverse])],
            template=template if one else [*template, ("CHUNKS", pieces)],
            grid=(width, b, 1) if one else (width, pieces, b),
            threadgroup=(LANES, pieces, 1),
            output_shapes=[x.shape, (b, d, n), (b, math.ceil(t / SEGMENT), n, d)],
            output_dtypes=[x.dtype, mx.float32, mx.float32],
        )
        return y, h_last, checkpoints

    @scan.vjp
    def gradient(
        primals: tuple[mx.array, ...], cotangents: tuple[mx.array, ...], outputs: tuple[mx.array, ...]
    ) -> tuple[mx.array, ...]:
        x, dt, A, B, C, D, h0, *rest = primals
        z = absent_or(tuple(rest))
        b, t, d = x.shape
        n = A.shape[1]
        blocks, groups = math.ceil(d / LANES), min(GROUPS, n)
        gx, gdt, gz, gA, gB, gC, gD, gh0 = kernel("selective_scan", "backward")(
            inputs=[x, dt, A, B, C, D, z, mx.array([inverse]), outputs[2], cotangents[0], cotangents[1]],
            template=[
                *(("T", x.dtype), ("U", dt.dtype), ("V", z.dtype)),
                *(("N", n), ("GROUPS", groups), ("SLICE", SLICE), *flags),
            ],
            grid=(blocks * LANES, groups, b),
            threadgroup=(LANES, groups, 1),
            output_shapes=[
                *(x.shape, x.shape, z.shape, (b, d, n)),
                *((blocks, b, t, n), (blocks, b, t, n), (b, d), (b, d, n)),
            ],
            output_dtypes=[x.dtype, dt.dtype, z.dtype, *(mx.float32,) * 5],
        )
        return (
            gx,
            gdt,
            gA.sum(0).astype(A.dtype),
            gB.sum(0).astype(B.dtype),
            gC.sum(0).astype(C.dtype),
            gD.sum(0).astype(D.dtype),
            gh0.astype(h0.dtype),
            *((gz,) if gated else ()),
        )

    return scan
