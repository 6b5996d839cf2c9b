"""What labelled sequences and forecasts are made of: sets of vectors over time, each with a class or values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lasmlx.data.errors import DataError

PIECE = 1024  # sequences looked at at a time


@dataclass(frozen=True, eq=False)
class SequenceSet:
    """n sequences of up to t elements; what lies behind an end is 0."""

    x: NDArray[np.float32]  # (n, t, channels)
    lengths: NDArray[np.int64]  # (n,), elements
    dt: NDArray[np.float32]  # (n, t), seconds each element lasts
    y: NDArray[Any]  # (n,) int64, the class; or (n, outputs) float32, values

    def __len__(self) -> int:
        return len(self.x)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(n, t): where there is an element."""
        return np.arange(self.x.shape[1]) < self.lengths[:, None]

    def take(self, rows: NDArray[np.int64]) -> SequenceSet:
        """Some of the sequences."""
        return SequenceSet(self.x[rows], self.lengths[rows], self.dt[rows], self.y[rows])

    def stretch(self, rows: slice) -> SequenceSet:
        """Neighbouring sequences, as views."""
        return SequenceSet(self.x[rows], self.lengths[rows], self.dt[rows], self.y[rows])

    def cropped(self, most: int, seed: Sequence[int]) -> SequenceSet:
        """Of each sequence a random stretch of at most so many elements."""
        lengths = np.minimum(self.lengths, most)
        starts = np.random.default_rng(seed).integers(0, self.lengths - lengths + 1)
        places = starts[:, None] + np.arange(min(most, self.x.shape[1]))
        places = np.minimum(places, self.x.shape[1] - 1)
        inside = np.arange(places.shape[1]) < lengths[:, None]
        x = np.where(inside[..., None], np.take_along_axis(self.x, places[..., None], 1), 0)
        return SequenceSet(x, lengths, np.where(inside, np.take_along_axis(self.dt, places, 1), 0), self.y)

    def jittered(self, deviation: NDArray[np.float32], seed: Sequence[int]) -> SequenceSet:
        """With Gaussian noise of these deviations (channels,) on every element."""
        noise = np.random.default_rng(seed).standard_normal(self.x.shape, np.float32) * deviation
        return SequenceSet(self.x + noise * self.mask[..., None], self.lengths, self.dt, self.y)

    def labelled(self, y: NDArray[Any]) -> SequenceSet:
        """The same with other labels."""
        return SequenceSet(self.x, self.lengths, self.dt, y)

    def thinned(self, share: float, seed: int) -> SequenceSet:
        """Each element but the first dropped with probability ``share``; dt then spans what was dropped before it."""
        random = np.random.default_rng(seed)
        keep = (random.random(self.mask.shape) >= share) & self.mask
        keep[:, 0] = True
        lengths = keep.sum(1)
        x, dt = np.zeros_like(self.x), np.zeros_like(self.dt)
        for i, kept in enumerate(keep):
            ends = np.cumsum(self.dt[i])[kept]
            x[i, : lengths[i]] = self.x[i, kept]
            dt[i, : lengths[i]] = np.diff(ends, prepend=0)
        longest = int(lengths.max())
        return SequenceSet(x[:, :longest], lengths, dt[:, :longest], self.y)


class Statistics(NamedTuple):
    """Of the channels of sequences, (channels,) each."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]  # 1 where a channel does not move
    low: NDArray[np.float32]
    high: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SequenceData:
    """A training and a test set, and the names of the classes; none if the labels are values.

    Of a forecast y is (n, horizon len(targets)): the targets of the element that follows, then of the one after it, ...

    Raises:
        DataError: the targets are no channels, or y holds no whole number of elements of them.
    """

    name: str
    train: SequenceSet
    test: SequenceSet
    classes: tuple[str, ...]
    targets: tuple[int, ...] = ()  # the channels that are forecast; none: this is no forecast
    ordered: bool = False  # rows are in the order of time: to validate on the last of them and not on any

    def __post_init__(self) -> None:
        if self.targets and (max(self.targets) >= self.channels or self.outputs % len(self.targets)):
            raise DataError(
                f"{self.name}: targets {self.targets} of {self.outputs} values a sequence; expected some of channels "
                f"0 to {self.channels - 1}, and as many values of each."
            )

    @property
    def channels(self) -> int:
        """Numbers an element."""
        return int(self.train.x.shape[2])

    @property
    def outputs(self) -> int:
        """Classes, or values a sequence."""
        return len(self.classes) or int(self.train.y.shape[1])

    @property
    def answers(self) -> Literal["classes", "values", "forecast"]:
        """What is to be said of a sequence."""
        return "classes" if self.classes else "forecast" if self.targets else "values"

    @property
    def sizes(self) -> dict[str, int | str]:
        """What a model has to read and to say: its inputs, outputs and answers."""
        return {"inputs": self.channels, "outputs": self.outputs, "answers": self.answers}

    @cached_property
    def answer_statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Of values to be said: mean and deviation over the training set, 1 where one does not move; (outputs,)."""
        mean, deviation = self.train.y.mean(0, dtype=np.float64), self.train.y.std(0, dtype=np.float64)
        return mean.astype(np.float32), np.where(deviation > 0, deviation, 1).astype(np.float32)

    @property
    def horizon(self) -> int:
        """Elements that are forecast; 0 if none are."""
        return self.outputs // len(self.targets) if self.targets else 0

    def persistence(self, part: SequenceSet) -> NDArray[np.float32]:
        """(n, horizon len(targets)): that the targets stay as they are in the last element, the forecast to beat."""
        last = part.x[np.arange(len(part)), part.lengths - 1]  # (n, channels)
        return np.tile(last[:, list(self.targets)], self.horizon)

    @property
    def statistics(self) -> Statistics:
        """Of each channel over the training set."""
        count = self.train.lengths.sum()
        mean = sum(v.sum(0, dtype=np.float64) for v in self._elements()) / count
        deviation = np.sqrt(sum(np.square(v - mean).sum(0) for v in self._elements()) / count)
        return Statistics(
            mean.astype(np.float32),
            np.where(deviation > 0, deviation, 1).astype(np.float32),
            np.min([v.min(0) for v in self._elements()], 0),
            np.max([v.max(0) for v in self._elements()], 0),
        )

    def _elements(self) -> Iterator[NDArray[np.float32]]:
        """The training set's (elements, channels), in pieces: windows of one series are many times its size."""
        mask = self.train.mask
        for first in range(0, len(mask), PIECE):
            yield self.train.x[first : first + PIECE][mask[first : first + PIECE]]

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of a SHA-256 over everything."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for part in (self.train, self.test):
            for array in (part.x, part.lengths, part.dt, part.y):
                digest.update(str(array.shape).encode())
                for first in range(0, len(array), PIECE):
                    digest.update(np.ascontiguousarray(array[first : first + PIECE]).tobytes())
        if self.targets:
            digest.update(str((self.targets, self.ordered)).encode())
        return digest.hexdigest()[:16]


def padded(values: Sequence[NDArray[Any]], steps: Sequence[NDArray[Any]], y: NDArray[Any]) -> SequenceSet:
    """Sequences of (t, channels), each element with the seconds it lasts."""
    lengths = np.array([len(v) for v in values])
    x = np.zeros((len(values), lengths.max(), values[0].shape[1]), np.float32)
    dt = np.zeros(x.shape[:2], np.float32)
    for i, (v, step) in enumerate(zip(values, steps, strict=True)):
        x[i, : len(v)], dt[i, : len(v)] = v, step
    return SequenceSet(x, lengths, dt, y)


def whole(x: NDArray[np.float32], y: NDArray[np.int64]) -> SequenceSet:
    """Sequences of one length, a second an element."""
    return SequenceSet(x, np.full(len(x), x.shape[1]), np.ones(x.shape[:2], np.float32), y)
