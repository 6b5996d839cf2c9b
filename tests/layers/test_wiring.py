"""The wirings: fans, signs, seeds, nobody left out, the picture."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.layers.wiring import NCP, AutoNCP, Explicit, FullyConnected, NeuronLayer, Random, Wiring, picture

WIRINGS = [FullyConnected(3, 40, 2), Random(3, 40, 2, 0.7), NCP(3, 12, 8, 4, 5, 3, 6, 4), AutoNCP(3, 40, 5, 0.4)]


def blocks(wiring: Wiring) -> dict[tuple[str, str], Any]:
    """The synapses between each two layers."""
    parts = {layer.name: slice(layer.start, layer.stop) for layer in wiring.layers}
    inside = {(a, b): wiring.recurrent[parts[a], parts[b]] for a in parts for b in parts}
    return inside | {("sensory", b): wiring.sensory[:, parts[b]] for b in parts}


@pytest.mark.parametrize("wiring", WIRINGS, ids=lambda w: type(w).__name__)
def test_matrices_hold_signs(wiring: Wiring) -> None:
    for matrix, rows in ((wiring.sensory, wiring.inputs), (wiring.recurrent, wiring.units)):
        assert (matrix.shape, matrix.dtype) == ((rows, wiring.units), np.int8)
        assert set(np.unique(matrix)) <= {-1, 0, 1}
    assert sorted(i for layer in wiring.layers for i in range(layer.start, layer.stop)) == list(range(wiring.units))


@pytest.mark.parametrize("kind", [FullyConnected, Random, AutoNCP])
def test_the_seed_decides(kind: Any) -> None:
    one, same, other = (kind(3, 20, 2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.recurrent, same.recurrent)
    np.testing.assert_array_equal(one.sensory, same.sensory)
    assert one == same and one != other
    assert (one.recurrent != other.recurrent).any() and (one.sensory != other.sensory).any()


def test_fully_connected_has_every_synapse() -> None:
    assert (FullyConnected(3, 30, 2).recurrent != 0).all()
    alone = FullyConnected(3, 30, 2, self_connections=False).recurrent
    np.testing.assert_array_equal(alone != 0, ~np.eye(30, dtype=bool))
    assert 0.6 < (FullyConnected(3, 100, 2).recurrent > 0).mean() < 0.73


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.75])
def test_random_has_its_share_of_synapses(sparsity: float) -> None:
    wiring = Random(7, 20, 2, sparsity)
    assert (wiring.recurrent != 0).sum() == round(400 * (1 - sparsity))
    assert (wiring.sensory != 0).sum() == round(140 * (1 - sparsity))


@settings(max_examples=40, deadline=None)
@given(
    inputs=st.integers(1, 6),
    inter=st.integers(1, 15),
    command=st.integers(1, 9),
    motor=st.integers(1, 5),
    seed=st.integers(0, 999),
    data=st.data(),
)
def test_circuits_keep_their_fans(inputs: int, inter: int, command: int, motor: int, seed: int, data: Any) -> None:
    sensory_fanout = data.draw(st.integers(1, inter))
    inter_fanout, motor_fanin = (data.draw(st.integers(1, command)) for _ in range(2))
    recurrent = data.draw(st.integers(0, 10))
    wiring = NCP(inputs, inter, command, motor, sensory_fanout, inter_fanout, recurrent, motor_fanin, seed)
    parts = {pair: matrix != 0 for pair, matrix in blocks(wiring).items()}
    for pair, fan in (("sensory", "inter"), sensory_fanout), (("inter", "command"), inter_fanout):
        assert (parts[pair].sum(1) >= fan).all()
        assert parts[pair].any(0).all()  # nobody is left out
        picked = parts[pair].sum(1) == fan
        assert picked.all() or parts[pair].sum() > fan * len(picked)
    to_motor = parts["command", "motor"]
    assert (to_motor.sum(0) >= motor_fanin).all() and to_motor.any(1).all()
    assert parts["command", "command"].sum() <= recurrent
    wanted = {("sensory", "inter"), ("inter", "command"), ("command", "command"), ("command", "motor")}
    assert not any(matrix.any() for pair, matrix in parts.items() if pair not in wanted)


def test_a_neuron_left_out_gets_the_mean_number_of_partners() -> None:
    present = blocks(NCP(9, 4, 2, 1, 1, 1, 0, 1, seed=3))["sensory", "inter"] != 0
    assert present.sum() >= 9
    sparse = blocks(NCP(1, 6, 2, 1, 2, 1, 0, 1))["sensory", "inter"] != 0
    np.testing.assert_array_equal(sparse, np.ones((1, 6), dtype=bool))  # one source: the four left out get it


def test_circuit_signs_are_even() -> None:
    matrix = NCP(20, 100, 60, 20, 50, 30, 10, 30).recurrent
    assert 0.45 < (matrix > 0).sum() / (matrix != 0).sum() < 0.55


def test_auto_sizes() -> None:
    policy = AutoNCP(4, 40, 5, sparsity=0.5).policy
    assert (policy.inter, policy.command, policy.motor) == (21, 14, 5)
    assert (policy.sensory_fanout, policy.inter_fanout, policy.recurrent_command, policy.motor_fanin) == (10, 7, 14, 7)
    smallest = AutoNCP(1, 4, 1, sparsity=0.9).policy
    assert (smallest.inter, smallest.command, smallest.motor) == (2, 1, 1)


def test_picture_shows_the_flow() -> None:
    sensory = np.array([[0, 0, 1], [0, 0, -1]], dtype=np.int8)
    recurrent = np.array([[0, 0, 0], [1, -1, 0], [0, 1, 0]], dtype=np.int8)  # 2 -> 1 -> 0, 1 inhibits itself
    layers = (NeuronLayer("inter", 2, 3), NeuronLayer("command", 1, 2), NeuronLayer("motor", 0, 1))
    shown = picture(Explicit(sensory, recurrent, 1, layers))
    assert shown.columns == ("inter 0", "command 0", "motor 0")
    assert shown.rows == ("sensory 0", "sensory 1", *shown.columns)
    assert shown.cells == ("+..", "-..", ".+.", ".-+", "...")
    assert shown.density == pytest.approx(5 / 15)
    assert [tuple(layer) for layer in shown.layers] == [
        ("sensory", 2, 0.0, 1.0),
        ("inter", 1, 2.0, 1.0),
        ("command", 1, 2.0, 2.0),
        ("motor", 1, 1.0, 0.0),
    ]


@pytest.mark.parametrize("wiring", WIRINGS, ids=lambda w: type(w).__name__)
def test_picture_has_a_row_and_a_column_a_neuron(wiring: Wiring) -> None:
    shown = picture(wiring)
    assert len(shown.rows) == len(shown.cells) == wiring.inputs + wiring.units
    assert {len(row) for row in shown.cells} == {wiring.units} == {len(shown.columns)}
    synapses = (wiring.sensory != 0).sum() + (wiring.recurrent != 0).sum()
    assert sum(len(row) - row.count(".") for row in shown.cells) == synapses


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FullyConnected(0, 4, 1), r"FullyConnected: inputs is 0, expected at least 1\."),
        (lambda: FullyConnected(1, 4, 5), r"FullyConnected: outputs is 5, expected 1 to units = 4\."),
        (lambda: Random(1, 4, 1, 1.0), r"Random: sparsity is 1\.0, expected 0 <= sparsity < 1\."),
        (lambda: NCP(2, 3, 2, 1, 4, 1, 0, 1), r"NCP: sensory_fanout is 4, expected 1 to 3, "),
        (lambda: NCP(2, 3, 2, 1, 3, 3, 0, 1), r"NCP: inter_fanout is 3, expected 1 to 2, "),
        (lambda: NCP(2, 3, 2, 1, 3, 1, 0, 3), r"NCP: motor_fanin is 3, expected 1 to 2, "),
        (lambda: NCP(2, 3, 2, 1, 3, 1, -1, 1), r"NCP: recurrent_command is -1, expected >= 0\."),
        (lambda: AutoNCP(1, 5, 3), r"AutoNCP: outputs is 3, expected less than units - 2 = 3\."),
        (lambda: AutoNCP(1, 9, 3, 0.95), r"AutoNCP: sparsity is 0\.95, expected 0\.1 to 0\.9\."),
        (
            lambda: Explicit(np.zeros((2, 3)), np.zeros((4, 4)), 1),
            r"Explicit: sensory has shape \(2, 3\) and recurrent",
        ),
        (lambda: Explicit(np.zeros((2, 3)), np.full((3, 3), 2), 1), r"Explicit: recurrent holds \[2\], expected"),
    ],
)
def test_wrong_wirings_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match="^" + message):
        make()
