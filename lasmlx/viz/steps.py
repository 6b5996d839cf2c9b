"""How many steps an adaptive solver takes at every token a plastic model reads."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.data import BYTES, Tokenizer
from lasmlx.ops import Adaptive, cross_entropy
from lasmlx.viz.tokens import TokenTrace, as_tokens, expect_plastic
from lasmlx.viz.trace import WINDOW, Floats

LOGITS = 1 << 22  # the most logits of a pass
WEAK = 0.3  # a correlation below this is called so


class StepsHistogram(NamedTuple):
    """How many tokens of each layer took from one edge up to the next steps."""

    edges: NDArray[np.int64]  # (bins + 1,), steps
    counts: NDArray[np.int64]  # (layers, bins)


class HardToken(NamedTuple):
    """A token that took many steps."""

    position: int  # from 0
    context: bytes  # what stands before it
    token: bytes
    steps: float  # mean over layers
    bits: float  # surprise; NaN of the first token


class Quarter(NamedTuple):
    """The tokens of a quarter of all surprise."""

    low: float  # bits
    high: float  # bits
    steps: float  # mean


@dataclass(frozen=True)
class StepsSummary:
    """One layer over all tokens."""

    layer: int
    mean: float
    min: int
    max: int


@dataclass(frozen=True, eq=False)
class StepsTrace(TokenTrace):
    """The adaptive solver's steps in every deep layer at every token of a text, and the model's surprise there."""

    symbol: ClassVar[str] = "steps"

    data: bytes
    edges: NDArray[np.int64]  # (t + 1,), 0 to t
    lengths: NDArray[np.int64]  # (t,), bytes of each token
    steps: NDArray[np.int32]  # (layers, t)
    surprise: Floats  # (t,), bits: -log2 p(token | those before); NaN of the first, which nothing predicts
    rtol: float  # of the solver
    layers: tuple[int, ...]  # which of the model's layers these are

    def __post_init__(self) -> None:
        t = len(self.lengths)
        if self.steps.shape != (len(self.layers), t) or self.surprise.shape != (t,) or not t:
            raise ValueError(
                f"StepsTrace: steps has shape {self.steps.shape} and surprise {self.surprise.shape}, "
                f"expected {(len(self.layers), t)} and ({t},), not empty."
            )

    @cached_property
    def mean(self) -> Floats:
        """Mean over layers at each token, (t,)."""
        return np.asarray(self.steps.mean(axis=0, dtype=np.float64), np.float32)

    @property
    def compared(self) -> int:
        """How many tokens have a surprise."""
        return int(np.isfinite(self.surprise).sum())

    @cached_property
    def correlation(self) -> float:
        """Pearson's r of the mean steps and the surprise; NaN where one of them never changes."""
        steps, bits = self._pairs()
        if len(bits) < 3 or steps.std() == 0 or bits.std() == 0:
            return math.nan
        return float(np.corrcoef(steps, bits)[0, 1])

    @property
    def chance(self) -> float:
        """What |r| of so many unrelated pairs stays below 19 times in 20."""
        return 1.96 / math.sqrt(max(self.compared, 1))

    def verdict(self) -> str:
        """Whether hard tokens get more steps, in words."""
        r, n = self.correlation, self.compared
        if math.isnan(r):
            few = n < 3
            return "too few tokens to compare" if few else "all tokens alike: steps and surprise cannot be compared"
        what = f"r = {r:+.2f} over {n} {self.unit}s"
        if abs(r) < self.chance:
            return f"{what}: no link (chance alone reaches {self.chance:.2f})"
        return f"{what}: hard {self.unit}s get {'more' if r > 0 else 'fewer'} steps{', weakly' * (abs(r) < WEAK)}"

    def quarters(self) -> list[Quarter]:
        """Mean steps of the least surprising quarter of the tokens to the most; fewer parts of fewer than 8."""
        steps, bits = self._pairs()
        order = np.argsort(bits, kind="stable")
        parts = np.array_split(order, 4 if len(order) >= 8 else 1) if len(order) else []
        return [Quarter(float(bits[p[0]]), float(bits[p[-1]]), float(steps[p].mean())) for p in parts]

    def histogram(self, bins: int = 40) -> StepsHistogram:
        """Counts of each number of steps, or of neighbours together so that there are at most ``bins``."""
        low, high = int(self.steps.min()), int(self.steps.max())
        width = -(-(high - low + 1) // bins)
        count = (high - low) // width + 1
        counts = [np.bincount((row - low) // width, minlength=count) for row in self.steps]
        return StepsHistogram(low + width * np.arange(count + 1), np.array(counts, np.int64))

    def hardest(self, count: int, context: int = 16) -> list[HardToken]:
        """The tokens with the most steps, at most ``count``, and up to ``context`` bytes before each."""
        ends = np.cumsum(self.lengths)
        found = []
        for i in np.argsort(-self.mean, kind="stable")[:count].tolist():
            stop = int(ends[i])
            start = stop - int(self.lengths[i])
            texts = self.data[max(start - context, 0) : start], self.data[start:stop]
            found.append(HardToken(i, *texts, float(self.mean[i]), float(self.surprise[i])))
        return found

    def summary(self) -> tuple[StepsSummary, ...]:
        """A summary of each layer."""
        return tuple(
            StepsSummary(layer, float(row.mean()), int(row.min()), int(row.max()))
            for layer, row in zip(self.layers, self.steps, strict=True)
        )

    def only(self, layer: int) -> Self:
        """The trace of one layer.

        Raises:
            ValueError: there is no such layer, or it takes one step at every token.
        """
        i = self.at(layer)
        return dataclasses.replace(self, steps=self.steps[i : i + 1], layers=(layer,))

    def _pairs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        known = np.isfinite(self.surprise)
        return self.mean[known].astype(np.float64), self.surprise[known].astype(np.float64)


def trace_steps(model: Any, data: bytes, tokenizer: Tokenizer = BYTES, adaptive: Adaptive | None = None) -> StepsTrace:
    """The steps that the adaptive solver takes in each deep layer of ``model`` while it reads ``data``.

    Args:
        model: a ``plastic-lm``, whatever solver it was trained with.
        data: at least one byte.
        tokenizer: that of the model.
        adaptive: the solver's tolerances.

    Raises:
        ValueError: no data, too much, a model without steps to count, or a solver that needs too many.
    """
    expect_steps(model)
    adaptive = Adaptive() if adaptive is None else adaptive
    ids, ends = as_tokens("trace_steps", tokenizer, data)
    config = model.config
    steps, bits = np.empty((config.deep, len(ids)), np.int32), np.full(len(ids), np.nan, np.float32)
    state, last = model.init_state(1), None
    size = max(1, min(WINDOW, LOGITS // config.vocab))
    for start in range(0, len(ids), size):
        part = slice(start, start + size)
        x = mx.array(ids[part])
        logits, state, counts = model.counted(x[None], state, adaptive=adaptive)
        before = logits[0, :-1] if last is None else mx.concatenate([last, logits[0, :-1]])
        if before.shape[0]:
            nats = cross_entropy(before, x[x.size - before.shape[0] :])
            bits[start + x.size - before.shape[0] : start + x.size] = np.array(nats) / math.log(2)
        last = logits[0, -1:]
        mx.eval(state, last)
        for row, count in zip(steps, counts[config.fast :], strict=True):
            row[part] = np.array(count[0])
    layers = tuple(range(config.fast, config.fast + config.deep))
    lengths = np.diff(ends, prepend=0)
    return StepsTrace(data, np.arange(len(ids) + 1), lengths, steps, bits, adaptive.rtol, layers)


def expect_steps(model: Any) -> None:
    """Raise ``ValueError`` unless the model's solver has steps to count."""
    expect_plastic(model, "solver's steps")
