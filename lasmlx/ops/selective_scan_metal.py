"""The selective scan on a GPU: which kernel, its grid, the gradient. The kernels: ``metal/selective_scan.metal``."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import mlx.core as mx

from lasmlx.ops.metal import Backend, kernel, widest

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
    backend: Backend,
) -> tuple[mx.array, mx.array]:
    """As :func:`lasmlx.ops.selective_scan`, arguments checked there, for at most 64 states."""
    b, _, d = x.shape
    n = A.shape[1]
    if n > MOST_STATES:
        raise ValueError(f"selective_scan: A has {n} states, the {backend} kernel takes at most {MOST_STATES}.")
    D = mx.zeros((d,)) if D is None else D
    h0 = mx.zeros((b, d, n)) if h0 is None else h0
    gate = () if z is None else (z,)
    y, h_last, _ = _scan(z is not None, float(substeps), backend)(x, dt, A, B, C, D, h0, *gate)
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


def traffic(b: int, t: int, d: int, n: int, *, item: int = 4) -> dict[str, int]:
    """Bytes that gated kernels move to and from memory, every array once a pass; sequences of ``item`` bytes a value.

    ``forward_least`` and ``backward_least`` are the inputs and outputs of the op and of its gradient alone; ``forward``
    and ``backward`` what the kernels move, the sums over partial gradients included; ``checkpoints`` is what a training
    step keeps between the two.
    """
    sequence, matrices = b * t * d * item, 2 * b * t * n * item  # one of x, dt, z, y; B and C together
    weights, state = (d * n + d) * 4, b * d * n * 4  # A and D; h
    kept = b * math.ceil(t / SEGMENT) * n * d * (4 if item == 4 else 2)
    partial = 2 * math.ceil(d / LANES) * b * t * n * 4 + b * weights  # of dB and dC, of dA and dD
    inputs = 4 * sequence + matrices + weights + state
    forward_least = inputs + state
    backward_least = inputs + 3 * sequence + matrices + weights + state
    again = 2 * sequence + matrices // 2 if chunks(b, t, d, n) > 1 else 0
    return {
        "forward_least": forward_least,
        "forward": forward_least + kept + again,
        "checkpoints": kept,
        "backward_least": backward_least,
        "backward": backward_least + kept + 2 * sequence + 2 * partial,
    }


@cache
def _scan(gated: bool, substeps: float, backend: Backend) -> Callable[..., Any]:
    inverse = 1 / substeps
    flags = (("SEGMENT", SEGMENT), ("SUBSTEPS", substeps != 1), ("GATED", gated))

    def absent_or(z: tuple[mx.array, ...]) -> mx.array:
        return z[0] if gated else mx.zeros((1,))

    def forward(x: mx.array, *rest: mx.array, pieces: int) -> list[mx.array]:
        """x, dt, A, B, C, D, h0 and a gate to y, h_last and the checkpoints."""
        b, t, d = x.shape
        n = rest[1].shape[1]
        kept = mx.float32 if x.dtype == mx.float32 else mx.bfloat16
        return kernel("selective_scan", "forward", backend)(
            inputs=[x, *rest, mx.array([inverse])],
            template=[("T", x.dtype), ("P", kept), ("N", n), *flags, ("CHUNKS", pieces)],
            grid=(_padded(d), pieces, b),
            threadgroup=(LANES, pieces, 1),
            output_shapes=[x.shape, (b, d, n), (b, math.ceil(t / SEGMENT), n, d)],
            output_dtypes=[x.dtype, mx.float32, kept],
        )

    def backward(x: mx.array, dt: mx.array, A: mx.array, *rest: mx.array, groups: int) -> list[mx.array]:
        """x, dt, A, B, C, D, a gate, the checkpoints and two cotangents to gradients, some of them partial sums."""
        b, t, d = x.shape
        n, z, blocks = A.shape[1], rest[3], _padded(d) // LANES
        return kernel("selective_scan", "backward", backend)(
            inputs=[x, dt, A, *rest[:4], mx.array([inverse]), *rest[4:]],
            template=[
                *(("T", x.dtype), ("U", dt.dtype), ("V", z.dtype), ("P", rest[4].dtype)),
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

    @cache
    def fitting_groups(n: int, dtypes: tuple[mx.Dtype, ...]) -> int:
        gate = (1, 1, LANES) if gated else (1,)
        small: list[tuple[int, ...]] = [(1, 1, LANES), (1, 1, LANES), (LANES, n), (1, 1, n), (1, 1, n), (LANES,), gate]
        small += [(1, 1, n, LANES), (1, 1, LANES), (1, LANES, n)]
        arrays = [mx.zeros(shape, dtype=dtype) for shape, dtype in zip(small, dtypes, strict=True)]
        most = min(GROUPS, n)
        return widest((most >> i for i in range(most.bit_length())), lambda groups: backward(*arrays, groups=groups))

    @mx.custom_function
    def scan(
        x: mx.array, dt: mx.array, A: mx.array, B: mx.array, C: mx.array, D: mx.array, h0: mx.array, *z: mx.array
    ) -> tuple[mx.array, mx.array, mx.array]:
        b, t, d = x.shape
        pieces = chunks(b, t, d, A.shape[1])
        y, h_last, checkpoints = forward(x, dt, A, B, C, D, h0, absent_or(z), pieces=pieces)
        return y, h_last, checkpoints

    @scan.vjp
    def gradient(
        primals: tuple[mx.array, ...], cotangents: tuple[mx.array, ...], outputs: tuple[mx.array, ...]
    ) -> tuple[mx.array, ...]:
        x, dt, A, B, C, D, h0, *rest = primals
        arrays = [x, dt, A, B, C, D, absent_or(tuple(rest)), outputs[2], cotangents[0], cotangents[1]]
        groups = fitting_groups(A.shape[1], tuple(v.dtype for v in arrays))
        gx, gdt, gz, gA, gB, gC, gD, gh0 = backward(*arrays, groups=groups)
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


def _padded(d: int) -> int:
    return math.ceil(d / LANES) * LANES
