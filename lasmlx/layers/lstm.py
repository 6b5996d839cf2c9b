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
        outputs = []
        for k in range(t):
            i, f, g, o = mx.split(gates[:, k] + h @ self.U.T, 4, axis=-1)
            new = mx.sigmoid(f) * c + mx.sigmoid(i) * mx.tanh(g)
            said = mx.sigmoid(o) * mx.tanh(new)
            if mask is not None:
                here = mask[:, k : k + 1]
                new, said = mx.where(here, new, c), mx.where(here, said, h)
            h, c = said, new
            outputs.append(h)
        return mx.stack(outputs, 1).astype(x.dtype), (h, c)
