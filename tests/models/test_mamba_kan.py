"""mamba-kan and its twin with an MLP: state, masks, causality, gradients, costs, sizes, files, mistakes."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten

import lasmlx
from lasmlx.models import ConfigError, MambaKANConfig, load, make_model
from lasmlx.ops import cross_entropy
from lasmlx.train.compile import compile_step

T = 17
RANDOM = np.random.default_rng(0)
TEXT = mx.array(RANDOM.integers(0, 256, (2, T), dtype=np.uint8))
X = mx.array(RANDOM.standard_normal((2, T, 3)).astype(np.float32))
DT = mx.array(RANDOM.uniform(0.1, 3, (2, T)).astype(np.float32))
KINDS = ("spline", "mlp")


def make(inputs: int = 0, **options: Any) -> Any:
    mx.random.seed(1)
    sizes: dict[str, Any] = {"outputs": 4 if inputs else 256, "hidden": 8, "layers": 2, "n": 3}
    return make_model(MambaKANConfig(inputs=inputs, **(sizes | options)))


def close(actual: Any, expected: Any, tolerance: float = 2e-6) -> None:
    for (name, a), (_, b) in zip(tree_flatten(actual), tree_flatten(expected), strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=tolerance, rtol=tolerance, err_msg=name)


def trained(module: nn.Module) -> int:
    return sum(v.size for _, v in tree_flatten(module.trainable_parameters()))


@pytest.mark.parametrize("inputs", [0, 3])
@pytest.mark.parametrize("kan", KINDS)
@settings(max_examples=4, deadline=None)
@given(cuts=st.lists(st.integers(1, T - 1), max_size=5, unique=True).map(sorted))
def test_one_pass_equals_any_split(kan: str, inputs: int, cuts: list[int]) -> None:
    model, x = make(inputs, kan=kan), X if inputs else TEXT

    def run(start: int, stop: int, state: Any = None) -> Any:
        return model(x[:, start:stop], state, **({"dt": DT[:, start:stop]} if inputs else {}))

    whole, last = run(0, T)
    state, pieces = None, []
    for start, stop in zip([0, *cuts], [*cuts, T], strict=True):
        y, state = run(start, stop, state)
        pieces.append(y)
    close(mx.concatenate(pieces, 1), whole)
    close(state, last)


@pytest.mark.parametrize("kan", KINDS)
def test_what_lies_behind_the_end_changes_nothing(kan: str) -> None:
    model = make(3, kan=kan)
    whole, _ = model(X, dt=DT)
    mask = mx.arange(T)[None] < mx.array([[9], [T]])
    y, _ = model(mx.where(mask[..., None], X, 1e6), dt=DT, mask=mask)
    close(y[0, :9], whole[0, :9])
    close(y[0, 9:], mx.broadcast_to(whole[0, 8], (T - 9, 4)))
    close(y[1], whole[1])


@pytest.mark.parametrize("kan", KINDS)
def test_nothing_sees_the_future(kan: str) -> None:
    model = make(kan=kan)
    changed = mx.concatenate([TEXT[:, :9], 255 - TEXT[:, 9:]], 1)
    before, after = model(TEXT)[0], model(changed)[0]
    assert mx.array_equal(after[:, :9], before[:, :9])
    assert not mx.array_equal(after[:, 9], before[:, 9])


@pytest.mark.parametrize("inputs", [0, 3])
@pytest.mark.parametrize("options", [{"kan": "mlp"}, {"l1": 1e-3, "entropy": 1e-3}])
def test_every_parameter_learns(options: dict[str, Any], inputs: int) -> None:
    model = make(inputs, **options)

    def loss(x: mx.array) -> mx.array:
        y, _, cost = model.learn(x)
        return (mx.square(y).mean() if inputs else cross_entropy(y[:, :-1], x[:, 1:]).mean()) + cost

    _, gradients = nn.value_and_grad(model, loss)(X if inputs else TEXT)
    found = dict(tree_flatten(gradients))
    assert [name for name, g in found.items() if not mx.abs(g).max().item() > 0] == []
    assert found.keys() == {name for name, _ in tree_flatten(model.trainable_parameters())}
    assert not any(name.endswith(("knots", "mask")) for name in found)


def test_splines_cost_what_the_configuration_says() -> None:
    model = make(l1=0.5, entropy=2.0)
    first, second = model.kans
    second.C = second.C * 3
    expected = 0.5 * (first.l1() + second.l1()) + 2 * (first.entropy() + second.entropy())
    np.testing.assert_allclose(model.learn(TEXT)[2].item(), expected.item(), rtol=1e-6)
    compiled = compile_step(lambda x: model.learn(x)[2], [model.state])
    np.testing.assert_allclose(compiled(TEXT).item(), expected.item(), rtol=1e-6)
    assert make().learn(TEXT)[2].item() == 0


@pytest.mark.parametrize(("hidden", "grid", "degree"), [(6, 5, 3), (8, 3, 2), (48, 5, 3), (128, 20, 3)])
def test_the_twin_has_as_many_parameters(hidden: int, grid: int, degree: int) -> None:
    sizes = {"hidden": hidden, "grid": grid, "degree": degree, "layers": 1}
    spline, mlp = (make(kan=kan, **sizes).stack.cells[1] for kan in KINDS)
    assert trained(spline.kan) == hidden**2 * (grid + degree + 1)
    assert abs(trained(mlp.kan) / trained(spline.kan) - 1) < 0.02
    assert trained(mlp) - trained(mlp.kan) == trained(spline) - trained(spline.kan)


def test_a_twin_is_as_wide_as_it_is_told() -> None:
    assert make(kan="mlp", inner=5).stack.cells[1].kan.up.weight.shape == (5, 8)


def test_grids_reach_as_far_as_the_configuration_says() -> None:
    kan = make(reach=2.0, grid=4, degree=2).kans[1]
    close((kan.samples()[0], kan.samples()[-1]), (mx.full((8,), -2.0), mx.full((8,), 2.0)))
    assert kan.knots.shape == (8, 4 + 2 * 2 + 1)


@pytest.mark.parametrize("kan", KINDS)
@pytest.mark.parametrize("inputs", [0, 3])
def test_files_come_back(kan: str, inputs: int, tmp_path: Path) -> None:
    model, x = make(inputs, kan=kan), X if inputs else TEXT
    for layer in model.kans:
        layer.prune(float(np.median(np.array(layer.magnitudes()))))
        layer.update_grid(mx.random.normal((64, 8), key=mx.random.key(0)))
    model.save(tmp_path)
    again = load(tmp_path)
    assert again.config == model.config and mx.array_equal(again(x)[0], model(x)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kan": "wavelet"}, "mamba-kan: kan is 'wavelet', expected spline or mlp"),
        ({"grid": 0}, "mamba-kan: grid is 0, expected at least 1"),
        ({"degree": 6}, "mamba-kan: degree is 6, expected 0 to 5"),
        ({"reach": 0.0}, "mamba-kan: reach is 0.0, expected above 0"),
        ({"tau_min": 10.0}, r"mamba-kan: \(tau_min, tau_max\) is \(10.0, 10.0\), expected 0 < tau_min < tau_max"),
        ({"l1": -1.0}, "mamba-kan: l1 is -1.0, expected 0 or more"),
        ({"kan": "mlp", "entropy": 0.1}, "mamba-kan: entropy is 0.1, expected 0 with kan = mlp"),
        ({"inner": -1}, "mamba-kan: inner is -1, expected 0"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**options)


def test_the_quick_start() -> None:
    mx.random.seed(0)
    model = lasmlx.LiquidMambaKAN(input_dim=64, d_model=128, num_layers=6, output_dim=10)
    x = mx.random.normal((32, 256, 64))
    assert isinstance(model, nn.Module)
    logits = model(x)
    assert logits.shape == (32, 10) and mx.isfinite(logits).all().item()


def test_the_answer_is_that_after_the_last_element() -> None:
    model = lasmlx.LiquidMambaKAN(3, 8, 2, 4, grid=4)
    whole, _ = model.model(X, dt=DT)
    close(model(X, dt=DT), whole[:, -1])
    mask = mx.arange(T)[None] < mx.array([[9], [T]])
    close(model(X, dt=DT, mask=mask), mx.stack([whole[0, 8], whole[1, -1]]))
    with pytest.raises(ConfigError, match="LiquidMambaKAN: input_dim is 0, expected at least 1"):
        lasmlx.LiquidMambaKAN(0, 8, 2, 4)


def test_what_the_splines_receive_gives_what_the_model_says() -> None:
    model = make(3)
    received = model.kan_inputs(X, dt=DT)
    block = model.stack.cells[-1]
    assert [x.shape for x in received] == [(2, T, 8)] * 2
    h, _ = model.stack(model._scaled(X), dt=DT)
    np.testing.assert_allclose(np.array(block.kan(received[-1])), np.array(h - _before_splines(model)), atol=1e-5)
    assert make(kan="mlp").kan_inputs(TEXT) == [] and len(make().kan_inputs(TEXT)) == 2


def _before_splines(model: Any) -> mx.array:
    *cells, block = model.stack.cells
    h = model._scaled(X)
    for cell in cells:
        h, _ = cell(h, dt=DT)
    return block.mixed(h)[0]
