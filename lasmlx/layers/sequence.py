"""Around a cell: a memory beside it, both directions, several on top of each other, sequences of unequal length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from lasmlx.layers.liquid import checked_elements, checked_input
from lasmlx.ops.ode import Steps, time_steps


class Cell(Protocol):
    """What these wrappers ask of a cell; the state is any tree of arrays."""

    def init_state(self, b: int) -> Any:
        """The state before the first input, for a batch of b."""

    def __call__(
        self, x: mx.array, state: Any = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, Any]:
        """(b, t, inputs) and the state before it to (b, t, outputs) and the state after it."""

    def traced(
        self, x: mx.array, state: Any = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, Any, Any]:
        """As calling, with the time constants beside."""


class MixedMemoryState(NamedTuple):
    """The state of the cell, which the memory reads and writes, and the memory's own."""

    h: mx.array  # (b, hidden), float32
    c: mx.array  # (b, hidden), float32


class MixedMemory(nn.Module):
    """Before each element ``h, c = lstm(x, h, c)`` without time, then ``y, h = cell(x, h, dt)``.

    ``i, g, f, o = W x + U h + b``; ``c = sigmoid(f + 1) c + sigmoid(g) tanh(i)``; ``h = sigmoid(o) tanh(c)``: gradients
    pass through c where the cell, a decaying ODE, would lose them.

    Args:
        inputs: width of x.
        cell: a cell whose state is one array (b, hidden).

    Source: Lechner & Hasani 2020, Learning long-term dependencies in irregularly-sampled time series, section 4.
    """

    def __init__(self, inputs: int, cell: Cell) -> None:
        super().__init__()
        state = cell.init_state(1)
        if not isinstance(state, mx.array):
            raise ValueError(f"MixedMemory: cell has the state {type(state).__name__}, expected one array (b, hidden).")
        hidden = state.shape[-1]
        self.W = mx.random.uniform(-1, 1, (4 * hidden, inputs)) * (6 / (4 * hidden + inputs)) ** 0.5
        self.U = _orthogonal_columns(4 * hidden, hidden)
        self.b = mx.random.uniform(-0.1, 0.1, (4 * hidden,))
        self.cell = cell

    def init_state(self, b: int) -> MixedMemoryState:
        """The state before the first input, for a batch of b."""
        h = self.cell.init_state(b)
        return MixedMemoryState(h, mx.zeros_like(h))

    def __call__(
        self, x: mx.array, state: MixedMemoryState | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, MixedMemoryState]:
        """(b, t, inputs) and the state before it to (b, t, outputs) and the state after it."""
        y, state = self._each(self.cell, x, state, dt, mask)
        return y, state

    def traced(
        self, x: mx.array, state: MixedMemoryState | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, MixedMemoryState, mx.array]:
        """As calling, with the cell's time constants beside, (b, t, hidden), seconds."""
        y, state, tau = self._each(self.cell.traced, x, state, dt, mask)
        return y, state, tau

    def _each(
        self, cell: Callable[..., Any], x: mx.array, state: MixedMemoryState | None, dt: Any, mask: mx.array | None
    ) -> tuple[Any, ...]:
        x = checked_input("MixedMemory", x, self.W.shape[1], mask, dt)
        b, t, _ = x.shape
        state = self.init_state(b) if state is None else state
        steps = time_steps(dt, b, t, op="MixedMemory")
        parts = []
        for i in range(t):
            now = slice(i, i + 1)
            here = None if mask is None else mask[:, now]
            h, c = self._remember(x[:, i], state, here)
            y, h, *tau = cell(x[:, now], h, dt=Steps(steps[:, now]), mask=here)
            state = MixedMemoryState(h, c)
            parts.append((y, *tau))
        y, *tau = (mx.concatenate(list(part), 1) for part in zip(*parts, strict=True))
        return y, state, *tau

    def _remember(self, x: mx.array, state: MixedMemoryState, here: mx.array | None) -> MixedMemoryState:
        i, g, f, o = mx.split(x @ self.W.T + state.h @ self.U.T + self.b, 4, axis=-1)
        c = mx.sigmoid(f + 1) * state.c + mx.sigmoid(g) * mx.tanh(i)
        h = mx.sigmoid(o) * mx.tanh(c)
        if here is None:
            return MixedMemoryState(h, c)
        return MixedMemoryState(mx.where(here, h, state.h), mx.where(here, c, state.c))


class Bidirectional(nn.Module):
    """``y = [forward(x), backward(x reversed) reversed]``, side by side.

    An element keeps its dt in both directions: that is how long its input is held. The backward half sees the future,
    so pieces of a sequence do not add up to the whole, and it cannot stream.

    Args:
        forward, backward: two cells.
    """

    def __init__(self, forward: Cell, backward: Cell) -> None:
        super().__init__()
        self.forward, self.backward = forward, backward

    def init_state(self, b: int) -> tuple[Any, Any]:
        """The states before the first and after the last input, for a batch of b."""
        return self.forward.init_state(b), self.backward.init_state(b)

    def __call__(
        self, x: mx.array, state: tuple[Any, Any] | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, tuple[Any, Any]]:
        """(b, t, inputs) and both states to (b, t, outputs of both) and both states."""
        steps = _steps("Bidirectional", x, dt, mask)
        before, after = self.init_state(x.shape[0]) if state is None else state
        y, before = self.forward(x, before, dt=Steps(steps), mask=mask)
        z, after = self.backward(_flip(x), after, dt=Steps(_flip(steps)), mask=None if mask is None else _flip(mask))
        return mx.concatenate([y, _flip(z)], -1), (before, after)

    def traced(
        self, x: mx.array, state: tuple[Any, Any] | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, tuple[Any, Any], mx.array]:
        """As calling, with the time constants of both (b, t, hidden of both), seconds, beside."""
        steps = _steps("Bidirectional", x, dt, mask)
        before, after = self.init_state(x.shape[0]) if state is None else state
        y, before, tau = self.forward.traced(x, before, dt=Steps(steps), mask=mask)
        back = None if mask is None else _flip(mask)
        z, after, back_tau = self.backward.traced(_flip(x), after, dt=Steps(_flip(steps)), mask=back)
        return mx.concatenate([y, _flip(z)], -1), (before, after), mx.concatenate([tau, _flip(back_tau)], -1)


class Stack(nn.Module):
    """``y = cell_n(... cell_1(x))``: the outputs of a cell are the inputs of the next, at the same times.

    Args:
        cells: in the order in which a signal passes them.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        super().__init__()
        if not cells:
            raise ValueError("Stack: cells is empty, expected at least one cell.")
        self.cells = list(cells)

    def init_state(self, b: int) -> tuple[Any, ...]:
        """The state of each cell before the first input, for a batch of b."""
        return tuple(cell.init_state(b) for cell in self.cells)

    def __call__(
        self, x: mx.array, state: tuple[Any, ...] | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, tuple[Any, ...]]:
        """(b, t, inputs) and the states before it to (b, t, outputs) and the states after it."""
        steps, after = Steps(_steps("Stack", x, dt, mask)), []
        for cell, before in zip(self.cells, self._states(x, state), strict=True):
            x, last = cell(x, before, dt=steps, mask=mask)
            after.append(last)
        return x, tuple(after)

    def traced(
        self, x: mx.array, state: tuple[Any, ...] | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, tuple[Any, ...], tuple[Any, ...]]:
        """As calling, with the time constants of each cell beside."""
        steps, after, taus = Steps(_steps("Stack", x, dt, mask)), [], []
        for cell, before in zip(self.cells, self._states(x, state), strict=True):
            x, last, tau = cell.traced(x, before, dt=steps, mask=mask)
            after.append(last)
            taus.append(tau)
        return x, tuple(after), tuple(taus)

    def _states(self, x: mx.array, state: tuple[Any, ...] | None) -> tuple[Any, ...]:
        if state is not None and len(state) != len(self.cells):
            raise ValueError(f"Stack: state has {len(state)} parts, expected {len(self.cells)}, one a cell.")
        return self.init_state(x.shape[0]) if state is None else state


def length_mask(lengths: Any, t: int) -> mx.array:
    """The mask of sequences of unequal length, padded behind: (b, t), True for the first ``lengths_i`` of row i.

    Args:
        lengths: whole numbers from 0 to t, (b,).
        t: the length they are padded to.

    Raises:
        ValueError: ``lengths`` is not as above.
    """
    counts = np.asarray(lengths)
    whole = counts.ndim == 1 and counts.dtype.kind in "iu"
    if not whole or not ((counts >= 0) & (counts <= t)).all():
        raise ValueError(f"length_mask: lengths is {lengths}, expected whole numbers from 0 to t = {t}, one a row.")
    return mx.array(np.arange(t) < counts[:, None])


def _steps(name: str, x: mx.array, dt: Any, mask: mx.array | None) -> mx.array:
    if x.ndim != 3:
        raise ValueError(f"{name}: x has shape {x.shape}, expected (b, t, inputs).")
    checked_elements(name, x, mask, dt)
    return time_steps(dt, *x.shape[:2], op=name)


def _flip(x: mx.array) -> mx.array:
    return x[:, ::-1]


def _orthogonal_columns(rows: int, columns: int) -> mx.array:
    q, _ = mx.linalg.qr(mx.random.normal((rows, columns)), stream=mx.cpu)
    return q
