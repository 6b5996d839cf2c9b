"""Labelled sequences: the task of a class or of values, and how well a model does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.data import DataError, SequenceData, SequenceSet
from lasmlx.ops import cross_entropy
from lasmlx.train.config import TrainConfig
from lasmlx.train.observe import OBSERVED, activity_of
from lasmlx.train.records import ActivityRecord, SequenceEvalRecord, SequenceStepRecord

ELEMENTS = 1 << 16  # the most in one pass that judges


class SequenceTask:
    """Say the class, or the values, of each sequence after its last element.

    With ``validation`` a share of the training sequences is held back: the model that does best on it is kept, and
    judged on the test set once, at the end. Without, the last model is kept and not the best on the test set, which
    would make the test set part of the training.
    """

    unit = "sequences"

    def __init__(self, data: SequenceData, config: TrainConfig) -> None:
        self._data, self._config = data, config
        self._rows = config.batch_size * config.accumulate
        self._train, self._validation = _split(data, config)
        self._noise = config.jitter * data.statistics.deviation if config.jitter else None
        self._losses = _loss_of(data)
        self.restores = self._validation is not None
        self.size, self.steps_per_epoch = len(self._train), len(self._train) // self._rows
        if config.curriculum:
            raise DataError(f"{data.name} is labelled sequences, whose windows cannot grow: set curriculum=0.")
        if config.balance and not data.classes:
            raise DataError(f"{data.name} has values and no classes to balance: set balance=false.")
        if not self.steps_per_epoch:
            raise DataError(
                f"{data.name} has {self.size} sequences to train on, a step takes {self._rows}: lower the batch size."
            )
        if config.crop and data.targets:
            raise DataError(f"{data.name} is forecasts, which go on from the end of a sequence: set crop=0.")
        self._weights = mx.array(_balanced(self._train.y, len(data.classes))) if config.balance else None

    def batch(self, step: int) -> tuple[list[mx.array], bool]:
        """x, dt, mask, lengths and y of a step's sequences; each epoch has an order, each step stretches and noise."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self._config.seed, epoch]).permutation(self.size)
        rows = order[within * self._rows : (within + 1) * self._rows]
        part, seed = self._train.take(rows), self._config.seed
        if self._config.crop:
            part = part.cropped(self._config.crop, [seed, 1, step])
        if self._noise is not None:
            part = part.jittered(self._noise, [seed, 2, step])
        return _arrays(part), True

    def initial_state(self, model: Any, b: int) -> Any:
        """Nothing is carried."""
        return []

    def loss(self, model: Any, arrays: Sequence[mx.array], state: Any) -> tuple[mx.array, mx.array, Any]:
        """Nats a sequence, each weighed by its class if that is wanted, or the mean square of errors in deviations."""
        x, dt, mask, lengths, expected = arrays
        y, _, cost = model.learn(x, dt=dt, mask=mask)
        losses = self._losses(_last(y, lengths), expected)
        if self._weights is not None:
            losses = losses * self._weights[expected]
        return losses.mean(), cost, state

    def record(self, step: int, loss: float, seconds: float, lr: float, grad_norm: float) -> SequenceStepRecord:
        """The loss alone: the score takes another pass."""
        return SequenceStepRecord(step, loss, self._rows / seconds, lr, grad_norm)

    def evaluate(self, model: Any, step: int, last: bool) -> list[SequenceEvalRecord]:
        """The whole validation set, or test set where nothing is held back."""
        if self._validation is None:
            return [replace(evaluate_sequences(model, self._data), step=step, final=last)]
        judged = evaluate_sequences(model, self._data, part=self._validation)
        return [replace(judged, step=step, split="validation", final=False)]

    def observe(self, model: Any, step: int) -> list[ActivityRecord]:
        """Of sequences of a batch."""
        (x, dt, mask, *_), _ = self.batch(step)
        return activity_of(model, step, x[:OBSERVED], dt=dt[:OBSERVED], mask=mask[:OBSERVED])

    def score(self, records: list[SequenceEvalRecord]) -> float | None:
        """The loss on the validation set; None without."""
        return None if self._validation is None else records[0].loss

    def conclude(self, model: Any, step: int) -> list[SequenceEvalRecord]:
        """The whole test set."""
        return [replace(evaluate_sequences(model, self._data), step=step)]


def evaluate_sequences(
    model: Any, data: SequenceData, *, part: SequenceSet | None = None, batch_size: int = 64
) -> SequenceEvalRecord:
    """Loss, accuracy and confusion, or root mean square error, over the whole test set or another part of ``data``.

    A forecast is judged beside the naive one, that nothing changes any more.

    Raises:
        DataError: the model reads other vectors or says other things.
    """
    read, said = getattr(model.config, "inputs", 0), getattr(model.config, "outputs", 0)
    if (read, said) != (data.channels, data.outputs):
        raise DataError(
            f"{data.name} has {data.channels} channels and {data.outputs} outputs, the model {read} and {said}."
        )
    start, part = time.perf_counter(), data.test if part is None else part
    rows = max(1, min(batch_size, ELEMENTS // part.x.shape[1]))
    losses, outputs, loss = [], [], _loss_of(data)
    for first in range(0, len(part), rows):
        *inputs, y = _arrays(part.take(np.arange(first, min(first + rows, len(part)))))
        output = answers(model, *inputs)
        losses.append(np.array(loss(output, y)))
        outputs.append(np.array(output))
    all_said = np.concatenate(outputs)
    measure: Literal["accuracy", "rmse"] = "accuracy" if data.classes else "rmse"
    score, counts = _score(all_said, part.y, len(data.classes))
    mean, seconds = float(np.concatenate(losses).mean()), time.perf_counter() - start
    naive = _score(data.persistence(part), part.y, 0)[0] if data.targets else None
    return SequenceEvalRecord(
        0, "test", mean, measure, score, len(part), seconds, final=True, naive=naive, confusion=counts
    )


def fit_scales(model: Any, data: SequenceData) -> None:
    """Give the model the scales of what it will read and, of values, of what it will say."""
    model.fit_inputs(data.statistics)
    if not data.classes:
        model.fit_answers(*data.answer_statistics)


def answers(model: Any, x: mx.array, dt: mx.array, mask: mx.array, lengths: mx.array) -> mx.array:
    """What the model says after the last element of each sequence, (b, outputs)."""
    y, _ = model(x, dt=dt, mask=mask)
    return _last(y, lengths)


def _score(said: NDArray[Any], y: NDArray[Any], classes: int) -> tuple[float, tuple[tuple[int, ...], ...]]:
    """Accuracy and the counts (true class, class said), or the root mean square error and nothing."""
    if not classes:
        return float(np.sqrt(((said - y) ** 2).mean())), ()
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (y, said.argmax(-1)), 1)
    return float(np.trace(counts) / counts.sum()), tuple(tuple(row) for row in counts.tolist())


def _split(data: SequenceData, config: TrainConfig) -> tuple[SequenceSet, SequenceSet | None]:
    """What is trained on and what is held back of it: the share of each class, the end of a series."""
    share, whole = config.validation, data.train
    if not share:
        return whole, None
    if data.classes:
        order = np.random.default_rng(config.seed).permutation(len(whole))
        each = (order[whole.y[order] == c] for c in np.unique(whole.y))
        held = np.concatenate([rows[: max(round(share * len(rows)), int(len(rows) > 1))] for rows in each])
    elif data.ordered:
        return _cut(data, len(whole) - max(1, round(share * len(whole))))
    else:
        order = np.random.default_rng(config.seed).permutation(len(whole))
        held = order[: max(1, round(share * len(whole)))]
    if not 0 < len(held) < len(whole):
        raise DataError(
            f"{data.name} has {len(whole)} sequences to train on: {share:g} of them leave {len(whole) - len(held)} to "
            f"train on and {len(held)} to validate. Set validation=0."
        )
    return whole.take(np.setdiff1d(order, held)), whole.take(np.sort(held))


def _cut(data: SequenceData, first: int) -> tuple[SequenceSet, SequenceSet]:
    """Windows of a series: the last are held back, and those before that reach into what they forecast left out."""
    left = first - data.horizon + 1
    if left < 1:
        raise DataError(
            f"{data.name} has {len(data.train)} windows to train on, too few to hold back those from {first} on. "
            "Set validation=0."
        )
    return data.train.stretch(slice(left)), data.train.stretch(slice(first, None))


def _balanced(y: NDArray[Any], classes: int) -> NDArray[np.float32]:
    """A weight a class, so that all weigh the same: sequences / (classes that there are * sequences of the class)."""
    counts = np.bincount(y, minlength=classes)
    return (len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)


def _loss_of(data: SequenceData) -> Callable[[mx.array, mx.array], mx.array]:
    """Of classes nats, of values the mean square of the error in deviations of the training set."""
    if data.classes:
        return cross_entropy
    deviation = mx.array(data.answer_statistics[1])
    return lambda y, expected: mx.square((y - expected) / deviation).mean(-1)


def _last(y: mx.array, lengths: mx.array) -> mx.array:
    return mx.take_along_axis(y, (lengths - 1)[:, None, None], 1)[:, 0]


def _arrays(part: SequenceSet) -> list[mx.array]:
    return [mx.array(v) for v in (part.x, part.dt, part.mask, part.lengths, part.y)]
