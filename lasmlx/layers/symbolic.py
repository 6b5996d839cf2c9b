"""What a learnt function of one number is called: the nearest ``a f(b x + c) + d``, and formulas made of such."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Exact = NDArray[np.float64]


def _reciprocal(z: Exact) -> Exact:
    """NaN where there is a pole among the points."""
    one_side = np.minimum.reduce(z, -1, keepdims=True) * np.maximum.reduce(z, -1, keepdims=True) > 0
    return np.where(one_side, 1 / z, np.nan)


def _root(z: Exact) -> Exact:
    return np.where(z > -1e-6, np.sqrt(np.maximum(z, 0)), np.nan)  # what rounding puts below 0 is 0


FUNCTIONS: dict[str, Callable[[Exact], Exact]] = {  # the simpler first
    "x": lambda z: z,
    "x^2": np.square,
    "x^3": lambda z: z**3,
    "exp": np.exp,
    "sin": np.sin,
    "cos": np.cos,
    "sqrt": _root,
    "log": np.log,
    "1/x": _reciprocal,
    "abs": np.abs,
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "gaussian": lambda z: np.exp(-z * z),
}
POINTS = 256
REFINED = 5  # functions an edge: the best of the search
SCALES = np.concatenate([sign * np.geomspace(0.1, 10, 24) for sign in (1, -1)])  # b, where the points fill [-1, 1]
CENTRES = np.linspace(-2, 2, 33)  # -c / b; the ends of [-1, 1] are among them


@dataclass(frozen=True)
class EdgeFormula:
    """``a f(b x + c) + d`` from an input to an output; r2 the share of the function's variance that it explains.

    The function is a name of ``FUNCTIONS``, or "constant": d alone.
    """

    input: int
    output: int
    function: str
    a: float
    b: float
    c: float
    d: float
    r2: float

    def __call__(self, x: Exact) -> Exact:
        """The formula at x, any shape."""
        if self.function == "constant":
            return np.full_like(x, self.d)
        return self.a * FUNCTIONS[self.function](self.b * x + self.c) + self.d

    def changed(self, a: float, b: float, c: float, d: float) -> EdgeFormula:
        """The same function with other numbers."""
        return replace(self, a=a, b=b, c=c, d=d)

    def simplified(self) -> EdgeFormula:
        """The same with b = 1 or c = 0 where a or d can take them up."""
        a, b, c, d = self.a, self.b, self.c, self.d
        powers = {"x^2": 2, "x^3": 3, "1/x": -1}
        if self.function == "x":
            return self.changed(a * b, 1.0, 0.0, d + a * c)
        if self.function in powers:
            return self.changed(a * b ** powers[self.function], 1.0, c / b, d)
        if self.function == "abs":
            return self.changed(a * abs(b), 1.0, c / b, d)
        if self.function == "exp":
            return self.changed(a * float(np.exp(c)), b, 0.0, d)
        return self

    def text(self, x: str, digits: int = 4) -> str:
        """The formula of a variable called x."""
        if self.function == "constant":
            return f"{self.d:.{digits}g}"
        z = _times(self.b, x if x.isidentifier() else f"({x})", digits)
        z += f" {'+-'[self.c < 0]} {abs(self.c):.{digits}g}" if round(self.c, digits) else ""
        if self.function == "1/x":
            return f"{self.a:.{digits}g} / ({z})"
        inner = z if z.isidentifier() or z == f"({x})" else f"({z})"
        shapes = {"x": inner, "x^2": f"{inner}^2", "x^3": f"{inner}^3", "gaussian": f"exp(-{inner}^2)"}
        return _times(self.a, shapes.get(self.function, f"{self.function}({z})"), digits)


@dataclass(frozen=True)
class Formula:
    """A formula for each edge of each layer of a stack; an output is the sum over its edges."""

    layers: tuple[tuple[EdgeFormula, ...], ...]

    def __call__(self, x: Any) -> Exact:
        """(n, inputs) to (n, outputs)."""
        with np.errstate(all="ignore"):
            y = np.asarray(x, dtype=np.float64)
            for edges in self.layers:
                outputs = [np.zeros(len(y)) for _ in range(1 + max(edge.output for edge in edges))]
                for edge in edges:
                    outputs[edge.output] = outputs[edge.output] + edge(y[:, edge.input])
                y = np.stack(outputs, -1)
        return y

    def text(self, names: Sequence[str] = (), digits: int = 4) -> list[str]:
        """A line an output, ``y0 = ...``; the inputs are called x0, x1, ... or as given."""
        inputs = 1 + max(edge.input for edge in self.layers[0])
        terms = list(names) or [f"x{i}" for i in range(inputs)]
        for edges in self.layers:
            sums: list[list[str]] = [[] for _ in range(1 + max(edge.output for edge in edges))]
            rest = np.zeros(len(sums))
            for edge in edges:
                rest[edge.output] += edge.d
                if edge.function != "constant":
                    sums[edge.output].append(edge.text(terms[edge.input], digits))
            for own, d in zip(sums, rest, strict=True):
                if round(d, digits) or not own:
                    own.append(f"{d:.{digits}g}")
            terms = [" + ".join(own).replace("+ -", "- ") for own in sums]
        return [f"y{j} = {term}" for j, term in enumerate(terms)]

    def refined(self, x: Any, y: Any, steps: int = 100) -> Formula:
        """The same functions with every a, b, c and d fitted to y (n, outputs) at x (n, inputs) by least squares."""
        edges = [edge for layer in self.layers for edge in layer]
        wanted = np.asarray(y, dtype=np.float64)

        def rebuilt(p: Exact) -> Formula:
            rows = iter(p.reshape(-1, 4).tolist())
            return Formula(tuple(tuple(edge.changed(*next(rows)) for edge in each) for each in self.layers))

        start = np.array([astuple(edge)[3:7] for edge in edges], dtype=np.float64).ravel()
        fitted = rebuilt(_least_squares(lambda p: (rebuilt(p)(x) - wanted).ravel(), start, steps))
        return Formula(tuple(tuple(edge.simplified() for edge in each) for each in fitted.layers))


def _times(a: float, what: str, digits: int) -> str:
    number = f"{a:.{digits}g}"
    return {"1": what, "-1": f"-{what}"}.get(number, f"{number} {what}")


def fit_edges(x: Exact, y: Exact, input: int) -> list[EdgeFormula]:
    """The best function of ``FUNCTIONS`` for each column of y (n, outputs) over x (n,).

    Of functions that leave at most twice the variance of the best unexplained, or a millionth, the simplest is taken.
    """
    keep = slice(None, None, -(-len(x) // POINTS))
    x, y = x[keep], y[keep]
    middle, half = (x.max() + x.min()) / 2, max((x.max() - x.min()) / 2, 1e-12)
    u, centred = (x - middle) / half, y - y.mean(0)
    power = (centred**2).sum(0)
    found: list[EdgeFormula] = []
    with np.errstate(all="ignore"):
        searched = {name: _search(f, u, centred, power) for name, f in FUNCTIONS.items()}
        for j in range(y.shape[1]):
            if power[j] <= 1e-14 * max(1.0, (y[:, j] ** 2).sum()):
                found.append(EdgeFormula(input, j, "constant", 0.0, 0.0, 0.0, float(y[:, j].mean()), 1.0))
                continue
            best = sorted(FUNCTIONS, key=lambda name: -searched[name][0][j])[:REFINED]
            fits = {name: _refine(name, u, centred[:, j], searched[name][1][j]) for name in FUNCTIONS if name in best}
            least = min(left for _, left in fits.values())
            enough = max(2 * least, 1e-6 * power[j])
            name, (at, left) = next((name, fit) for name, fit in fits.items() if fit[1] <= enough)
            b, c = float(at[0] / half), float(-at[0] * (middle / half + at[1]))
            values = FUNCTIONS[name](b * x + c)
            spread = values - values.mean()
            a = float(spread @ y[:, j] / (spread @ spread))
            d, r2 = float(y[:, j].mean() - a * values.mean()), float(1 - left / power[j])
            found.append(EdgeFormula(input, j, name, a, b, c, d, r2).simplified())
    return found


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

    p = start if name == "x" else _least_squares(left, start, 40)
    return p, float((left(p) ** 2).sum())


def _least_squares(residuals: Callable[[Exact], Exact], p: Exact, steps: int) -> Exact:
    """Levenberg-Marquardt with slopes by differences."""
    r, damping = residuals(p), 1e-3
    for _ in range(steps):
        widths = 1e-6 * (1 + np.abs(p))
        J = np.stack([(residuals(p + w * row) - r) / w for w, row in zip(widths, np.eye(len(p)), strict=True)], -1)
        if not np.isfinite(J).all():
            break
        A = J.T @ J
        step = np.linalg.solve(A + damping * np.diag(np.diag(A) + 1e-12), -J.T @ r)
        new = residuals(p + step)
        if np.isfinite(new).all() and new @ new < r @ r:
            done = r @ r - new @ new <= 1e-15 * (r @ r)
            p, r, damping = p + step, new, damping / 4
            if done:
                break
        else:
            damping *= 5
            if damping > 1e9:
                break
    return p
