"""Closed-form cells: what no comparison with another library shows. That comparison is ``test_ncps.py``."""

import mlx.core as mx
import numpy as np
import pytest

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
