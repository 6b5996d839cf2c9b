"""The closed-form scan on a GPU: which kernel, its grid, the gradient. The kernels: ``metal/cfc_scan.metal``."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import mlx.core as mx

from lasmlx.ops.liquid_scan import before
from lasmlx.ops.liquid_scan_metal import MOST_BYTES, rows_fit, threads, tile
from lasmlx.ops.metal import Backend, kernel


def cfc_scan(
    u: mx.array,
    V: mx.array,
    W: mx.array | None,
    b: mx.array | None,
    h0: mx.array | None,
    steps: mx.array,
    mask: mx.array | None,
    gate: bool,
    backend: Backend,
    activation: Callable[[mx.array], mx.array],
) -> mx.array:
    """h after each element, as :func:`lasmlx.ops.cfc_scan`, arguments checked there, with that of z; float32.

    The gradient takes ``4 (10 hidden + 2 m)`` bytes an element at most, beside what goes in and comes out.

    Raises:
        ValueError: the kernel does not take the sizes, see :func:`takes`.
    """
    rows, t, m = u.shape
    hidden = V.shape[1]
    deep = W is not None
    if not takes(hidden, m if deep else 0):
        raise ValueError(
            f"cfc_scan: V is for {hidden} units and z has {m if deep else 0}, expected 5 units + those of z <= "
            f"{MOST_BYTES // 4 - 1} for the {backend} kernel."
        )
    h0 = mx.zeros((rows, hidden)) if h0 is None else h0
    live = mx.ones((rows, t, 1)) if mask is None else mask[..., None]
    arrays = (u, V, h0, steps, live) if W is None or b is None else (u, V, h0, steps, live, W, b)
    states: mx.array = _scan(gate, backend, activation)(*(a.astype(mx.float32) for a in arrays))
    return states


def takes(hidden: int, m: int) -> bool:
    """Whether a row of ``hidden`` units, and m of z (0 without W), fits into the kernels."""
    return rows_fit(1, _floats(hidden, m))


def _floats(hidden: int, m: int) -> int:
    """Threadgroup memory of a row, the backward's: the forward needs less."""
    return 5 * hidden + m


@cache
def _scan(gate: bool, backend: Backend, activation: Callable[[mx.array], mx.array]) -> Callable[..., Any]:
    def call(b: int, hidden: int, m: int, each: bool, deep: bool) -> dict[str, Any]:
        """How to launch a kernel on the tiles of the batch."""
        rows, units = tile(b, _floats(hidden, m if deep else 0)), threads(hidden, m if deep else 0)
        template = [("H", hidden), ("M", m), ("DEEP", deep), ("GATE", gate), ("EACH", each)]
        template += [("ROWS", rows), ("UNITS", units)]
        return {"template": template, "grid": (units * math.ceil(b / rows), 1, 1), "threadgroup": (units, 1, 1)}

    @mx.custom_function
    def scan(u: mx.array, V: mx.array, h0: mx.array, dt: mx.array, live: mx.array, *outer: mx.array) -> mx.array:
        b, t, m = u.shape
        W, bias = outer or (mx.zeros((1, 1)), mx.zeros((1,)))
        return kernel("cfc_scan", "forward", backend)(
            inputs=[u, mx.contiguous(V.T), mx.contiguous(W.T), bias, h0, dt, live],
            output_shapes=[(b, t, V.shape[1])],
            output_dtypes=[mx.float32],
            **call(b, V.shape[1], m, dt.shape[2] > 1, bool(outer)),
        )[0]

    @scan.vjp
    def gradient(primals: tuple[mx.array, ...], gh: mx.array, h: mx.array) -> tuple[mx.array, ...]:
        u, V, h0, dt, live, *outer = primals
        b, _, m = u.shape
        each, earlier = dt.shape[2] > 1, before(h, h0)
        z = u + earlier @ V.T
        if outer:
            z = activation(z)
        heads = z @ outer[0].T + outer[1] if outer else z
        gheads, gu, gh0, gdt = kernel("cfc_scan", "backward", backend)(
            inputs=[z, heads, V, outer[0] if outer else mx.zeros((1, 1)), dt, live, gh],
            output_shapes=[heads.shape, u.shape if outer else (1,), h0.shape, h.shape],
            output_dtypes=[mx.float32] * 4,
            **call(b, V.shape[1], m, each, bool(outer)),
        )
        gu = gu if outer else gheads
        own = gu, _product(gu, earlier), gh0, gdt if each else gdt.sum(-1, keepdims=True), mx.zeros_like(live)
        return own + ((_product(gheads, z), gheads.sum((0, 1))) if outer else ())

    return scan


def _product(left: mx.array, right: mx.array) -> mx.array:
    """``sum left^T right`` over batch and time."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])
