"""The plastic scan on a GPU: which kernel, its grid, the gradient. The kernels: ``metal/plastic.metal``."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import mlx.core as mx

from lasmlx.ops.metal import Backend, kernel

RULES = {"hebb": 0, "oja": 1, "delta": 2}  # as the kernels number them
MOST = 512  # synapses a row: the backward kernel then needs all of the 128 registers that Apple GPUs have a lane
SEGMENT = 32  # elements from one checkpoint to the next, one a lane of a simdgroup
LANES = 32  # of a simdgroup
MOST_HELD = 16  # synapses a lane of the forward kernel, two registers each, where it takes more than one row
MOST_ROWS = 4  # of a simdgroup there, which share the loads of x
REGISTERS = 24  # a lane of the backward kernel, for the traces of a piece
MOST_PIECE = 8  # elements whose traces are recomputed at a time
MOST_GROUPS = 8  # simdgroups: 256 threads, fewer than the 384 that fit at 128 registers each
MOST_FLOATS = 4096  # of threadgroup memory, so that a core of an Apple GPU runs three threadgroups side by side
FULL = 16384  # lanes that fill a GPU: 24 simdgroups a core, 20 cores


def takes(n: int) -> bool:
    """Whether a row of n synapses fits into the kernels."""
    return n <= MOST


def plastic_scan(
    u: mx.array,
    x: mx.array,
    alpha: mx.array,
    H0: mx.array | None,
    rate: mx.array,
    keep: mx.array,
    rule: str,
    key: mx.array | None,
    target: mx.array | None,
    backend: Backend,
) -> tuple[mx.array, mx.array]:
    """As :func:`lasmlx.ops.plastic_scan`, arguments checked there, y in float32.

    Raises:
        ValueError: a row does not fit, see :func:`takes`.
    """
    b, _, g, m = u.shape
    n = x.shape[3]
    if not takes(n):
        raise ValueError(f"plastic_scan: x has {n} values a head, the {backend} kernel takes at most {MOST}.")
    H0 = mx.zeros((b, g, m, n)) if H0 is None else H0
    extra = [a for a in (key, target) if a is not None]
    arrays = [a.astype(mx.float32) for a in (u, x, mx.broadcast_to(alpha, (g, m, n)), H0, rate, keep, *extra)]
    y, last, *_ = _scan(rule, key is not None, target is not None, backend)(*arrays)
    return y, last


def rows(pairs: int, m: int, n: int) -> int:
    """Rows a simdgroup of the forward kernel: as many as its registers hold and as leave enough to fill the GPU."""
    return max(1, min(MOST_ROWS, m, MOST_HELD // _held(n), pairs * m * LANES // FULL))


def parts(pairs: int, m: int, n: int, keyed: bool) -> tuple[int, int, int]:
    """How the backward kernel divides the rows: simdgroups a threadgroup, rows in turn of each, partial sums.

    A part has partial sums of its own, as large as x, so there are no more than fill the GPU: ``FULL / 256`` of a head
    and sequence, at most.
    """
    groups = min(MOST_GROUPS, m, max(1, MOST_FLOATS // (n * (2 if keyed else 1))))
    wanted = max(1, FULL // (LANES * groups * pairs))
    turns = math.ceil(m / (groups * wanted))
    return groups, turns, math.ceil(m / (groups * turns))


def _held(n: int) -> int:
    """Synapses of a row that a lane holds."""
    return math.ceil(n / LANES)


@cache
def _scan(rule: str, keyed: bool, taught: bool, backend: Backend) -> Callable[..., Any]:
    flags = [("RULE", RULES[rule]), ("KEY", keyed), ("TARGET", taught)]

    def key_and_target(extra: tuple[mx.array, ...]) -> list[mx.array]:
        """Both, or what stands in for them."""
        found = list(extra)
        return [found.pop(0) if there else mx.zeros((1,)) for there in (keyed, taught)]

    @mx.custom_function
    def scan(
        u: mx.array, x: mx.array, alpha: mx.array, H0: mx.array, rate: mx.array, keep: mx.array, *extra: mx.array
    ) -> tuple[mx.array, ...]:
        b, t, g, m = u.shape
        n = x.shape[3]
        each = rows(b * g, m, n)
        groups = min(MOST_GROUPS, math.ceil(m / each))
        return tuple(
            kernel("plastic", "forward", backend)(
                inputs=[u, x, alpha, H0, rate, keep, *key_and_target(extra)],
                template=[("N", n), *flags, ("ROWS", each), ("GROUPS", groups)],
                grid=(LANES * b * g, groups * math.ceil(m / (groups * each)), 1),
                threadgroup=(LANES, groups, 1),
                output_shapes=[
                    *(u.shape, H0.shape),
                    *(u.shape if rule == "delta" else (1,), (math.ceil(t / SEGMENT), *H0.shape)),
                ],
                output_dtypes=[mx.float32] * 4,
            )
        )

    @scan.vjp
    def gradient(
        primals: tuple[mx.array, ...], cotangents: tuple[mx.array, ...], outputs: tuple[mx.array, ...]
    ) -> tuple[mx.array, ...]:
        u, x, alpha, H0, rate, keep, *extra = primals
        y, _, seen, checkpoints = outputs
        b, _, g, m = u.shape
        n = x.shape[3]
        groups, turns, count = parts(b * g, m, n, keyed)
        sums = (count, *x.shape)
        gu, gx, galpha, gH0, grate, gkeep, gkey, gtarget = kernel("plastic", "backward", backend)(
            inputs=[x, alpha, rate, keep, *key_and_target(tuple(extra)), y, seen, checkpoints, *cotangents[:2]],
            template=[("N", n), *flags, ("GROUPS", groups), ("TURNS", turns), ("PIECE", _piece(n))],
            grid=(LANES * b * g, groups * count, 1),
            threadgroup=(LANES, groups, 1),
            output_shapes=[
                *(u.shape, sums, H0.shape, H0.shape, u.shape, u.shape),
                *(sums if keyed else (1,), u.shape if taught else (1,)),
            ],
            output_dtypes=[mx.float32] * 8,
        )
        return (
            *(gu, gx.sum(0), galpha.sum(0), gH0, grate.sum(-1), gkeep.sum(-1)),
            *((gkey.sum(0),) if keyed else ()),
            *((gtarget,) if taught else ()),
        )

    return scan


def _piece(n: int) -> int:
    """Elements whose traces the backward kernel recomputes at a time, as many as registers hold."""
    return min(MOST_PIECE, REGISTERS // _held(n))
