"""The LIF scan, forward and forward+backward, float32, beside MLX's loop over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.benchmark.contestant import Contestant, Results
from lasmlx.benchmark.parity import check_parity
from lasmlx.benchmark.records import Row, Stage
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
    peak_mb: float  # of forward+backward, beyond the inputs
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
    shape: Shape = SHAPE, *, mapped: bool = True, repeats: int = 10, budget_seconds: float = 60.0
) -> Iterator[LIFRow | Stage]:
    """Ours and MLX's loop at one shape, side by side.

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
    x = random.standard_normal((b, t, inputs if mapped else units), np.float32)
    arrays: Results = {
        "beta": random.uniform(0.8, 0.99, units).astype(np.float32),
        "theta": np.ones(units, np.float32),
    }
    if not mapped:
        arrays["x"] = x
    else:
        arrays["W"] = random.standard_normal((units, inputs), np.float32) * np.float32(inputs**-0.5)
    w = random.standard_normal((b, t, units), np.float32)
    yield Stage(f"{shape}: checking parity")
    both = [Layer(mx.array(x), arrays, w, loop=loop) for loop in (False, True)]
    results = [layer.results() for layer in both]
    errors = [
        check_parity(f"{layer.name} and mlx loop", r, results[1], TOLERANCE)
        for layer, r in zip(both, results, strict=True)
    ]
    yield Stage(f"{shape}: timing")
    in_turn = partial(measure_together, repeats=repeats, budget_seconds=budget_seconds / 2, turn_seconds=0.05)
    forward = in_turn({layer.name: layer.forward for layer in both})
    backward = in_turn({layer.name: layer.forward_backward for layer in both})
    first = both[0].name
    for layer, error in zip(both, errors, strict=True):
        yield LIFRow(
            impl=layer.name,
            shape=shape,
            forward=forward[layer.name],
            forward_backward=backward[layer.name],
            ratio_forward=forward[layer.name].median / forward[first].median,
            ratio_forward_backward=backward[layer.name].median / backward[first].median,
            peak_mb=layer.peak_bytes() / 1e6,
            error=error,
        )
