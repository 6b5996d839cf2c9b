"""The LSTM that liquid cells are measured against."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from lasmlx.layers.liquid import checked_input
from lasmlx.ops import time_steps


class LSTMCell(nn.Module):
    """``c = sigmoid(f) c + sigmoid(i) tanh(g)``, ``h = sigmoid(o) tanh(c)``.

    ``i, f, g, o = W [x, log(1 + dt)] + U h + b``. It has no time of its own: how long an element lasts
    is one more input. The biases of f start at 1.

    Args:
        inputs, hidden: widths of x and h.

    Source: Hochreiter & Schmidhuber 1997; Gers et al. 2000 for f.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.W = mx.random.uniform(-1, 1, (4 * hidden, inputs + 1)) * hidden**-0.5
        self.U = mx.random.uniform(-1, 1, (4 * hidden, hidden)) * hidden**-0.5
        self.b = mx.concatenate([mx.zeros((hidden,)), mx.ones((hidden,)), mx.zeros((2 * hidden,))])

    def init_state(self, b: int) -> tuple[mx.array, mx.array]:
        """h and c before the first input, for a batch of b: zeros, (b, hidden) each."""
        return mx.zeros((b, self.U.shape[1])), mx.zeros((b, self.U.shape[1]))

    def __call__(
        self,
        x: mx.array,
        state: tuple[mx.array, mx.array] | None = None,
        *,
        dt: Any = 1.0,
        mask: mx.array | None = None,
    ) -> tuple[mx.array, tuple[mx.array, mx.array]]:
        """(b, t, inputs) and the state before it to (b, t, hidden) and the state after it."""
        x = checked_input("LSTMCell", x, self.W.shape[1] - 1, mask, dt)
        b, t, _ = x.shape
        seconds = time_steps(dt, b, t, mask=mask, op="LSTMCell")
        h, c = self.init_state(b) if state is None else state
        gates = mx.concatenate([x, mx.log1p(seconds).astype(x.dtype)], -1) @ self.W.T + self.b  # (b, t, 4 hidden)
        here = mx.ones((b, t), mx.bool_) if mask is None else mask
        scanned: Any = _scan(gates, self.U, h, c, here)
        hs, cs = scanned
        return hs.astype(x.dtype), (hs[:, -1], cs[:, -1])


@mx.custom_function
def _scan(gates: mx.array, U: mx.array, h0: mx.array, c0: mx.array, here: mx.array) -> tuple[mx.array, mx.array]:
    """All h and c (b, t, hidden) from what the inputs give to the gates, (b, t, 4 hidden)."""
    hs: list[mx.array] = []
    cs: list[mx.array] = []
    h, c = h0, c0
    for k in range(gates.shape[1]):
        i, f, g, o = mx.split(gates[:, k] + h @ U.T, 4, axis=-1)
        new = mx.sigmoid(f) * c + mx.sigmoid(i) * mx.tanh(g)
        there = here[:, k : k + 1]
        h, c = mx.where(there, mx.sigmoid(o) * mx.tanh(new), h), mx.where(there, new, c)
        hs.append(h)
        cs.append(c)
    return mx.stack(hs, 1), mx.stack(cs, 1)


@_scan.vjp
def _gradient(primals: Any, cotangents: Any, outputs: Any) -> tuple[mx.array, ...]:
    """Backwards through time; the gradient of U is one product over all elements and not a sum of as many."""
    gates, U, h0, c0, here = primals
    (gh, gc), (hs, cs) = cotangents, outputs
    h_before = mx.concatenate([h0[:, None].astype(hs.dtype), hs[:, :-1]], 1)
    c_before = mx.concatenate([c0[:, None].astype(cs.dtype), cs[:, :-1]], 1)
    i, f, g, o = mx.split(gates + h_before @ U.T, 4, axis=-1)
    i, f, g, o, c = mx.sigmoid(i), mx.sigmoid(f), mx.tanh(g), mx.sigmoid(o), mx.tanh(cs)
    slopes = mx.concatenate([g * i * (1 - i), c_before * f * (1 - f), i * (1 - mx.square(g))], -1)
    to_c, to_o, there = o * (1 - mx.square(c)), c * o * (1 - o), here[..., None]
    dh, dc, found = mx.zeros_like(h0), mx.zeros_like(c0), []
    for k in reversed(range(gates.shape[1])):
        dh, dc = dh + gh[:, k], dc + gc[:, k]
        inner = mx.where(there[:, k], dc + dh * to_c[:, k], 0)
        from_o = mx.where(there[:, k], dh * to_o[:, k], 0)
        found.append(mx.concatenate([mx.tile(inner, 3) * slopes[:, k], from_o], -1))
        dh = mx.where(there[:, k], 0, dh) + found[-1] @ U
        dc = mx.where(there[:, k], inner * f[:, k], dc)
    dgates = mx.stack(found[::-1], 1)  # (b, t, 4 hidden)
    dU = dgates.reshape(-1, U.shape[0]).T @ h_before.reshape(-1, U.shape[1])
    return dgates, dU, dh, dc, mx.zeros_like(here)
