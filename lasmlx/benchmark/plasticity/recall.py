"""Recall from what was read once: association, overwriting, many queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map
from numpy.typing import NDArray

from lasmlx.ops import cross_entropy
from lasmlx.stream import load_memory, save_memory
from lasmlx.train import TrainConfig, train
from lasmlx.train.records import SequenceStepRecord

KEYS, VALUES = 96, 96  # tokens 0 to 95 and 96 to 191
FILLER = (192, 256)
PIECE = 256  # tokens a pass
STAGE = 100  # steps before sequences twice as long come in
TRAINING = TrainConfig(steps=800, batch_size=32, seq_len=128, lr=5e-3, eval_every=0, save_every=0)
QUESTIONS: dict[str, tuple[str, dict[str, int]]] = {
    "one-shot, 32 tokens between": ("association", {"pairs": 4, "between": 32}),
    "one-shot, 480 tokens between": ("association", {"pairs": 4, "between": 480}),
    "key overwritten": ("overwrite", {"pairs": 8, "between": 16}),
    "8 pairs": ("queries", {"pairs": 8}),
    "16 pairs": ("queries", {"pairs": 16}),
    "32 pairs": ("queries", {"pairs": 32}),
    "64 pairs, not trained on": ("queries", {"pairs": 64}),
}
Batch = tuple[NDArray[np.int32], NDArray[np.bool_]]


def association(random: np.random.Generator, b: int, *, pairs: int, between: int) -> Batch:
    """Some pairs once, tokens that mean nothing, then each key: (b, t), and where the answers are."""
    keys, values = _keys(random, b, pairs), random.integers(KEYS, KEYS + VALUES, (b, pairs))
    return _asked([_told(keys, values), random.integers(*FILLER, (b, between))], keys, values, random)


def overwrite(random: np.random.Generator, b: int, *, pairs: int, between: int) -> Batch:
    """Every key twice with two values; the second is wanted."""
    keys = _keys(random, b, pairs)
    first, second = (random.integers(KEYS, KEYS + VALUES, (b, pairs)) for _ in range(2))
    order = random.permuted(np.tile(np.arange(pairs), (b, 1)), axis=1)
    again = _told(np.take_along_axis(keys, order, 1), np.take_along_axis(second, order, 1))
    return _asked([_told(keys, first), again, random.integers(*FILLER, (b, between))], keys, second, random)


def queries(random: np.random.Generator, b: int, *, pairs: int) -> Batch:
    """Multi-query associative recall: all pairs, then every key in another order.

    Source: Arora et al. 2023, Zoology, section 3.
    """
    keys, values = _keys(random, b, pairs), random.integers(KEYS, KEYS + VALUES, (b, pairs))
    return _asked([_told(keys, values)], keys, values, random)


MAKERS: dict[str, Any] = {"association": association, "overwrite": overwrite, "queries": queries}


class RecallTask:
    """A mixture of the three, each step one of them, longer as it goes; only answers count."""

    unit, restores = "sequences", False
    size = 1 << 30
    steps_per_epoch = 1 << 30

    def __init__(self, config: TrainConfig) -> None:
        self._config = config

    def batch(self, step: int) -> tuple[list[mx.array], bool]:
        """Tokens and where the answers are, (b, t)."""
        random, b = np.random.default_rng([self._config.seed, step]), self._config.batch_size
        pairs = 4 << int(random.integers(min(4, 1 + step // STAGE)))  # 4 at first, up to 32 later
        made = [
            lambda: queries(random, b, pairs=pairs),
            lambda: association(random, b, pairs=4, between=4 * pairs - 16),
            lambda: overwrite(random, b, pairs=pairs // 2, between=pairs),
        ][step % 3]()
        return [mx.array(v) for v in made], True

    def initial_state(self, model: Any, b: int) -> Any:
        """Nothing is carried."""
        return []

    def loss(self, model: Any, arrays: Sequence[mx.array], state: Any) -> tuple[mx.array, mx.array, Any]:
        """Nats an answer."""
        tokens, answers = arrays
        logits, _ = model(tokens[:, :-1])
        weight = answers[:, 1:].astype(mx.float32)
        return (cross_entropy(logits, tokens[:, 1:]) * weight).sum() / weight.sum(), mx.zeros(()), state

    def record(self, step: int, loss: float, seconds: float, lr: float, grad_norm: float) -> SequenceStepRecord:
        """The loss alone."""
        return SequenceStepRecord(step, loss, self._config.batch_size / seconds, lr, grad_norm)

    def evaluate(self, model: Any, step: int, last: bool) -> list[Any]:
        """Not while training."""
        return []

    def observe(self, model: Any, step: int) -> list[Any]:
        """Nothing."""
        return []

    def conclude(self, model: Any, step: int) -> list[Any]:
        """Nothing: the recall is measured by itself."""
        return []

    def score(self, records: list[Any]) -> float | None:
        """None: the last model is kept."""
        return None


def train_recall(model: Any, config: TrainConfig) -> None:
    """Train ``model`` in place on the mixture."""
    for _ in train(model, RecallTask(config), config):
        pass


def recall_accuracy(model: Any, question: str, *, sequences: int = 128, seed: int = 1 << 20) -> float:
    """Share of the answers of a question that ``model`` gets right, the likeliest token counting."""
    kind, sizes = QUESTIONS[question]
    random, right = np.random.default_rng(seed), []
    for _ in range(0, sequences, 32):
        tokens, answers = MAKERS[kind](random, 32, **sizes)
        right.append(_right(model, tokens, answers, None))
    return float(np.concatenate(right).mean())


def persistence(
    model: Any, between: int, folder: Path | None = None, *, sequences: int = 64, seed: int = 1 << 20
) -> float:
    """As :func:`recall_accuracy` of four pairs told once and asked after so many tokens that mean nothing.

    Args:
        folder: where each sequence's memory is saved before it is asked, and loaded from again.
    """
    random = np.random.default_rng([seed, between])
    tokens, answers = association(random, sequences, pairs=4, between=between)
    cut = tokens.shape[1] - 8
    state = read(model, tokens[:, :cut])
    if folder is not None:
        state = _through_files(model, state, folder, sequences)
    return float(_right(model, tokens[:, cut:], answers[:, cut:], state).mean())


def read(model: Any, tokens: NDArray[Any]) -> Any:
    """The state after tokens (b, t), read in pieces so that few logits are there at a time; None after no token."""
    state = None
    for start in range(0, tokens.shape[1], PIECE):
        _, state = model(mx.array(tokens[:, start : start + PIECE]), state)
        mx.eval(state)
    return state


def _through_files(model: Any, state: Any, folder: Path, count: int) -> Any:
    path, rows = folder / "memory.safetensors", []
    for row in range(count):
        save_memory(path, model, tree_map(lambda v, row=row: v[row : row + 1], state))
        rows.append(load_memory(path, model))
    return tree_map(lambda *parts: mx.concatenate(list(parts)), *rows)


def _right(model: Any, tokens: NDArray[Any], answers: NDArray[Any], state: Any) -> NDArray[np.bool_]:
    logits, _ = model(mx.array(tokens[:, :-1]), state)
    said = np.array(logits.argmax(-1))
    right: NDArray[np.bool_] = (said == tokens[:, 1:])[answers[:, 1:]]
    return right


def _keys(random: np.random.Generator, b: int, pairs: int) -> NDArray[np.int64]:
    return random.permuted(np.tile(np.arange(KEYS), (b, 1)), axis=1)[:, :pairs]


def _told(keys: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    return np.stack([keys, values], -1).reshape(len(keys), -1)


def _asked(before: list[NDArray[Any]], keys: NDArray[Any], values: NDArray[Any], random: np.random.Generator) -> Batch:
    order = random.permuted(np.tile(np.arange(keys.shape[1]), (len(keys), 1)), axis=1)
    asked = _told(np.take_along_axis(keys, order, 1), np.take_along_axis(values, order, 1))
    tokens = np.concatenate([*before, asked], 1).astype(np.int32)
    answers = np.zeros(tokens.shape, bool)
    answers[:, tokens.shape[1] - asked.shape[1] + 1 :: 2] = True
    return tokens, answers
