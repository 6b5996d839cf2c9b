"""The LTC scan, forward and forward+backward, float32, beside MLX's loop over time and ncps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from lasmlx.ops import Impl
from lasmlx.ops.ltc_scan import Leak, Synapses, ltc_scan

Shape = tuple[int, int, int, int]  # b, t, inputs, units

SHAPE: Shape = (32, 128, 16, 64)
SUBSTEPS = 6
TOLERANCE = 2e-5  # of the largest value of y and of each gradient
SYNAPSES = ("w", "mu", "sigma", "erev")


@dataclass(frozen=True)
class LTCRow(Row):
    """One implementation."""

    impl: str
    shape: Shape
    forward: Timing
    forward_backward: Timing
    ratio_forward: float  # of the medians, to the first row
    ratio_forward_backward: float
    error: float  # largest relative error of y and the gradients


def random_neurons(shape: Shape, seed: int = 0) -> Results:
    """Inputs, and neurons as an LTC network starts, by ncps's names."""
    b, t, inputs, units = shape
    random = np.random.default_rng(seed)

    def uniform(low: float, high: float, *sizes: int) -> NDArray[np.float32]:
        return random.uniform(low, high, sizes).astype(np.float32)

    arrays = {"x": random.standard_normal((b, t, inputs), np.float32), "gleak": uniform(0.001, 1, units)}
    arrays |= {"vleak": uniform(-0.2, 0.2, units), "cm": uniform(0.4, 0.6, units)}
    for prefix, pre in (("sensory_", inputs), ("", units)):
        arrays[f"{prefix}w"] = uniform(0.001, 1, pre, units)
        arrays[f"{prefix}mu"] = uniform(0.3, 0.8, pre, units)
        arrays[f"{prefix}sigma"] = uniform(3, 8, pre, units)
        arrays[f"{prefix}erev"] = np.sign(uniform(-1, 1, pre, units))
    return arrays


class MLXNeurons(Contestant):
    """Ours, by one implementation of the op."""

    def __init__(self, arrays: Results, w: NDArray[np.float32], impl: Impl) -> None:
        def scan(a: dict[str, mx.array]) -> mx.array:
            sensory, recurrent = (Synapses(*(a[f"{prefix}{name}"] for name in SYNAPSES)) for prefix in ("sensory_", ""))
            leak = Leak(a["gleak"], a["vleak"], a["cm"])
            return ltc_scan(a["x"], sensory, recurrent, leak, substeps=SUBSTEPS, impl=impl)[0]

        super().__init__("mlx loop" if impl == "reference" else f"lasmlx {impl}", scan, arrays, w)


def measure_ltc(
    shape: Shape = SHAPE, *, peers: Peers | None = None, repeats: int = 10, budget_seconds: float = 60.0
) -> Iterator[LTCRow | Note | Stage]:
    """Ours, MLX's loop and ncps at one shape, side by side.

    Args:
        shape: b, t, inputs, units.

    Raises:
        ParityError: an output or a gradient of one of them differs; nothing is yielded then.
        ValueError: the shape is not four sizes of at least 1.
    """
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"bench: shape is {shape}, expected b, t, inputs, units, each at least 1.")
    yield Stage(f"{shape}: checking parity")
    arrays = random_neurons(shape)
    w = np.random.default_rng(1).standard_normal((*shape[:2], shape[3]), np.float32)
    contestants: list[Any] = [MLXNeurons(arrays, w, "auto"), MLXNeurons(arrays, w, "reference")]
    functions: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        c.name: (c.forward, c.forward_backward) for c in contestants
    }
    results = [c.results() for c in contestants]
    if peers is not None and find_spec("ncps"):
        ncps: PeerObject = peers.new("LTC", arrays, w)
        functions["ncps"] = (ncps.function("forward"), ncps.function("forward_backward"))
        results.append(ncps.call("results"))
    names = list(functions)
    errors = [
        check_parity(f"{name} and {names[1]}", r, results[1], TOLERANCE) for name, r in zip(names, results, strict=True)
    ]
    yield Stage(f"{shape}: timing {', '.join(names)}")
    in_turn = partial(measure_together, repeats=repeats, budget_seconds=budget_seconds / 2, turn_seconds=0.05)
    forward, both = (in_turn({name: pair[i] for name, pair in functions.items()}) for i in (0, 1))
    for name, error in zip(names, errors, strict=True):
        yield LTCRow(
            impl=name,
            shape=shape,
            forward=forward[name],
            forward_backward=both[name],
            ratio_forward=forward[name].median / forward[names[0]].median,
            ratio_forward_backward=both[name].median / both[names[0]].median,
            error=error,
        )
    if "ncps" not in functions:
        yield Note("The row of ncps is left out: pip install 'lasmlx[bench]'.")
