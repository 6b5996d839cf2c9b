"""The memory, both directions, the stack, the mask of lengths."""

import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.layers.cfc import CfCCell
from lasmlx.layers.liquid import BoundedTau, LiquidCell, LTCCell
from lasmlx.layers.sequence import Bidirectional, MixedMemory, Stack, length_mask
from lasmlx.layers.wiring import FullyConnected


def liquid(inputs: int = 3, hidden: int = 4) -> LiquidCell:
    return LiquidCell(inputs, hidden, BoundedTau(inputs, hidden, 0.2, 2.0))


def test_memory_outlasts_the_ode() -> None:
    """With its gates held, c keeps what was stored through a gap that the cell forgets."""
    mx.random.seed(0)
    memory = MixedMemory(1, LiquidCell(1, 2, BoundedTau(1, 2, 0.01, 0.02), solver="fused"))
    memory.W, memory.U = mx.zeros((8, 1)), mx.zeros((8, 2))
    memory.b = mx.array([0.0, 0.0, -50.0, -50.0, 50.0, 50.0, 50.0, 50.0])  # i, g shut, f, o open
    h, c = memory.init_state(1)
    _, state = memory(mx.zeros((1, 30, 1)), type(memory.init_state(1))(h, mx.full(c.shape, 0.5)), dt=10.0)
    np.testing.assert_allclose(np.array(state.c), 0.5, rtol=1e-5)
    none, _ = memory.cell(mx.zeros((1, 30, 1)), mx.full(c.shape, 0.5), dt=10.0)
    assert mx.abs(none[:, -1]).max().item() < 0.2


def test_memory_starts_orthogonal() -> None:
    mx.random.seed(0)
    U = np.array(MixedMemory(3, CfCCell(3, 5)).U)
    np.testing.assert_allclose(U.T @ U, np.eye(5), atol=1e-5)


def test_backward_is_forward_on_the_reversed_sequence() -> None:
    mx.random.seed(0)
    both = Bidirectional(liquid(), LTCCell(FullyConnected(3, 4, 2)))
    x, dt = mx.random.normal((2, 7, 3)), mx.random.uniform(0.1, 1, (2, 7))
    mask = length_mask([7, 5], 7)
    y, (before, after) = both(x, dt=dt, mask=mask)
    one, before_alone = both.forward(x, dt=dt, mask=mask)
    other, after_alone = both.backward(x[:, ::-1], dt=dt[:, ::-1], mask=mask[:, ::-1])
    assert mx.array_equal(y, mx.concatenate([one, other[:, ::-1]], -1))
    assert mx.array_equal(before, before_alone) and mx.array_equal(after, after_alone)
    traced, _, tau = both.traced(x, dt=dt, mask=mask)
    assert mx.array_equal(traced, y) and tau.shape == (2, 7, 8)
    np.testing.assert_array_equal(
        tau[..., 4:], both.backward.traced(x[:, ::-1], dt=dt[:, ::-1], mask=mask[:, ::-1])[2][:, ::-1]
    )


def test_backward_skips_the_padding() -> None:
    mx.random.seed(0)
    both = Bidirectional(liquid(), liquid())
    x = mx.random.normal((2, 7, 3))
    y, _ = both(x, dt=0.3, mask=length_mask([7, 5], 7))
    alone, _ = both(x[1:, :5], dt=0.3)
    np.testing.assert_allclose(np.array(y[1:, :5]), np.array(alone), atol=1e-6)


def test_the_past_knows_the_future_in_both_directions_only() -> None:
    mx.random.seed(0)
    both = Bidirectional(liquid(), liquid())
    x = mx.random.normal((1, 5, 3))
    other = mx.concatenate([x[:, :4], -x[:, 4:]], 1)
    change = mx.abs(both(x, dt=0.3)[0] - both(other, dt=0.3)[0])[:, 0]
    assert change[:, :4].max().item() == 0 and change[:, 4:].min().item() > 0


def test_stack_is_one_after_the_other() -> None:
    mx.random.seed(0)
    first, second = liquid(), CfCCell(4, 5, units=6)
    x, dt = mx.random.normal((2, 7, 3)), mx.random.uniform(0.1, 1, (2, 7))
    y, states = Stack([first, second])(x, dt=dt)
    middle, one = first(x, dt=dt)
    expected, two = second(middle, dt=dt)
    assert mx.array_equal(y, expected)
    assert mx.array_equal(states[0], one) and mx.array_equal(states[1], two)
    assert [tau.shape for tau in Stack([first, second]).traced(x, dt=dt)[2]] == [(2, 7, 4), (2, 7, 5)]


def test_wrappers_nest() -> None:
    mx.random.seed(0)
    model = Stack([Bidirectional(liquid(), liquid()), Stack([MixedMemory(8, liquid(8, 2)), liquid(2, 3)])])
    y, _ = model(mx.random.normal((2, 5, 3)), dt=mx.ones((2, 5)))
    assert y.shape == (2, 5, 3) and mx.isfinite(y).all().item()


def test_length_mask() -> None:
    assert length_mask([0, 2, 3], 3).tolist() == [[False] * 3, [True, True, False], [True] * 3]
    assert length_mask(mx.array([1]), 2).tolist() == [[True, False]]


@pytest.mark.parametrize("lengths", [[4], [-1], [1.5], 2, [[1]], [math.nan], ["one"]], ids=str)
def test_wrong_lengths_are_named(lengths: Any) -> None:
    with pytest.raises(ValueError, match=r"^length_mask: lengths is .*, expected whole numbers from 0 to t = 3"):
        length_mask(lengths, 3)


def test_a_memory_beside_several_states_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^MixedMemory: cell has the state tuple, expected one array \(b, hidden\)\."):
        MixedMemory(3, Stack([liquid()]))


def test_wrong_stacks_are_named() -> None:
    with pytest.raises(ValueError, match=r"^Stack: cells is empty, expected at least one cell\."):
        Stack([])
    with pytest.raises(ValueError, match=r"^Stack: state has 1 parts, expected 2, one a cell\."):
        Stack([liquid(), liquid(4, 4)])(mx.zeros((1, 1, 3)), (mx.zeros((1, 4)),))
