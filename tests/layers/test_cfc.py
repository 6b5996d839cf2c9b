"""Closed-form cells: what no comparison with another library shows. That comparison is ``test_ncps.py``."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from lasmlx.layers.cfc import CfCCell, PureHead, WiredCfCCell
from lasmlx.layers.wiring import AutoNCP, Explicit


def test_pure_head_relaxes_with_its_tau() -> None:
    mx.random.seed(0)
    head = PureHead(3, 4)
    features = mx.random.normal((1, 3))
    _, tau = head(features, mx.zeros((1, 1)))
    gaps = [np.array(head.A - head(features, dt * mx.ones((1, 1)))[0]) for dt in (0.0, 1.0)]
    np.testing.assert_allclose(gaps[1] / gaps[0], np.exp(-1 / np.array(tau)), rtol=1e-5)


@pytest.mark.parametrize("mode", ["default", "no_gate"])
def test_gate_opens_with_time(mode: str) -> None:
    """After tau the gate's argument has moved by one."""
    mx.random.seed(0)
    cell = CfCCell(3, 4, mode=mode, units=6)
    x = mx.random.normal((1, 1, 3))
    _, _, tau = cell.traced(x)
    f, g, a, b = mx.split(cell._features(x[:, 0], mx.zeros((1, 4))) @ cell.head.weight.T + cell.head.bias, 4, axis=-1)
    np.testing.assert_allclose(np.array(tau[:, 0]), 1 / (np.abs(np.array(a)) + 1e-6), rtol=1e-5)
    s = mx.sigmoid(a * 1e4 + b)
    expected = mx.tanh(f) * ((1 - s) if mode == "default" else 1) + s * mx.tanh(g)
    np.testing.assert_allclose(np.array(cell(x, dt=1e4)[0][:, 0]), np.array(expected), atol=1e-6)


def test_absent_synapses_do_nothing() -> None:
    mx.random.seed(0)
    sensory = np.array([[1, 0, -1], [0, 1, 0]], dtype=np.int8)
    cell = WiredCfCCell(Explicit(sensory, np.zeros((3, 3), dtype=np.int8), 3))
    head = cell.layers[0].head
    x = mx.random.normal((1, 1, 2))
    before, _ = cell(x)
    absent = np.concatenate([sensory.T == 0, np.zeros((3, 3), dtype=bool)], 1)
    head.weight = mx.where(mx.array(np.concatenate([absent, absent, np.zeros((6, 5), dtype=bool)])), 99.0, head.weight)
    assert mx.array_equal(cell(x)[0], before)


def looped(
    cell: CfCCell, x: mx.array, h: mx.array, dt: mx.array, mask: mx.array | None
) -> tuple[mx.array, mx.array, mx.array]:
    """The cell element by element: its features, its head, the mask."""
    x = x if mask is None else mx.where(mask[..., None], x, 0.0)
    outputs, rates = [], []
    for i in range(x.shape[1]):
        new, tau = cell.head(cell._features(x[:, i], h), dt[:, i])
        h = new if mask is None else mx.where(mask[:, i, None], new, h)
        outputs.append(h)
        rates.append(1 / tau)
    return mx.stack(outputs, 1), h, mx.stack(rates, 1)


CELLS: dict[str, Any] = {
    "default": lambda mode: CfCCell(3, 4, mode=mode, units=6),
    "no_gate": lambda mode: CfCCell(3, 4, mode=mode, units=6),
    "flat": lambda _: CfCCell(3, 4, layers=0),
    "sparse": lambda _: CfCCell(3, 4, mode="no_gate", layers=0, sparsity=np.arange(28).reshape(7, 4) % 3 > 0),
}


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_the_scan_is_the_loop(name: str, each: bool) -> None:
    mx.random.seed(0)
    cell = CELLS[name](name)
    x, state = mx.random.normal((2, 9, 3)), mx.random.normal((2, 4))
    dt = mx.random.uniform(0, 3, (2, 9, 4 if each else 1))
    mask = mx.random.uniform(shape=(2, 9)) > 0.3

    def loss(parameters: Any, x: mx.array, dt: mx.array, run: Any) -> mx.array:
        cell.update(parameters)
        return sum((out * mx.cos(mx.arange(out.size).reshape(out.shape))).sum() for out in run(x, dt))

    def whole(x: mx.array, dt: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        y, last, tau = cell.traced(x, state, dt=dt, mask=mask)
        return y, last, 1 / tau

    runs = [whole, lambda x, dt: looped(cell, x, state, dt, mask)]
    for actual, expected in zip(*(run(x, dt) for run in runs), strict=True):
        np.testing.assert_allclose(np.array(actual), np.array(expected), rtol=1e-4, atol=1e-6)
    start = cell.parameters()
    gradients = [dict(tree_flatten(mx.grad(loss, (0, 1, 2))(start, x, dt, run))) for run in runs]
    for key, expected in gradients[1].items():
        scale = max(1.0, float(mx.abs(expected).max()))
        np.testing.assert_allclose(np.array(gradients[0][key]), np.array(expected), atol=1e-4 * scale, err_msg=key)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
def test_units_may_have_clocks_of_their_own(mode: Any, layers: int) -> None:
    mx.random.seed(0)
    cell = CfCCell(3, 4, mode=mode, units=6, layers=layers)
    x, dt = mx.random.normal((2, 1, 3)), mx.random.uniform(0, 3, (2, 1, 4))
    y, state = cell(x, dt=dt)
    for j in range(4):
        np.testing.assert_allclose(np.array(y[..., j]), np.array(cell(x, dt=dt[..., j])[0][..., j]), atol=1e-6)
    assert mx.array_equal(y[:, -1], state)


def test_neurons_of_a_wiring_may_have_clocks_of_their_own() -> None:
    mx.random.seed(0)
    cell = WiredCfCCell(AutoNCP(3, 11, 2))
    x, dt = mx.random.normal((2, 1, 3)), mx.random.uniform(0, 3, (2, 1, 11))
    _, state = cell(x, dt=dt)
    first = cell._ends[0]
    for j in range(first):  # those that hear the input alone
        alone = cell(x, dt=dt[..., j])[1]
        np.testing.assert_allclose(np.array(state[..., j]), np.array(alone[..., j]), atol=1e-6)
    assert mx.abs(state - cell(x, dt=dt[..., 0])[1])[:, first:].max().item() > 1e-3
    with pytest.raises(ValueError, match=r"dt has shape \(2, 1, 7\), .* or \(2, 1, 11\)\."):
        cell(x, dt=dt[..., :7])


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision_goes_in_and_out_and_the_state_stays(dtype: mx.Dtype) -> None:
    cell = CfCCell(3, 4, units=6)
    x = mx.random.normal((2, 5, 3))
    y, state = cell(x.astype(dtype))
    assert (y.dtype, state.dtype) == (dtype, mx.float32)
    np.testing.assert_allclose(np.array(y.astype(mx.float32)), np.array(cell(x)[0]), atol=3e-2)


def test_motor_neurons_are_the_output() -> None:
    cell = WiredCfCCell(AutoNCP(3, 11, 2))
    y, state = cell(mx.random.normal((2, 4, 3)))
    assert (y.shape, state.shape) == ((2, 4, 2), (2, 11))
    assert mx.array_equal(y[:, -1], state[:, -2:])


def test_wrong_modes_are_named() -> None:
    with pytest.raises(ValueError, match=r"^CfCCell: mode is 'fast', expected one of default, no_gate, pure\."):
        CfCCell(3, 4, mode="fast")
    with pytest.raises(ValueError, match=r"^CfCCell: sparsity is given with layers = 1, expected layers = 0\."):
        CfCCell(3, 4, sparsity=np.ones((7, 4)))
