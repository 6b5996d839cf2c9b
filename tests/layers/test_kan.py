"""Kolmogorov-Arnold layers: shapes, grids that follow data, pruning, what learnt functions are called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from lasmlx.layers.kan import KANLinear, formula_of
from lasmlx.layers.symbolic import FUNCTIONS, EdgeFormula, Formula
from lasmlx.layers.symbolic_fit import fit_edges
from lasmlx.ops import bspline_basis


def uniform(rows: int, inputs: int, seed: int = 0) -> mx.array:
    return mx.array(np.random.default_rng(seed).uniform(-1, 1, (rows, inputs)).astype(np.float32))


def made_of(functions: list[list[Callable[[Any], Any]]], grid: int = 8) -> KANLinear:
    """A layer with given functions on its edges, ``functions[output][input]``."""
    layer = KANLinear(len(functions[0]), len(functions), grid=grid)
    x = layer.samples()
    B = np.array(bspline_basis(x, layer.knots), dtype=np.float64)
    for i, points in enumerate(np.array(x, dtype=np.float64).T):
        wanted = np.stack([row[i](points) for row in functions], -1)
        layer.C[i] = mx.array(np.linalg.lstsq(B[:, i], wanted, rcond=None)[0].astype(np.float32))
    layer.W = mx.zeros_like(layer.W)
    return layer


def spread(layer: KANLinear, x: mx.array) -> float:
    """How large its outputs are."""
    return float(mx.abs(layer(x)).max().item())


def test_is_the_sum_of_its_edges() -> None:
    mx.random.seed(0)
    layer, x = KANLinear(5, 3, grid=4, degree=2, low=-2, high=0.5), uniform(11, 5)
    edges = layer.edges(x)
    assert edges.shape == (11, 3, 5)
    np.testing.assert_allclose(np.array(layer(x)), np.array(edges.sum(-1)), atol=2e-6)
    assert layer.C.shape == (5, 6, 3) and layer.knots.shape == (5, 9) and layer.grid == 4
    np.testing.assert_allclose(np.array(layer.knots[0, [2, -3]]), [-2, 0.5])
    assert layer(x.astype(mx.float16)).dtype == mx.float16


@settings(max_examples=20, deadline=None)
@given(shape=st.lists(st.integers(1, 4), max_size=3), degree=st.integers(0, 5), grid=st.integers(1, 6))
def test_leading_axes_are_rows(shape: list[int], degree: int, grid: int) -> None:
    mx.random.seed(1)
    layer = KANLinear(3, 2, grid=grid, degree=degree)
    x = uniform(int(np.prod(shape)), 3)
    y = layer(x.reshape(*shape, 3))
    assert y.shape == (*shape, 2)
    np.testing.assert_allclose(np.array(y).reshape(-1, 2), np.array(layer(x)), atol=1e-6)
    assert layer.edges(x.reshape(*shape, 3)).shape == (*shape, 2, 3)


def test_starts_near_its_linear_part() -> None:
    mx.random.seed(0)
    layer, x = KANLinear(16, 16), uniform(200, 16)
    noise = layer(x) - nn.silu(x) @ layer.W.T
    assert 0 < mx.sqrt(mx.square(noise).mean()).item() < 0.1 * 16**0.5
    assert mx.abs(layer.W).max().item() <= (6 / 32) ** 0.5


def test_knots_and_mask_are_kept_and_not_trained(tmp_path: Path) -> None:
    layer = KANLinear(2, 3)
    assert sorted(name for name, _ in tree_flatten(layer.trainable_parameters())) == ["C", "W"]
    layer.update_grid(2 + uniform(50, 2))
    layer.prune(0.3)
    layer.save_weights(str(tmp_path / "kan.safetensors"))
    other = KANLinear(2, 3)
    other.load_weights(str(tmp_path / "kan.safetensors"))
    assert mx.array_equal(other(uniform(9, 2)), layer(uniform(9, 2)))
    assert mx.array_equal(other.knots, layer.knots) and mx.array_equal(other.mask, layer.mask)


@pytest.mark.parametrize("mix", [0.02, 1.0])
def test_grid_follows_data_and_the_function_stays(mix: float) -> None:
    random = np.random.default_rng(0)
    layer = made_of([[np.sin, np.square], [np.exp, lambda v: 0.5 * v]])
    x = mx.array(np.stack([random.normal(0.2, 0.15, 400), random.uniform(-1, 1, 400)], -1).clip(-1, 0.99))
    y = layer(x)
    layer.update_grid(x, mix=mix)
    assert mx.abs(layer(x) - y).max().item() < 1e-2 * mx.abs(y).max().item()
    inner = np.array(layer.knots)[:, 3:-3]
    room = 0.01 * (np.array(x).max(0) - np.array(x).min(0))
    np.testing.assert_allclose(inner[:, 0], np.array(x).min(0) - room, atol=1e-5)
    np.testing.assert_allclose(inner[:, -1], np.array(x).max(0) + room, atol=1e-5)
    counts, _ = np.histogram(np.array(x)[:, 0], inner[0])
    assert (counts.max() < 80) if mix < 1 else (np.ptp(np.diff(inner[0])) < 1e-5)


def test_a_finer_grid_is_the_same_function_and_can_learn_more() -> None:
    coarse, x = made_of([[lambda v: np.sin(2 * v)]], grid=4), uniform(600, 1)
    fine = coarse.extended(16, x, mix=1.0)
    assert (coarse.grid, fine.grid) == (4, 16)
    np.testing.assert_allclose(np.array(fine(x)), np.array(coarse(x)), atol=1e-3)
    wave = mx.sin(9 * x)

    def left(layer: KANLinear) -> float:
        B = np.array(bspline_basis(x, layer.knots)[:, 0], dtype=np.float64)
        return float(np.square(B @ np.linalg.lstsq(B, np.array(wave), rcond=None)[0] - np.array(wave)).mean())

    assert left(fine) < 1e-4 * left(coarse)


def test_an_input_that_never_moves_keeps_its_range() -> None:
    layer = KANLinear(2, 2)
    before, x = layer.knots, mx.concatenate([uniform(40, 1), mx.full((40, 1), 0.25)], -1)
    y = layer(x)
    layer.update_grid(x, mix=1.0)
    np.testing.assert_allclose(np.array(layer.knots[1]), np.array(before[1]), atol=1e-6)
    np.testing.assert_allclose(np.array(layer(x)), np.array(y), atol=2e-2 * spread(layer, x))


def test_regularisation_counts_edges() -> None:
    ones = [[np.ones_like, np.zeros_like], [lambda v: -3 * np.ones_like(v), np.zeros_like]]
    layer = made_of(ones)
    np.testing.assert_allclose(np.array(layer.magnitudes()), [[1, 0], [3, 0]], atol=1e-5)
    assert layer.l1().item() == pytest.approx(4, abs=1e-4)
    expected = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert layer.entropy(uniform(30, 2) * 0.9).item() == pytest.approx(expected, abs=1e-4)
    gradients = nn.value_and_grad(layer, lambda m: m.l1() + m.entropy())(layer)[1]
    assert all(mx.isfinite(g).all().item() for _, g in tree_flatten(gradients))
    assert gradients["C"][0, :, 1].sum().item() < 0  # the larger edge shrinks: it is negative


def test_pruned_edges_are_zero_and_stay_so() -> None:
    layer, x = made_of([[np.sin, lambda v: 1e-3 * v], [lambda v: 1e-3 * v, np.exp]]), uniform(20, 2)
    assert layer.prune(0.01) == 2
    assert layer.mask.tolist() == [[1, 0], [0, 1]]
    step = optim.Adam(learning_rate=0.1)
    for _ in range(3):
        step.update(layer, nn.value_and_grad(layer, lambda m: (m(x) ** 2).sum())(layer)[1])
    layer.C = layer.C + 1
    layer.W = layer.W + 1
    edges = layer.edges(x)
    assert not edges[:, 0, 1].any().item() and not edges[:, 1, 0].any().item()
    moved = mx.stack([x[:, 0], -x[:, 1]], -1)
    assert mx.array_equal(layer(moved)[:, 0], layer(x)[:, 0])
    largest = mx.sort(layer.magnitudes().flatten())[-2:].tolist()
    assert layer.prune(0.99 * largest[0]) == 2
    assert [e.function for e in layer.symbolic(x)][1:3] == ["constant", "constant"]
    assert layer.prune(0.5 * sum(largest), x=None) == 1


def test_names_of_functions() -> None:
    layer = made_of(
        [[lambda v: 0.7 * np.sin(2 * v + 1) + 0.1, np.square], [lambda v: np.exp(v / 2), lambda v: 3 - 2 * v]]
    )
    found = layer.symbolic()
    assert [(e.output, e.input, e.function) for e in found] == [
        *((0, 0, "sin"), (0, 1, "x^2"), (1, 0, "exp"), (1, 1, "x")),
    ]
    assert all(e.r2 > 0.9999 for e in found)
    sine, square = found[:2]
    np.testing.assert_allclose([sine.a, sine.b, sine.c, sine.d], [0.7, 2, 1, 0.1], atol=1e-3)
    np.testing.assert_allclose([square.a, square.b, square.c, square.d], [1, 1, 0, 0], atol=1e-4)
    assert formula_of([layer], layer.samples()).text(["u", "v"], digits=2) == [
        *("y0 = 0.7 sin(2 u + 1) + v^2 + 0.1", "y1 = exp(0.5 u) - 2 v + 3"),
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_found(name: str) -> None:
    x = np.linspace(0.5, 2.5, 200)
    edge = EdgeFormula(0, 0, name, -0.8, 1.3, 0.4 if name != "abs" else -2.0, 0.3, 1.0)
    (found,) = fit_edges(x, edge(x)[:, None], 0)
    same = {"cos": "sin", "sigmoid": "tanh"}  # moved and scaled
    assert found.function == same.get(name, name) and found.r2 > 1 - 1e-9
    np.testing.assert_allclose(found(x), edge(x), atol=1e-5)


def test_formula_text_and_value_agree() -> None:
    inner = (EdgeFormula(0, 0, "1/x", 2, 1, 3, 0.5, 1), EdgeFormula(1, 0, "gaussian", -1, 2, 0, 0, 1))
    whole = Formula((inner, (EdgeFormula(0, 0, "x^3", 1, 1, 0, 0, 1),)))
    assert whole.text() == ["y0 = (2 / (x0 + 3) - exp(-(2 x1)^2) + 0.5)^3"]
    x = np.array([[0.5, 0.1], [1, -2]])
    np.testing.assert_allclose(whole(x)[:, 0], (2 / (x[:, 0] + 3) - np.exp(-((2 * x[:, 1]) ** 2)) + 0.5) ** 3)


def test_recovers_a_formula_from_data() -> None:
    """exp(sin(pi x) + y^2): two layers trained, named, and the numbers of the names fitted."""
    mx.random.seed(0)
    x, unseen = uniform(600, 2, seed=1), uniform(600, 2, seed=2)

    def truth(x: mx.array) -> mx.array:
        return mx.exp(mx.sin(np.pi * x[:, :1]) + x[:, 1:] ** 2)

    net, y = nn.Sequential(KANLinear(2, 1), KANLinear(1, 1)), truth(x)
    for grids_move in (True, True, False):
        step = optim.Adam(learning_rate=optim.cosine_decay(0.05, 250))
        slope = nn.value_and_grad(net, lambda n: ((n(x) - y) ** 2).mean())
        for _ in range(250):
            step.update(net, slope(net)[1])
            mx.eval(net.parameters(), step.state)
        h = x
        for layer in net.layers if grids_move else []:
            after = layer(h)
            layer.update_grid(h, margin=0.1, mix=0.5)
            h = after
    named = formula_of(net.layers, x)
    assert [[e.function for e in edges] for edges in named.layers] == [["sin", "x^2"], ["exp"]]
    error = np.array(truth(unseen)) - named.refined(x, y)(unseen)
    assert np.sqrt(np.square(error).mean()) < 1e-3


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"KANLinear: grid is 0, expected at least 1\."):
        KANLinear(2, 2, grid=0)
    with pytest.raises(ValueError, match=r"KANLinear: degree is 6, expected a whole number from 0 to 5\."):
        KANLinear(2, 2, degree=6)
    with pytest.raises(ValueError, match=r"KANLinear: low is 1 and high is 1, expected low < high\."):
        KANLinear(2, 2, low=1)
    layer = KANLinear(3, 2)
    with pytest.raises(ValueError, match=r"KANLinear: x has shape \(4, 2\), expected \(\.\.\., 3\)\."):
        layer(mx.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"KANLinear: x has 1 rows, expected at least one, and finite numbers only"):
        layer.update_grid(mx.array([[1, mx.nan, 0]]))
    with pytest.raises(ValueError, match=r"KANLinear: the knots of input 0 are .* Take a smaller grid or a larger mix"):
        layer.update_grid(mx.array([[0.0, 0, 0]] * 9 + [[1, 2, 3]]), mix=0)


def test_some_edges_alone_are_named_as_among_all() -> None:
    mx.random.seed(3)
    layer = KANLinear(3, 4)
    x = mx.random.uniform(-1, 1, (90, 3))
    every = {(e.input, e.output): e for e in layer.symbolic(x)}
    wanted = [(2, 0), (0, 3)]
    for pair, found in zip(wanted, layer.symbolic(x, wanted), strict=True):
        assert (found.input, found.output, found.function) == (*pair, every[pair].function)
        assert found.r2 == pytest.approx(every[pair].r2) and found.a == pytest.approx(every[pair].a)
    assert layer.symbolic(x, []) == []
