"""Plastic synapses, forward and forward+backward, float32: kernels beside MLX's loop over time, and beside blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.benchmark.contestant import Contestant, Results
from lasmlx.benchmark.parity import check_parity
from lasmlx.benchmark.records import Note, Row, Stage
from lasmlx.benchmark.timer import Timing, measure_together
from lasmlx.ops.dispatch import Impl
from lasmlx.ops.liquid_scan import BoundedTau
from lasmlx.ops.plastic import Rule, plastic_scan
from lasmlx.ops.plastic_liquid import Plasticity, plastic_liquid_scan

Shape = tuple[int, ...]

SHAPE: Shape = (8, 512, 1, 256, 256)  # b, t, g heads, m outputs and n inputs of a head
LIQUID_SHAPE: Shape = (16, 128, 128, 128)  # b, t, units, inputs
BLOCK_SHAPES: list[Shape] = [(8, 256, max(1, 256 // m), m, m) for m in (8, 16, 32, 64, 128, 256, 512)]
BLOCKS = (16, 32, 64)  # elements
LINEAR: tuple[Rule, ...] = ("hebb", "delta")
LOOP_ELEMENTS = 48  # of the loop, which stores every trace several times over; longer than a segment of the kernels
TAU, DT = (0.2, 2.0), 0.1  # seconds; of an element of the liquid scan
TOLERANCE = 5e-5  # of the largest value of y and of each gradient; those of rate and keep sum m n terms of both signs
EVERY_IN_TIME = ("u", "x", "key", "target", "rate", "keep", "v")  # arrays (b, t, ...)


@dataclass(frozen=True)
class PlasticRow(Row):
    """One implementation of one rule."""

    impl: str
    rule: str
    shape: Shape
    elements: int  # of each sequence that were timed
    forward: Timing
    forward_backward: Timing
    ratio_forward: float  # of the medians an element, to the rule's first row
    ratio_forward_backward: float
    peak_mb: float  # MB taken by forward+backward beyond the inputs
    traces_mb: float  # MB of the traces after every element
    error: float  # largest relative error of y and the gradients


class Synapses(Contestant):
    """One implementation, on the first elements of one set of inputs."""

    def __init__(self, name: str, scan: Callable[..., mx.array], arrays: Results, elements: int) -> None:
        self.elements = elements
        first = {k: v[:, :elements] if k in EVERY_IN_TIME else v for k, v in arrays.items()}
        w = np.random.default_rng(1).standard_normal(first["u"].shape, np.float32)
        super().__init__(name, lambda arrays: scan(**arrays), first, w)


def random_synapses(shape: Shape, *, linear: bool = False, seed: int = 0) -> Results:
    """Keys of length 1 or near it, traces that last some 20 elements; ``linear``: a target, a number an output."""
    b, t, g, m, n = shape
    random = np.random.default_rng(seed)

    def normal(*sizes: int) -> NDArray[np.float32]:
        return random.standard_normal(sizes, np.float32)

    rate = random.random((b, t, g), np.float32) * np.float32(0.2)
    arrays = {"u": normal(b, t, g, m), "x": normal(b, t, g, n) / np.float32(math.sqrt(n)), "rate": rate}
    arrays |= {"keep": 1 - rate / 2, "alpha": random.random((g, m, 1 if linear else n), np.float32)}
    if linear:
        arrays |= {"key": normal(b, t, g, n) / np.float32(math.sqrt(n)), "target": normal(b, t, g, m)}
    return arrays


def random_liquid(shape: Shape, seed: int = 0) -> Results:
    """A liquid layer of one head as it starts, by the names of :func:`lasmlx.ops.plastic_liquid_scan`."""
    b, t, units, inputs = shape
    random = np.random.default_rng(seed)
    sizes: dict[str, Shape] = {"u": (b, t, units), "v": (b, t, units), "x": (b, t, inputs)}
    sizes |= {"U": (units, units), "V": (units, units)}
    arrays = {name: random.standard_normal(size, np.float32) for name, size in sizes.items()}
    for name, width in (("U", units), ("V", units), ("x", 2 * inputs)):
        arrays[name] /= np.float32(math.sqrt(width))
    rate = random.random((b, t), np.float32) * np.float32(0.2)
    return arrays | {"rate": rate, "keep": 1 - rate / 2, "alpha": random.random((1, units, inputs + units), np.float32)}


def measure_plastic(
    shape: Shape = SHAPE, *, repeats: int = 10, budget_seconds: float = 60.0
) -> Iterator[PlasticRow | Note | Stage]:
    """The kernel of each rule beside MLX's loop, of which the first elements are timed.

    Raises:
        ParityError: an output or a gradient of the kernel differs from the loop's; nothing is yielded of its rule.
        ValueError: the shape is not five sizes of at least 1.
    """
    _check_shape(shape, "b, t, g, m, n")
    arrays = random_synapses(shape)

    def scan(rule: Rule, impl: Impl) -> Callable[..., mx.array]:
        return lambda **a: plastic_scan(**a, rule=rule, impl=impl)[0]

    yield from _beside_the_loop(scan, arrays, shape, math.prod(shape), repeats, budget_seconds)


def measure_plastic_liquid(
    shape: Shape = LIQUID_SHAPE, *, repeats: int = 10, budget_seconds: float = 60.0
) -> Iterator[PlasticRow | Note | Stage]:
    """The same of the liquid scan with plastic synapses, its equation solved by one midpoint step an element.

    Raises:
        ParityError, ValueError: as for :func:`measure_plastic`, of b, t, units, inputs.
    """
    _check_shape(shape, "b, t, units, inputs")
    b, t, units, inputs = shape

    def scan(rule: Rule, impl: Impl) -> Callable[..., mx.array]:
        def run(**a: mx.array) -> mx.array:
            plasticity = Plasticity(a["x"], a["alpha"], a["rate"], a["keep"], rule)
            tau = BoundedTau(a["v"], a["V"], *TAU)
            return plastic_liquid_scan(a["u"], a["U"], tau, plasticity, dt=DT, impl=impl)[0]

        return run

    traces = b * t * units * (units + inputs)
    yield from _beside_the_loop(scan, random_liquid(shape), shape, traces, repeats, budget_seconds)


def measure_blocks(
    shape: Shape, *, blocks: Sequence[int] = BLOCKS, repeats: int = 10, budget_seconds: float = 60.0
) -> Iterator[PlasticRow | Note | Stage]:
    """Element after element beside matrix products over blocks of elements, for what is linear in its trace.

    Raises:
        ParityError: an output or a gradient of two of them differs; nothing is yielded of that rule.
        ValueError: the shape is not five sizes of at least 1.
    """
    _check_shape(shape, "b, t, g, m, n")
    arrays = random_synapses(shape, linear=True)

    def scan(rule: Rule, chunk: int) -> Callable[..., mx.array]:
        return lambda **a: plastic_scan(**a, rule=rule, chunk=chunk)[0]

    for rule in LINEAR:
        scans = {"one by one": 0} | {f"blocks of {size}": size for size in blocks}
        found = [Synapses(name, scan(rule, size), arrays, shape[1]) for name, size in scans.items()]
        yield from _rows(found, rule, shape, math.prod(shape), repeats, budget_seconds / len(LINEAR))


def _beside_the_loop(
    scan: Callable[[Rule, Impl], Callable[..., mx.array]],
    arrays: Results,
    shape: Shape,
    traces: int,
    repeats: int,
    budget_seconds: float,
) -> Iterator[PlasticRow | Note | Stage]:
    """Rows of each rule's kernel at the whole length and its loop at the first elements, then how the loop grows."""
    t = shape[1]
    elements = min(t, LOOP_ELEMENTS)
    for rule in get_args(Rule):
        loop = Synapses("mlx loop", scan(rule, "reference"), arrays, elements)
        start = Synapses("lasmlx auto", scan(rule, "auto"), arrays, elements)
        error = check_parity(f"{start.name} and the loop, {rule}", start.results(), loop.results(), TOLERANCE)
        kernel = Synapses(start.name, scan(rule, "auto"), arrays, t)
        yield from _rows(
            [kernel, loop], rule, shape, traces, repeats, budget_seconds / len(get_args(Rule)), [error, 0.0]
        )
    half = Synapses("half", scan("hebb", "reference"), arrays, max(1, elements // 2))
    whole = Synapses("whole", scan("hebb", "reference"), arrays, elements)
    times = measure_together({c.name: c.forward_backward for c in (half, whole)}, repeats=3)
    ratio = (times["whole"].median / whole.elements) / (times["half"].median / half.elements)
    yield Note(
        f"The loop is timed over {elements} elements, and ratios are of the time an element: forward+backward of hebb "
        f"takes {ratio:.2f} times as long an element as over {half.elements}."
    )


def _rows(
    contestants: list[Synapses],
    rule: str,
    shape: Shape,
    traces: int,
    repeats: int,
    budget_seconds: float,
    errors: list[float] | None = None,
) -> Iterator[PlasticRow | Stage]:
    """Parity with the first unless errors are known, then the times in turn, then the peaks."""
    first = contestants[0]
    if errors is None:
        yield Stage(f"{shape}, {rule}: checking parity")
        expected = first.results()
        errors = [
            check_parity(f"{c.name} and {first.name}, {rule}, {shape}", c.results(), expected, TOLERANCE)
            for c in contestants
        ]
    yield Stage(f"{shape}, {rule}: timing {', '.join(c.name for c in contestants)}")
    in_turn = partial(measure_together, repeats=repeats, budget_seconds=budget_seconds / 2, turn_seconds=0.05)
    forward = in_turn({c.name: c.forward for c in contestants})
    both = in_turn({c.name: c.forward_backward for c in contestants})

    def ratio(timings: dict[str, Timing], c: Synapses) -> float:
        return (timings[c.name].median / c.elements) / (timings[first.name].median / first.elements)

    for c, error in zip(contestants, errors, strict=True):
        yield PlasticRow(
            impl=c.name,
            rule=rule,
            shape=shape,
            elements=c.elements,
            forward=forward[c.name],
            forward_backward=both[c.name],
            ratio_forward=ratio(forward, c),
            ratio_forward_backward=ratio(both, c),
            peak_mb=c.peak_bytes() / 1e6,
            traces_mb=4e-6 * traces * c.elements / shape[1],
            error=error,
        )


def _check_shape(shape: Shape, letters: str) -> None:
    if len(shape) != len(letters.split(", ")) or min(shape) < 1:
        raise ValueError(f"bench: shape is {shape}, expected {letters}, each at least 1.")
