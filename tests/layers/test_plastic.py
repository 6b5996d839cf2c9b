"""Plastic layers: the equation element by element, splits, bounds, what a lag recalls, named errors."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.layers import (
    BoundedTau,
    ConstantRates,
    FixedLinear,
    LiquidCell,
    LiquidWithSynapses,
    PlasticLinear,
    PlasticLiquidCell,
    PlasticRates,
)
from lasmlx.models.tree import flat
from lasmlx.ops import Adaptive
from lasmlx.ops.plastic import RULES

INPUTS, UNITS = 6, 8


def linear(**options: Any) -> PlasticLinear:
    mx.random.seed(1)
    layer = PlasticLinear(INPUTS, UNITS, **options)
    layer.rates.w = mx.random.normal(layer.rates.w.shape)
    return layer


def liquid(**options: Any) -> PlasticLiquidCell:
    mx.random.seed(1)
    return PlasticLiquidCell(INPUTS, UNITS, BoundedTau(INPUTS, UNITS, 1.0, 10.0), **options)


def beside(synapses: Any = None) -> LiquidWithSynapses:
    mx.random.seed(1)
    cell = LiquidCell(INPUTS, UNITS, BoundedTau(INPUTS, UNITS, 1.0, 10.0), solver="midpoint", substeps=8)
    return LiquidWithSynapses(cell, synapses or linear())


LAYERS = [
    linear,
    lambda: linear(rule="hebb", lag=0, heads=2),
    lambda: linear(rule="oja", rank=4, heads=2),
    liquid,
    lambda: liquid(rule="delta", lag=1, heads=2),
    lambda: liquid(rule="oja", update="substep", solver="euler"),
    beside,
    lambda: beside(FixedLinear(INPUTS, UNITS)),
]


def inputs(b: int = 2, t: int = 11) -> mx.array:
    return mx.array(np.random.default_rng([b, t]).standard_normal((b, t, INPUTS)).astype(np.float32))


def leaves(state: Any) -> list[mx.array]:
    return list(flat(state).values()) if state else []


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("lag", [0, 1])
def test_plastic_linear_is_its_equation(rule: Any, lag: int) -> None:
    layer, x = linear(rule=rule, lag=lag), inputs()
    y, (trace, key) = layer(x)
    W, b, alpha = (np.array(v, np.float64) for v in (layer.W, layer.b, layer.alpha[0]))
    w, a, c = (np.array(v, np.float64) for v in (layer.rates.w[0], layer.rates.a[0], layer.rates.fading[0]))
    for row, steps in enumerate(np.array(x, np.float64)):
        H, before = np.zeros((UNITS, INPUTS)), np.zeros(INPUTS)
        for i, now in enumerate(steps):
            k = now / np.sqrt(now @ now + 1e-6)
            out = W @ now + b + (alpha * H) @ k
            np.testing.assert_allclose(np.array(y[row, i]), out, atol=1e-5)
            rate = 1 / (1 + np.exp(-(w @ now + a)))
            p, keep, written = np.tanh(out), 1 - c * rate, before if lag else k
            if rule == "hebb":
                H = keep * H + rate * np.outer(p, written)
            elif rule == "oja":
                H = keep * H + rate * (np.outer(p, written) - (p * p)[:, None] * H)
            else:
                H = keep * H + rate * np.outer(p - keep * H @ written, written)
            before = k
        np.testing.assert_allclose(np.array(trace[row, 0]), H, atol=1e-5)
        np.testing.assert_allclose(np.array(key[row, 0]), before, atol=1e-6)


@pytest.mark.parametrize("make", LAYERS)
@settings(deadline=None, max_examples=8)
@given(cut=st.integers(1, 10))
def test_one_pass_is_any_split(make: Any, cut: int) -> None:
    layer, x = make(), inputs()
    whole, last = layer(x)
    first, state = layer(x[:, :cut])
    second, state = layer(x[:, cut:], state)
    assert mx.abs(mx.concatenate([first, second], 1) - whole).max().item() < 2e-6
    for a, b in zip(leaves(last), leaves(state), strict=True):
        assert mx.abs(a - b).max().item() < 2e-6


@pytest.mark.parametrize("make", LAYERS)
def test_each_row_has_a_trace_of_its_own(make: Any) -> None:
    layer, x = make(), inputs(3)
    together, _ = layer(x)
    for row in range(3):
        alone, _ = layer(x[row : row + 1])
        assert mx.abs(alone[0] - together[row]).max().item() < 2e-6


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("make", [linear, liquid])
def test_traces_stay_below_the_stated_bound(make: Any, rule: Any) -> None:
    layer = make(rule=rule)
    layer.rates.a = mx.full((1,), 20.0)  # rate 1: the hardest case
    layer.rates.d = mx.full((1,), -20.0)  # and the slowest fading, c = 0.001
    bound, state = layer.trace_bound(), None
    assert abs(bound - UNITS**0.5 / 1e-3) < 1
    x = mx.broadcast_to(inputs(1, 1), (1, 4000, INPUTS)) * 5  # one input again and again piles up the most
    _, state = layer(x, state)
    norm = mx.sqrt(mx.square(state.trace).sum()).item()
    assert 0.5 < norm < bound


def test_gradients_pass_through_the_trace_to_what_was_written_before() -> None:
    layer, x = linear(), inputs(1, 5)
    gradient = mx.grad(lambda x: layer(x)[0][:, -1].sum())(x)
    assert mx.abs(gradient[:, 0]).max().item() > 1e-4


def test_a_lag_recalls_what_followed() -> None:
    """A, B, then A again: with a lag the trace answers with what B wrote, without one with what A did."""
    random = np.random.default_rng(0)
    a, b = (mx.array(random.standard_normal((1, 1, INPUTS)).astype(np.float32)) for _ in range(2))
    for lag, wanted in ((1, b), (0, a)):
        layer = PlasticLinear(INPUTS, UNITS, lag=lag, rates=ConstantRates(INPUTS, 1, rate=0.999, fading=0.002))
        layer.alpha = mx.ones_like(layer.alpha)
        _, state = layer(mx.concatenate([a, b], 1))
        y, _ = layer(a, state)
        recalled = y - (a @ layer.W.T + layer.b)
        first, _ = layer(wanted)  # nothing is read from an empty trace
        stored = mx.tanh(first)
        similar = (recalled * stored).sum() / mx.sqrt(mx.square(recalled).sum() * mx.square(stored).sum())
        assert similar.item() > 0.9, lag


def test_no_time_means_no_change() -> None:
    layer, x = liquid(lag=1), inputs(2, 6)
    _, before = layer(x)
    y, after = layer(x, before, dt=0.0)
    assert mx.array_equal(before.h, after.h) and mx.array_equal(before.trace, after.trace)
    assert mx.array_equal(y, mx.broadcast_to(before.h[:, None], y.shape))


def test_sub_step_updates_are_elements_of_a_share_of_the_time() -> None:
    """K = 3 sub-steps with updates are three elements of a third of a second with the same input."""
    layer, x = liquid(update="substep", solver="euler", substeps=3), inputs()
    other = liquid(solver="euler", substeps=1)
    other.update(layer.parameters())
    y, state = layer(x)
    z, last = other(mx.repeat(x, 3, 1), dt=1 / 3)
    assert mx.abs(y - z[:, 2::3]).max().item() < 1e-6
    assert mx.abs(state.trace - last.trace).max().item() < 1e-6


@pytest.mark.parametrize("make", [lambda: liquid(substeps=8), beside])
def test_the_adaptive_solver_agrees_and_counts(make: Any) -> None:
    layer, x = make(), inputs(2, 4)
    y, _ = layer(x)
    z, _, steps = layer.counted(x, adaptive=Adaptive(rtol=1e-5, atol=1e-6))
    assert steps.shape == (2, 4) and steps.min().item() >= 1
    assert mx.abs(y - z).max().item() < 0.02
    _, _, fewer = layer.counted(x, adaptive=Adaptive(rtol=1e-1, atol=1e-1))
    assert fewer.sum().item() < steps.sum().item()


@pytest.mark.parametrize("make", [liquid, beside])
def test_tau_is_that_of_the_cell(make: Any) -> None:
    layer, x = make(), inputs(2, 5)
    y, _, tau = layer.traced(x)
    assert tau.shape == (2, 5, UNITS) and 1.0 < tau.min().item() <= tau.max().item() < 10.0
    assert mx.array_equal(y, layer(x)[0])


def test_rates_are_modulated_by_the_input_and_constant_ones_are_not() -> None:
    modulated, constant = PlasticRates(INPUTS, 2, rate=0.3, fading=0.1), ConstantRates(INPUTS, 2, rate=0.3, fading=0.1)
    for rates in (modulated, constant):
        rate, keep = rates(inputs())
        assert mx.abs(rate - 0.3).max().item() < 1e-6 and mx.abs(keep - 0.97).max().item() < 1e-6
    modulated.w = mx.ones_like(modulated.w)
    assert mx.std(modulated(inputs())[0]).item() > 0.05
    assert "w" not in constant


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: linear(rule="hopfield"), "rule is 'hopfield', expected one of hebb, oja, delta"),
        (lambda: linear(heads=4), "heads is 4, expected a divisor of inputs = 6"),
        (lambda: linear(lag=2), "lag is 2, expected 0 or 1"),
        (lambda: liquid(update="always"), "update is 'always'"),
        (lambda: linear()(inputs()[..., :3]), r"x has shape \(2, 11, 3\), expected \(b, t, 6\)"),
        (lambda: liquid()(inputs() * mx.array(float("nan"))), "expected finite"),
    ],
)
def test_errors_say_what_was_given_and_expected(build: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()
