"""Adapters, state exchange, cross-attention and the gate: what they compute by hand, pieces that add up."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.layers import (
    AdaptiveGate,
    CrossAttention,
    Mamba,
    PotentialAdapter,
    RateAdapter,
    SoftplusTimeStep,
    StateExchange,
    TemporalAdapter,
    decay_rates,
)

RANDOM = np.random.default_rng(0)
S = mx.array((RANDOM.random((2, 11, 4)) < 0.3).astype(np.float32))
V = mx.array(RANDOM.standard_normal((2, 11, 4)).astype(np.float32))


def adapters() -> dict[str, Any]:
    mx.random.seed(0)
    return {"rate": RateAdapter(4, 3), "temporal": TemporalAdapter(4, 2.5), "potential": PotentialAdapter(4)}


@pytest.mark.parametrize("name", adapters())
def test_pieces_add_up(name: str) -> None:
    adapter = adapters()[name]
    whole, last = adapter(S, V, adapter.init_state(2))
    first, state = adapter(S[:, :4], V[:, :4], adapter.init_state(2))
    second, state = adapter(S[:, 4:], V[:, 4:], state)
    np.testing.assert_allclose(np.array(mx.concatenate([first, second], 1)), np.array(whole), atol=1e-6)
    if name != "potential":
        np.testing.assert_allclose(np.array(state), np.array(last), atol=1e-6)


def test_a_rate_is_the_mean_over_a_window() -> None:
    adapter = adapters()["rate"]
    adapter.linear.weight, adapter.linear.bias = mx.eye(4), mx.zeros((4,))
    y, _ = adapter(S, None, adapter.init_state(2))
    padded = np.pad(np.array(S), [(0, 0), (2, 0), (0, 0)])
    np.testing.assert_allclose(np.array(y), (padded[:, 2:] + padded[:, 1:-1] + padded[:, :-2]) / 3, atol=1e-6)


def test_a_time_coded_spike_fades() -> None:
    adapter = adapters()["temporal"]
    adapter.linear.weight, adapter.linear.bias = mx.eye(4), mx.zeros((4,))
    y, _ = adapter(S, None, adapter.init_state(2))
    expected = np.zeros((2, 11, 4))
    for t in range(11):
        for i in range(t + 1):
            expected[:, t] += np.array(S)[:, t - i] * np.exp(-i / 2.5)
    np.testing.assert_allclose(np.array(y), expected / 2.5**0.5, atol=1e-5)
    gradient = mx.grad(lambda tau: adapter.update({"log_tau": tau})(S, None, adapter.init_state(2))[0].sum())
    assert mx.abs(gradient(adapter.log_tau)).min().item() > 0


def test_potentials_must_be_there() -> None:
    with pytest.raises(ValueError, match="v is absent, expected potentials"):
        PotentialAdapter(4)(S, None, ())


def test_an_exchange_starts_at_nothing_and_stays_within_its_bounds() -> None:
    exchange = StateExchange(4, 3, 5)
    assert not exchange.to_matrices(V).any().item() and (exchange.to_tau(V) == 1).all().item()
    exchange.tau.weight = mx.random.normal((5, 4), key=mx.random.key(0)) * 100
    tau = exchange.to_tau(V)
    assert tau.shape == (2, 11, 5) and tau.min().item() >= 0.5 and tau.max().item() <= 1.5
    assert tau.max().item() > 1.4 and tau.min().item() < 0.6


def test_what_a_scan_is_told_moves_its_matrices() -> None:
    mx.random.seed(0)
    mixer = Mamba(4, k=2, rank=1, time_step=SoftplusTimeStep(1, 8, 0.01, 0.1), rates=decay_rates(8, 3))
    plain, _ = mixer(V)
    same, _, _ = mixer.traced(V, told=mx.zeros((2, 11, 6)))
    told = mx.random.normal((2, 11, 6), key=mx.random.key(1))
    moved, _, _ = mixer.traced(V, told=told)
    bias = mx.concatenate([mx.zeros((2, 11, 1)), told], -1)
    project, weight = mixer.x_proj, mixer.x_proj.weight
    mixer.x_proj = lambda x: x @ weight.T + bias
    expected, _ = mixer(V)
    mixer.x_proj = project
    assert mx.array_equal(plain, same)
    np.testing.assert_allclose(np.array(moved), np.array(expected), atol=1e-6)
    assert mx.abs(moved - plain).max().item() > 1e-4


def test_each_path_asks_the_other() -> None:
    mx.random.seed(0)
    attention = CrossAttention(8, 2, 3)
    liquid, mamba = (mx.random.normal((1, 6, 8), key=mx.random.key(i)) for i in range(2))
    y, z, state = attention(liquid, mamba, attention.init_state(1))
    np.testing.assert_allclose(np.array(y), np.array(liquid + attention.of_liquid(liquid, context=mamba)[0]), atol=1e-6)
    np.testing.assert_allclose(np.array(z), np.array(mamba + attention.of_mamba(mamba, context=liquid)[0]), atol=1e-6)
    assert state[0].keys.shape == (1, 2, 8)


def test_a_gate_mixes_each_head_by_its_own_share() -> None:
    mx.random.seed(0)
    gate = AdaptiveGate(4, 2, temperature=0.5)
    liquid, mamba = V, V[:, ::-1]
    y, share = gate(liquid, mamba)
    asked = np.concatenate([liquid, mamba], -1) @ np.array(gate.linear.weight).T + np.array(gate.linear.bias)
    g = np.repeat(1 / (1 + np.exp(-asked / 0.5)), 2, -1)
    np.testing.assert_allclose(np.array(y), g * np.array(liquid) + (1 - g) * np.array(mamba), atol=1e-6)
    assert share.shape == (2, 11, 2)
    with pytest.raises(ValueError, match="expected a multiple and T > 0"):
        AdaptiveGate(5, 2)
