"""Which class a model takes for which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Shares = NDArray[np.float64]

NORMAL_95 = 1.959964  # deviations of a normal distribution, to each side, that hold 95 % of it
CUT = "…"


class Mistake(NamedTuple):
    """A class that was said to be another."""

    true: str
    said: str
    times: int
    of: int  # how many there are of the true class

    @property
    def share(self) -> float:
        """Of the true class."""
        return self.times / self.of


@dataclass(frozen=True, eq=False)
class Confusion:
    """How many of each class, a row, were said to be of each, a column.

    Raises:
        ValueError: there are no classes, or the counts are not as below.
    """

    classes: tuple[str, ...]  # names, (n,)
    counts: NDArray[np.int64]  # (n, n), at least one above 0

    def __post_init__(self) -> None:
        n = len(self.classes)
        if not n or self.counts.shape != (n, n):
            raise ValueError(f"Confusion: counts have shape {self.counts.shape}, expected ({n}, {n}), a row a class.")
        if (self.counts < 0).any() or not self.counts.any():
            raise ValueError(
                f"Confusion: counts are {self.counts.min()} to {self.counts.max()}, expected 0 or more and one above 0."
            )

    @property
    def total(self) -> int:
        """Sequences."""
        return int(self.counts.sum())

    @property
    def right(self) -> int:
        """Sequences whose class was said."""
        return int(np.trace(self.counts))

    @property
    def occurrences(self) -> NDArray[np.int64]:
        """Sequences of each class, (n,)."""
        return self.counts.sum(1)

    @property
    def accuracy(self) -> float:
        """Share that is right."""
        return self.right / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of :attr:`accuracy`: see :func:`wilson`."""
        return wilson(self.right, self.total)

    @cached_property
    def shares(self) -> Shares:
        """The counts as shares of their row, (n, n); 0 in rows of classes that do not occur."""
        return self.counts / np.maximum(self.occurrences, 1)[:, None]

    @cached_property
    def recall(self) -> Shares:
        """Of each class the share that is found, (n,); NaN where it does not occur."""
        return _quotient(np.diag(self.counts), self.occurrences)

    @cached_property
    def precision(self) -> Shares:
        """Of what is said to be of each class the share that is, (n,); NaN where nothing is."""
        return _quotient(np.diag(self.counts), self.counts.sum(0))

    @cached_property
    def f1(self) -> Shares:
        """``2 right / (occurs + said)`` of each class, (n,); NaN where it neither occurs nor is said."""
        return _quotient(2 * np.diag(self.counts), self.occurrences + self.counts.sum(0))

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that occur."""
        return float(np.nanmean(self.recall))

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that occur or are said."""
        return float(np.nanmean(self.f1))

    def worst(self, count: int) -> list[Mistake]:
        """The mistakes made most often, at most so many; of equals those of the rarer class first."""
        wrong = self.counts * (1 - np.eye(len(self.classes), dtype=np.int64))
        order = np.lexsort((-self.shares.ravel(), -wrong.ravel()))[:count]
        places = [divmod(int(at), len(self.classes)) for at in order if wrong.flat[at]]
        of = self.occurrences
        return [Mistake(self.classes[i], self.classes[j], int(wrong[i, j]), int(of[i])) for i, j in places]


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share: ``(p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)``.

    Args:
        right, total: p = right / total, n = total.

    Raises:
        ValueError: right is not from 0 to total, or total is 0.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    if not 0 <= right <= total or not total:
        raise ValueError(f"wilson: right is {right} of {total}, expected 0 to total, and total above 0.")
    p, z2 = right / total, NORMAL_95**2 / total
    middle, half = p + z2 / 2, math.sqrt(z2 * (p * (1 - p) + z2 / 4))
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))


def short_names(names: Sequence[str], width: int) -> list[str]:
    """Names of at most ``width`` characters, all different.

    They are cut to their heads, those that begin alike to head and tail; where that does not do, they are numbers.
    """
    heads = [name[:width] for name in names]
    for tail in ((width - 1) // 2, width - 1):
        cut = []
        for name, head in zip(names, heads, strict=True):
            fits = len(name) <= width or heads.count(head) == 1
            cut.append(head if fits else head[: width - 1 - tail] + CUT + name[len(name) - tail :])
        if len(set(cut)) == len(cut):
            return cut
    return [str(i) for i in range(len(names))]


def _quotient(a: NDArray[np.int64], b: NDArray[np.int64]) -> Shares:
    return np.where(b > 0, a / np.maximum(b, 1), np.nan)
