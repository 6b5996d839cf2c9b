"""The LTC scan on a GPU: which kernel, its grid, the gradient. The kernels: ``metal/ltc_scan.metal``."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from lasmlx.ops.liquid_scan_metal import LANES, MOST_BYTES, SOLVERS, check_solver, rows_fit, threads, tile
from lasmlx.ops.metal import Backend, kernel

if TYPE_CHECKING:
    from lasmlx.ops.ltc_scan import Leak, Synapses
    from lasmlx.ops.ode import Solver

FULL = 16384  # threads that fill a GPU: 24 simdgroups a core, 20 cores


def ltc_scan(
    x: mx.array,
    sensory: Synapses,
    recurrent: Synapses,
    leak: Leak,
    h0: mx.array | None,
    steps: mx.array,
    solver: Solver,
    substeps: int,
    backend: Backend,
) -> mx.array:
    """h after each element, as :func:`lasmlx.ops.ltc_scan`, arguments checked there; float32.

    Raises:
        ValueError: the kernel does not take the solver or the sizes, see :func:`takes`.
    """
    b, _, inputs = x.shape
    hidden = leak.cm.shape[0]
    check_solver("ltc_scan", solver, backend)
    if not takes(hidden, inputs, solver):
        most = (MOST_BYTES // 4 - 1) // 4
        raise ValueError(f"ltc_scan: leak.cm has {hidden} neurons, expected <= {most} for the {backend} kernel.")
    h0 = mx.zeros((b, hidden)) if h0 is None else h0
    packed = [mx.stack([a.astype(mx.float32) for a in group], -2) for group in (sensory, recurrent, leak)]
    x, h0, steps = (a.astype(mx.float32) for a in (x, h0, steps))
    return _scan(SOLVERS[solver], substeps, backend)(x, *packed, h0, steps)


def takes(hidden: int, inputs: int, solver: str) -> bool:
    """Whether one row of ``hidden`` neurons fits into the kernels' threadgroup memory, and they have the solver."""
    return solver in SOLVERS and rows_fit(1, _floats(hidden, inputs))


def rows_a_tile(b: int, hidden: int, inputs: int) -> int:
    """Batch rows a threadgroup, 1, 2 or 4.

    A row costs an exponential for every synapse, so rows that share a thread take turns: they do so only where the
    batch fills the GPU even then, to load weights and to add up their gradients less often.
    """
    return tile(b * threads(hidden, inputs) // FULL, _floats(hidden, inputs))


def _floats(hidden: int, inputs: int) -> int:
    return max(4 * hidden, 2 * hidden + threads(hidden, inputs) // LANES)


@cache
def _scan(solver: int, substeps: int, backend: Backend) -> Callable[..., Any]:
    def call(b: int, hidden: int, inputs: int) -> tuple[int, dict[str, Any]]:
        """The tiles of the batch, and how to launch a kernel on them."""
        rows, units = rows_a_tile(b, hidden, inputs), threads(hidden, inputs)
        tiles = math.ceil(b / rows)
        template = [("H", hidden), ("K", substeps), ("SOLVER", solver), ("ROWS", rows), ("UNITS", units)]
        return tiles, {"template": template, "grid": (units * tiles, 1, 1), "threadgroup": (units, 1, 1)}

    @mx.custom_function
    def scan(
        x: mx.array, sensory: mx.array, recurrent: mx.array, leak: mx.array, h0: mx.array, dt: mx.array
    ) -> mx.array:
        b, t, inputs = x.shape
        hidden = h0.shape[1]
        _, how = call(b, hidden, inputs)
        return kernel("ltc_scan", "forward", backend)(
            inputs=[x, sensory, recurrent, leak, h0, dt],
            output_shapes=[(b, t, hidden)],
            output_dtypes=[mx.float32],
            **how,
        )[0]

    @scan.vjp
    def gradient(primals: tuple[mx.array, ...], gh: mx.array, h: mx.array) -> tuple[mx.array, ...]:
        x, sensory, recurrent, leak, h0, dt = primals
        b, _, inputs = x.shape
        hidden = h0.shape[1]
        tiles, how = call(b, hidden, inputs)
        stages = substeps * (2 if solver == SOLVERS["midpoint"] else 1)
        tape = (3 * stages + 6) * hidden * dict(how["template"])["ROWS"]
        transposed = [mx.contiguous(a.T) for a in (sensory, recurrent)]
        gx, gsensory, grecurrent, gleak, gh0, gdt, _ = kernel("ltc_scan", "backward", backend)(
            inputs=[x, sensory, recurrent, *transposed, leak, h0, dt, h, gh],
            output_shapes=[
                *(x.shape, (tiles, *transposed[0].shape), (tiles, *transposed[1].shape), (tiles, 3, hidden)),
                *(h0.shape, dt.shape, (tiles, tape)),
            ],
            output_dtypes=[mx.float32] * 7,
            **how,
        )
        return gx, gsensory.sum(0).T, grecurrent.sum(0).T, gleak.sum(0), gh0, gdt

    return scan
