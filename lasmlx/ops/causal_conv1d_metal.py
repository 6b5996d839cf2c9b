"""The causal convolution on a GPU: grid and gradient. The kernels: ``metal/causal_conv1d.metal``."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import mlx.core as mx

from lasmlx.ops.metal import Backend, kernel

LANES = 32  # of a simdgroup
SPAN = 32  # steps a thread


def causal_conv1d(
    x: mx.array, weight: mx.array, bias: mx.array | None, tail: mx.array | None, silu: bool, backend: Backend
) -> tuple[mx.array, mx.array]:
    """As :func:`lasmlx.ops.causal_conv1d`, arguments checked there. The new tail is a slice, so it needs no kernel."""
    b, t, d = x.shape
    past = weight.shape[1] - 1
    if tail is None:
        tail = mx.zeros((b, past, d), dtype=x.dtype)
    newest = x[:, max(0, t - past) :].astype(tail.dtype)
    new_tail = mx.concatenate([tail[:, t:], newest], axis=1) if past else tail
    y = _conv(silu, backend)(
        x, weight, mx.zeros((d,)) if bias is None else bias, tail if past else mx.zeros((b, 1, d), dtype=tail.dtype)
    )
    return y, new_tail


def _launch(
    name: str, silu: bool, backend: Backend, inputs: list[mx.array], shapes: list[Any], dtypes: list[Any]
) -> list[mx.array]:
    x, weight, _, tail = inputs[:4]
    b, t, d = x.shape
    spans = math.ceil(t / SPAN)
    return kernel("causal_conv1d", name, backend)(
        inputs=inputs,
        template=[("T", x.dtype), ("W", tail.dtype), ("K", weight.shape[1]), ("SPAN", SPAN), ("SILU", silu)],
        grid=(math.ceil(d / LANES) * LANES, spans, b),
        threadgroup=(LANES, min(spans, 4), 1),
        output_shapes=shapes,
        output_dtypes=dtypes,
    )


@cache
def _conv(silu: bool, backend: Backend) -> Callable[..., Any]:
    @mx.custom_function
    def conv(x: mx.array, weight: mx.array, bias: mx.array, tail: mx.array) -> mx.array:
        return _launch("forward", silu, backend, [x, weight, bias, tail], [x.shape], [x.dtype])[0]

    @conv.vjp
    def gradient(primals: tuple[mx.array, ...], cotangent: mx.array, output: mx.array) -> tuple[mx.array, ...]:
        x, weight, bias, tail = primals
        b, t, d = x.shape
        spans, k = math.ceil(t / SPAN), weight.shape[1]
        gx, gtail, gweight, gbias = _launch(
            "backward",
            silu,
            backend,
            [*primals, cotangent],
            [x.shape, tail.shape, (b, spans, k, d), (b, spans, d)],
            [x.dtype, tail.dtype, mx.float32, mx.float32],
        )
        return gx, gweight.sum((0, 1)).T.astype(weight.dtype), gbias.sum((0, 1)).astype(bias.dtype), gtail

    return conv
