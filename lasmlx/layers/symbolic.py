"""What a learnt function of one number is called: the nearest ``a f(b x + c) + d``, and formulas made of such."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Exact = NDArray[np.float64]
Number = tuple[int, int, str]  # layer, edge, letter


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
SLOPES: dict[str, Callable[[Exact], Exact]] = {
    "x": np.ones_like,
    "x^2": lambda z: 2 * z,
    "x^3": lambda z: 3 * z * z,
    "exp": np.exp,
    "sin": np.cos,
    "cos": lambda z: -np.sin(z),
    "sqrt": lambda z: 0.5 / np.sqrt(np.maximum(z, 1e-6)),
    "log": lambda z: 1 / z,
    "1/x": lambda z: -1 / (z * z),
    "abs": np.sign,
    "tanh": lambda z: 1 - np.tanh(z) ** 2,
    "sigmoid": lambda z: 0.25 / np.cosh(z / 2) ** 2,
    "gaussian": lambda z: -2 * z * np.exp(-z * z),
}
NUMBERS = {"constant": "", "x": "a", "exp": "ab"} | dict.fromkeys(("x^2", "x^3", "1/x", "abs"), "ac")  # others: all


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

    def slopes(self, x: Exact) -> dict[str, Exact]:
        """By a, b, c, d and x, each at x."""
        if self.function == "constant":
            return dict.fromkeys("abcx", np.zeros_like(x)) | {"d": np.ones_like(x)}
        z = self.b * x + self.c
        inner = self.a * SLOPES[self.function](z)
        return {"a": FUNCTIONS[self.function](z), "b": inner * x, "c": inner, "d": np.ones_like(x), "x": self.b * inner}

    def changed(self, a: float, b: float, c: float, d: float) -> EdgeFormula:
        """The same function with other numbers."""
        return replace(self, a=a, b=b, c=c, d=d)

    def simplified(self) -> EdgeFormula:
        """The same with b = 1 or c = 0 where a or d can take them up: what is left is in ``NUMBERS``, and d."""
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
        start = Formula(tuple(tuple(edge.simplified() for edge in edges) for edges in self.layers))
        numbers, points = start._numbers(), np.asarray(x, dtype=np.float64)
        wanted = np.asarray(y, dtype=np.float64)

        def residuals(p: Exact) -> Exact:
            return (start._with(numbers, p)(points) - wanted).ravel()

        def slopes(p: Exact) -> Exact:
            return start._with(numbers, p)._slopes(numbers, points).reshape(-1, len(numbers))

        first = np.array([getattr(start.layers[k][e], letter) for k, e, letter in numbers])
        with np.errstate(all="ignore"):
            return start._with(numbers, least_squares(residuals, first, steps, slopes))

    def exchanged(self, layer: int, place: int, edge: EdgeFormula) -> Formula:
        """With another formula on one edge."""
        edges = self.layers[layer]
        changed = (*edges[:place], edge, *edges[place + 1 :])
        return Formula((*self.layers[:layer], changed, *self.layers[layer + 1 :]))

    def _numbers(self) -> list[Number]:
        """Those that differ in what they do: of the d of an output only one."""
        found: list[Number] = []
        for k, edges in enumerate(self.layers):
            first = {edge.output: e for e, edge in reversed(list(enumerate(edges)))}
            for e, edge in enumerate(edges):
                free = NUMBERS.get(edge.function, "abc") + "d" * (first[edge.output] == e)
                found += [(k, e, letter) for letter in free]
        return found

    def _with(self, numbers: list[Number], p: Exact) -> Formula:
        layers = [list(edges) for edges in self.layers]
        changes: dict[tuple[int, int], dict[str, float]] = {}
        for (k, e, letter), value in zip(numbers, p.tolist(), strict=True):
            changes.setdefault((k, e), {})[letter] = value
        for (k, e), values in changes.items():
            edge = layers[k][e]
            layers[k][e] = edge.changed(*(values.get(letter, getattr(edge, letter)) for letter in "abcd"))
        return Formula(tuple(map(tuple, layers)))

    def _slopes(self, numbers: list[Number], x: Exact) -> Exact:
        """``dy / dp`` for each of the numbers, (n, outputs, numbers), from the last layer to the first."""
        wanted = {number: column for column, number in enumerate(numbers)}
        inputs = [x]
        for edges in self.layers:
            inputs.append(Formula((edges,))(inputs[-1]))
        n, outputs = inputs[-1].shape
        J = np.zeros((n, outputs, len(numbers)))
        behind = np.broadcast_to(np.eye(outputs), (n, outputs, outputs))  # dy / d(output of the layer)
        for k, edges in reversed(list(enumerate(self.layers))):
            before = np.zeros((n, outputs, inputs[k].shape[1]))
            for e, edge in enumerate(edges):
                own = behind[:, :, edge.output]
                slopes = edge.slopes(inputs[k][:, edge.input])
                for letter in "abcd":
                    if (k, e, letter) in wanted:
                        J[:, :, wanted[k, e, letter]] = own * slopes[letter][:, None]
                before[:, :, edge.input] += own * slopes["x"][:, None]
            behind = before
        return J


def _times(a: float, what: str, digits: int) -> str:
    number = f"{a:.{digits}g}"
    return {"1": what, "-1": f"-{what}"}.get(number, f"{number} {what}")


def least_squares(
    residuals: Callable[[Exact], Exact], p: Exact, steps: int, slopes: Callable[[Exact], Exact] | None = None
) -> Exact:
    """Levenberg-Marquardt; the slopes (residuals, numbers) by differences if they are not given."""
    r, damping = residuals(p), 1e-3
    J = (slopes or partial(_differences, residuals))(p)
    for _ in range(steps):
        if not np.isfinite(J).all():
            break
        A = J.T @ J
        step = np.linalg.solve(A + damping * np.diag(np.diag(A) + 1e-12), -J.T @ r)
        new = residuals(p + step)
        if np.isfinite(new).all() and new @ new < r @ r:
            done = r @ r - new @ new <= 1e-15 * (r @ r)
            p, r, damping = p + step, new, max(damping / 4, 1e-12)
            if done:
                break
            J = (slopes or partial(_differences, residuals))(p)
        else:
            damping *= 5
            if damping > 1e9:
                break
    return p


def _differences(residuals: Callable[[Exact], Exact], p: Exact) -> Exact:
    r, widths = residuals(p), 1e-6 * (1 + np.abs(p))
    return np.stack([(residuals(p + w * row) - r) / w for w, row in zip(widths, np.eye(len(p)), strict=True)], -1)
