"""Which of ten chaotic systems made this noisy trajectory, or how does it go on? Sequences made and not read.

The systems: Aizawa, Chen, Dadras, Halvorsen, Lorenz, Lorenz84, Rossler, Rucklidge, SprottB, Thomas. Their equations are
sums and products alone, in float64, so that a trajectory, chaotic as it is, is the same on every machine. The
parameters are those of the package dysts (Gilpin 2021, Chaos as an interpretable benchmark for forecasting and
data-driven modelling, NeurIPS Datasets and Benchmarks); each system's paper stands beside its equations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from math import factorial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lasmlx.data.errors import DataError

NAME = "chaos"
PERIOD = 32  # elements a characteristic period, so that no system is known by its pace alone
STEPS = 3  # of Runge and Kutta an element: each is a 96th of the period
TRANSIENT = 16 * PERIOD  # elements dropped before a sequence, and up to two periods more, so that phases differ
LIMITS = {
    "length": (16, 8192),
    "noise": (0, 100),
    "train": (10, 10_000),
    "test": (10, 10_000),
    "seed": (0, 2**32 - 1),
    "horizon": (0, 1024),
}

Floats = NDArray[np.float64]
Rates = tuple[Floats, Floats, Floats]


class System(NamedTuple):
    """A flow in three dimensions."""

    rates: Callable[[Floats, Floats, Floats], Rates]
    period: float  # its own unit of time; the main one of its oscillations, measured
    start: tuple[float, float, float]  # where no torus (Aizawa) or cycle (Lorenz84) draws it in
    spread: float  # of the first conditions around it, either way


@dataclass(frozen=True)
class ChaosSettings:
    """What decides the whole set."""

    length: int = 1024  # elements
    noise: float = 1.0  # standard deviation, where the trajectory's is 1
    train: int = 500  # sequences
    test: int = 500  # sequences
    seed: int = 0
    horizon: int = 0  # elements to forecast; 0: say which system

    def __post_init__(self) -> None:
        for key, (low, high) in LIMITS.items():
            if not low <= getattr(self, key) <= high:
                raise DataError(f"{NAME}: {key}={getattr(self, key)} is out of range; {low} to {high} goes.")


def parse_chaos(spec: str) -> ChaosSettings:
    """The settings of ``chaos`` or ``chaos:length=1024,noise=1,train=500,test=500,seed=0,horizon=0``.

    Raises:
        DataError: a setting is unknown, given twice, no number or out of range.
    """
    kinds = {field.name: float if field.name == "noise" else int for field in fields(ChaosSettings)}
    settings: dict[str, Any] = {}
    for part in spec.removeprefix(NAME)[1:].split(",") if spec != NAME else ():
        key, _, value = (text.strip() for text in part.partition("="))
        if key not in kinds:
            raise DataError(f"{spec}: there is no setting {key!r}; {', '.join(kinds)} go, as in {NAME}:noise=1,seed=0.")
        if key in settings:
            raise DataError(f"{spec}: {key} is given twice.")
        try:
            settings[key] = kinds[key](value)
        except ValueError:
            expected = "a whole number" if kinds[key] is int else "a number"
            low, high = LIMITS[key]
            raise DataError(f"{spec}: {key} is {value!r}, expected {expected} of {low} to {high}.") from None
    return ChaosSettings(**settings)


def make_chaos(settings: ChaosSettings) -> dict[str, NDArray[Any]]:
    """x_train, x_test (n, length, 1) float32; y_train, y_test (n,) int64, places in ``SYSTEMS``.

    A sequence is the first coordinate of a trajectory of its own, with mean 0 and deviation 1, plus Gaussian noise. The
    classes take turns. The test set depends on its own size and not on that of the training set. With a horizon y is
    (n, horizon) float32, the trajectory after the sequence, without noise, shifted and scaled as the sequence is.
    """
    span = settings.length + settings.horizon
    halves = [_Half.draw(settings, count, i) for i, count in enumerate((settings.train, settings.test))]
    starts = np.concatenate([half.start for half in halves], axis=2)
    x = trajectories(starts, TRANSIENT + 2 * PERIOD + span)  # (systems, each, t)
    arrays: dict[str, NDArray[Any]] = {}
    used = 0
    for name, half in zip(("train", "test"), halves, strict=True):
        each = half.start.shape[2]
        places = half.begin[..., None] + np.arange(span)
        values = np.take_along_axis(x[:, used : used + each], places, axis=2)
        used += each
        seen, future = values[..., : settings.length], values[..., settings.length :]
        shift, scale = seen.mean(2, keepdims=True), seen.std(2, keepdims=True)
        seen = (seen - shift) / scale
        seen += settings.noise * half.random.standard_normal(seen.shape)
        arrays[f"x_{name}"] = half.turns(seen)[..., None].astype(np.float32)
        arrays[f"y_{name}"] = np.arange(half.size) % len(SYSTEMS)
        if settings.horizon:
            arrays[f"y_{name}"] = half.turns((future - shift) / scale).astype(np.float32)
    return arrays


def trajectories(start: Floats, elements: int, steps: int = STEPS) -> Floats:
    """The first coordinates (systems, n, elements) from the states ``start`` (systems, 3, n) on, by RK4."""
    h = np.array([s.period / (PERIOD * steps) for s in SYSTEMS.values()])[:, None, None]
    half, sixth = h / 2, h / 6
    state, seen = start.copy(), np.empty((elements, start.shape[0], start.shape[2]))
    slopes = [np.empty_like(state) for _ in range(4)]
    for element in range(elements):
        seen[element] = state[:, 0]
        for _ in range(steps):
            a, b, c, d = slopes
            _rates(state, a)
            _rates(state + half * a, b)
            _rates(state + half * b, c)
            _rates(state + h * c, d)
            state += sixth * (a + 2 * (b + c) + d)
    return np.ascontiguousarray(seen.transpose(1, 2, 0))


def _rates(state: Floats, out: Floats) -> None:
    for system, s, slope in zip(SYSTEMS.values(), state, out, strict=True):
        slope[0], slope[1], slope[2] = system.rates(*s)


class _Half(NamedTuple):
    """The chance in a training or test set."""

    size: int
    start: Floats  # (systems, 3, each)
    begin: NDArray[np.int64]  # (systems, each), the first element
    random: np.random.Generator  # for the noise

    def turns(self, values: Floats) -> Floats:
        """(systems, each, t) to (size, t), the systems taking turns."""
        return values.swapaxes(0, 1).reshape(-1, values.shape[2])[: self.size]

    @staticmethod
    def draw(settings: ChaosSettings, count: int, which: int) -> _Half:
        random = np.random.default_rng([settings.seed, which])
        each = -(-count // len(SYSTEMS))
        centre = np.array([s.start for s in SYSTEMS.values()])[..., None]
        spread = np.array([s.spread for s in SYSTEMS.values()])[:, None, None]
        start = centre + spread * random.uniform(-1, 1, (len(SYSTEMS), 3, each))
        return _Half(count, start, TRANSIENT + random.integers(0, 2 * PERIOD, (len(SYSTEMS), each)), random)


# Aizawa and Uezu 1982, Topological aspects in chaos and in 2^k-period doubling cascade, Prog. Theor. Phys. 67, and
# Langford 1984, Numerical studies of torus bifurcations, ISNM 70
def _aizawa(x: Floats, y: Floats, z: Floats) -> Rates:
    u, around = z - 0.7, x * x + y * y
    return (
        u * x - 3.5 * y,
        3.5 * x + u * y,
        0.6 + 0.95 * z - z * z * z / 3 - around * (1 + 0.25 * z) + 0.1 * z * x * x * x,
    )


# Chen 1997, Proc. First Int. Conf. Control of Oscillations and Chaos, and
# Chen and Ueta 1999, Yet another chaotic attractor, Int. J. Bifurcation and Chaos 9
def _chen(x: Floats, y: Floats, z: Floats) -> Rates:
    return 35 * (y - x), (28 - 35 - z) * x + 28 * y, x * y - 3 * z


# Dadras and Momeni 2009, A novel three-dimensional autonomous chaotic system ..., Physics Letters A 373
def _dadras(x: Floats, y: Floats, z: Floats) -> Rates:
    return y - 3 * x + 2.7 * y * z, 1.7 * y - x * z + z, 2 * x * y - 9 * z


# Halvorsen's, in Sprott 2010, Elegant Chaos, World Scientific
def _halvorsen(x: Floats, y: Floats, z: Floats) -> Rates:
    u = 4 * (x + y + z)
    return 2.6 * x - u - y * y, 2.6 * y - u - z * z, 2.6 * z - u - x * x  # -1.4 x - 4 y - 4 z - y²


# Lorenz 1963, Deterministic nonperiodic flow, J. Atmospheric Sciences 20
def _lorenz(x: Floats, y: Floats, z: Floats) -> Rates:
    return 10 * (y - x), x * (28 - z) - y, x * y - 2.667 * z


# Lorenz 1984, Irregularity: a fundamental property of the atmosphere, Tellus 36A
def _lorenz84(x: Floats, y: Floats, z: Floats) -> Rates:
    b = 7.91 * x
    return 1.32 * (4.83 - x) - y * y - z * z, (x - 1) * y - b * z + 4.194, b * y + (x - 1) * z


# Rössler 1976, An equation for continuous chaos, Physics Letters A 57
def _rossler(x: Floats, y: Floats, z: Floats) -> Rates:
    return -y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)


# Rucklidge 1992, Chaos in models of double convection, J. Fluid Mechanics 237
def _rucklidge(x: Floats, y: Floats, z: Floats) -> Rates:
    return (6.7 - z) * y - 2 * x, x, y * y - z


# Sprott 1994, Some simple chaotic flows, Physical Review E 50, case B
def _sprott_b(x: Floats, y: Floats, z: Floats) -> Rates:
    return y * z, x - y, 1 - x * y


# Thomas 1999, Deterministic chaos seen in terms of feedback circuits, Int. J. Bifurcation and Chaos 9, 10 times as fast
def _thomas(x: Floats, y: Floats, z: Floats) -> Rates:
    p, q, r = _sine(np.stack((y, z, x)))
    return 10 * p - 1.85 * x, 10 * q - 1.85 * y, 10 * r - 1.85 * z


def _sine(x: Floats) -> Floats:
    """sin x = 3 sin(x/3) - 4 sin³(x/3) by Taylor's series; within 1e-11 where |x| <= 5.6, where Thomas's flow stays."""
    u = x / 3
    square, third = u * u, np.full_like(u, SINE[0])
    for c in SINE[1:]:
        third = third * square + c
    third = third * u
    return third * (3 - 4 * third * third)


SINE = [(-1) ** (k // 2) / factorial(k) for k in range(17, 0, -2)]
SYSTEMS = {
    "Aizawa": System(_aizawa, 1.8, (0.1, 0.0, -0.2), 0.1),
    "Chen": System(_chen, 0.59, (-3.0, 2.0, 20.0), 1.0),
    "Dadras": System(_dadras, 1.7, (1.0, 1.0, 0.0), 0.5),
    "Halvorsen": System(_halvorsen, 1.4, (-5.0, 0.0, 0.0), 1.0),
    "Lorenz": System(_lorenz, 0.75, (1.0, 1.0, 20.0), 5.0),
    "Lorenz84": System(_lorenz84, 1.1, (0.5, 2.0, 1.0), 0.1),
    "Rossler": System(_rossler, 5.85, (1.0, 1.0, 0.0), 1.0),
    "Rucklidge": System(_rucklidge, 3.5, (1.0, 0.0, 4.5), 1.0),
    "SprottB": System(_sprott_b, 4.5, (0.5, 0.5, 0.5), 0.5),
    "Thomas": System(_thomas, 1.2, (1.0, 0.0, 1.0), 0.5),
}
