"""Held-out text, and words that were told once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.benchmark.plasticity.recall import read
from lasmlx.data import ByteSource, Corpus
from lasmlx.train import TrainConfig, evaluate, train

TRAINING = TrainConfig(steps=600, batch_size=16, seq_len=128, lr=5e-3, eval_every=0, save_every=0)
TOLD_STEPS, LONG_STEPS = 800, 2000
BETWEEN = (0, 16, 64, 256, 1024, 4096)  # bytes of distraction
TRIALS = 96
KINDS = ("whale", "knife", "ship", "bird", "cloth", "drum", "stone", "lamp", "storm", "fruit", "harpoon", "song")
COLOURS = ("red", "copper", "silent", "hollow", "bright", "frozen", "crooked", "golden", "narrow", "salted")
ANSWER = 12  # bytes of an answer
WHATS = [f"{colour} {kind}" for colour in COLOURS for kind in KINDS if len(colour) + len(kind) + 1 == ANSWER]


def train_text(model: Any, corpus: Corpus, config: TrainConfig) -> None:
    """Train ``model`` in place on the training part."""
    for _ in train(model, corpus, config):
        pass


def bits_per_byte(model: Any, corpus: Corpus) -> dict[str, float]:
    """Over every byte of each held-out split."""
    return {split: evaluate(model, source, split=split).bits_per_byte for split, source in corpus.held_out.items()}


def with_definitions(corpus: Corpus, every: int, seed: int) -> Corpus:
    """The corpus with a made-up word defined, and used again a little later, about every ``every`` bytes of training.

    What the training text lacks and the question needs: something that is told once and asked for soon.
    """
    random, data = np.random.default_rng(seed), corpus.train[0 : len(corpus.train)].tobytes()
    pieces, start = [], 0
    while start < len(data):
        length = int(random.integers(every // 2, 3 * every // 2))
        gap, told = int(2 ** random.uniform(0, 9)) - 1, Told.draw(random)
        middle = min(start + length, len(data))
        pieces += [data[start:middle], told.definition, data[middle : middle + gap], told.question, told.answer, b".\n"]
        start = middle + gap
    return replace(corpus, train=ByteSource.from_bytes(f"{corpus.name} with definitions", b"".join(pieces)))


@dataclass(frozen=True)
class Told:
    """A made-up word and what it is."""

    word: str
    what: str

    @classmethod
    def draw(cls, random: np.random.Generator) -> Told:
        """``zephyr-9`` and ``copper whale``, say."""
        letters = ["bcdfghjklmnprstvwz", "aeiou"]
        word = "".join(random.choice(list(letters[i % 2])) for i in range(4))
        return cls(f"{word}-{random.integers(10)}", str(random.choice(WHATS)))

    @property
    def definition(self) -> bytes:
        """Told once."""
        return self.question + f"{self.what}.\n".encode()

    @property
    def question(self) -> bytes:
        """Asked later."""
        return f"\n{self.word}: ".encode()

    @property
    def answer(self) -> bytes:
        """What is the right continuation."""
        return self.what.encode()


@dataclass(frozen=True)
class ToldScore:
    """How a model answers after so many bytes of distraction."""

    between: int
    preferred: float  # share of trials in which the answer told is likelier than one that another word was told
    bits: float  # log2 p(answer told) - log2 p(the other), a byte of the answer, mean over trials


def ask(model: Any, filler: ByteSource, between: int, *, trials: int = TRIALS, seed: int = 1 << 20) -> ToldScore:
    """Tell a word, distract, ask: is the continuation that was told likelier than a control?

    Trials come in pairs of two words and two answers of one length, each word told with each answer once; the control
    is the other. So neither words nor answers decide, only what was told.
    """
    random, rows = np.random.default_rng([seed, between]), []
    for _ in range(trials // 2):
        one, two = _pair(random)
        start = int(random.integers(0, max(1, len(filler) - between)))
        distraction = filler[start : start + between].tobytes()
        for told, control in ((one, two), (replace(one, what=two.what), one)):
            rows += [told.definition + distraction + told.question + w.answer for w in (told, control)]
    right, wrong = _log2(model, rows, ANSWER).reshape(-1, 2).T
    return ToldScore(between, float((right > wrong).mean()), float((right - wrong).mean() / ANSWER))


def _pair(random: np.random.Generator) -> tuple[Told, Told]:
    while True:
        one, two = Told.draw(random), Told.draw(random)
        if not set(one.what.split()) & set(two.what.split()):
            return one, two


def _log2(model: Any, rows: Sequence[bytes], count: int) -> NDArray[np.float64]:
    """log2 p of the last ``count`` bytes of each row, all of one length, given those before."""
    data = np.stack([np.frombuffer(row, np.uint8) for row in rows])
    x, state = mx.array(data), read(model, data[:, : -count - 1])
    logits, _ = model(x[:, -count - 1 : -1], state)
    logp = logits - mx.logsumexp(logits, -1, keepdims=True)
    chosen = mx.take_along_axis(logp, x[:, -count:, None].astype(mx.int32), 2)
    return np.array(chosen.sum((1, 2)), np.float64) / np.log(2)
