"""The transformer that everything else is measured against."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from lasmlx.layers.attention import Attention, AttentionState
from lasmlx.layers.liquid import checked_input
from lasmlx.layers.norm import RMSNorm
from lasmlx.ops import time_steps


class SwiGLU(nn.Module):
    """``y = W2 (silu(W1 x) * W3 x)``.

    Source: Shazeer 2020, GLU variants improve transformer, eq. 6.
    """

    def __init__(self, d: int, hidden: int) -> None:
        super().__init__()
        self.W1 = nn.Linear(d, hidden, bias=False)
        self.W2 = nn.Linear(hidden, d, bias=False)
        self.W3 = nn.Linear(d, hidden, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        y: mx.array = self.W2(nn.silu(self.W1(x)) * self.W3(x))
        return y


class TransformerBlock(nn.Module):
    """``u = x + attention(norm(x))``, ``y = u + swiglu(norm(u))``; a cell whose elements have no duration.

    Args:
        d, heads, window: see :class:`Attention`.
        inner: width inside SwiGLU.
    """

    def __init__(self, d: int, heads: int, window: int, inner: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(d)
        self.attention = Attention(d, heads, window)
        self.mlp_norm = RMSNorm(d)
        self.mlp = SwiGLU(d, inner)

    def init_state(self, b: int) -> AttentionState:
        """The state before the first element."""
        return self.attention.init_state(b)

    def __call__(
        self, x: mx.array, state: AttentionState | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, AttentionState]:
        """(b, t, d) and the state before it to (b, t, d) and the state after it."""
        y, state = self.attention(self.attention_norm(x), state, mask=mask)
        x = x + y
        return x + self.mlp(self.mlp_norm(x)), state


class TimedLinear(nn.Module):
    """``y = W [x, log(1 + dt)] + b``: how vectors at uneven times enter what has no time of its own; a cell.

    Args:
        inputs, d: widths of x and y.
    """

    def __init__(self, inputs: int, d: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs + 1, d)

    def init_state(self, b: int) -> tuple[()]:
        """It keeps nothing."""
        return ()

    def __call__(
        self, x: mx.array, state: tuple[()] | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, tuple[()]]:
        """(b, t, inputs) to (b, t, d)."""
        x = checked_input("TimedLinear", x, self.linear.weight.shape[1] - 1, mask, dt)
        seconds = time_steps(dt, *x.shape[:2], mask=mask, op="TimedLinear")
        return self.linear(mx.concatenate([x, mx.log1p(seconds).astype(x.dtype)], -1)), ()
