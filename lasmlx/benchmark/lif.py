"""The LIF scan, forward and forward+backward, float32, beside MLX's loop over time and snntorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.benchmark.contestant import Contestant, Results
from lasmlx.benchmark.parity import check_parity
from lasmlx.benchmark.peers import PeerObject, Peers
from lasmlx.benchmark.records import Note, Row, Stage
from lasmlx.benchmark.timer import Timing, measure_together
from lasmlx.ops import Neurons, lif_scan

Shape = tuple[int, int, int, int]  # b, t, inputs, units

SHAPE: Shape = (32, 100, 700, 128)
TOLERANCE = 2e-5  # of the largest value of y and of each gradient


@dataclass(frozen=True)
class LIFRow(Row):
    """One implementation."""

    impl: str
    shape: Shape
    forward: Timing
    forward_backward: Timing
    ratio_forward: float  # of the medians, to the first row
    ratio_forward_backward: float
    peak_mb: float | None  # of forward+backward, beyond the inputs; None where nobody counts
    error: float  # largest relative error of y and the gradients


class Layer(Contestant):
    """Neurons by our scan, or one after another as a plain loop goes: each element through the map and the neurons.

    Args:
        x: inputs, (b, t, inputs); currents where the arrays have no map W.
    """

    def __init__(self, x: mx.array, arrays: Results, w: NDArray[np.float32], *, loop: bool) -> None:
        def scan(a: dict[str, mx.array]) -> mx.array:
            neurons, state, spikes = Neurons(a["beta"], a["theta"]), None, []
            given = a.get("x", x)
            for i in range(x.shape[1] if loop else 1):
                here = given[:, i : i + 1] if loop else given
                current = here @ a["W"].T if "W" in a else here
                s, _, state = lif_scan(current, neurons, state, impl="reference" if loop else "auto")
                spikes.append(s)
            return mx.concatenate(spikes, 1)

        super().__init__("mlx loop" if loop else "lasmlx auto", scan, arrays, w)


def measure_lif(
    shape: Shape = SHAPE,
    *,
    mapped: bool = True,
    peers: Peers | None = None,
    repeats: int = 10,
    budget_seconds: float = 60.0,
) -> Iterator[LIFRow | Note | Stage]:
    """Ours, MLX's loop and snntorch's at one shape, side by side.

    Inputs and weights are whole multiples of 1/64, so that currents come out the same in any order of summing.

    Args:
        shape: b, t, inputs, units.
        mapped: with the matrix from the inputs to the units and its gradient; else currents, and their gradient.

    Raises:
        ParityError: a spike or a gradient of one of them differs; nothing is yielded then.
        ValueError: the shape is not four sizes of at least 1.
    """
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"bench: shape is {shape}, expected b, t, inputs, units, each at least 1.")
    b, t, inputs, units = shape
    random = np.random.default_rng(0)
    x = _sixty_fourths(random.standard_normal((b, t, inputs if mapped else units)))
    arrays: Results = {
        "beta": random.uniform(0.8, 0.99, units).astype(np.float32),
        "theta": np.ones(units, np.float32),
    }
    arrays |= {"W": _sixty_fourths(random.standard_normal((units, inputs)) * inputs**-0.5)} if mapped else {"x": x}
    w = random.standard_normal((b, t, units), np.float32)
    yield Stage(f"{shape}: checking parity")
    layers = {layer.name: layer for layer in (Layer(mx.array(x), arrays, w, loop=loop) for loop in (False, True))}
    results = {name: layer.results() for name, layer in layers.items()}
    forward: dict[str, Any] = {name: layer.forward for name, layer in layers.items()}
    both: dict[str, Any] = {name: layer.forward_backward for name, layer in layers.items()}
    if peers is not None and find_spec("snntorch"):
        peer: PeerObject = peers.new("LIF", x, arrays, w)
        forward["snntorch"], both["snntorch"] = peer.function("forward"), peer.function("forward_backward")
        results["snntorch"] = peer.call("results")
    errors = {
        name: check_parity(f"{name} and mlx loop", found, results["mlx loop"], TOLERANCE)
        for name, found in results.items()
    }
    yield Stage(f"{shape}: timing {', '.join(results)}")
    in_turn = partial(measure_together, repeats=repeats, budget_seconds=budget_seconds / 2, turn_seconds=0.05)
    times, both_times = in_turn(forward), in_turn(both)
    first = next(iter(layers))
    for name in results:
        yield LIFRow(
            impl=name,
            shape=shape,
            forward=times[name],
            forward_backward=both_times[name],
            ratio_forward=times[name].median / times[first].median,
            ratio_forward_backward=both_times[name].median / both_times[first].median,
            peak_mb=layers[name].peak_bytes() / 1e6 if name in layers else None,
            error=errors[name],
        )
    if "snntorch" not in results:
        yield Note("The row of snntorch is left out: pip install 'lasmlx[bench]'.")


def _sixty_fourths(x: NDArray[np.float64]) -> NDArray[np.float32]:
    return (np.round(x * 64) / 64).astype(np.float32)
