"""The selective scan, forward and forward+backward, float32, beside its peers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.benchmark.memory import peak_bytes
from lasmlx.benchmark.parity import check_parity
from lasmlx.benchmark.peers import Peers, open_peers
from lasmlx.benchmark.records import Note, Row, Stage
from lasmlx.benchmark.timer import Timing, measure_together
from lasmlx.ops import Impl, ImplError, native, selective_scan

Shape = tuple[int, int, int, int]  # b, t, d, n
Results = dict[str, NDArray[np.float32]]

SHAPES: tuple[Shape, ...] = ((8, 512, 256, 16), (1, 4096, 512, 16))
TOLERANCE = 2e-5  # of the largest value of y and of each gradient
REFERENCE_STEPS = 64  # the reference is a slow loop: our kernels are held to it over so many time steps


@dataclass(frozen=True)
class ScanRow(Row):
    """One implementation at one shape."""

    impl: str
    shape: Shape
    forward: Timing
    forward_backward: Timing
    ratio_forward: float  # of the medians, to the first row of the shape
    ratio_forward_backward: float
    peak_mb: float | None  # MB taken by forward+backward beyond the inputs
    error: float  # largest relative error of y and the gradients


class Contestant(Protocol):
    """One implementation, on one set of inputs."""

    name: str

    @property
    def forward(self) -> Callable[[], Any]:
        """Computes y."""

    @property
    def forward_backward(self) -> Callable[[], Any]:
        """Computes y and the gradients of ``sum(w y)``."""

    def results(self) -> Results:
        """y and every gradient by name."""

    def peak_bytes(self) -> int | None:
        """Memory that forward+backward takes beyond the inputs, or None where it cannot be told."""


@dataclass(frozen=True)
class ScanInputs:
    """Random inputs like a Mamba layer's, and the weights w of the loss."""

    arrays: Results
    w: NDArray[np.float32]  # (b, t, d)

    @classmethod
    def random(cls, shape: Shape, seed: int = 0) -> ScanInputs:
        """dt log-uniform over 1 ms .. 100 ms, A = -(1 .. n), the rest normal."""
        b, t, d, n = shape
        random = np.random.default_rng(seed)

        def normal(*sizes: int) -> NDArray[np.float32]:
            return random.standard_normal(sizes, np.float32)

        dt = np.exp(random.random((b, t, d), np.float32) * np.float32(np.log(100)) + np.float32(np.log(1e-3)))
        A = -np.tile(np.arange(1, n + 1, dtype=np.float32), (d, 1))
        arrays = {"x": normal(b, t, d), "dt": dt, "A": A, "B": normal(b, t, n), "C": normal(b, t, n), "D": normal(d)}
        return cls(arrays, normal(b, t, d))

    def first(self, steps: int) -> ScanInputs:
        """The same, cut after some time steps."""
        return ScanInputs({k: v[:, :steps] if v.ndim == 3 else v for k, v in self.arrays.items()}, self.w[:, :steps])


class MLXScan:
    """Ours, by one implementation of the op."""

    def __init__(self, inputs: ScanInputs, impl: Impl) -> None:
        self.name = "mlx loop" if impl == "reference" else f"lasmlx {impl}"
        self._impl: Impl = impl
        self._names = list(inputs.arrays)
        self._arrays = [mx.array(v) for v in inputs.arrays.values()]
        self._w = mx.array(inputs.w)
        mx.eval(self._arrays, self._w)

    def _scan(self, *arrays: mx.array) -> mx.array:
        return selective_scan(*arrays, impl=self._impl)[0]

    def forward(self) -> mx.array:
        """y, evaluated."""
        y = self._scan(*self._arrays)
        mx.eval(y)
        return y

    def forward_backward(self) -> tuple[mx.array, list[mx.array]]:
        """y and the gradients of ``sum(w y)``, evaluated."""
        (y,), gradients = mx.vjp(lambda *arrays: [self._scan(*arrays)], self._arrays, [self._w])
        mx.eval(y, gradients)
        return y, gradients

    def results(self) -> Results:
        """y and every gradient by name."""
        y, gradients = self.forward_backward()
        return {"y": np.array(y)} | {f"d{k}": np.array(g) for k, g in zip(self._names, gradients, strict=True)}

    def peak_bytes(self) -> int:
        """By MLX's own count."""
        return peak_bytes(self.forward_backward)


class PeerScan:
    """A peer's, in PyTorch."""

    def __init__(self, inputs: ScanInputs, name: str, peers: Peers) -> None:
        self.name = name
        self._shape = (*inputs.arrays["x"].shape, inputs.arrays["A"].shape[1])
        self._scan = peers.new("Scan", name, inputs.arrays, inputs.w)
        self.forward = self._scan.function("forward")
        self.forward_backward = self._scan.function("forward_backward")

    def results(self) -> Results:
        """y and every gradient by name."""
        results: Results = self._scan.call("results")
        return results

    def peak_bytes(self) -> int | None:
        """How much the resident memory of a fresh process grows."""
        b, t, d, n = self._shape
        with open_peers(wanted=True) as (peers, _):
            assert peers is not None
            small = ScanInputs.random((1, 2, d, n))
            peers.new("Scan", self.name, small.arrays, small.w).call("results")
            inputs = ScanInputs.random((b, t, d, n))
            grown: int | None = peers.new("Scan", self.name, inputs.arrays, inputs.w).call("peak_growth")
            return grown


PEER_SCANS = ("mambapy", "torch loop")


def measure_scan(
    shape: Shape,
    *,
    peers: Peers | None = None,
    reference: bool = False,
    repeats: int = 10,
    budget_seconds: float = 60.0,
    memory: bool = True,
) -> Iterator[ScanRow | Note | Stage]:
    """Every implementation that runs here, at one shape, ours first.

    Args:
        shape: b, t, d, n.
        reference: time MLX's loop over time too.
        memory: measure the peaks, which starts a process for each of the peers' rows.

    Raises:
        ParityError: an output or a gradient of one of them differs; nothing is yielded then.
        ValueError: the shape is not four sizes of at least 1.
    """
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"bench: shape is {shape}, expected b, t, d, n, each at least 1.")
    yield Stage(f"{shape}: checking parity")
    inputs = ScanInputs.random(shape)
    kernels = kernels_here()
    ours: list[Impl] = [*kernels, "reference"] if reference or not kernels else kernels
    contestants: list[Contestant] = [MLXScan(inputs, impl) for impl in ours]
    contestants += [PeerScan(inputs, name, peers) for name in PEER_SCANS] if peers else []
    errors = _check(inputs, ours, contestants)
    yield Stage(f"{shape}: timing {', '.join(c.name for c in contestants)}")
    in_turn = partial(measure_together, repeats=repeats, budget_seconds=budget_seconds / 2, turn_seconds=0.05)
    forward = in_turn({c.name: c.forward for c in contestants})
    both = in_turn({c.name: c.forward_backward for c in contestants})
    first = contestants[0].name
    for contestant in contestants:
        name = contestant.name
        peak = contestant.peak_bytes() if memory else None
        yield ScanRow(
            impl=name,
            shape=shape,
            forward=forward[name],
            forward_backward=both[name],
            ratio_forward=forward[name].median / forward[first].median,
            ratio_forward_backward=both[name].median / both[first].median,
            peak_mb=None if peak is None else peak / 1e6,
            error=errors[name],
        )
    yield from _bound(shape, forward[first].median) if ours[0] == "cpu" else ()
    if not reference:
        yield Note(f"MLX's loop over time is the reference of the first {REFERENCE_STEPS} steps; --reference times it.")


def _bound(shape: Shape, seconds: float) -> Iterator[Note]:
    """How near the forward pass is to the time its b t d n exponentials take on all threads, with nothing else."""
    alone = math.prod(shape) / native.module.exponentials_per_second()
    text = f"the exponentials alone take {alone * 1e3:.2f} ms: forward is at {seconds / alone:.2f} times that bound."
    yield Note(text)


def _check(inputs: ScanInputs, ours: list[Impl], contestants: list[Contestant]) -> dict[str, float]:
    """The error of each: our kernels against the reference over the first steps, all against our first in full."""
    start = inputs.first(REFERENCE_STEPS)
    expected = MLXScan(start, "reference").results()
    errors: dict[str, float] = {}
    for impl in ours:
        scan = MLXScan(start, impl)
        errors[scan.name] = check_parity(f"{scan.name} and the reference", scan.results(), expected, TOLERANCE)
    whole = contestants[0].results()
    for other in contestants[1:]:
        what = f"{other.name} and {contestants[0].name}"
        error = check_parity(what, other.results(), whole, TOLERANCE)
        errors[other.name] = max(error, errors.get(other.name, 0.0))
    return errors


def kernels_here() -> list[Impl]:
    """The kernels that run here, that of the default device first."""
    on_cpu = mx.default_device() == mx.Device(mx.cpu)
    order: list[Impl] = ["cpu", "metal", "cuda"] if on_cpu else ["metal", "cuda", "cpu"]
    return [impl for impl in order if _runs(impl)]


def _runs(impl: Impl) -> bool:
    inputs = ScanInputs.random((1, 1, 1, 1))
    try:
        MLXScan(inputs, impl).forward()
    except ImplError:
        return False
    return True
