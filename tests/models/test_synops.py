"""Synaptic operations are those that one counts by hand, and those that a pass through the model shows."""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from lasmlx.models import make_model
from lasmlx.models.spiking_mamba import SpikingMambaConfig
from lasmlx.models.synops import synaptic_operations

SPIKES = np.array([[[1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]], bool)  # a layer, three ticks, four neurons
TINY: dict[str, Any] = {"hidden": 4, "layers": 1, "n": 2, "k": 3, "gate_heads": 2, "attention_heads": 2, "window": 2}


def tiny(**settings: Any) -> Any:
    mx.random.seed(0)
    return make_model(SpikingMambaConfig(**TINY | settings))


def counted(model: Any, spikes: Any = SPIKES, x: Any = None) -> dict[str, tuple[float, float, float]]:
    """Of each part all that it does over the three ticks."""
    t = spikes.shape[1] // model.config.ticks
    found = synaptic_operations(model, spikes, x)
    return {part.part: tuple(round(v * t, 6) for v in part[2:]) for part in found}  # type: ignore[misc]


def always(count: int) -> tuple[float, float, float]:
    return 3 * count, 3 * count, 0


# e = 2 x 4 inner channels of the scan, rank 1: in, convolution, x_proj, dt_proj, out, and three a state
SCAN = 4 * 16 + 8 * 3 + 8 * (1 + 2 * 2) + 1 * 8 + 8 * 4 + 3 * 8 * 2


def test_by_hand_in_parallel() -> None:
    assert counted(tiny(mode="parallel")) == {
        "neurons": always(4 * 4),
        "cell, spikes": (3 * 4 * 4, 0, 3 * 4),  # three spikes, each into four units of the backbone
        "cell, rest": always(4 * 4 + 4 * (4 * 4)),  # the backbone's own past, and f, g, a and b of the head
        "adapter": (3 * 4 * 4, (3 + 2) * 4, 0),  # something is left of neuron 0 at three ticks, of neuron 2 at two
        "scan": always(SCAN),
        "gate": always(8 * 2),
        "readout": always(4 * 256),
    }


def test_by_hand_in_sequence_with_an_ltc() -> None:
    assert counted(tiny(mode="sequential", backbone="ltc")) == {
        "neurons": always(4 * 4),
        "cell, spikes": always(2 * 4 * 4),  # conductances, spike or none
        "cell, rest": always(2 * 4 * 4),
        "scan": always(SCAN),
        "readout": always(4 * 256),
    }


@pytest.mark.parametrize(("backbone", "units"), [("cfc", 4), ("ltc", 1)])
def test_by_hand_in_both_directions(backbone: str, units: int) -> None:
    model = tiny(mode="bidirectional", backbone=backbone)
    found = counted(model)
    assert found["exchange"] == (3 * 4 * (2 * 2 + units), 0, 0)  # its weights start at nothing
    projections, pairs = (
        2 * 4 * 4 * 4,
        2 * 2 * 4 * (1 + 2 + 2),
    )  # both sides: Q, K, V, O; scores and values in a window of 2
    assert found["attention"] == (3 * projections + pairs, 3 * projections + pairs, 0)
    exchange = model.stack.blocks[0].exchange
    exchange.tau.weight = mx.ones_like(exchange.tau.weight)
    assert counted(model)["exchange"] == (3 * 4 * (2 * 2 + units), 3 * 4 * units, 0)


@pytest.mark.parametrize(("settings", "heard"), [({"spike_window": 1}, 3), ({"spike_window": 2}, 5), ({}, 5)])
def test_a_rate_is_zero_where_a_window_is_silent(settings: dict[str, Any], heard: int) -> None:
    spikes = np.zeros((1, 6, 4), bool)
    spikes[:, :3] = SPIKES
    found = counted(tiny(mode="parallel", adapter="rate", **settings), spikes)
    later = {1: 0, 2: 0, 16: 6}[settings.get("spike_window", 16)]  # both neurons at ticks 3 to 5
    assert found["adapter"] == (6 * 16, 4 * (heard + later), 0)


def test_potentials_are_never_zero() -> None:
    assert counted(tiny(mode="parallel", adapter="potential"))["adapter"] == always(16)


def test_a_weight_of_zero_does_nothing() -> None:
    model = tiny(mode="parallel")
    block = model.stack.blocks[0]
    block.neurons.W = mx.array(np.where(np.eye(4), 0, 1).astype(np.float32))
    first = block.cell.backbone[0]
    first.weight = mx.array(np.array(first.weight) * (np.arange(8) != 0))  # nothing listens to neuron 0
    found = counted(model)
    assert found["neurons"] == (3 * 16, 3 * 12, 0) and found["cell, spikes"] == (3 * 16, 0, 4)


def test_of_vectors() -> None:
    x = np.array([[0.5, 0.0], [1.0, 0.5], [0.0, 0.0]], np.float32)
    learned = counted(tiny(mode="sequential", inputs=2, outputs=3), x=x)
    assert learned["input map"] == (3 * 3 * 4, (3 + 3) * 4, 0)  # three numbers are not zero; the duration never is
    assert learned["readout"] == always(4 * 3)
    spikes = np.repeat(SPIKES, 2, axis=1)
    rate = counted(tiny(mode="sequential", inputs=2, outputs=3, encoder="rate", ticks=2), spikes, x)
    assert rate["input map"] == (6 * 3 * 4, 6 * 4, (1 + 2 + 1) * 4)  # x of two ticks have a spike; six durations
    assert rate["neurons"] == (6 * 16, 6 * 16, 0) and rate["readout"] == always(4 * 3)
    delta = counted(tiny(mode="sequential", inputs=2, outputs=3, encoder="delta"), x=x)
    assert delta["input map"] == (3 * 5 * 4, 3 * 4, 5 * 4)  # up, up and up; down and down


@pytest.mark.parametrize("settings", [{"adapter": "temporal"}, {"adapter": "rate", "spike_window": 2}])
def test_a_pass_shows_as_many(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(mode="parallel", hidden=16, theta=0.9, **settings)
    seen: dict[int, int] = {}
    called = nn.Linear.__call__

    def watched(linear: Any, z: mx.array) -> mx.array:
        zeros = np.array(z).reshape(-1, z.shape[-1]) == 0
        present = np.count_nonzero(np.array(linear.weight), axis=0)
        seen[id(linear)] = seen.get(id(linear), 0) + int((~zeros).sum(axis=0) @ present)
        return called(linear, z)

    x = mx.array(np.frombuffer(b"Call me Ishmael. Some years ago", np.uint8))[None]
    with monkeypatch.context() as patch:
        patch.setattr(nn.Linear, "__call__", watched)
        felt = model.trace(x).felt
    s = np.array(felt[0].spikes[0] > 0)
    block, t = model.stack.blocks[0], s.shape[0]
    found = {part.part: part for part in synaptic_operations(model, s[None])}
    assert 0.02 < s.mean() < 0.9 and (s.sum(axis=0) == 0).any()
    heard = np.count_nonzero(np.array(block.cell.backbone[0].weight), axis=0)[:16]
    assert found["cell, spikes"].acs * t == pytest.approx(s.sum(axis=0) @ heard)
    assert found["adapter"].macs * t == pytest.approx(seen[id(block.adapter.linear)])
    assert found["adapter"].macs < found["adapter"].dense
    assert found["gate"].macs * t == pytest.approx(seen[id(block.gate.linear)])
    assert found["readout"].macs * t == pytest.approx(seen[id(model.head)])


def test_mistakes() -> None:
    model = tiny(mode="parallel")
    for shape in ((2, 3, 4), (1, 3, 5), (1, 0, 4)):
        with pytest.raises(ValueError, match=r"spikes has shape .*, expected \(1, a multiple of 1, 4\)"):
            synaptic_operations(model, np.zeros(shape, bool))
    with pytest.raises(ValueError, match=r"x is \(3, 2\), expected None"):
        synaptic_operations(model, SPIKES, np.zeros((3, 2), np.float32))
    vectors = tiny(mode="parallel", inputs=2, outputs=2, encoder="rate", ticks=2)
    with pytest.raises(ValueError, match="a multiple of 2"):
        synaptic_operations(vectors, SPIKES, np.zeros((1, 2), np.float32))
