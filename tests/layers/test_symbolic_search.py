"""Formulas searched as a whole: what an edge alone does not tell, the rule of what is taken, exact slopes."""

from dataclasses import replace

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import pytest

from lasmlx.layers import KANLinear, formula_of, search_formula
from lasmlx.layers.symbolic import FUNCTIONS, SLOPES, EdgeFormula, Exact, Formula
from lasmlx.layers.symbolic_fit import fit_edges, fit_function


def edge(function: str, input: int, output: int, *numbers: float) -> EdgeFormula:
    return EdgeFormula(input, output, function, *numbers, 1.0)


def points(rows: int, inputs: int, seed: int = 0) -> Exact:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, inputs))


def rmse(formula: Formula, x: Exact, y: Exact) -> float:
    return float(np.sqrt(np.square(formula(x) - y).mean()))


def functions(formula: Formula) -> list[list[str]]:
    return [[edge.function for edge in edges] for edges in formula.layers]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_slopes_are_those_of_the_functions(name: str) -> None:
    z, step = np.linspace(0.2, 2.5, 40), 1e-5
    differences = (FUNCTIONS[name](z + step) - FUNCTIONS[name](z - step)) / (2 * step)
    np.testing.assert_allclose(SLOPES[name](z), differences, rtol=1e-7, atol=1e-8)


def test_slopes_of_a_formula_are_those_of_its_numbers() -> None:
    first = (
        edge("sin", 0, 0, 0.8, 1.3, 0.2, 0.1),
        edge("x^2", 1, 0, -0.5, 1, 0.3, 0),
        edge("exp", 1, 1, 0.4, 0.9, 0, 0),
    )
    second = (edge("tanh", 0, 0, 1.1, 0.7, 0.1, 0), edge("x", 1, 0, 2, 1, 0, 0), edge("gaussian", 1, 1, 1, 0.6, 0.2, 0))
    formula, x = Formula((first, second)), points(7, 2)
    numbers = formula._numbers()
    assert [letter for k, e, letter in numbers if (k, e) in ((0, 1), (1, 1))] == ["a", "c", "a"]
    p = np.array([getattr(formula.layers[k][e], letter) for k, e, letter in numbers])
    slopes = formula._slopes(numbers, x)
    assert slopes.shape == (7, 2, len(numbers))
    for i, row in enumerate(1e-6 * np.eye(len(p))):
        differences = (formula._with(numbers, p + row)(x) - formula._with(numbers, p - row)(x)) / 2e-6
        np.testing.assert_allclose(slopes[..., i], differences, atol=1e-8)


@pytest.mark.parametrize("name", ["constant", *FUNCTIONS])
def test_one_function_fitted_is_as_among_all(name: str) -> None:
    x = np.linspace(0.5, 2.5, 200)
    wanted = edge(name, 3, 2, -0.8, 1.3, 0.4 if name != "abs" else -2.0, 0.3)
    found = fit_function(name, x, wanted(x), 3, 2)
    assert found is not None and (found.input, found.output, found.function) == (3, 2, name)
    np.testing.assert_allclose(found(x), wanted(x), atol=1e-5)
    np.testing.assert_allclose(fit_edges(x, wanted(x)[:, None], 3)[0](x), wanted(x), atol=1e-5)
    assert fit_function("sqrt", x, np.full_like(x, 2.0), 0, 0) is None


def test_a_line_that_looks_like_a_tanh_becomes_one() -> None:
    x = points(200, 2)
    y = (2 * x[:, :1] - x[:, 1:]) ** 2
    formula = Formula(
        ((edge("tanh", 0, 0, 4, 0.5, 0, 0), edge("sin", 1, 0, -2, 0.5, 0, 0)), (edge("cos", 0, 0, -6, 0.7, 0, 5),))
    )
    found = search_formula(formula, x, y)
    assert functions(found) == [["x", "x"], ["x^2"]] and rmse(found, x, y) < 1e-8
    assert functions(formula.refined(x, y)) == functions(formula) and rmse(formula.refined(x, y), x, y) > 1e-5
    assert found == search_formula(formula, x, y)


def test_a_function_that_is_less_simple_is_taken_where_it_is_needed() -> None:
    x = points(200, 1)
    found = search_formula(Formula(((edge("x^2", 0, 0, -1, 1, 0, 1),),)), x, np.exp(-((2 * x) ** 2)))
    assert functions(found) == [["gaussian"]]


@pytest.mark.parametrize(("noise", "function"), [(0.025, "sin"), (0.25, "x")])
def test_a_simpler_function_may_cost_a_tenth(noise: float, function: str) -> None:
    x = points(300, 1)
    y = np.sin(1.2 * x) + np.random.default_rng(5).normal(0, noise, x.shape)
    sine, line = (Formula(((edge(name, 0, 0, 1, 1, 0, 0),),)).refined(x, y) for name in ("sin", "x"))
    cost = rmse(line, x, y) / rmse(sine, x, y)
    assert (1 < cost < 1.1) if function == "x" else (1.1 < cost < 3)
    assert functions(search_formula(sine, x, y)) == [[function]]


def test_what_is_right_stays() -> None:
    formula = Formula(
        ((edge("sin", 0, 0, 1, np.pi, 0, 0), edge("x^2", 1, 0, 1, 1, 0, 0)), (edge("exp", 0, 0, 1, 1, 0, 0),))
    )
    x = points(200, 2)
    found = search_formula(formula, x, formula(x))
    assert functions(found) == functions(formula) and rmse(found, x, formula(x)) < 1e-9


def test_an_edge_that_does_nothing_goes() -> None:
    x = points(200, 2)
    formula = Formula(((edge("x^3", 0, 0, 1, 1, 0, 0), edge("gaussian", 1, 0, 1e-4, 2, 0.3, 0)),))
    assert functions(search_formula(formula, x, x[:, :1] ** 3)) == [["x^3", "constant"]]


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_made_worse(seed: int) -> None:
    random = np.random.default_rng(seed)
    names = random.choice(list(FUNCTIONS)[:5], 6)
    layers = [[edge(str(names[i + 2 * j]), i, j, *random.normal(0, 0.5, 4)) for j in range(2) for i in range(2)]]
    layers.append([edge(str(names[4 + i]), i, 0, *random.normal(0, 0.5, 4)) for i in range(2)])
    formula, x = Formula(tuple(map(tuple, layers))), points(150, 2)
    y = random.normal(0, 1, (150, 1)) + np.abs(x[:, :1])
    assert rmse(search_formula(formula, x, y), x, y) <= 1.1 * rmse(formula.refined(x, y, 40), x, y)


def test_what_is_nowhere_finite_stays() -> None:
    formula = Formula(((edge("log", 0, 0, 1, 1, -9, 0),),))
    assert functions(search_formula(formula, points(50, 1), points(50, 1))) == [["log"]]


def test_recovers_a_product_from_data() -> None:
    """x y through two sums: alone its edges look like sines and tanhs, together they are lines and squares."""
    mx.random.seed(0)
    x, unseen = (mx.array(points(400, 2, seed).astype(np.float32)) for seed in (1, 2))
    net = nn.Sequential(KANLinear(2, 2), KANLinear(2, 1))
    y = x[:, :1] * x[:, 1:]
    for _ in range(2):
        step = optim.Adam(learning_rate=optim.cosine_decay(0.05, 150))
        slope = nn.value_and_grad(net, lambda n: ((n(x) - y) ** 2).mean())
        for _ in range(150):
            step.update(net, slope(net)[1])
            mx.eval(net.parameters(), step.state)
    named = formula_of(net.layers, x)
    exact = np.array(unseen, dtype=np.float64)
    truth = exact[:, :1] * exact[:, 1:]
    assert rmse(named.refined(x, y), exact, truth) > 1e-3
    found = search_formula(named, x, y)
    assert {name for names in functions(found) for name in names} <= {"x", "x^2", "constant"}
    assert rmse(found, exact, truth) < 1e-6


def test_mistakes_are_named() -> None:
    formula = Formula(((edge("x", 0, 0, 1, 1, 0, 0),),))
    with pytest.raises(
        ValueError, match=r"search_formula: x has shape \(5, 1\) and y \(4, 1\), expected \(n, 1\) and \(n, 1\)"
    ):
        search_formula(formula, points(5, 1), points(4, 1))
    with pytest.raises(ValueError, match=r"x has shape \(5, 1\) and y \(5,\)"):
        search_formula(formula, points(5, 1), points(5, 1)[:, 0])
    with pytest.raises(ValueError, match=r"x has shape \(5, 2\)"):
        search_formula(formula, points(5, 2), points(5, 1))
    assert replace(formula.layers[0][0], a=2.0) == formula.exchanged(0, 0, edge("x", 0, 0, 2, 1, 0, 0)).layers[0][0]
