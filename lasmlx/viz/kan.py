"""The functions that a model of splines has learnt on its edges, where its data lies."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.layers import KANLinear
from lasmlx.layers.symbolic import EdgeFormula
from lasmlx.viz.scale import percent
from lasmlx.viz.trace import Floats

POINTS = 128  # of a curve
MOST_ROWS = 4096  # of x, evenly chosen
MOST_VALUES = 1 << 23  # of edges at once


class Edge(NamedTuple):
    """The function from an input of a layer to an output of it, over the range where x fell."""

    input: int
    output: int
    magnitude: float  # mean |phi| over x
    share: float  # of the magnitudes of the layer
    x: Floats  # (POINTS,), from the least to the greatest
    phi: Floats  # (POINTS,)
    middle: tuple[float, float]  # 5 to 95 % of x
    knots: Floats  # (grid + 1,), ascending: beyond the ends the spline fades
    formula: EdgeFormula | None  # the function that fits best, where that was asked for

    @property
    def name(self) -> str:
        """``x3 → y17``."""
        return f"x{self.input} → y{self.output}"

    @property
    def said_share(self) -> str:
        """The share for people, with two digits at least."""
        return percent(self.share, 1 if self.share >= 0.01 else 2)

    @property
    def said(self) -> str:
        """The formula of x in two digits, with what is added; empty without one."""
        if self.formula is None:
            return ""
        text, d = self.formula.text("x", 2), self.formula.d
        if self.formula.function == "constant" or abs(d) < 0.005 * float(np.abs(self.phi).max()):
            return text
        return f"{text} {'+-'[d < 0]} {abs(d):.2g}"


@dataclass(frozen=True, eq=False)
class KANLayer:
    """A layer of splines and what it receives."""

    layer: int  # which of the model's, from 0
    kan: KANLinear
    x: Floats  # (n, inputs)
    magnitudes: Floats  # (outputs, inputs)

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """The magnitudes as shares of their sum, (outputs, inputs)."""
        sizes = self.magnitudes.astype(np.float64)
        return sizes / max(sizes.sum(), 1e-30)

    @property
    def count(self) -> int:
        """Edges."""
        return self.magnitudes.size

    @cached_property
    def pruned(self) -> int:
        """Edges that were cut."""
        return int((np.array(self.kan.mask) == 0).sum())

    @property
    def half(self) -> int:
        """How few edges together make half of the sum of magnitudes."""
        sums = np.cumsum(np.sort(self.shares, axis=None)[::-1])
        return int(np.searchsorted(sums, 0.5 - 1e-9)) + 1 if sums[-1] else 0

    @property
    def entropy(self) -> float:
        """``-sum p log p / log count`` of the shares p: 0 if one edge does it all, 1 if all do as much.

        Source: Liu et al. 2024, KAN: Kolmogorov-Arnold networks, eq. 2.19, here as a share of the most it can be.
        """
        p = self.shares[self.shares > 0]
        return float((p * np.log(1 / p)).sum() / math.log(self.count)) if self.count > 1 else 0.0

    @cached_property
    def ends(self) -> NDArray[np.float64]:
        """Where the grid of each input begins and ends, (inputs, 2)."""
        return self._grid[:, [0, -1]]

    @cached_property
    def outside(self) -> float:
        """The share of x beyond the grid."""
        return float(((self.x < self.ends[:, 0]) | (self.x > self.ends[:, 1])).mean())

    def ranked(self, count: int, *, symbolic: bool = False) -> list[Edge]:
        """The edges of the greatest magnitudes that are not cut, at most so many, the greatest first.

        Args:
            symbolic: with the function that fits each best over x.
        """
        order = np.argsort(-self.magnitudes, axis=None, kind="stable")[:count]
        alive = np.array(self.kan.mask).flat
        places = [divmod(int(at), self.magnitudes.shape[1]) for at in order if alive[at]]
        pairs = [(i, j) for j, i in places]
        formulas: Sequence[EdgeFormula | None] = [None] * len(pairs)
        if symbolic:
            formulas = self.kan.symbolic(mx.array(self.x), pairs)
        return [self._edge(*pair, formula) for pair, formula in zip(pairs, formulas, strict=True)]

    def heat_map(self, rows: int, columns: int) -> Floats:
        """The magnitudes (outputs, inputs) at most so many each: of neighbours taken together the greatest."""
        if rows < 1 or columns < 1:
            raise ValueError(f"heat_map: rows is {rows} and columns {columns}, expected at least 1 of each.")
        found = self.magnitudes
        for axis, most in ((0, rows), (1, columns)):
            parts = min(most, found.shape[axis])
            found = np.maximum.reduceat(found, np.arange(parts) * found.shape[axis] // parts, axis)
        return found

    @cached_property
    def _grid(self) -> NDArray[np.float64]:
        degree, knots = self.kan.degree, np.array(self.kan.knots, np.float64)
        return knots[:, degree : knots.shape[1] - degree]

    @cached_property
    def _curves(self) -> tuple[Floats, Floats]:
        """x (POINTS, inputs) and phi (POINTS, outputs, inputs)."""
        low, high = self.x.min(0), self.x.max(0)
        room = np.where(high > low, 0, 0.5)  # of an input that is always the same
        share = np.linspace(0, 1, POINTS)[:, None]
        x = ((1 - share) * (low - room) + share * (high + room)).astype(np.float32)
        step = _rows_at_once(self.kan)
        parts = [np.array(self.kan.edges(mx.array(x[at : at + step]))) for at in range(0, POINTS, step)]
        return x, np.concatenate(parts)

    def _edge(self, i: int, j: int, formula: EdgeFormula | None) -> Edge:
        x, phi = self._curves
        low, high = (float(v) for v in np.percentile(self.x[:, i], (5, 95)))
        knots = self._grid[i].astype(np.float32)
        size, share = float(self.magnitudes[j, i]), float(self.shares[j, i])
        return Edge(i, j, size, share, x[:, i], phi[:, j, i], (low, high), knots, formula)


@dataclass(frozen=True, eq=False)
class KANTrace:
    """The layers of splines of a model."""

    layers: tuple[KANLayer, ...]
    read: bool  # data; otherwise x fills the grids evenly

    def only(self, layer: int) -> Self:
        """One layer.

        Raises:
            ValueError: there is no such layer.
        """
        found = tuple(of for of in self.layers if of.layer == layer)
        if not found:
            raise ValueError(f"layer is {layer}, expected 0 to {len(self.layers) - 1}: one of the layers of splines.")
        return dataclasses.replace(self, layers=found)


def trace_kan(
    model: Any, x: mx.array | None = None, *, mask: NDArray[np.bool_] | None = None, **where: Any
) -> KANTrace:
    """The edges of ``model`` over what its layers of splines receive while it reads x, from its initial state.

    Args:
        model: a ``mamba-kan`` of splines.
        x: (b, t) bytes or tokens, or (b, t, inputs), whichever the model reads; None fills the grids evenly.
        mask: (b, t), False behind the end of a sequence.
        where: dt, as the model takes it.

    Raises:
        ValueError: the model has no splines.
    """
    expect_splines(model)
    if x is None:
        received = [np.array(kan.samples()) for kan in model.kans]
    else:
        keep = np.ones(x.shape[:2], np.bool_) if mask is None else mask
        where |= {} if mask is None else {"mask": mx.array(mask)}
        received = [np.array(h.astype(mx.float32))[keep] for h in model.kan_inputs(x, **where)]
    layers = (_layer(i, kan, h) for i, (kan, h) in enumerate(zip(model.kans, received, strict=True)))
    return KANTrace(tuple(layers), x is not None)


def expect_splines(model: Any) -> None:
    """Raise ``ValueError`` unless the model has layers of splines."""
    kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    if not hasattr(model, "kans"):
        raise ValueError(f"a model of type {kind} has no splines to look at; mamba-kan models have.")
    if not model.kans:
        raise ValueError(f"this {kind} has kan = mlp and so no splines to look at; trained with kan = spline it has.")


def _layer(i: int, kan: KANLinear, x: Floats) -> KANLayer:
    x = x[np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_ROWS)).astype(np.int64))]
    step = _rows_at_once(kan)
    parts = [x[at : at + step] for at in range(0, len(x), step)]
    sums = sum(np.array(kan.magnitudes(mx.array(part)), np.float64) * len(part) for part in parts)
    return KANLayer(i, kan, x, np.asarray(sums / len(x), np.float32))


def _rows_at_once(kan: KANLinear) -> int:
    return max(1, MOST_VALUES // kan.mask.size)
