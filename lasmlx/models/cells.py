"""What the families of cells share: cells on top of each other, over bytes or tokens, or over vectors at any times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from lasmlx.data import Statistics
from lasmlx.layers import LookupEmbedding, RMSNorm
from lasmlx.models.config import Config, expect, expect_vocabulary
from lasmlx.models.model import Model
from lasmlx.ops import Steps, time_steps


@dataclass(frozen=True)
class CellsConfig(Config):
    """Sizes that the families of cells share."""

    inputs: int = 0  # channels of a sequence; 0: bytes or tokens
    outputs: int = 256  # classes or values of a sequence; 256 without channels
    answers: Literal["classes", "values", "forecast"] = "classes"  # what outputs are; forecast: values that come next
    tokenizer: Literal["bytes", "gpt2", "sentencepiece"] = "bytes"
    vocab: int = 256
    hidden: int = 64  # units a layer
    layers: int = 2
    dt: float = 1.0  # s, a byte or token

    def __post_init__(self) -> None:
        family = self.model_type
        for name in ("outputs", "hidden", "layers"):
            value = getattr(self, name)
            expect(family, name, value, value >= 1, "at least 1")
        expect(family, "inputs", self.inputs, self.inputs >= 0, "channels, or 0 for bytes")
        kinds = ("classes", "values", "forecast")
        expect(family, "answers", self.answers, self.answers in kinds, f"one of {', '.join(kinds)}")
        expect(family, "dt", self.dt, 0 < self.dt < math.inf, "seconds above 0")
        if not self.inputs:
            expect(family, "outputs", self.outputs, self.outputs == 256, "256 without channels")
            expect(family, "answers", self.answers, self.answers == "classes", "classes without channels")
        expect_vocabulary(family, self.tokenizer, self.vocab)

    @property
    def widths(self) -> list[int]:
        """What each layer reads; the first reads the channels, or the embedding of a byte."""
        return [self.inputs or self.hidden] + [self.hidden] * (self.layers - 1)


class SequenceState(NamedTuple):
    """The states of the cells, and the sums whose quotient is the mean over time."""

    cells: tuple[Any, ...]
    total: mx.array  # (b, hidden), h dt summed
    seconds: mx.array  # (b, 1)


class TextModel(Model):
    """Bytes or tokens (b, t) to logits of the next (b, t, vocab): embedding, cells, norm, head.

    Args:
        stack: a cell from ``config.hidden`` to ``config.hidden``; an element lasts ``config.dt`` seconds.
    """

    def __init__(self, config: CellsConfig, stack: Any) -> None:
        super().__init__(config)
        self.embedding = LookupEmbedding(self.config.hidden, self.config.vocab)
        self.stack = stack
        self.norm = RMSNorm(self.config.hidden)
        self.head = nn.Linear(self.config.hidden, self.config.vocab, bias=False)

    def init_state(self, b: int) -> Any:
        """The state before the first element, for a batch of b."""
        return self.stack.init_state(b)

    def __call__(self, x: mx.array, state: Any = None) -> tuple[mx.array, Any]:
        """Logits of the element after each, and the state after the last."""
        h, state = self.stack(self.embedding(x), state, dt=self._steps(x))
        return self.head(self.norm(h)), state

    def _steps(self, x: mx.array) -> Steps:
        return Steps(mx.full((*x.shape, 1), self.config.dt))


class SequenceModel(Model):
    """Vectors (b, t, inputs) to what is known of the sequence after each of them, (b, t, outputs).

    ``y_i = W m_i + b`` with ``m_i`` the mean over time of the last layer's h so far, ``sum h dt / sum dt``: an element
    counts for as long as it lasts. A forecast says ``W h_i + b``: it goes on from where the sequence stands. Inputs,
    and answers that are values, are scaled by the mean and deviation of the training data, kept beside the weights.

    Args:
        stack: a cell from ``config.inputs`` to ``config.hidden``.
    """

    def __init__(self, config: CellsConfig, stack: Any) -> None:
        super().__init__(config)
        self.shift = mx.zeros((self.config.inputs,))
        self.scale = mx.ones((self.config.inputs,))
        self.stack = stack
        self.head = nn.Linear(self.config.hidden, self.config.outputs)
        kept = ["shift", "scale"]
        if self.config.answers != "classes":
            self.answer_shift, self.answer_scale = mx.zeros((config.outputs,)), mx.ones((config.outputs,))
            kept += ["answer_shift", "answer_scale"]
        self.freeze(recurse=False, keys=kept)

    def init_state(self, b: int) -> SequenceState:
        """The state before the first element, for a batch of b."""
        return SequenceState(self.stack.init_state(b), mx.zeros((b, self.config.hidden)), mx.zeros((b, 1)))

    def __call__(
        self, x: mx.array, state: SequenceState | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, SequenceState]:
        """What is known after each element, and the state after the last.

        Args:
            x: (b, t, inputs).
            dt: seconds each element lasts, see :func:`lasmlx.ops.time_steps`.
            mask: (b, t), bool; False behind the end of a sequence: y then repeats what it was there, but of a forecast.
        """
        state = self.init_state(x.shape[0]) if state is None else state
        h, cells = self.stack(self._scaled(x), state.cells, dt=dt, mask=mask)
        return self._read(h, cells, state, time_steps(dt, *x.shape[:2], mask=mask))

    def _scaled(self, x: mx.array) -> mx.array:
        return ((x - self.shift) / self.scale).astype(self.head.weight.dtype)

    def fit_inputs(self, statistics: Statistics) -> None:
        """Scale inputs by the mean and deviation of each channel over the training data."""
        self.shift, self.scale = mx.array(statistics.mean), mx.array(statistics.deviation)

    def fit_answers(self, mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> None:
        """Scale answers, values (outputs,), by their mean and deviation over the training data."""
        self.answer_shift, self.answer_scale = mx.array(mean), mx.array(deviation)

    def _read(
        self, h: mx.array, cells: tuple[Any, ...], state: SequenceState, seconds: mx.array
    ) -> tuple[mx.array, SequenceState]:
        totals = state.total[:, None] + mx.cumsum(h * seconds, 1)  # (b, t, hidden)
        passed = state.seconds[:, None] + mx.cumsum(seconds, 1)  # (b, t, 1)
        y = self.head(h if self.config.answers == "forecast" else totals / mx.maximum(passed, 1e-12))
        if self.config.answers != "classes":
            y = y * self.answer_scale + self.answer_shift
        return y, SequenceState(cells, totals[:, -1], passed[:, -1])
