"""Neurons and encoders: what they compute by hand, pieces that add up, masks, gradients, mistakes."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from lasmlx.layers import (
    DeltaEncoder,
    LatencyEncoder,
    LIFCell,
    Mamba,
    RateEncoder,
    SoftplusTimeStep,
    SpikingSSM,
    activity,
    decay_rates,
)
from lasmlx.ops import Neurons, lif_scan

RANDOM = np.random.default_rng(0)
X = mx.array(RANDOM.standard_normal((2, 13, 3)).astype(np.float32))
UNIT = mx.array(RANDOM.uniform(0, 1, (2, 13, 3)).astype(np.float32))


def mixer() -> Mamba:
    return Mamba(3, k=3, rank=1, time_step=SoftplusTimeStep(1, 6, 0.01, 0.1), rates=decay_rates(6, 2))


def cells() -> dict[str, Any]:
    mx.random.seed(0)
    return {
        "plain": LIFCell(3, 5, theta=0.3),
        "recurrent": LIFCell(3, 5, theta=0.3, recurrent=True, adaptive=True, refractory=2, reset="hard"),
        "ssm": SpikingSSM(mixer(), 3, theta=1e-3),
        "rate": RateEncoder(3, 4),
        "latency": LatencyEncoder(3, 5),
        "delta": DeltaEncoder(3),
    }


@pytest.mark.parametrize("name", cells())
def test_pieces_add_up(name: str) -> None:
    cell = cells()[name]
    whole, last = cell(UNIT)
    first, state = cell(UNIT[:, :6])
    second, state = cell(UNIT[:, 6:], state)
    assert mx.array_equal(mx.concatenate([first, second], 1), whole)
    assert 0 < whole.sum().item() < whole.size
    for (_, a), (_, b) in zip(tree_flatten(state), tree_flatten(last), strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=2e-6)


def test_a_cell_is_a_map_and_a_scan() -> None:
    cell = cells()["plain"]
    beta, theta = np.full(5, 0.9, np.float32), np.full(5, 0.3, np.float32)
    current = np.array(X) @ np.array(cell.W).T
    v, s = np.zeros((2, 5)), np.zeros((2, 5))
    expected = []
    for i in range(13):
        v = beta * v - theta * s + current[:, i]
        s = (v > theta).astype(np.float32)
        expected.append(s)
    out = cell.fired(X, potential=True)
    assert np.array_equal(np.array(out.s), np.stack(expected, 1))
    np.testing.assert_allclose(np.array(out.v[:, -1]), v, atol=1e-5)
    assert mx.array_equal(cell(X)[0], out.s)


def test_a_spike_of_another_neuron_is_heard_an_element_later() -> None:
    cell = LIFCell(2, 2, beta=0.5, theta=1.0, recurrent=True)
    cell.W, cell.U = mx.eye(2), mx.array([[0.0, 0.0], [3.0, 0.0]])
    s, _ = cell(mx.array([[[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]]))
    assert s.tolist() == [[[1, 0], [0, 1], [0, 0]]]  # a potential of 3; half of it stays and the spike takes 1


def test_what_a_mask_leaves_out_is_no_input() -> None:
    cell = cells()["recurrent"]
    mask = mx.array([[True] * 6 + [False] * 7, [True] * 13])
    junk = mx.where(mask[..., None], X, 1e6)
    assert mx.array_equal(cell(junk, mask=mask)[0][:, :6], cell(X)[0][:, :6])
    assert mx.array_equal(cell(junk, mask=mask)[0][1], cell(X)[0][1])


def test_every_parameter_learns() -> None:
    cell = cells()["recurrent"]

    def loss(parameters: Any) -> mx.array:
        cell.update(parameters)
        return (cell(X)[0] * mx.arange(5)).sum()

    for name, gradient in tree_flatten(mx.grad(loss)(cell.trainable_parameters())):
        assert mx.abs(gradient).max().item() > 0, name


def test_neurons_of_a_spiking_ssm_rest_after_a_spike() -> None:
    s, _ = cells()["ssm"](X * 100)
    together = np.array(s[:, 1:] * s[:, :-1]).sum() + np.array(s[:, 2:] * s[:, :-2]).sum()
    assert s.sum().item() > 0 and together == 0


def test_a_rate_is_as_many_spikes_in_the_ticks_of_an_element() -> None:
    x = mx.array([[[0.0, 0.25, 0.5, 0.8, 1.0, 7.0]]])
    s, _ = RateEncoder(6, 100)(x)
    assert s.shape == (1, 100, 6)
    np.testing.assert_allclose(np.array(s.sum(1))[0], [0, 25, 50, 80, 100, 100], atol=1)


def test_a_latency_is_one_spike_the_earlier_the_larger() -> None:
    s, _ = LatencyEncoder(4, 5)(mx.array([[[1.0, 0.5, 0.01, 0.0]], [[0.0, 1.0, 0.25, 2.0]]]))
    assert [np.argwhere(np.array(row)).tolist() for row in s] == [[[0, 0], [2, 1], [4, 2]], [[0, 1], [0, 3], [3, 2]]]


def test_a_change_fires_up_or_down() -> None:
    s, last = DeltaEncoder(1, 0.5)(mx.array([[[0.2], [1.0], [0.9], [0.1]]]))
    assert s.tolist() == [[[0, 0], [1, 0], [0, 0], [0, 1]]]
    np.testing.assert_allclose(np.array(last), [[0.1]])


def test_activity_counts() -> None:
    s = mx.array([[[0.0, 1.0, 1.0, 0.0]], [[0.0, 1.0, 0.0, 0.0]]])
    found = activity(s)
    assert (found.rate.item(), found.silent.item(), found.busy.item()) == (0.375, 0.5, 0.25)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"beta is 1.5 and theta 1.0, expected 0 < beta < 1"):
        LIFCell(2, 2, beta=1.5)
    with pytest.raises(ValueError, match="ticks is 0, expected at least 1"):
        LatencyEncoder(2, 0)
    with pytest.raises(ValueError, match="surrogate is 'none', expected one of fast_sigmoid"):
        lif_scan(X, Neurons(mx.ones(3), mx.ones(3)), surrogate="none")  # type: ignore[arg-type]
