"""Kolmogorov-Arnold layers: a function to learn on every edge, nothing but sums in the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from lasmlx.layers.symbolic import EdgeFormula, Exact, Formula
from lasmlx.layers.symbolic_fit import POINTS, fit_edges
from lasmlx.ops import bspline_basis, bspline_linear
from lasmlx.ops.bspline import HIGHEST_DEGREE

SAMPLES = 64  # points of the grid that stand for absent data


class KANLinear(nn.Module):
    """``y_j = sum_i phi_ji(x_i)``, ``phi_ji(x) = W_ji silu(x) + sum_k C_ikj B_ik(x)``: see :func:`bspline_linear`.

    C (inputs, grid + degree, outputs) starts as small noise, W (outputs, inputs) as Xavier's. The knots
    (inputs, grid + 2 degree + 1) and the mask (outputs, inputs), 0 where an edge is pruned, are kept with the weights
    and not trained. The splines fade to zero beyond the grid, over ``degree`` intervals.

    Args:
        inputs, outputs: widths of x and y.
        grid: intervals between low and high.
        degree: of the splines, 0 to 5.
        low, high: the ends of the grid, the same for every input until :meth:`update_grid`.

    Source: Liu et al. 2024, KAN: Kolmogorov-Arnold networks, eqs. 2.10-2.12.
    """

    def __init__(
        self, inputs: int, outputs: int, *, grid: int = 5, degree: int = 3, low: float = -1, high: float = 1
    ) -> None:
        super().__init__()
        for name, size in (("inputs", inputs), ("outputs", outputs), ("grid", grid)):
            if size < 1:
                raise ValueError(f"KANLinear: {name} is {size}, expected at least 1.")
        if degree not in range(HIGHEST_DEGREE + 1):
            raise ValueError(f"KANLinear: degree is {degree}, expected a whole number from 0 to {HIGHEST_DEGREE}.")
        if not low < high:
            raise ValueError(f"KANLinear: low is {low} and high is {high}, expected low < high.")
        self._degree = degree
        self.C = 0.1 * mx.random.normal((inputs, grid + degree, outputs))
        self.W = mx.random.uniform(-1, 1, (outputs, inputs)) * (6 / (inputs + outputs)) ** 0.5
        self.knots = self._extend(np.tile(np.linspace(low, high, grid + 1), (inputs, 1)))
        self.mask = mx.ones((outputs, inputs))
        self.freeze(recurse=False, keys=["knots", "mask"])

    @property
    def grid(self) -> int:
        """Intervals between the ends."""
        return int(self.C.shape[1]) - self._degree

    @property
    def degree(self) -> int:
        """Of the splines: so many knots lie beyond each end of the grid."""
        return self._degree

    def __call__(self, x: mx.array) -> mx.array:
        """(..., inputs) to (..., outputs), in the dtype of x."""
        self._check(x)
        mask = self.mask
        return bspline_linear(x, self.C * mask.T[:, None], self.W * mask, self.knots, degree=self._degree)

    def edges(self, x: mx.array) -> mx.array:
        """``phi_ji(x_i)``, (..., outputs, inputs), float32, for x (..., inputs)."""
        self._check(x)
        base = nn.silu(x.astype(mx.float32))[..., None, :] * self.W
        splines = mx.einsum("...ik,ikj->...ji", bspline_basis(x, self.knots, self._degree), self.C)
        return (base + splines) * self.mask

    def magnitudes(self, x: mx.array | None = None) -> mx.array:
        """The mean ``|phi_ji|`` over x (..., inputs), or over the grid: (outputs, inputs).

        Source: Liu et al. 2024, eq. 2.17.
        """
        values = mx.abs(self.edges(self.samples() if x is None else x))
        return values.reshape(-1, *self.mask.shape).mean(0)

    def l1(self, x: mx.array | None = None) -> mx.array:
        """The sum of :meth:`magnitudes`, to add to a loss: few edges stay.

        Source: Liu et al. 2024, eq. 2.18.
        """
        return self.magnitudes(x).sum()

    def entropy(self, x: mx.array | None = None) -> mx.array:
        """``-sum p log p``, p the share of an edge in :meth:`l1`: 0 if one edge does it all, the log of their number.

        Source: Liu et al. 2024, eq. 2.19.
        """
        sizes = self.magnitudes(x)
        p = sizes / mx.maximum(sizes.sum(), 1e-12)
        return -(p * mx.log(mx.maximum(p, 1e-12))).sum()

    def prune(self, threshold: float, x: mx.array | None = None) -> int:
        """Cut edges whose :meth:`magnitudes` are below the threshold: they give exactly 0 from now on.

        Returns:
            how many edges are left.
        """
        self.mask = self.mask * (self.magnitudes(x) >= threshold)
        return int(np.array(self.mask).sum())

    def samples(self) -> mx.array:
        """Points that fill the grid of each input evenly, (SAMPLES, inputs)."""
        share = mx.array(np.linspace(0, 1, SAMPLES, dtype=np.float32)[:, None])
        return (1 - share) * self.knots[:, self._degree] + share * self.knots[:, -1 - self._degree]

    def update_grid(self, x: mx.array, margin: float = 0.01, mix: float = 0.02) -> None:
        """Move the knots to where x (..., inputs) is and fit C anew, so that the functions stay what they were at x.

        The new grid is ``mix`` times an even one and ``1 - mix`` times the quantiles of x, from one end of x to the
        other and ``margin`` of that range further. An input that is always the same keeps its range.

        Raises:
            ValueError: x is not as above or knots would coincide.

        Error: what least squares leaves, 1e-2 of the largest value for smooth functions
        (``tests/layers/test_kan.py``).

        Source: Liu et al. 2024, section 2.4 and appendix A; as pykan 0.2.8 mixes grids.
        """
        self._regrid(self.grid, x, margin, mix)

    def extended(self, grid: int, x: mx.array, margin: float = 0.01, mix: float = 0.02) -> KANLinear:
        """A layer of ``grid`` intervals that is the same function at x (..., inputs), see :meth:`update_grid`.

        Source: Liu et al. 2024, eq. 2.16.
        """
        outputs, inputs = self.mask.shape
        new = KANLinear(inputs, outputs, grid=grid, degree=self._degree)
        new.C, new.W, new.knots, new.mask = self.C, self.W, self.knots, self.mask
        new._regrid(grid, x, margin, mix)
        return new

    def symbolic(self, x: mx.array | None = None, edges: Sequence[tuple[int, int]] | None = None) -> list[EdgeFormula]:
        """For every edge the function that fits best over x (..., inputs), or over the grid; see :func:`fit_edges`.

        Args:
            edges: inputs and outputs of those to fit alone, in this order.
        """
        x = self.samples() if x is None else x.reshape(-1, x.shape[-1])
        if edges is not None:
            x = x[:: -(-len(x) // POINTS)]  # as many as a fit looks at
        points, values = _exact(x), _exact(self.edges(x))
        if edges is not None:
            return [replace(fit_edges(points[:, i], values[:, j, i, None], i)[0], output=j) for i, j in edges]
        each = [fit_edges(points[:, i], values[:, :, i], i) for i in range(points.shape[1])]
        return [edge for of_output in zip(*each, strict=True) for edge in of_output]

    def _check(self, x: mx.array) -> None:
        if x.ndim < 1 or x.shape[-1] != self.mask.shape[1]:
            raise ValueError(f"KANLinear: x has shape {x.shape}, expected (..., {self.mask.shape[1]}).")

    def _ends(self) -> tuple[Exact, Exact]:
        knots = _exact(self.knots)
        return knots[:, self._degree], knots[:, -1 - self._degree]

    def _extend(self, points: Exact) -> mx.array:
        """(inputs, grid + 1) to all knots: ``degree`` more on each side, as far apart as the others on average."""
        steps = (points[:, -1:] - points[:, :1]) / (points.shape[1] - 1) * np.arange(1, self._degree + 1)
        knots = np.concatenate([points[:, :1] - steps[:, ::-1], points, points[:, -1:] + steps], 1).astype(np.float32)
        for i in np.flatnonzero((np.diff(knots, axis=1) <= 0).any(1))[:1]:
            raise ValueError(
                f"KANLinear: the knots of input {i} are {knots[i].tolist()}, expected strictly increasing ones. "
                "Take a smaller grid or a larger mix."
            )
        return mx.array(knots)

    def _regrid(self, grid: int, x: mx.array, margin: float, mix: float) -> None:
        self._check(x)
        x = x.reshape(-1, x.shape[-1]).astype(mx.float32)
        points = _exact(x)
        if not len(points) or not np.isfinite(points).all():
            raise ValueError(f"KANLinear: x has {len(points)} rows, expected at least one, and finite numbers only.")
        low, high = points.min(0), points.max(0)
        room = margin * (high - low)
        same = high == low
        first, last = self._ends()
        even = np.linspace(np.where(same, first, low - room), np.where(same, last, high + room), grid + 1, axis=1)
        quantiles = np.quantile(points, np.linspace(0, 1, grid + 1), axis=0).T
        quantiles[:, 0], quantiles[:, -1] = even[:, 0], even[:, -1]
        knots = self._extend(np.where(same[:, None], even, mix * even + (1 - mix) * quantiles))
        before, C = _exact(bspline_basis(x, self.knots, self._degree)), _exact(self.C)
        after = _exact(bspline_basis(x, knots, self._degree))
        new = [np.linalg.lstsq(after[:, i], before[:, i] @ C[i], rcond=1e-6)[0] for i in range(len(C))]
        self.C, self.knots = mx.array(np.stack(new).astype(np.float32)), knots


def formula_of(layers: Sequence[KANLinear], x: mx.array) -> Formula:
    """The formula of a stack of layers, one fed by the other, its edges fitted where x (..., inputs) takes them."""
    fitted = []
    for layer in layers:
        fitted.append(tuple(layer.symbolic(x)))
        x = layer(x)
    return Formula(tuple(fitted))


def _exact(a: mx.array) -> Exact:
    return np.array(a.astype(mx.float32), dtype=np.float64)
