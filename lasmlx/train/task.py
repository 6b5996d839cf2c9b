"""What a run learns: how its data becomes batches, a loss, and a look at what was held out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, Protocol

import mlx.core as mx
import numpy as np

from lasmlx.data import BYTES, Corpus, DataError, SequenceData, SequenceSet, Source, Tokenizer, Windows, tokens_of
from lasmlx.ops import cross_entropy
from lasmlx.train.config import TrainConfig
from lasmlx.train.evaluate import evaluate
from lasmlx.train.records import (
    BITS_PER_NAT,
    ActivityRecord,
    AnyStep,
    EvalRecord,
    SequenceEvalRecord,
    SequenceStepRecord,
    StepRecord,
)

OBSERVED = 8  # rows of a batch that are looked into


class Task(Protocol):
    """The part of a run that knows what its data is."""

    size: int  # bytes or sequences to train on
    unit: str  # what is counted
    steps_per_epoch: int

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

    def observe(self, model: Any, step: int) -> list[ActivityRecord]:
        """What there is to see inside the model, on the first rows of a batch."""

    def score(self, records: list[Any]) -> float | None:
        """By which the best model is kept, lower is better; None keeps the last."""


class LanguageTask:
    """Predict each byte, or token, from those before it; the state is carried through stretches of the corpus.

    The loss is a mean over tokens; what is reported is a mean over the bytes they stand for.
    """

    unit = "bytes"

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
        return _activity(model, step, x[:OBSERVED])

    def score(self, records: list[EvalRecord]) -> float | None:
        """Bits a byte, the mean over the splits."""
        return sum(r.bits_per_byte for r in records) / len(records)


class SequenceTask:
    """Say the class, or the values, of each sequence after its last element.

    The last model is kept and not the best on the test set, which would make the test set part of the training.
    """

    unit = "sequences"

    def __init__(self, data: SequenceData, config: TrainConfig) -> None:
        self._data, self._config = data, config
        self._rows = config.batch_size * config.accumulate
        self.size, self.steps_per_epoch = len(data.train), len(data.train) // self._rows
        if config.curriculum:
            raise DataError(f"{data.name} is labelled sequences, whose windows cannot grow: set curriculum=0.")
        if not self.steps_per_epoch:
            raise DataError(
                f"{data.name} has {self.size} sequences to train on, a step takes {self._rows}: lower the batch size."
            )

    def batch(self, step: int) -> tuple[list[mx.array], bool]:
        """x, dt, mask, lengths and y of a step's sequences; every epoch has an order of its own."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self._config.seed, epoch]).permutation(self.size)
        rows = order[within * self._rows : (within + 1) * self._rows]
        return _arrays(self._data.train.take(rows)), True

    def initial_state(self, model: Any, b: int) -> Any:
        """Nothing is carried."""
        return []

    def loss(self, model: Any, arrays: Sequence[mx.array], state: Any) -> tuple[mx.array, mx.array, Any]:
        """Nats a sequence, or the mean square of the error."""
        x, dt, mask, lengths, expected = arrays
        y, _, cost = model.learn(x, dt=dt, mask=mask)
        return _losses(_last(y, lengths), expected).mean(), cost, state

    def record(self, step: int, loss: float, seconds: float, lr: float, grad_norm: float) -> SequenceStepRecord:
        """The loss alone: the score takes another pass."""
        return SequenceStepRecord(step, loss, self._rows / seconds, lr, grad_norm)

    def evaluate(self, model: Any, step: int, last: bool) -> list[SequenceEvalRecord]:
        """The whole test set."""
        return [replace(evaluate_sequences(model, self._data), step=step, final=last)]

    def observe(self, model: Any, step: int) -> list[ActivityRecord]:
        """Of sequences of a batch."""
        (x, dt, mask, *_), _ = self.batch(step)
        return _activity(model, step, x[:OBSERVED], dt=dt[:OBSERVED], mask=mask[:OBSERVED])

    def score(self, records: list[SequenceEvalRecord]) -> float | None:
        """None."""
        return None


def evaluate_sequences(model: Any, data: SequenceData, *, batch_size: int = 64) -> SequenceEvalRecord:
    """Loss, and accuracy or root mean square error, over the whole test set.

    Raises:
        DataError: the model reads other vectors or says other things.
    """
    read, said = getattr(model.config, "inputs", 0), getattr(model.config, "outputs", 0)
    if (read, said) != (data.channels, data.outputs):
        raise DataError(
            f"{data.name} has {data.channels} channels and {data.outputs} outputs, the model {read} and {said}."
        )
    start, test = time.perf_counter(), data.test
    losses, outputs = [], []
    for first in range(0, len(test), batch_size):
        *inputs, y = _arrays(test.take(np.arange(first, min(first + batch_size, len(test)))))
        output = answers(model, *inputs)
        losses.append(np.array(_losses(output, y)))
        outputs.append(np.array(output))
    all_said = np.concatenate(outputs)
    if data.classes:
        score = float((all_said.argmax(-1) == test.y).mean())
    else:
        score = float(np.sqrt(((all_said - test.y) ** 2).mean()))
    measure: Literal["accuracy", "rmse"] = "accuracy" if data.classes else "rmse"
    mean, seconds = float(np.concatenate(losses).mean()), time.perf_counter() - start
    return SequenceEvalRecord(0, "test", mean, measure, score, len(test), seconds, final=True)


def _losses(y: mx.array, expected: mx.array) -> mx.array:
    """Of classes nats, of values the mean square."""
    return mx.square(y - expected).mean(-1) if expected.ndim == y.ndim else cross_entropy(y, expected)


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


def answers(model: Any, x: mx.array, dt: mx.array, mask: mx.array, lengths: mx.array) -> mx.array:
    """What the model says after the last element of each sequence, (b, outputs)."""
    y, _ = model(x, dt=dt, mask=mask)
    return _last(y, lengths)


def _last(y: mx.array, lengths: mx.array) -> mx.array:
    return mx.take_along_axis(y, (lengths - 1)[:, None, None], 1)[:, 0]


def _activity(model: Any, step: int, x: mx.array, **where: mx.array) -> list[ActivityRecord]:
    if not hasattr(model, "activity"):
        return []
    layers = model.activity(x, **where)
    rates, silent, busy = (tuple(v.item() for v in values) for values in zip(*layers, strict=True))
    return [ActivityRecord(step, rates, silent, busy)]


def make_task(data: Corpus | SequenceData, config: TrainConfig, tokenizer: Tokenizer = BYTES) -> Task:
    """The task that goes with the data; ``tokenizer`` is that of a model of text.

    Raises:
        DataError: there is too little of it.
    """
    return SequenceTask(data, config) if isinstance(data, SequenceData) else LanguageTask(data, config, tokenizer)


def _arrays(part: SequenceSet) -> list[mx.array]:
    return [mx.array(v) for v in (part.x, part.dt, part.mask, part.lengths, part.y)]
