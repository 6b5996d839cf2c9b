"""The one timer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6}
LEAST_ROUNDS = 3  # fewer show no spread


@dataclass(frozen=True)
class Timing:
    """What each call of a function took, in seconds, in the order of the calls."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds."""
        return self.quantile(0.5)

    @property
    def p10(self) -> float:
        """Seconds that one call in ten stays below."""
        return self.quantile(0.1)

    @property
    def p90(self) -> float:
        """Seconds that nine calls in ten stay below."""
        return self.quantile(0.9)

    @property
    def p99(self) -> float:
        """Seconds that 99 calls in a hundred stay below."""
        return self.quantile(0.99)

    @property
    def repeats(self) -> int:
        """Calls timed."""
        return len(self.seconds)

    def quantile(self, q: float) -> float:
        """Seconds that a share q of the calls stays below."""
        return float(np.quantile(self.seconds, q))

    def to_dict(self, unit: str) -> dict[str, float | int]:
        """Median and spread in ``"s"``, ``"ms"`` or ``"us"``, the unit in the keys."""
        quantiles = {name: getattr(self, name) * UNITS[unit] for name in ("median", "p10", "p90", "p99")}
        return {f"{name}_{unit}": value for name, value in quantiles.items()} | {"repeats": self.repeats}


class Elsewhere(Protocol):
    """A function that another process runs, and times there."""

    def __call__(self) -> None:
        """Run it once."""

    def turn(self, seconds: float, /) -> list[float]:
        """As :func:`take_turn`."""


def measure(
    f: Callable[[], Any],
    *,
    warmup: int = 1,
    repeats: int = 10,
    budget_seconds: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Time ``f`` alone; see :func:`measure_together`."""
    timings = measure_together({"": f}, warmup=warmup, repeats=repeats, budget_seconds=budget_seconds, clock=clock)
    return timings[""]


def measure_together(
    functions: Mapping[str, Callable[[], Any] | Elsewhere],
    *,
    warmup: int = 1,
    repeats: int = 10,
    budget_seconds: float = math.inf,
    turn_seconds: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time functions side by side: they take turns, so that whatever else the machine does meets them all alike.

    Evaluation of lazy arrays is inside the clock only if the function does it.

    Args:
        functions: by name, in the order of their turns.
        warmup: calls of each before the clock starts.
        repeats: rounds; in each, every function has one turn.
        budget_seconds: no new round begins after so long, once there were three.
        turn_seconds: a turn is one call, and further ones until so long has passed: fast functions then run many times
            in a row with their caches warm.
        clock: seconds.

    Raises:
        ValueError: ``warmup`` or ``repeats`` is out of range.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f"measure: repeats is {repeats} and warmup {warmup}, expected at least 1 and at least 0.")
    for f in functions.values():
        for _ in range(warmup):
            f()
    turns = {name: getattr(f, "turn", None) or partial(take_turn, f, clock=clock) for name, f in functions.items()}
    samples: dict[str, list[float]] = {name: [] for name in functions}
    began = clock()
    for done in range(1, repeats + 1):
        for name, turn in turns.items():
            samples[name] += turn(turn_seconds)
        if done >= LEAST_ROUNDS and clock() - began >= budget_seconds:
            break
    return {name: Timing(tuple(taken)) for name, taken in samples.items()}


def take_turn(f: Callable[[], Any], turn_seconds: float, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Seconds of each call of ``f``: one, and further ones until ``turn_seconds`` have passed."""
    taken: list[float] = []
    total = 0.0
    while not taken or total < turn_seconds:
        start = clock()
        f()
        taken.append(clock() - start)
        total += taken[-1]
    return taken
