"""Which function of a table a learnt function of one number is: the nearest ``a f(b x + c) + d``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lasmlx.layers.symbolic import FUNCTIONS, EdgeFormula, Exact, least_squares

POINTS = 256
SEARCHED = 64  # of them, for one function alone
REFINED = 5  # functions an edge: the best of the search
SCALES = np.concatenate([sign * np.geomspace(0.1, 10, 24) for sign in (1, -1)])  # b, where the points fill [-1, 1]
CENTRES = np.linspace(-2, 2, 33)  # -c / b; the ends of [-1, 1] are among them


def fit_edges(x: Exact, y: Exact, input: int) -> list[EdgeFormula]:
    """The best function of ``FUNCTIONS`` for each column of y (n, outputs) over x (n,).

    Of functions that leave at most twice the variance of the best unexplained, or a millionth, the simplest is taken.
    """
    keep = slice(None, None, -(-len(x) // POINTS))
    x, y = x[keep], y[keep]
    u, middle, half = _centred(x)
    centred = y - y.mean(0)
    power = (centred**2).sum(0)
    found: list[EdgeFormula] = []
    with np.errstate(all="ignore"):
        searched = {name: _search(f, u, centred, power) for name, f in FUNCTIONS.items()}
        for j in range(y.shape[1]):
            if power[j] <= 1e-14 * max(1.0, (y[:, j] ** 2).sum()):
                found.append(constant(y[:, j], input, j))
                continue
            best = sorted(FUNCTIONS, key=lambda name: -searched[name][0][j])[:REFINED]
            fits = {name: _refine(name, u, centred[:, j], searched[name][1][j]) for name in FUNCTIONS if name in best}
            least = min(left for _, left in fits.values())
            enough = max(2 * least, 1e-6 * power[j])
            name, (at, left) = next((name, fit) for name, fit in fits.items() if fit[1] <= enough)
            b, c = float(at[0] / half), float(-at[0] * (middle / half + at[1]))
            edge = EdgeFormula(input, j, name, 1.0, b, c, 0.0, float(1 - left / power[j]))
            found.append(_scaled(edge, x, y[:, j]).simplified())
    return found


def fit_function(name: str, x: Exact, y: Exact, input: int, output: int) -> EdgeFormula | None:
    """The function of that name nearest to y (n,) over x (n,), or None where it fits nowhere."""
    if name == "constant":
        return constant(y, input, output)
    u, middle, half = _centred(x)
    centred = y - y.mean()
    few = slice(None, None, -(-len(x) // SEARCHED))
    some = (centred[few] - centred[few].mean())[:, None]
    with np.errstate(all="ignore"):
        r2, starts = _search(FUNCTIONS[name], u[few], some, (some**2).sum(0))
        if r2[0] <= 0:
            return None
        at, left = _refine(name, u, centred, starts[0])
        b, c = float(at[0] / half), float(-at[0] * (middle / half + at[1]))
        edge = EdgeFormula(input, output, name, 1.0, b, c, 0.0, float(1 - left / (centred @ centred)))
        edge = _scaled(edge, x, y)
    return edge.simplified() if np.isfinite([edge.a, edge.b, edge.c, edge.d, edge.r2]).all() else None


def constant(y: Exact, input: int, output: int) -> EdgeFormula:
    """The mean of y."""
    return EdgeFormula(input, output, "constant", 0.0, 0.0, 0.0, float(y.mean()), 1.0)


def _centred(x: Exact) -> tuple[Exact, float, float]:
    """x moved and scaled into [-1, 1], and its middle and half its range."""
    middle, half = (x.max() + x.min()) / 2, max((x.max() - x.min()) / 2, 1e-12)
    return (x - middle) / half, middle, half


def _scaled(edge: EdgeFormula, x: Exact, y: Exact) -> EdgeFormula:
    """With the a and d that bring it closest to y."""
    values = edge(x)
    spread = values - values.mean()
    a = float(spread @ y / (spread @ spread))
    return edge.changed(a, edge.b, edge.c, float(y.mean() - a * values.mean()))


def _search(f: Callable[[Exact], Exact], u: Exact, y: Exact, power: Exact) -> tuple[Exact, Exact]:
    """R2 (outputs,) of the best b and centre among the candidates, and those (outputs, 2)."""
    candidates = np.stack(np.meshgrid(SCALES, CENTRES, indexing="ij"), -1).reshape(-1, 2)
    values = f(candidates[:, :1] * (u - candidates[:, 1:]))
    values = values - values.mean(1, keepdims=True)
    size = (values**2).sum(1, keepdims=True)
    r2 = np.where((size > 1e-12) & np.isfinite(size), (values @ y) ** 2 / (size * power), -1.0)
    r2 = np.nan_to_num(r2, nan=-1.0)
    best = r2.argmax(0)
    return r2[best, np.arange(y.shape[1])], candidates[best]


def _refine(name: str, u: Exact, y: Exact, start: Exact) -> tuple[Exact, float]:
    """b and the centre by least squares, a and d eliminated; what is left of the variance."""

    def left(p: Exact) -> Exact:
        values = FUNCTIONS[name](p[0] * (u - p[1]))
        values = values - values.mean()
        return y - values * ((values @ y) / (values @ values))

    p = start if name == "x" else least_squares(left, start, 40)
    return p, float((left(p) ** 2).sum())
