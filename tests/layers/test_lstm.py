"""The LSTM: MLX's own where no time passes, dt as one more input, pieces that add up to the whole, masks."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from lasmlx.layers import LSTMCell

X = mx.random.normal((2, 9, 3), key=mx.random.key(0))
DT = mx.random.uniform(0.1, 2, (2, 9), key=mx.random.key(1))


def cell() -> LSTMCell:
    mx.random.seed(0)
    return LSTMCell(3, 5)


def test_without_time_it_is_the_lstm_of_mlx() -> None:
    ours, theirs = cell(), nn.LSTM(3, 5)
    theirs.Wx, theirs.Wh, theirs.bias = ours.W[:, :3], ours.U, ours.b
    h, c = theirs(X)
    y, (last, memory) = ours(X, dt=0.0)
    np.testing.assert_allclose(np.array(y), np.array(h), atol=1e-6)
    np.testing.assert_allclose(np.array(memory), np.array(c[:, -1]), atol=1e-6)
    assert mx.array_equal(last, y[:, -1])


def test_it_sees_how_long_an_element_lasts() -> None:
    short, long = cell()(X, dt=0.1)[0], cell()(X, dt=3.0)[0]
    assert mx.abs(short - long).max().item() > 1e-2


def test_pieces_add_up() -> None:
    whole, last = cell()(X, dt=DT)
    first, state = cell()(X[:, :4], dt=DT[:, :4])
    second, state = cell()(X[:, 4:], state, dt=DT[:, 4:])
    np.testing.assert_allclose(np.array(mx.concatenate([first, second], 1)), np.array(whole), atol=1e-6)
    np.testing.assert_allclose(np.array(state[1]), np.array(last[1]), atol=1e-6)


def test_masked_elements_are_not_there() -> None:
    mask = mx.array([[True] * 4 + [False] * 5, [True] * 9])
    y, (h, c) = cell()(mx.where(mask[..., None], X, 1e6), dt=DT, mask=mask)
    alone, (h_alone, c_alone) = cell()(X[:1, :4], dt=DT[:1, :4])
    np.testing.assert_allclose(np.array(y[:1, :4]), np.array(alone), atol=1e-6)
    assert mx.array_equal(y[0, 8], y[0, 3])
    np.testing.assert_allclose(np.array(h[:1]), np.array(h_alone), atol=1e-6)
    np.testing.assert_allclose(np.array(c[:1]), np.array(c_alone), atol=1e-6)
