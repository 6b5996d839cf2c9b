"""spiking-mamba in its three modes, and the transformer: state, masks, causality, gradients, files, mistakes."""

from itertools import product
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from lasmlx.data import Statistics
from lasmlx.models import ConfigError, load, make_model
from lasmlx.models.spiking_mamba import SpikingMambaConfig
from lasmlx.models.transformer import TransformerConfig
from lasmlx.ops import cross_entropy

T = 17
RANDOM = np.random.default_rng(0)
TEXT = mx.array(RANDOM.integers(0, 256, (2, T), dtype=np.uint8))
X = mx.array(RANDOM.uniform(0, 1, (2, T, 3)).astype(np.float32))
DT = mx.array(RANDOM.uniform(0.1, 3, (2, T)).astype(np.float32))

MODES = ("sequential", "parallel", "bidirectional")
KINDS: dict[str, dict[str, Any]] = {
    **{f"{mode}-{backbone}": {"mode": mode, "backbone": backbone} for mode, backbone in product(MODES, ("cfc", "ltc"))},
    "rate": {"mode": "parallel", "adapter": "rate", "adaptive": True},
    "potential": {"mode": "bidirectional", "adapter": "potential", "refractory": 1, "reset": "hard"},
}
ENCODERS = {"learned": 1, "rate": 3, "latency": 4, "delta": 1}


def make(inputs: int = 0, **options: Any) -> Any:
    mx.random.seed(1)
    sizes: dict[str, Any] = {"outputs": 4 if inputs else 256, "hidden": 8, "layers": 2, "n": 3, "theta": 0.2}
    heads = {"attention_heads": 2, "gate_heads": 2, "window": 4, "spike_window": 3}
    return make_model(SpikingMambaConfig(inputs=inputs, **(sizes | heads | options)))


def transformer(inputs: int = 0, **options: Any) -> Any:
    mx.random.seed(1)
    sizes = {"outputs": 4 if inputs else 256, "hidden": 8, "layers": 2, "heads": 2, "window": 4}
    return make_model(TransformerConfig(inputs=inputs, **(sizes | options)))


def close(actual: Any, expected: Any, tolerance: float = 2e-6) -> None:
    for (name, a), (_, b) in zip(tree_flatten(actual), tree_flatten(expected), strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=tolerance, rtol=tolerance, err_msg=name)


MODELS = {
    **{kind: lambda options=options: make(**options) for kind, options in KINDS.items()},
    "transformer": transformer,
}


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=4, deadline=None)
@given(cuts=st.lists(st.integers(1, T - 1), max_size=5, unique=True).map(sorted))
def test_one_pass_equals_any_split(kind: str, cuts: list[int]) -> None:
    model = MODELS[kind]()
    whole, last = model(TEXT)
    state, pieces = None, []
    for start, stop in zip([0, *cuts], [*cuts, T], strict=True):
        y, state = model(TEXT[:, start:stop], state)
        pieces.append(y)
    close(mx.concatenate(pieces, 1), whole)
    close(state, last)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_vectors_in_pieces_and_behind_the_end(encoder: str) -> None:
    model = make(3, encoder=encoder, ticks=ENCODERS[encoder])
    whole, _ = model(X, dt=DT)
    first, state = model(X[:, :5], dt=DT[:, :5])
    second, _ = model(X[:, 5:], state, dt=DT[:, 5:])
    assert whole.shape == (2, T, 4)
    close(mx.concatenate([first, second], 1), whole)
    mask = mx.arange(T)[None] < mx.array([[9], [T]])
    y, _ = model(mx.where(mask[..., None], X, 1e6), dt=DT, mask=mask)
    close(y[0, 8], whole[0, 8])
    close(y[0, 9:], mx.broadcast_to(whole[0, 8], (T - 9, 4)))
    close(y[1], whole[1])


def test_a_transformer_of_vectors_in_pieces_and_behind_the_end() -> None:
    model = transformer(3)
    whole, _ = model(X, dt=DT)
    mask = mx.arange(T)[None] < mx.array([[9], [T]])
    y, _ = model(mx.where(mask[..., None], X, 1e6), dt=DT, mask=mask)
    close(y[0, 9:], mx.broadcast_to(whole[0, 8], (T - 9, 4)))
    close(y[1], whole[1])


@pytest.mark.parametrize("kind", MODELS)
def test_nothing_sees_the_future(kind: str) -> None:
    model = MODELS[kind]()
    changed = mx.concatenate([TEXT[:, :9], 255 - TEXT[:, 9:]], 1)
    assert mx.array_equal(model(changed)[0][:, :9], model(TEXT)[0][:, :9])


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns(kind: str) -> None:
    model = make(**KINDS[kind])

    def loss(x: mx.array) -> mx.array:
        y, _, cost = model.learn(x)
        return cross_entropy(y[:, :-1], x[:, 1:]).mean() + cost

    _, gradients = nn.value_and_grad(model, loss)(TEXT)
    still = [name for name, g in tree_flatten(gradients) if not mx.abs(g).max().item() > 0]
    starts_at_nothing = {"exchange.matrices.weight", "exchange.tau.weight", "exchange.tau.bias"}
    assert [name for name in still if not any(name.endswith(s) for s in starts_at_nothing)] == []


def test_the_trace_is_the_forward_pass_and_says_what_was_felt() -> None:
    for mode in MODES:
        model = make(mode=mode)
        trace = model.trace(TEXT)
        close(trace.y, model(TEXT)[0])
        assert [felt.spikes.shape for felt in trace.felt] == [(2, T, 8)] * 2
        assert {*np.unique(np.array(trace.felt[0].spikes))} <= {0.0, 1.0}
        assert (trace.felt[0].share is None) == (mode == "sequential")
        rates = [float(np.array(felt.spikes).mean()) for felt in trace.felt]
        np.testing.assert_allclose([a.rate.item() for a in model.activity(TEXT)], rates, rtol=1e-6)


def test_spikes_cost_what_the_configuration_says() -> None:
    free, dear = make(mode="parallel"), make(mode="parallel", spike_cost=3.0)
    rate = np.mean([a.rate.item() for a in dear.activity(TEXT)])
    assert free.learn(TEXT)[2].item() == 0
    np.testing.assert_allclose(dear.learn(TEXT)[2].item(), 3 * rate, rtol=1e-6)


def test_the_other_path_moves_the_time_constants() -> None:
    model = make(mode="bidirectional")
    before, _ = model(TEXT)
    exchange = model.stack.blocks[0].exchange
    exchange.tau.weight = mx.random.normal(exchange.tau.weight.shape, key=mx.random.key(0)) * 3
    assert mx.abs(model(TEXT)[0] - before).max().item() > 1e-3


def test_inputs_of_a_latency_code_are_scaled_to_their_range() -> None:
    model = make(2, encoder="latency", ticks=4)
    low, high = np.array([1.0, 5.0], np.float32), np.array([3.0, 5.0], np.float32)
    model.fit_inputs(Statistics(low, low, low, high))
    assert (model.shift.tolist(), model.scale.tolist()) == ([1, 5], [2, 1])
    other = make(2)
    other.fit_inputs(Statistics(low, high, low, high))
    assert (other.shift.tolist(), other.scale.tolist()) == ([1, 5], [3, 5])


@pytest.mark.parametrize("kind", ["bidirectional-cfc", "transformer"])
def test_files_come_back(kind: str, tmp_path: Path) -> None:
    model = MODELS[kind]()
    model.save(tmp_path)
    assert mx.array_equal(load(tmp_path)(TEXT)[0], model(TEXT)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "diagonal"}, "mode is 'diagonal', expected one of sequential, parallel, bidirectional"),
        ({"hidden": 6, "gate_heads": 4, "mode": "parallel"}, "hidden is 6, expected a multiple of gate_heads = 4"),
        ({"beta": 1.0}, "beta is 1.0, expected above 0 and below 1"),
        ({"ticks": 3}, "ticks is 3, expected 1 unless encoder is rate or latency"),
        ({"encoder": "latency"}, "encoder is 'latency', expected learned without channels"),
        ({"vocab": 300}, "vocab is 300, expected 256 for bytes"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**options)


def test_wrong_settings_of_a_transformer_are_named() -> None:
    with pytest.raises(ConfigError, match="hidden is 6, expected a multiple of 2 heads = 4"):
        transformer(hidden=6)
    with pytest.raises(ConfigError, match="window is 0, expected at least 1"):
        transformer(window=0)
