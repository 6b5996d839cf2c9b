"""The layer of splines on a GPU: grids, gradient, how many rows a partial sum. The kernels: ``metal/bspline.metal``."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import mlx.core as mx

from lasmlx.ops.metal import Backend, kernel

LANES = 32  # of a simdgroup
THREADS = 256  # a threadgroup: pairs of a row and an input at a time
FULL = 16384  # threads that fill a GPU: 24 simdgroups a core, 20 cores
MOST_ROWS, MOST_OUTS = 4, 4  # of a thread
MOST_FUNCTIONS = 10  # of a thread, each with an accumulator for each of its outputs
LEAST_ROWS = 64  # of a span: fewer are not worth a partial sum


def bspline_linear(
    x: mx.array, C: mx.array, W: mx.array | None, knots: mx.array, degree: int, backend: Backend
) -> mx.array:
    """As :func:`lasmlx.ops.bspline_linear`, arguments checked there."""
    columns = mx.zeros((1, 1)) if W is None else mx.contiguous(W.T)
    y = _linear(degree, W is not None, backend)(x.reshape(-1, x.shape[-1]), C, columns, knots.astype(mx.float32))
    return y.reshape(*x.shape[:-1], -1)


def tile(rows: int, out: int) -> tuple[int, int]:
    """Rows and outputs a thread: one of each where more would leave most of a GPU without work."""
    outs = min(MOST_OUTS, math.ceil(out / LANES))
    groups = math.ceil(rows * LANES / (MOST_ROWS * THREADS)) * math.ceil(out / (outs * LANES))
    return (MOST_ROWS, outs) if groups * THREADS >= FULL else (1, 1)


def spans(rows: int, groups: int) -> int:
    """Partial sums of the gradient of C, a power of two: as many as give a GPU work, where ``groups`` have one each.

    A threadgroup's is ``8 * 10 * 128`` floats at most. So all take 2.6 MB at most, or one alone is as large as C.
    """
    most = min(FULL // THREADS // groups, rows // LEAST_ROWS)
    return 1 << max(0, most.bit_length() - 1)


@cache
def _linear(degree: int, base: bool, backend: Backend) -> Callable[..., Any]:
    def launch(
        name: str, inputs: list[mx.array], groups: tuple[int, ...], shape: tuple[int, ...], dtype: mx.Dtype, **own: int
    ) -> mx.array:
        template = {"P": degree, "BASE": base, "THREADS": THREADS, **own}
        return kernel("bspline", name, backend)(
            inputs=inputs,
            template=[("T", inputs[0].dtype), *template.items()],
            grid=(THREADS * groups[0], *groups[1:]),
            threadgroup=(THREADS, 1, 1),
            output_shapes=[shape],
            output_dtypes=[dtype],
        )[0]

    @mx.custom_function
    def linear(x: mx.array, C: mx.array, W: mx.array, knots: mx.array) -> mx.array:
        rows, out = x.shape[0], C.shape[2]
        own, outs = tile(rows, out)
        groups = math.ceil(rows * LANES / (own * THREADS)), math.ceil(out / (outs * LANES)), 1
        several = {"S": min(degree + 1, C.shape[1]), "ROWS": own, "OUTS": outs}
        return launch("forward", [x, C, W, knots], groups, (rows, out), x.dtype, **several)

    @linear.vjp
    def gradient(primals: tuple[mx.array, ...], gy: mx.array, y: mx.array) -> tuple[mx.array, ...]:
        x, C, W, knots = primals
        rows, d = x.shape
        _, K, out = C.shape
        own, _ = tile(rows, out)
        groups = math.ceil(rows * LANES / (own * THREADS)), math.ceil(d * own / LANES), 1
        gx = launch("backward_x", [*primals, gy], groups, x.shape, x.dtype, S=min(degree + 1, K), ROWS=own)
        outs, blocks = min(MOST_OUTS, math.ceil(out / LANES)), math.ceil((K + base) / MOST_FUNCTIONS)
        across = math.ceil(d * LANES / THREADS), blocks * math.ceil(out / (outs * LANES))
        parts = spans(rows, math.prod(across))
        sums = launch(
            "backward_C",
            [x, knots, gy],
            (*across, parts),
            (parts, d, K + base, out),
            mx.float32,
            N=math.ceil((K + base) / blocks),
            OUTS=outs,
            SPANS=parts,
        ).sum(0)
        gW = sums[:, K].astype(W.dtype) if base else mx.zeros_like(W)
        return gx, sums[:, :K].astype(C.dtype), gW, mx.zeros_like(knots)

    return linear
