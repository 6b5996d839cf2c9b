"""The plastic language model: sizes, splits, state, what it learns to recall, memory kept apart a sequence."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lasmlx
from lasmlx.models import ConfigError, make_model
from lasmlx.models.plastic_lm import PlasticLM, PlasticLMConfig
from lasmlx.models.tree import flat
from lasmlx.ops import Adaptive
from lasmlx.train import load_recipe

TINY = PlasticLMConfig(d=8, heads=2, fast=1, deep=2)
KINDS = [
    TINY,
    replace(TINY, rule="none"),
    replace(TINY, rank=6),
    replace(TINY, rule="hebb", lag=0, place="drive", update="substep", solver="euler"),
    replace(TINY, rule="oja", place="drive"),
    replace(TINY, rule="none", place="drive"),
    replace(TINY, fast=0, solver="fused", tokenizer="sentencepiece", vocab=300),
]


def tokens(b: int = 2, t: int = 9) -> mx.array:
    return mx.array(np.random.default_rng(b).integers(0, 256, (b, t)))


def test_presets_have_the_sizes_they_are_named_for() -> None:
    sizes = {name: make_model(load_recipe(name).model).size for name in ("plastic", "plastic-small", "plastic-base")}
    sizes["plastic-large"] = make_model(load_recipe("plastic-large").model).size
    assert sizes == {
        "plastic": 371_600,
        "plastic-small": 4_997_392,
        "plastic-base": 14_084_112,
        "plastic-large": 49_342_512,
    }


@pytest.mark.parametrize("config", KINDS)
@settings(deadline=None, max_examples=6)
@given(cut=st.integers(1, 8))
def test_one_pass_is_any_split(config: Any, cut: int) -> None:
    mx.random.seed(3)
    model, x = PlasticLM(config), tokens()
    whole, last = model(x)
    first, state = model(x[:, :cut])
    second, state = model(x[:, cut:], state)
    assert mx.abs(mx.concatenate([first, second], 1) - whole).max().item() < 5e-6
    for (name, a), b in zip(flat(last).items(), flat(state).values(), strict=True):
        assert mx.abs(a - b).max().item() < 5e-6, name


@pytest.mark.parametrize("config", KINDS)
def test_save_and_load_keep_every_bit(config: Any, tmp_path: Any) -> None:
    model = PlasticLM(config)
    model.save(tmp_path)
    loaded = lasmlx.load(tmp_path)
    assert loaded.config == config and mx.array_equal(loaded(tokens())[0], model(tokens())[0])


@pytest.mark.parametrize("config", KINDS)
def test_no_token_sees_the_future_or_another_row(config: Any) -> None:
    model, x = PlasticLM(config), tokens(3)
    logits, _ = model(x)
    changed = mx.concatenate([x[:1], (x[1:] + 1) % 256], 0)
    changed[:, 5:] = (changed[:, 5:] + 7) % 256
    other, _ = model(changed)
    assert mx.array_equal(other[0, :5], logits[0, :5])
    assert not mx.array_equal(other[0, 5:], logits[0, 5:])


def test_traces_and_forgetting() -> None:
    model = PlasticLM(TINY)
    _, state = model(tokens())
    assert [v.shape for v in model.traces(state)] == [(2, 2, 4, 4)] * 2
    empty = model.forget(state)
    assert all(mx.abs(v).max().item() == 0 for v in model.traces(empty))
    assert mx.array_equal(empty.layers[0], state.layers[0]) and mx.array_equal(empty.position, state.position)
    y, _ = model(tokens(), state)
    assert not mx.array_equal(y, model(tokens(), empty)[0])
    fixed = PlasticLM(replace(TINY, rule="none"))
    assert fixed.traces(fixed(tokens())[1]) == []


@pytest.mark.parametrize("config", KINDS[:4])
def test_what_was_felt(config: Any) -> None:
    model, x = PlasticLM(config), tokens()
    felt = model.trace(x)
    assert mx.array_equal(felt.logits, model(x)[0]) and len(felt.tau) == 3
    assert all(tau.min().item() > 1.0 and tau.max().item() < 30.0 for tau in felt.tau)
    _, _, steps = model.counted(x, adaptive=Adaptive(rtol=1e-4))
    assert [v.shape for v in steps] == [(2, 9)] * 3
    assert mx.all(steps[0] == 1).item() and steps[1].max().item() > 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rule": "hopfield"}, "rule is 'hopfield', expected one of none, hebb, oja, delta"),
        ({"vocab": 300}, "vocab is 300, expected 256 for bytes"),
        ({"tokenizer": "gpt2"}, "vocab is 256, expected 50257 for gpt2"),
        ({"heads": 3}, "d is 8, expected an even multiple of heads = 3"),
        ({"rank": 3}, "rank is 3, expected 0, or a multiple of heads = 2 with place = beside"),
        ({"solver": "rk4"}, "solver is 'rk4'"),
        ({"dt": 2.0}, "dt is 2.0, expected seconds above 0 and at most tau_min"),
        ({"place": "inside"}, "place is 'inside', expected beside or drive"),
    ],
)
def test_wrong_configurations_are_named(changes: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(TINY, **changes)


def test_a_state_of_another_depth_is_refused() -> None:
    model, state = PlasticLM(TINY), PlasticLM(replace(TINY, fast=0, deep=1)).init_state(2)
    with pytest.raises(ValueError, match=r"state has 1 layers, expected 3"):
        model(tokens(), state)
