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


def test_its_gradient_is_that_of_mlx() -> None:
    ours, theirs = cell(), nn.LSTM(3, 5)
    w = mx.random.normal((2, 9, 5), key=mx.random.key(2))
    W, U, bias = ours.W[:, :3], ours.U, ours.b

    def mine(x: mx.array, W: mx.array, U: mx.array, b: mx.array) -> mx.array:
        ours.W, ours.U, ours.b = mx.concatenate([W, mx.zeros((20, 1))], 1), U, b
        y, (h, c) = ours(x, dt=0.0)
        return (w * y).sum() + h.sum() + (w[:, 0] * c).sum()

    def mlx(x: mx.array, W: mx.array, U: mx.array, b: mx.array) -> mx.array:
        theirs.Wx, theirs.Wh, theirs.bias = W, U, b
        h, c = theirs(x)
        return (w * h).sum() + h[:, -1].sum() + (w[:, 0] * c[:, -1]).sum()

    found, expected = (mx.grad(f, argnums=(0, 1, 2, 3))(X, W, U, bias) for f in (mine, mlx))
    for name, a, b in zip(("x", "W", "U", "b"), found, expected, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=5e-6, err_msg=name)


def test_a_masked_element_has_no_gradient_and_hides_none() -> None:
    mask = mx.array([[True, False, True, True, False, True, False, False, False], [True] * 9])
    w = mx.random.normal((2, 5), key=mx.random.key(2))

    def loss(x: mx.array, mask: mx.array | None) -> mx.array:
        _, (h, c) = cell()(x, mask=mask, dt=0.5)
        return (w[: len(x)] * (h + c)).sum()

    found = mx.grad(loss)(X, mask)
    rows = [k for k in range(9) if mask[0, k].item()]
    np.testing.assert_allclose(np.array(found[0, rows]), np.array(mx.grad(loss)(X[:1, rows], None)[0]), atol=1e-6)
    assert not mx.abs(found[0, [1, 4, 6, 7, 8]]).max().item()
