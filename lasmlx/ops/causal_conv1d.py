"""Depthwise causal convolution over time, with its past as state."""

from __future__ import annotations

from typing import Literal

import mlx.core as mx
import mlx.nn as nn

from lasmlx.ops import causal_conv1d_metal, native
from lasmlx.ops.dispatch import Impl, check_floating, check_shape, choose


def causal_conv1d(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    tail: mx.array | None = None,
    *,
    activation: Literal["silu"] | None = None,
    impl: Impl = "auto",
) -> tuple[mx.array, mx.array]:
    """``y_t = act(bias + sum_j weight_j x_{t-k+1+j})``, channel by channel; ``weight_{k-1}`` meets the newest input.

    Args:
        x: input, (b, t, d).
        weight: taps, (d, k), the oldest first.
        bias: (d,).
        tail: the k - 1 inputs before ``x``, (b, k - 1, d), oldest first; zeros if absent.
        activation: None or ``"silu"``.

    Returns:
        y (b, t, d) in the dtype of ``x``; the new tail (b, k - 1, d), in the dtype of ``tail`` if given, else of ``x``.

    Raises:
        ValueError: a shape, dtype or ``activation`` is not as above; :class:`ImplError` for ``impl``.

    Error: kernel against reference 1e-6 in float32 (``tests/ops/test_causal_conv1d.py``).

    Source: the short convolution of Mamba, Gu & Dao 2023, figure 3.
    """
    op = "causal_conv1d"
    if x.ndim != 3 or 0 in x.shape:
        raise ValueError(f"{op}: x has shape {x.shape}, expected (b, t, d) with every size at least 1.")
    b, _, d = x.shape
    if weight.ndim != 2 or weight.shape[0] != d or weight.shape[1] < 1:
        raise ValueError(f"{op}: weight has shape {weight.shape}, expected ({d}, k).")
    if bias is not None:
        check_shape(op, "bias", bias, (d,))
    if tail is not None:
        check_shape(op, "tail", tail, (b, weight.shape[1] - 1, d))
    check_floating(op, x=x, weight=weight, bias=bias, tail=tail)
    if activation not in (None, "silu"):
        raise ValueError(f'{op}: activation is {activation!r}, expected None or "silu".')
    chosen = choose(op, impl, kernel=True)
    if chosen == "metal" or chosen == "cuda":
        return causal_conv1d_metal.causal_conv1d(x, weight, bias, tail, activation == "silu", chosen)
    if chosen == "cpu":
        y, new_tail = native.module.causal_conv1d(x, weight, bias, tail, activation == "silu")
        return y, new_tail
    return reference(x, weight, bias, tail, activation=activation)


def reference(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    tail: mx.array | None = None,
    *,
    activation: Literal["silu"] | None = None,
) -> tuple[mx.array, mx.array]:
    """The definition: k shifted multiply-adds in float32."""
    b, t, d = x.shape
    k = weight.shape[1]
    past = mx.zeros((b, k - 1, d), dtype=x.dtype) if tail is None else tail
    whole = mx.concatenate([past.astype(mx.float32), x.astype(mx.float32)], axis=1)  # (b, k - 1 + t, d)
    y = sum((whole[:, j : j + t] * weight[:, j].astype(mx.float32) for j in range(k)), mx.zeros(()))
    if bias is not None:
        y = y + bias.astype(mx.float32)
    if activation == "silu":
        y = nn.silu(y)
    return y.astype(x.dtype), whole[:, t:].astype(past.dtype)
