"""What every liquid cell keeps to: pieces add up to the whole, masks, clocks, gradients, named errors."""

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten, tree_map

from lasmlx.layers.cfc import CfCCell, WiredCfCCell
from lasmlx.layers.liquid import BoundedTau, LiquidCell, LTCCell, SoftTau
from lasmlx.layers.sequence import MixedMemory, Stack, length_mask
from lasmlx.layers.wiring import NCP, AutoNCP, FullyConnected, Random
from lasmlx.ops import native
from lasmlx.ops.adaptive import Adaptive

INPUTS, HIDDEN = 3, 5
CELLS: dict[str, Callable[[], Any]] = {
    "liquid": lambda: LiquidCell(INPUTS, HIDDEN, BoundedTau(INPUTS, HIDDEN, 0.2, 2.0)),
    "liquid_soft": lambda: LiquidCell(INPUTS, HIDDEN, SoftTau(INPUTS, HIDDEN, 4, 0.2, 2.0), solver="rk4", substeps=2),
    "liquid_adaptive": lambda: LiquidCell(INPUTS, HIDDEN, BoundedTau(INPUTS, HIDDEN, 0.2, 2.0), solver=Adaptive()),
    "ltc": lambda: LTCCell(FullyConnected(INPUTS, HIDDEN, 2)),
    "ltc_ncp": lambda: LTCCell(NCP(INPUTS, 4, 3, 2, 2, 2, 3, 2)),
    "ltc_random": lambda: LTCCell(Random(INPUTS, HIDDEN, 1), solver="exponential", substeps=1),
    "ltc_adaptive": lambda: LTCCell(FullyConnected(INPUTS, HIDDEN, 2), solver=Adaptive()),
    "cfc": lambda: CfCCell(INPUTS, HIDDEN, units=7),
    "cfc_no_gate": lambda: CfCCell(INPUTS, HIDDEN, mode="no_gate", units=7, layers=2),
    "cfc_pure": lambda: CfCCell(INPUTS, HIDDEN, mode="pure", layers=0),
    "cfc_wired": lambda: WiredCfCCell(AutoNCP(INPUTS, 11, 2)),
    "mixed": lambda: MixedMemory(INPUTS, LTCCell(AutoNCP(INPUTS, 8, 2))),
    "mixed_cfc": lambda: MixedMemory(INPUTS, WiredCfCCell(AutoNCP(INPUTS, 8, 2))),
    "stack": lambda: Stack([CfCCell(INPUTS, 4, units=6), LTCCell(FullyConnected(4, 3, 2))]),
}
FIXED = [name for name in CELLS if "adaptive" not in name]


def make(name: str) -> Any:
    mx.random.seed(0)
    return CELLS[name]()


def inputs(b: int = 2, t: int = 9, seed: int = 0) -> tuple[mx.array, mx.array]:
    """x (b, t, INPUTS) and irregular dt (b, t)."""
    one, two = mx.random.split(mx.random.key(seed))
    return mx.random.normal((b, t, INPUTS), key=one), mx.random.uniform(0.01, 0.9, (b, t), key=two)


def difference(one: Any, other: Any) -> float:
    pairs = zip(tree_flatten(one), tree_flatten(other), strict=True)
    return max(mx.abs(a - b).max().item() for (_, a), (_, b) in pairs)


@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(1, 8), max_size=8, unique=True), regular=st.booleans())
@pytest.mark.parametrize("name", CELLS)
def test_one_pass_equals_any_split(name: str, cuts: list[int], regular: bool) -> None:
    cell = make(name)
    x, dt = inputs()
    dt = mx.full(dt.shape, 0.3) if regular else dt
    whole, last = cell(x, dt=0.3 if regular else dt)
    state, pieces = None, []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 9], strict=True):
        y, state = cell(x[:, start:stop], state, dt=dt[:, start:stop])
        pieces.append(y)
    assert difference(mx.concatenate(pieces, 1), whole) <= 1e-6
    assert difference(state, last) <= 1e-6


@pytest.mark.parametrize("name", CELLS)
def test_one_element_at_a_time(name: str) -> None:
    cell = make(name)
    x, dt = inputs()
    whole, last = cell(x, dt=dt)
    state, outputs = cell.init_state(2), []
    for i in range(9):
        y, state = cell(x[:, i : i + 1], state, dt=dt[:, i : i + 1])
        outputs.append(y)
    assert difference(mx.concatenate(outputs, 1), whole) <= 1e-6 and difference(state, last) <= 1e-6


@pytest.mark.parametrize("name", CELLS)
def test_rows_do_not_mix(name: str) -> None:
    """As many rows as elements as neurons, each row with its own clock."""
    cell = make(name)
    x, dt = inputs(HIDDEN, HIDDEN)
    whole, _ = cell(x, dt=dt)
    for i in range(HIDDEN):
        alone, _ = cell(x[i : i + 1], dt=dt[i : i + 1])
        assert difference(alone, whole[i : i + 1]) <= 1e-5


@pytest.mark.parametrize("name", CELLS)
def test_time_matters(name: str) -> None:
    cell = make(name)
    x, dt = inputs()
    assert difference(cell(x, dt=dt)[0], cell(x, dt=2 * dt)[0]) > 1e-3
    assert difference(cell(x)[0], cell(x, dt=mx.ones((9,)))[0]) == 0


@pytest.mark.parametrize("name", CELLS)
def test_padding_is_not_there(name: str) -> None:
    cell = make(name)
    x, dt = inputs()
    lengths = [9, 4]
    padded = mx.where(length_mask(lengths, 9)[..., None], x, float("nan"))
    y, state = cell(padded, dt=dt, mask=length_mask(lengths, 9))
    for i, length in enumerate(lengths):
        alone, last = cell(x[i : i + 1, :length], dt=dt[i : i + 1, :length])
        assert difference(y[i : i + 1, :length], alone) <= 1e-5
        assert difference(tree_map(lambda v, i=i: v[i : i + 1], state), last) <= 1e-5
        assert difference(y[i, length - 1 :], mx.broadcast_to(y[i, length - 1], y[i, length - 1 :].shape)) == 0


@pytest.mark.parametrize("name", CELLS)
def test_gaps_are_not_there(name: str) -> None:
    cell = make(name)
    x, dt = inputs()
    keep = mx.array([1, 2, 5, 8])
    y, state = cell(x, dt=dt, mask=mx.array([[i in (1, 2, 5, 8) for i in range(9)]] * 2))
    expected, last = cell(x[:, keep], dt=dt[:, keep])
    assert difference(y[:, keep], expected) <= 1e-6 and difference(state, last) <= 1e-6


@pytest.mark.parametrize("name", CELLS)
def test_gradients_reach_every_parameter_and_no_padding(name: str) -> None:
    cell = make(name)
    x, dt = inputs()
    mask = length_mask([9, 4], 9)
    padded = mx.where(mask[..., None], x, float("nan"))
    loss = nn.value_and_grad(cell, lambda x: cell(x, dt=dt, mask=mask)[0].sum())
    _, gradients = loss(padded)
    for key, gradient in tree_flatten(gradients):
        assert mx.isfinite(gradient).all().item(), key
        assert mx.abs(gradient).max().item() > 0, key


@pytest.mark.parametrize("name", CELLS)
def test_gradients_against_differences(name: str) -> None:
    """Along one random direction in all parameters, the inputs, the state and dt at once."""
    cell = make(name)
    x, dt = inputs(t=4)
    point = {"weights": cell.trainable_parameters(), "x": x, "dt": dt, "state": cell.init_state(2)}
    random = np.random.default_rng(1)
    direction = tree_map(lambda v: mx.array(random.standard_normal(v.shape).astype(np.float32)), point)

    def loss(point: Any) -> mx.array:
        cell.update(point["weights"])
        y, state = cell(point["x"], point["state"], dt=point["dt"])
        return (y**2).sum() + sum(v.sum() for _, v in tree_flatten(state))

    def at(scale: float) -> float:
        return loss(tree_map(lambda p, d: p + scale * d, point, direction)).item()

    gradient = mx.grad(loss)(point)
    slope = sum(
        (g * d).sum().item() for (_, g), (_, d) in zip(tree_flatten(gradient), tree_flatten(direction), strict=True)
    )
    step = 2e-3
    difference = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
    tolerance = 5e-2 if "adaptive" in name else 4e-3  # steps are chosen anew at each point, gradients hold them
    assert abs(slope - difference) < tolerance * max(1, abs(slope)), (slope, difference)


@pytest.mark.parametrize("name", CELLS)
def test_traced_agrees_and_tau_is_positive(name: str) -> None:
    cell = make(name)
    x, dt = inputs()
    y, state = cell(x, dt=dt)
    traced, last, taus = cell.traced(x, dt=dt)
    assert difference((traced, last), (y, state)) <= 1e-6
    for tau in taus if isinstance(taus, tuple) else (taus,):
        assert tau.shape[:2] == (2, 9)
        assert mx.isfinite(tau).all().item() and tau.min().item() > 0


@pytest.fixture
def unfused() -> Iterator[None]:
    """``mx.compile`` without its run-time C++ compiler, which takes seconds."""
    native.module.set_compile_fusion(False)
    yield
    native.module.set_compile_fusion(True)


@pytest.mark.skipif(native.module is None, reason="the compiled primitives are absent: nothing turns fusion off")
@pytest.mark.parametrize("name", FIXED)
def test_compiles(unfused: None, name: str) -> None:
    cell = make(name)
    x, dt = inputs(1, 2)
    compiled = mx.compile(lambda x, dt: cell(x, dt=dt)[0])
    assert difference(compiled(x, dt), cell(x, dt=dt)[0]) <= 1e-6


@pytest.mark.parametrize("name", FIXED)
def test_half_precision_weights(name: str) -> None:
    cell = make(name)
    x, dt = inputs()
    expected, _ = cell(x, dt=dt)
    cell.set_dtype(mx.bfloat16)
    y, state = cell(x.astype(mx.bfloat16), dt=dt)
    assert difference(y.astype(mx.float32), expected) < 0.1 * max(1.0, mx.abs(expected).max().item())
    assert all(v.dtype == mx.float32 for _, v in tree_flatten(state))


@pytest.mark.parametrize("name", CELLS)
def test_wrong_inputs_are_named(name: str) -> None:
    cell = make(name)
    x, dt = inputs()
    for wrong in (x[0], x[..., :2], x[:, :0], x[0, 0]):
        with pytest.raises(ValueError, match=r"^\w+: x has shape .*, expected \(b, t, "):
            cell(wrong)
    with pytest.raises(ValueError, match=r"^\w+: dt has shape \(9, 2\), expected a number, \(9,\), \(2, 9\) or"):
        cell(x, dt=dt.T)
    with pytest.raises(ValueError, match=r"^\w+: dt is -1\.0, expected finite and >= 0\."):
        cell(x, dt=-1.0)
    with pytest.raises(ValueError, match=r"^\w+: mask has shape \(9, 2\) and dtype .*, expected \(2, 9\) and bool\."):
        cell(x, mask=mx.ones((9, 2), dtype=mx.bool_))


@pytest.mark.parametrize("name", [name for name in CELLS if "mixed" not in name and name != "stack"])
def test_wrong_states_are_named(name: str) -> None:
    cell = make(name)
    with pytest.raises(ValueError, match=r"^\w+: (state|h0) has shape \(3, 4\), expected \(2, \d+\)\."):
        cell(inputs()[0], mx.zeros((3, 4)))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_inputs_that_are_not_finite_are_named(name: str, value: float) -> None:
    x, dt = inputs()
    there = (mx.arange(2)[:, None, None] == 1) & (mx.arange(9)[:, None] == 4) & (mx.arange(INPUTS) == 2)
    bad = mx.where(there, mx.array(value), x)
    with pytest.raises(ValueError, match=rf"^\w+: x is {value} at \(1, 4, 2\), expected finite values"):
        make(name)(bad, dt=dt)
    mask = mx.array([[True] * 9, [True] * 4 + [False] * 5])
    y, _ = make(name)(bad, dt=dt, mask=mask)  # behind the end anything may stand
    assert mx.isfinite(y).all().item()
