"""Causal attention over the last elements, of a sequence to itself or to another beside it."""

from __future__ import annotations

import math
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn


class AttentionState(NamedTuple):
    """The last elements that may still be attended to, at most window - 1 of them."""

    keys: mx.array  # (b, p, d), without their positions
    values: mx.array  # (b, p, d)
    there: mx.array  # (b, p), bool; False where a mask said that there was no element


class Attention(nn.Module):
    """``y_i = O sum_j softmax_j(q_i . k_j / sqrt(d / heads)) v_j`` over ``i - window < j <= i``, in each head.

    ``q = Q x``, ``k = K context``, ``v = V context``; positions turn q and k (RoPE). Work and memory grow with
    t window, not with t squared; up to t = window it is full causal attention. The state grows to window - 1 elements.

    Args:
        d: width, a multiple of 2 heads.
        heads: each with d / heads channels.
        window: elements attended to, the present one included.

    Source: Vaswani et al. 2017, section 3.2; Su et al. 2021, RoFormer, eq. 34; the window: Beltagy et al. 2020,
    Longformer, section 3.1.
    """

    def __init__(self, d: int, heads: int, window: int) -> None:
        super().__init__()
        if d % (2 * heads):
            raise ValueError(f"Attention: d is {d}, expected a multiple of 2 heads = {2 * heads}.")
        if window < 1:
            raise ValueError(f"Attention: window is {window}, expected at least 1.")
        self.Q = nn.Linear(d, d, bias=False)
        self.K = nn.Linear(d, d, bias=False)
        self.V = nn.Linear(d, d, bias=False)
        self.O = nn.Linear(d, d, bias=False)
        self._heads, self._window = heads, window

    def init_state(self, b: int) -> AttentionState:
        """The state before the first element: nothing to attend to."""
        d = self.Q.weight.shape[0]
        return AttentionState(mx.zeros((b, 0, d)), mx.zeros((b, 0, d)), mx.zeros((b, 0), mx.bool_))

    def __call__(
        self,
        x: mx.array,
        state: AttentionState | None = None,
        *,
        context: mx.array | None = None,
        mask: mx.array | None = None,
    ) -> tuple[mx.array, AttentionState]:
        """(b, t, d) and the state before it to (b, t, d) and the state after it.

        Args:
            context: what is attended to, (b, t, d), element by element beside x; x itself if absent.
            mask: (b, t), bool; False where there is no element: nothing attends to it.
        """
        state = self.init_state(x.shape[0]) if state is None else state
        context = x if context is None else context
        keys = mx.concatenate([state.keys.astype(x.dtype), self.K(context)], 1)
        values = mx.concatenate([state.values.astype(x.dtype), self.V(context)], 1)
        present = mx.ones(x.shape[:2], mx.bool_) if mask is None else mask
        there = mx.concatenate([state.there, present], 1)
        past = state.keys.shape[1]
        q, k = (self._turned(v, first) for v, first in ((self.Q(x), past), (keys, 0)))
        y = _attend(q, k, self._split(values), there, self._window, masked=mask is not None or past > 0)
        first = max(0, keys.shape[1] - self._window + 1)
        return self.O(_joined(y)), AttentionState(keys[:, first:], values[:, first:], there[:, first:])

    def _split(self, x: mx.array) -> mx.array:
        b, t, d = x.shape
        return x.reshape(b, t, self._heads, d // self._heads).swapaxes(1, 2)  # (b, heads, t, d / heads)

    def _turned(self, x: mx.array, first: int) -> mx.array:
        x = self._split(x)
        return mx.fast.rope(x, x.shape[-1], traditional=False, base=10000.0, scale=1.0, offset=first)


def _attend(q: mx.array, k: mx.array, v: mx.array, there: mx.array, window: int, *, masked: bool) -> mx.array:
    """(b, heads, t, d / heads) from keys and values (b, heads, p + t, d / heads), whole or block by block."""
    t, reach = q.shape[2], k.shape[2]
    scale = q.shape[-1] ** -0.5
    if reach <= window and not masked:
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask="causal")
    if t <= 2 * window:
        behind = mx.arange(reach - t, reach)[:, None] - mx.arange(reach)  # (t, p + t): elements from key to query
        return _masked(q, k, v, _seen(behind, window, there[:, None, None]), scale)
    blocks = math.ceil(t / window)
    q = mx.pad(q, [(0, 0), (0, 0), (0, blocks * window - t), (0, 0)])
    before, after = window - (reach - t), blocks * window - t
    k, v = (mx.pad(x, [(0, 0), (0, 0), (before, after), (0, 0)]) for x in (k, v))
    there = _pairs(mx.pad(there, [(0, 0), (before, after)])[:, None, :, None], blocks)[..., 0]  # (b blocks, 1, 2 w)
    behind = mx.arange(window, 2 * window)[:, None] - mx.arange(2 * window)
    mask = _seen(behind, window, there[:, :, None])
    y = _masked(_blocks(q, blocks), _pairs(k, blocks), _pairs(v, blocks), mask, scale)
    y = y.reshape(-1, blocks, *y.shape[1:]).swapaxes(1, 2)  # (b, heads, blocks, w, d / heads)
    return y.reshape(*y.shape[:2], -1, y.shape[-1])[:, :, :t]


def _seen(behind: mx.array, window: int, there: mx.array) -> mx.array:
    """What a query sees: what is there within the window, and always itself, so that no row of the softmax is empty."""
    return (behind == 0) | (there & (behind > 0) & (behind < window))


def _masked(q: mx.array, k: mx.array, v: mx.array, mask: mx.array, scale: float) -> mx.array:
    return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)


def _blocks(x: mx.array, blocks: int) -> mx.array:
    """(b, heads, blocks w, n) to (b blocks, heads, w, n)."""
    b, heads, t, n = x.shape
    return x.reshape(b, heads, blocks, t // blocks, n).swapaxes(1, 2).reshape(b * blocks, heads, t // blocks, n)


def _pairs(x: mx.array, blocks: int) -> mx.array:
    """(b, heads, (blocks + 1) w, n) to (b blocks, heads, 2 w, n): each block with the one before it."""
    w = x.shape[2] // (blocks + 1)
    return mx.concatenate([_blocks(x[:, :, :-w], blocks), _blocks(x[:, :, w:], blocks)], 2)


def _joined(x: mx.array) -> mx.array:
    b, heads, t, n = x.shape
    return x.swapaxes(1, 2).reshape(b, t, heads * n)
