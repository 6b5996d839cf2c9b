"""The liquid network: state, masks, irregular time, bounds, files; over bytes and over vectors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from lasmlx.models import ConfigError, load, make_model
from lasmlx.models.lnn import CELLS, ByteLNN, LNNConfig, SequenceLNN

T = 17
RANDOM = np.random.default_rng(0)
TEXT = mx.array(RANDOM.integers(0, 256, (2, T), dtype=np.uint8))
X = mx.array(RANDOM.standard_normal((2, T, 3)).astype(np.float32))
DT = mx.array(RANDOM.uniform(0.1, 3, (2, T)).astype(np.float32))


def make(inputs: int, cell: str = "liquid", **options: Any) -> Any:
    mx.random.seed(1)
    sizes = {"outputs": 4 if inputs else 256, "hidden": 6, "layers": 2, "substeps": 2}
    return make_model(LNNConfig(inputs=inputs, cell=cell, **(sizes | options)))  # type: ignore[arg-type]


def forward(inputs: int, cell: str) -> Callable[..., Any]:
    """The model over a span of the elements, from a state."""
    model = make(inputs, cell)
    if inputs:
        return lambda span, state=None: model(X[:, span], state, dt=DT[:, span])
    return lambda span, state=None: model(TEXT[:, span], state)


def close(actual: Any, expected: Any, tolerance: float = 1e-6) -> None:
    for (name, a), (_, b) in zip(tree_flatten(actual), tree_flatten(expected), strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=tolerance, rtol=tolerance, err_msg=name)


@pytest.mark.parametrize("inputs", [0, 3])
@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, T - 1), max_size=5, unique=True).map(sorted))
def test_one_pass_equals_any_split(inputs: int, cell: str, cuts: list[int]) -> None:
    run = forward(inputs, cell)
    whole, last = run(slice(0, T))
    state, pieces = None, []
    for start, stop in zip([0, *cuts], [*cuts, T], strict=True):
        y, state = run(slice(start, stop), state)
        pieces.append(y)
    close(mx.concatenate(pieces, 1), whole, 2e-6)
    close(state, last, 2e-6)


@pytest.mark.parametrize("inputs", [0, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_trace_is_the_forward_pass(inputs: int, cell: str) -> None:
    model = make(inputs, cell)
    x, time = (X, {"dt": DT}) if inputs else (TEXT, {})
    trace = model.trace(x, **time)
    close((trace.y, trace.state), model(x, **time))
    assert [tau.shape for tau in trace.tau] == [(2, T, 6)] * 2
    assert all((tau > 0).all().item() for tau in trace.tau)


def test_tau_stays_within_its_bounds() -> None:
    model = make(3, tau_min=0.5, tau_max=2.0)
    for cell in model.stack.cells:
        cell.tau.W = cell.tau.W * 1e3
    for tau in map(np.array, model.trace(X, dt=DT).tau):
        assert tau.min() >= np.float32(0.5) and tau.max() <= np.float32(2) and tau.max() > tau.min()


@pytest.mark.parametrize("cell", CELLS)
def test_what_lies_behind_the_end_changes_nothing(cell: str) -> None:
    model = make(3, cell)
    mask = mx.arange(T)[None] < mx.array([[9], [T]])
    y, state = model(mx.where(mask[..., None], X, 1e6), dt=DT, mask=mask)
    alone, alone_state = model(X[:1, :9], dt=DT[:1, :9])
    close(y[:1, :9], alone)
    close(y[0, 9:], mx.broadcast_to(alone[0, -1], (T - 9, 4)))
    close([v[:1] for _, v in tree_flatten(state)], [v for _, v in tree_flatten(alone_state)])


def test_an_element_counts_for_as_long_as_it_lasts() -> None:
    model = make(3)
    y, state = model(X, dt=DT)
    h, _ = model.stack(X, dt=DT)
    mean = (h * DT[..., None]).sum(1) / DT.sum(1, keepdims=True)
    close(y[:, -1], model.head(mean), 1e-5)
    close(state.seconds[:, 0], DT.sum(1), 1e-5)


def test_inputs_are_scaled_by_what_the_training_data_were_like() -> None:
    model = make(3)
    plain, _ = model(X, dt=DT)
    model.shift, model.scale = mx.array([1.0, 2, 3]), mx.array([2.0, 5, 0.1])
    close(model(X * model.scale + model.shift, dt=DT)[0], plain, 1e-5)
    assert not {"shift", "scale"} & set(model.trainable_parameters())


@pytest.mark.parametrize("inputs", [0, 3])
def test_there_and_back_through_files(inputs: int, tmp_path: Path) -> None:
    model = make(inputs, "soft")
    model.save(tmp_path)
    again = load(tmp_path)
    assert type(again) is (SequenceLNN if inputs else ByteLNN) and again.config == model.config
    x = X if inputs else TEXT
    assert mx.array_equal(again(x)[0], model(x)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "gru"}, "lnn: cell is 'gru', expected one of liquid, soft, ltc, cfc"),
        (
            {"tau_min": 2.0, "tau_max": 1.0},
            r"lnn: \(tau_min, tau_max\) is \(2.0, 1.0\), expected 0 < tau_min < tau_max",
        ),
        ({"hidden": 0}, "lnn: hidden is 0, expected at least 1"),
        ({"outputs": 3}, "lnn: outputs is 3, expected 256 without channels"),
        ({"dt": 0.0}, "lnn: dt is 0.0, expected seconds above 0"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LNNConfig(**options)
