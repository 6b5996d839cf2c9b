"""Embeddings: the table is the call, and the continuous one follows its formula."""

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.layers import ContinuousEmbedding, LookupEmbedding

LAYERS = [lambda: ContinuousEmbedding(6, 5), lambda: LookupEmbedding(6)]


@pytest.mark.parametrize("make", LAYERS, ids=["continuous", "lookup"])
@pytest.mark.parametrize("dtype", [mx.uint8, mx.int32])
def test_table_equals_call(make: type, dtype: mx.Dtype) -> None:
    layer, x = make(), mx.arange(256).reshape(2, 128)
    assert layer.table().shape == (256, 6)
    assert mx.array_equal(layer(x.astype(dtype)), layer.table()[x])


def test_continuous_is_its_formula() -> None:
    layer = ContinuousEmbedding(6, 5)
    layer.phase = mx.random.normal((5,))
    angle = np.outer(np.arange(256) * 2 * np.pi / 256, np.array(layer.frequency)) + np.array(layer.phase)
    expected = np.concatenate([np.sin(angle), np.cos(angle)], -1) @ np.array(layer.weight).T
    np.testing.assert_allclose(np.array(layer.table()), expected, atol=2e-5)


def test_frequencies_start_at_whole_turns() -> None:
    assert ContinuousEmbedding(6, 5).frequency.tolist() == [1, 2, 3, 4, 5]


def test_neighbouring_bytes_start_close() -> None:
    mx.random.seed(0)
    table = np.array(ContinuousEmbedding(64, 8).table())
    near = np.linalg.norm(table - np.roll(table, 1, axis=0), axis=1)  # byte 255 is next to byte 0
    far = np.linalg.norm(table - np.roll(table, 128, axis=0), axis=1)
    assert near.max() < 0.3 * far.mean()


@pytest.mark.parametrize("make", LAYERS, ids=["continuous", "lookup"])
def test_every_parameter_learns(make: type) -> None:
    layer = make()
    gradients = mx.grad(lambda p: layer.update(p)(mx.array([[3, 200]])).square().sum())(layer.parameters())
    assert all(mx.abs(g).max().item() > 0 for g in gradients.values())
