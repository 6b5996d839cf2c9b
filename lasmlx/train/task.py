"""What a run learns: how its data becomes batches, a loss, and a look at what was held out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import mlx.core as mx

from lasmlx.data import BYTES, Corpus, SequenceData, Source, Tokenizer, Windows, tokens_of
from lasmlx.ops import cross_entropy
from lasmlx.train.config import TrainConfig
from lasmlx.train.evaluate import evaluate
from lasmlx.train.observe import OBSERVED, activity_of
from lasmlx.train.records import BITS_PER_NAT, ActivityRecord, AnyStep, EvalRecord, StepRecord
from lasmlx.train.sequences import SequenceTask


class Task(Protocol):
    """The part of a run that knows what its data is."""

    size: int  # bytes or sequences to train on
    unit: str  # what is counted
    steps_per_epoch: int
    restores: bool  # whether the run ends with the best model, and not the last, in place

    def batch(self, step: int) -> tuple[list[mx.array], bool]:
        """The arrays of a step, batch first, and whether they start anew: a pure function of the step."""

    def initial_state(self, model: Any, b: int) -> Any:
        """What is carried from batch to batch."""

    def loss(self, model: Any, arrays: Sequence[mx.array], state: Any) -> tuple[mx.array, mx.array, Any]:
        """The mean loss, what the model asks to pay beside it (``Model.learn``), and the state to carry on."""

    def record(self, step: int, loss: float, seconds: float, lr: float, grad_norm: float) -> AnyStep:
        """What to report of a step."""

    def evaluate(self, model: Any, step: int, last: bool) -> list[Any]:
        """What was held out, a record a split."""

    def conclude(self, model: Any, step: int) -> list[Any]:
        """What is said of the best model once the run is over and that model in place."""

    def observe(self, model: Any, step: int) -> list[ActivityRecord]:
        """What there is to see inside the model, on the first rows of a batch."""

    def score(self, records: list[Any]) -> float | None:
        """By which the best model is kept, lower is better; None keeps the last."""


class LanguageTask:
    """Predict each byte, or token, from those before it; the state is carried through stretches of the corpus.

    The loss is a mean over tokens; what is reported is a mean over the bytes they stand for.
    """

    unit, restores = "bytes", False

    def __init__(self, corpus: Corpus, config: TrainConfig, tokenizer: Tokenizer = BYTES) -> None:
        lanes = config.batch_size * config.accumulate
        self._source = tokens_of(corpus.train, tokenizer)
        self._windows = Windows(self._source, lanes, config.seq_len, config.seed, config.carry)
        self._corpus, self._config, self._tokenizer = corpus, config, tokenizer
        self._bytes = self._elements = self._windows.elements_per_step  # of the last batch
        self.size, self.steps_per_epoch = len(corpus.train), self._windows.steps_per_epoch

    @cached_property
    def _held_out(self) -> dict[str, Source]:
        return {split: tokens_of(source, self._tokenizer) for split, source in self._corpus.held_out.items()}

    def batch(self, step: int) -> tuple[list[mx.array], bool]:
        """Windows and the windows an element later, (b accumulate, t); while they are cut short each starts anew."""
        batch, length = self._windows.batch(step), window_length(self._config, step)
        x, y = batch.x[:, :length], batch.y[:, :length]
        self._bytes, self._elements = self._source.bytes_of(y), y.size
        return [mx.array(x), mx.array(y)], batch.fresh or step <= self._config.curriculum

    def initial_state(self, model: Any, b: int) -> Any:
        """The model's state before the first element; nothing where none is carried on."""
        return initial_language_state(model, b) if self._config.carry > 1 else []

    def loss(self, model: Any, arrays: Sequence[mx.array], state: Any) -> tuple[mx.array, mx.array, Any]:
        """Nats an element."""
        return language_loss(model, arrays, state)

    def record(self, step: int, loss: float, seconds: float, lr: float, grad_norm: float) -> StepRecord:
        """Of the last batch, in nats and bits a byte."""
        loss *= self._elements / self._bytes
        return StepRecord(step, loss, loss * BITS_PER_NAT, self._bytes / seconds, lr, grad_norm)

    def evaluate(self, model: Any, step: int, last: bool) -> list[EvalRecord]:
        """A share of each split while training, all of it at the end."""
        most = None if last else self._config.eval_bytes
        splits = self._held_out.items()
        return [evaluate(model, source, max_bytes=most, step=step, split=split) for split, source in splits]

    def observe(self, model: Any, step: int) -> list[ActivityRecord]:
        """Of windows of a batch."""
        (x, _), _ = self.batch(step)
        return activity_of(model, step, x[:OBSERVED])

    def score(self, records: list[EvalRecord]) -> float | None:
        """Bits a byte, the mean over the splits."""
        return sum(r.bits_per_byte for r in records) / len(records)

    def conclude(self, model: Any, step: int) -> list[Any]:
        """Nothing: all was said."""
        return []


def initial_language_state(model: Any, b: int) -> Any:
    """The state before the first byte or token, for a batch of b."""
    return model.init_state(b)


def language_loss(model: Any, arrays: Sequence[mx.array], state: Any) -> tuple[mx.array, mx.array, Any]:
    """Nats an element of windows x and of y, an element later, what the model asks beside, and the state after them.

    Without a state before, an empty list, there is none after.
    """
    x, y = arrays
    carries = not isinstance(state, list) or len(state) > 0
    logits, after, cost = model.learn(x, state if carries else None)
    return cross_entropy(logits, y).mean(), cost, after if carries else []


def window_length(config: TrainConfig, step: int) -> int:
    """Elements of the windows at step i = 0, 1, ...: eighths of seq_len, one more each eighth of the curriculum.

    Source: Li, Zhang & He 2022, The stability-efficiency dilemma, section 4.
    """
    if step >= config.curriculum:
        return config.seq_len
    return max(1, config.seq_len * (1 + 8 * step // config.curriculum) // 8)


def make_task(data: Corpus | SequenceData, config: TrainConfig, tokenizer: Tokenizer = BYTES) -> Task:
    """The task that goes with the data; ``tokenizer`` is that of a model of text.

    Raises:
        DataError: there is too little of it.
    """
    return SequenceTask(data, config) if isinstance(data, SequenceData) else LanguageTask(data, config, tokenizer)
