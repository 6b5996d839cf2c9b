"""The mixer and its block: rates, decay, one pass against pieces, and the formula written out in NumPy."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from lasmlx.layers import (
    BoundedTimeStep,
    Mamba,
    MambaBlock,
    SoftplusTimeStep,
    decay_rates,
    multi_scale_decay_rates,
)


def make(liquid: bool = True, d: int = 6, e: int = 11, n: int = 3, k: int = 4) -> Mamba:
    mx.random.seed(0)
    step = BoundedTimeStep(2, e, 0.01, 0.5) if liquid else SoftplusTimeStep(2, e, 0.01, 0.5)
    return Mamba(d, k=k, rank=2, time_step=step, rates=multi_scale_decay_rates(e, n, (0.5, 8), (8, 64)))


def silu(x: Any) -> Any:
    return x / (1 + np.exp(-x))


def test_mamba_rates_count_up() -> None:
    assert decay_rates(2, 4).tolist() == [[1, 2, 3, 4], [1, 2, 3, 4]]


def test_multi_scale_rates_are_two_geometric_groups() -> None:
    rates = np.array(multi_scale_decay_rates(3, 7, (0.5, 8), (8, 64)))
    assert rates.shape == (3, 7)
    np.testing.assert_allclose(rates[0, :3], np.geomspace(0.5, 8, 3), rtol=1e-5)
    np.testing.assert_allclose(rates[0, 3:], np.geomspace(8, 64, 4), rtol=1e-5)
    np.testing.assert_array_equal(rates, np.tile(rates[0], (3, 1)))


def test_a_single_state_is_fast() -> None:
    np.testing.assert_allclose(np.array(multi_scale_decay_rates(2, 1, (0.5, 8), (8, 64))), 8, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(scale=st.sampled_from([0.0, 1e-3, 1.0, 1e3]), seed=st.integers(0, 99))
def test_decay_is_below_one(scale: float, seed: int) -> None:
    mixer = make()
    _, _, dt = mixer.traced(mx.random.normal((1, 5, 6), key=mx.random.key(seed)) * scale)
    A = -np.exp(np.array(mixer.A_log, dtype=np.float64))
    assert (np.exp(np.array(dt)[..., None] * A) < 1).all()


@pytest.mark.parametrize("liquid", [True, False])
def test_state_forgets_without_input(liquid: bool) -> None:
    mixer = make(liquid)
    _, state = mixer(mx.random.normal((1, 9, 6)))
    size = np.abs(np.array(state.h))
    for _ in range(3):
        _, state = mixer(mx.zeros((1, 10, 6)), state._replace(tail=mx.zeros_like(state.tail)))
        smaller = np.abs(np.array(state.h))
        assert (smaller <= size).all() and smaller.max() < size.max()
        size = smaller


def test_a_bounded_input_keeps_the_state_bounded() -> None:
    mixer = make()
    u = mx.random.uniform(-1, 1, (1, 5000, 6))
    y, state = mixer(u)
    _, early = mixer(u[:, :500])
    assert mx.isfinite(y).all().item()
    assert mx.abs(state.h).max().item() < 10 * mx.abs(early.h).max().item()


@pytest.mark.parametrize("liquid", [True, False])
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 39), max_size=5, unique=True))
def test_one_pass_equals_any_split(liquid: bool, cuts: list[int]) -> None:
    mixer = make(liquid)
    u = mx.random.normal((2, 40, 6), key=mx.random.key(1))
    whole, last = mixer(u)
    state, pieces = None, []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 40], strict=True):
        y, state = mixer(u[:, start:stop], state)
        pieces.append(y)
    assert state is not None
    for actual, expected in ((mx.concatenate(pieces, 1), whole), (state.h, last.h), (state.tail, last.tail)):
        np.testing.assert_allclose(np.array(actual), np.array(expected), atol=2e-6)


def test_mixer_is_its_formula() -> None:
    mixer, u = make(), np.random.default_rng(0).standard_normal((1, 7, 6)).astype(np.float32)
    p = {name: np.array(v, dtype=np.float64) for name, v in [
        ("in", mixer.in_proj.weight), ("conv", mixer.conv.weight), ("bias", mixer.conv.bias),
        ("x", mixer.x_proj.weight), ("dt", mixer.dt_proj.weight), ("dt_bias", mixer.dt_proj.bias),
        ("A_log", mixer.A_log), ("D", mixer.D), ("out", mixer.out_proj.weight),
    ]}  # fmt: skip
    past, h, outputs = np.zeros((4, 11)), np.zeros((11, 3)), []
    for row in u[0]:
        x, z = np.split(p["in"] @ row, 2)
        past = np.vstack([past[1:], x])
        x = silu((past * p["conv"].T).sum(0) + p["bias"])
        low, B, C = np.split(p["x"] @ x, [2, 5])
        dt = 0.01 + 0.49 / (1 + np.exp(-(p["dt"] @ low + p["dt_bias"])))
        h = np.exp(-dt[:, None] * np.exp(p["A_log"])) * h + dt[:, None] * B * x[:, None]
        outputs.append(p["out"] @ ((h @ C + p["D"] * x) * silu(z)))
    y, state = mixer(mx.array(u))
    np.testing.assert_allclose(np.array(y)[0], outputs, atol=2e-6)
    np.testing.assert_allclose(np.array(state.h)[0], h, atol=2e-6)


def test_block_is_residual() -> None:
    block = MambaBlock(6, make())
    u = mx.random.normal((2, 5, 6))
    y, _ = block(u)
    expected, _ = block.mixer(block.norm(u))
    np.testing.assert_allclose(np.array(y), np.array(u + expected), atol=1e-6)
    block.mixer.out_proj.weight = mx.zeros((6, 11))
    assert mx.array_equal(block(u)[0], u)


def test_state_is_the_callers() -> None:
    block = MambaBlock(6, make())
    state = block.init_state(2)
    block(mx.random.normal((2, 5, 6)), state)
    assert not state.h.any().item() and not state.tail.any().item()
    assert state.h.shape == (2, 11, 3) and state.tail.shape == (2, 3, 11)


def test_every_parameter_learns() -> None:
    block = MambaBlock(6, make())
    u = mx.random.normal((2, 5, 6))
    gradients = mx.grad(lambda p: block.update(p)(u)[0].square().sum())(block.parameters())
    for name, gradient in tree_flatten(gradients):
        assert mx.isfinite(gradient).all().item() and mx.abs(gradient).max().item() > 0, name
