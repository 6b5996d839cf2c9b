"""A layer of splines, forward and forward+backward, float32, beside a matrix of its size, pykan and plain PyTorch.

The peers: pykan 0.2.8's ``KANLayer``, its base weights for ours, its scales of splines held at 1 and its mask at ones;
and the same splines in PyTorch as efficient-kan goes about it, every function by de Boor's recursion and one product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from lasmlx.benchmark.contestant import Contestant, Results
from lasmlx.benchmark.parity import check_parity
from lasmlx.benchmark.peers import PeerObject, Peers
from lasmlx.benchmark.records import Note, Row, Stage
from lasmlx.benchmark.timer import Timing, measure_together
from lasmlx.ops import bspline_linear

Shape = tuple[int, int, int]  # rows, inputs, outputs

SHAPES: tuple[Shape, ...] = ((1024, 128, 128), (4096, 64, 64))
TOLERANCE = 2e-5  # of the largest value of y and of each gradient
LINEAR = "Linear + SiLU"  # another function: what a layer of as many inputs and outputs costs
REFERENCE = "reference"
PEERS = {"pykan": "kan", "torch": "torch"}  # and what each imports


@dataclass(frozen=True)
class KANRow(Row):
    """One implementation."""

    impl: str
    shape: Shape
    grid: int
    degree: int
    forward: Timing
    forward_backward: Timing
    ratio_forward: float  # of the medians, to the first row
    ratio_forward_backward: float
    peak_mb: float | None  # of forward+backward, beyond the inputs; None where nobody counts
    error: float | None  # largest relative error of y and the gradients; None of another function


def measure_kan(
    shape: Shape = SHAPES[0],
    *,
    grid: int = 5,
    degree: int = 3,
    peers: Peers | None = None,
    repeats: int = 10,
    budget_seconds: float = 60.0,
) -> Iterator[KANRow | Note | Stage]:
    """A matrix with SiLU, our op, its reference, pykan and PyTorch at one shape, side by side.

    The gradients are those of the inputs x, the coefficients C and the base weights W.

    Args:
        shape: rows, inputs, outputs.
        grid: intervals from -1 to 1, where x is.
        degree: of the splines, 1 to 5; pykan has none of 0.

    Raises:
        ParityError: y or a gradient of one of them differs; nothing is yielded then.
        ValueError: a size is not as above.
    """
    if len(shape) != 3 or min(*shape, grid, degree) < 1:
        raise ValueError(
            f"bench: shape is {shape}, grid {grid}, degree {degree}, expected rows, inputs, outputs, "
            "each of the five at least 1."
        )
    arrays, knots, w = _inputs(shape, grid, degree)
    splines = {"lasmlx auto": "auto", REFERENCE: "reference"}
    layers = {LINEAR: Contestant(LINEAR, _linear, {"x": arrays["x"], "W": arrays["W"]}, w)}
    for name, impl in splines.items():
        layers[name] = Contestant(name, partial(_splines, knots=mx.array(knots), degree=degree, impl=impl), arrays, w)
    yield Stage(f"{shape}: checking parity")
    results = {name: layers[name].results() for name in splines}
    forward: dict[str, Any] = {name: layer.forward for name, layer in layers.items()}
    both: dict[str, Any] = {name: layer.forward_backward for name, layer in layers.items()}
    found = [name for name, module in PEERS.items() if peers is not None and find_spec(module)]
    for name in found:
        assert peers is not None
        peer: PeerObject = peers.new("Splines", name, arrays, knots, degree, w)
        forward[name], both[name] = peer.function("forward"), peer.function("forward_backward")
        results[name] = peer.call("results")
    errors = {
        name: check_parity(f"{name} and the reference", got, results[REFERENCE], TOLERANCE)
        for name, got in results.items()
    }
    yield Stage(f"{shape}: timing {', '.join(forward)}")
    in_turn = partial(measure_together, repeats=repeats, budget_seconds=budget_seconds / 2, turn_seconds=0.05)
    times, both_times = in_turn(forward), in_turn(both)
    for name in forward:
        yield KANRow(
            impl=name,
            shape=shape,
            grid=grid,
            degree=degree,
            forward=times[name],
            forward_backward=both_times[name],
            ratio_forward=times[name].median / times[LINEAR].median,
            ratio_forward_backward=both_times[name].median / both_times[LINEAR].median,
            peak_mb=layers[name].peak_bytes() / 1e6 if name in layers else None,
            error=errors.get(name),
        )
    if "pykan" not in found:
        yield Note("The row of pykan is left out: pip install 'lasmlx[bench]'.")


def _inputs(shape: Shape, grid: int, degree: int) -> tuple[Results, NDArray[np.float32], NDArray[np.float32]]:
    """x, C and W; the knots, even ones; weights of the loss."""
    rows, inputs, outputs = shape
    random = np.random.default_rng(0)
    arrays: Results = {
        "x": random.uniform(-1, 1, (rows, inputs)).astype(np.float32),
        "C": (0.1 * random.standard_normal((inputs, grid + degree, outputs))).astype(np.float32),
        "W": (random.uniform(-1, 1, (outputs, inputs)) * (6 / (inputs + outputs)) ** 0.5).astype(np.float32),
    }
    knots = np.tile(-1 + 2 / grid * np.arange(-degree, grid + degree + 1), (inputs, 1)).astype(np.float32)
    return arrays, knots, random.standard_normal((rows, outputs), np.float32)


def _linear(a: dict[str, mx.array]) -> mx.array:
    return nn.silu(a["x"] @ a["W"].T)


def _splines(a: dict[str, mx.array], *, knots: mx.array, degree: int, impl: Any) -> mx.array:
    return bspline_linear(a["x"], a["C"], a["W"], knots, degree=degree, impl=impl)
