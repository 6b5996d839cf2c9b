"""Windowed attention against a plain one in float64: positions, windows, context, masks, pieces, memory."""

from itertools import pairwise
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from lasmlx.layers import Attention, TimedLinear, TransformerBlock

D, HEADS, T = 8, 2, 23
RANDOM = np.random.default_rng(0)
X, CONTEXT = (RANDOM.standard_normal((2, T, D)).astype(np.float32) for _ in range(2))


def attention(window: int) -> Attention:
    mx.random.seed(1)
    return Attention(D, HEADS, window)


def turned(x: NDArray[Any]) -> NDArray[Any]:
    """RoPE, (t, n): pairs (i, i + n / 2) turn by position 10000^(-2 i / n)."""
    t, n = x.shape
    angle = np.arange(t)[:, None] * 10000.0 ** (-2 * np.arange(n // 2) / n)
    a, b = x[:, : n // 2], x[:, n // 2 :]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)], 1)


def plain(layer: Attention, x: NDArray[Any], context: NDArray[Any], window: int, there: Any = None) -> NDArray[Any]:
    Q, K, V, out_map = (np.array(m.weight, np.float64) for m in (layer.Q, layer.K, layer.V, layer.O))
    out = np.zeros((len(x), T, D))
    n = D // HEADS
    for row in range(len(x)):
        for head in range(HEADS):
            part = slice(head * n, (head + 1) * n)
            q, k = turned((x[row] @ Q.T)[:, part]), turned((context[row] @ K.T)[:, part])
            v = (context[row] @ V.T)[:, part]
            for i in range(T):
                seen = [j for j in range(max(0, i - window + 1), i + 1) if j == i or there is None or there[row, j]]
                score = np.exp(q[i] @ k[seen].T / np.sqrt(n))
                out[row, i, part] = score / score.sum() @ v[seen]
    return out @ out_map.T


@pytest.mark.parametrize("window", [1, 2, 3, 5, 8, 11, 12, T, 100])  # block by block below T / 2
def test_it_attends_to_the_last_elements(window: int) -> None:
    layer = attention(window)
    y, _ = layer(mx.array(X), context=mx.array(CONTEXT))
    np.testing.assert_allclose(np.array(y), plain(layer, X, CONTEXT, window), atol=2e-6)


@pytest.mark.parametrize("window", [3, 12, 100])
def test_nothing_attends_to_what_is_not_there(window: int) -> None:
    layer = attention(window)
    there = RANDOM.random((2, T)) < 0.6
    y, _ = layer(mx.array(X), mask=mx.array(there))
    np.testing.assert_allclose(np.array(y), plain(layer, X, X, window, there), atol=2e-6)


@pytest.mark.parametrize("window", [1, 3, 8, 100])
@pytest.mark.parametrize("masked", [False, True])
def test_pieces_add_up(window: int, masked: bool) -> None:
    layer = attention(window)
    mask = mx.array(RANDOM.random((2, T)) < 0.6) if masked else None
    whole, last = layer(mx.array(X), context=mx.array(CONTEXT), mask=mask)
    state, pieces = layer.init_state(2), []
    for start, stop in pairwise([0, 1, 2, 9, 20, T]):
        span = slice(start, stop)
        here = None if mask is None else mask[:, span]
        y, state = layer(mx.array(X[:, span]), state, context=mx.array(CONTEXT[:, span]), mask=here)
        pieces.append(y)
        assert state.keys.shape[1] == min(stop, window - 1)
    np.testing.assert_allclose(np.array(mx.concatenate(pieces, 1)), np.array(whole), atol=2e-6)
    for a, b in zip(state, last, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=1e-6)


@pytest.mark.parametrize("window", [3, 12])
def test_gradients_are_those_of_full_attention_with_a_band(window: int) -> None:
    layer = attention(window)

    def banded(x: mx.array) -> mx.array:
        q, k, v = layer._turned(layer.Q(x), 0), layer._turned(layer.K(x), 0), layer._split(layer.V(x))
        behind = mx.arange(T)[:, None] - mx.arange(T)
        scores = mx.where((behind >= 0) & (behind < window), q @ k.swapaxes(-1, -2) / (D / HEADS) ** 0.5, -mx.inf)
        return layer.O((mx.softmax(scores, -1) @ v).swapaxes(1, 2).reshape(x.shape))

    ours = mx.grad(lambda x: mx.square(layer(x)[0]).sum())(mx.array(X))
    theirs = mx.grad(lambda x: mx.square(banded(x)).sum())(mx.array(X))
    np.testing.assert_allclose(np.array(ours), np.array(theirs), atol=1e-6)


def test_memory_grows_with_t_and_not_with_its_square() -> None:
    layer = attention(16)

    def peak(t: int) -> int:
        x = mx.random.normal((1, t, D))
        mx.eval(x)
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        mx.eval(mx.grad(lambda x: mx.square(layer(x)[0]).sum())(x))
        return mx.get_peak_memory() - before

    peak(64)
    assert peak(8192) < 5 * peak(2048)


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="d is 6, expected a multiple of 2 heads = 4"):
        Attention(6, 2, 4)
    with pytest.raises(ValueError, match="window is 0, expected at least 1"):
        Attention(8, 2, 0)


def test_a_block_adds_to_its_stream_and_vectors_enter_with_their_duration() -> None:
    mx.random.seed(0)
    block, entry = TransformerBlock(D, HEADS, 4, 16), TimedLinear(3, D)
    y, state = block(mx.array(X))
    u = mx.array(X) + block.attention(block.attention_norm(mx.array(X)))[0]
    np.testing.assert_allclose(np.array(y), np.array(u + block.mlp(block.mlp_norm(u))), atol=1e-6)
    assert state.keys.shape == (2, 3, D)
    x = mx.ones((1, 2, 3))
    out, _ = entry(x, dt=mx.array([[0.0, 2.0]]))
    moved = out[0, 1] - out[0, 0]
    np.testing.assert_allclose(np.array(moved), np.log(3) * np.array(entry.linear.weight[:, -1]), atol=1e-6)
