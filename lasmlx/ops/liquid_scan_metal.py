"""The liquid scan on a GPU: which kernel, its grid, the gradient. The kernels: ``metal/liquid_scan.metal``."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from lasmlx.ops.metal import Backend, kernel

if TYPE_CHECKING:
    from lasmlx.ops.liquid_scan import Tau
    from lasmlx.ops.ode import Solver

SOLVERS = {"euler": 0, "midpoint": 1, "fused": 2}  # as the kernels number them
MOST_BYTES = 32768  # of threadgroup memory, on Apple GPUs
MOST_ROWS = 4  # batch rows that share one load of a weight
MOST_THREADS = 256  # a threadgroup; fewer than the 384 that fit at 128 registers each
LANES = 32  # of a simdgroup


def liquid_scan(
    u: mx.array,
    U: mx.array,
    tau: Tau,
    h0: mx.array | None,
    steps: mx.array,
    solver: Solver,
    substeps: int,
    backend: Backend,
) -> mx.array:
    """h after each element, as :func:`lasmlx.ops.liquid_scan`, arguments checked there; float32.

    Raises:
        ValueError: the kernel does not take the solver or the sizes, see :func:`takes`.
    """
    b, _, hidden = u.shape
    fields = tau._asdict()
    soft = "V2" in fields
    inner = tau.v.shape[2] if soft else 0
    check_solver("liquid_scan", solver, backend)
    if not takes(hidden, inner, solver):
        most = MOST_BYTES // 4 - 1 - MOST_THREADS // LANES
        raise ValueError(
            f"liquid_scan: u has {hidden} units and tau's inner layer {inner}, "
            f"expected 2 units + inner <= {most} for the {backend} kernel."
        )
    h0 = mx.zeros((b, hidden)) if h0 is None else h0
    extra = [fields["V2"], fields["b2"]] if soft else []
    span = 0.0 if soft else fields["high"] - tau.low
    arrays = [a.astype(mx.float32) for a in (u, tau.v, U, tau.V, h0, steps, *extra)]
    return _scan(SOLVERS[solver], substeps, tau.low, span, backend)(*arrays)


def takes(hidden: int, inner: int, solver: str) -> bool:
    """Whether a row of ``hidden`` units, ``inner`` more in the layer of a soft tau (else 0), fits into the kernels."""
    return solver in SOLVERS and rows_fit(1, _floats(hidden, inner))


def check_solver(op: str, solver: str, backend: Backend) -> None:
    """Raise ``ValueError`` unless the kernels have the solver."""
    if solver not in SOLVERS:
        raise ValueError(f"{op}: solver is {solver!r}, the {backend} kernel takes {', '.join(SOLVERS)}.")


def rows_fit(rows: int, floats: int) -> bool:
    """Whether so many batch rows of so many floats each, and one float more, fit into threadgroup memory."""
    return 4 * (rows * floats + 1) <= MOST_BYTES


def tile(b: int, floats: int) -> int:
    """Batch rows a threadgroup, 1, 2 or 4, where a row needs ``floats`` floats of threadgroup memory.

    A weight, once loaded, costs each further row a multiply-add, so up to four rows take about the time of one, and a
    tile that is not full loses little. Fewer rows are for small batches and where four have no room.
    """
    rows = 1
    while rows < min(b, MOST_ROWS) and rows_fit(2 * rows, floats):
        rows *= 2
    return rows


def threads(*sizes: int) -> int:
    """Threads a threadgroup: one for each of the widest layer's units, in whole simdgroups, up to the most."""
    return min(MOST_THREADS, math.ceil(max(sizes) / LANES) * LANES)


def _floats(hidden: int, inner: int) -> int:
    return 2 * hidden + inner + threads(hidden, inner) // LANES


@cache
def _scan(solver: int, substeps: int, low: float, span: float, backend: Backend) -> Callable[..., Any]:
    soft = span == 0

    def call(b: int, hidden: int, m: int) -> tuple[int, dict[str, Any]]:
        """The tiles of the batch, and how to launch a kernel on them."""
        rows = tile(b, _floats(hidden, m if soft else 0))
        tiles, units = math.ceil(b / rows), threads(hidden, m)
        template = [("H", hidden), ("M", m), ("K", substeps), ("SOLVER", solver), ("SOFT", soft)]
        template += [("ROWS", rows), ("UNITS", units)]
        return tiles, {"template": template, "grid": (units * tiles, 1, 1), "threadgroup": (units, 1, 1)}

    def second(extra: tuple[mx.array, ...]) -> tuple[mx.array, mx.array]:
        """V2 and b2, or what stands in for them."""
        return (extra[0], extra[1]) if soft else (mx.zeros((1, 1)), mx.zeros((1,)))

    @mx.custom_function
    def scan(
        u: mx.array, v: mx.array, U: mx.array, V: mx.array, h0: mx.array, dt: mx.array, *extra: mx.array
    ) -> mx.array:
        V2, b2 = second(extra)
        _, how = call(u.shape[0], u.shape[2], v.shape[2])
        inputs = [u, v, *(mx.contiguous(a.T) for a in (U, V, V2)), b2, h0, dt, mx.array([low, span])]
        return kernel("liquid_scan", "forward", backend)(
            inputs=inputs, output_shapes=[u.shape], output_dtypes=[mx.float32], **how
        )[0]

    @scan.vjp
    def gradient(primals: tuple[mx.array, ...], gh: mx.array, h: mx.array) -> tuple[mx.array, ...]:
        u, v, U, V, h0, dt, *extra = primals
        V2, b2 = second(tuple(extra))
        b, _, hidden = u.shape
        m = v.shape[2]
        tiles, how = call(b, hidden, m)
        stages = substeps * (2 if solver == SOLVERS["midpoint"] else 1)
        tape = (stages * (3 * hidden + (m if soft else 0)) + 2 * hidden) * dict(how["template"])["ROWS"]
        transposed = [mx.contiguous(a.T) for a in (U, V, V2)]
        sums = [U.shape, V.shape, V2.shape, b2.shape]
        gu, gv, gU, gV, gV2, gb2, gh0, gdt, _ = kernel("liquid_scan", "backward", backend)(
            inputs=[u, v, U, V, V2, *transposed, b2, h0, dt, mx.array([low, span]), h, gh],
            output_shapes=[
                *(u.shape, v.shape),
                *((tiles, *shape) if soft or i < 2 else shape for i, shape in enumerate(sums)),
                *(h0.shape, dt.shape, (tiles, tape)),
            ],
            output_dtypes=[mx.float32] * 9,
            **how,
        )
        return gu, gv, gU.sum(0), gV.sum(0), gh0, gdt, *((gV2.sum(0), gb2.sum(0)) if soft else ())

    return scan
