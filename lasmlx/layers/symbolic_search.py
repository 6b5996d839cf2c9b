"""What the whole formula says about the function on an edge, where the edge by itself looks like many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lasmlx.layers.symbolic import FUNCTIONS, EdgeFormula, Exact, Formula
from lasmlx.layers.symbolic_fit import fit_function

POINTS = 300
SWEEPS = 3
FEW, MANY = 8, 40  # steps of Levenberg-Marquardt: of each candidate, and of one that has come near
NEAR = 3.0  # times the RMSE so far
PLAUSIBLE, ALIKE = 0.5, 0.99  # share of what the edge does now that a candidate must explain; of an exact formula
BETTER, AS_GOOD, EXACT = 0.7, 1.1, 1e-6
SIMPLICITY = {name: place for place, name in enumerate(("constant", *FUNCTIONS))}


def search_formula(formula: Formula, x: Any, y: Any) -> Formula:
    """The formula with functions exchanged edge by edge, and all numbers fitted to y.

    Each edge in turn, the last layer's first, is offered every other function that resembles what it is now, the
    simplest first: "constant", then as in ``FUNCTIONS``. All numbers are fitted anew each time. The first is taken
    that brings the RMSE below 0.7 of what it was; or that is simpler than the function now there and leaves at most
    1.1 of the least RMSE so far, or a millionth of y's standard deviation. Below that millionth nothing is offered but
    simpler functions that are nearly the same. It ends when no edge takes another, at the latest after three rounds.

    Args:
        x, y: (n, inputs) and (n, outputs). About 300 rows are looked at, more if there are many numbers to fit.

    Raises:
        ValueError: x and y are not as above.

    Error: the RMSE at those rows is at most 1.1 times that of ``formula.refined``, or a millionth
    (``tests/layers/test_symbolic_search.py``).
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    inputs = 1 + max(edge.input for edge in formula.layers[0])
    outputs = 1 + max(edge.output for edge in formula.layers[-1])
    if not len(x) or x.shape != (len(x), inputs) or y.shape != (len(x), outputs):
        raise ValueError(
            f"search_formula: x has shape {x.shape} and y {y.shape}, expected (n, {inputs}) and (n, {outputs}), "
            "n at least 1."
        )
    rows = max(POINTS, 12 * sum(len(edges) for edges in formula.layers))
    keep = slice(None, None, -(-len(x) // rows))
    with np.errstate(all="ignore"):
        return _Search(formula, x[keep], y[keep]).run()


class _Search:
    def __init__(self, formula: Formula, x: Exact, y: Exact) -> None:
        self.x, self.y, self.exact = x, y, EXACT * float(y.std())
        self.formula = formula.refined(x, y, MANY)
        self.least = self.error = self.rmse(self.formula)

    def run(self) -> Formula:
        for _ in range(SWEEPS):
            places = [(k, e) for k, edges in enumerate(self.formula.layers) for e in range(len(edges))]
            places.sort(key=lambda place: -place[0])
            if not any([self.exchange(*place) for place in places]):  # a list: all of them
                break
        return self.formula

    def exchange(self, k: int, e: int) -> bool:
        """Whether an edge has got another function."""
        for edge in self.candidates(k, e):
            changed = self.formula.exchanged(k, e, edge).refined(self.x, self.y, FEW)
            if self.rmse(changed) > NEAR * max(self.error, self.exact):
                continue
            changed = changed.refined(self.x, self.y, MANY)
            error = self.rmse(changed)
            bound = BETTER * self.error
            if SIMPLICITY[edge.function] < SIMPLICITY[self.formula.layers[k][e].function]:
                bound = max(bound, AS_GOOD * self.least, self.exact)
            if np.isfinite(error) and error <= bound:
                self.formula, self.error, self.least = changed, error, min(self.least, error)
                return True
        return False

    def candidates(self, k: int, e: int) -> Iterator[EdgeFormula]:
        now = self.formula.layers[k][e]
        x = Formula(self.formula.layers[:k])(self.x)[:, now.input]
        y = now(x)
        names, least = list(SIMPLICITY), PLAUSIBLE
        if now.function == "constant" or not np.isfinite(y).all():
            names = []
        elif self.error <= self.exact:
            names, least = names[: SIMPLICITY[now.function]], ALIKE
        for name in names:
            edge = fit_function(name, x, y, now.input, now.output) if name != now.function else None
            if edge is not None and edge.r2 >= least:
                yield edge

    def rmse(self, formula: Formula) -> float:
        """Infinite where the formula is not finite."""
        error = float(np.sqrt(np.square(formula(self.x) - self.y).mean()))
        return error if np.isfinite(error) else float("inf")
