"""Labelled sequences: what each family learns of them, whole and with elements dropped at random."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx
import numpy as np

from lasmlx.benchmark.records import Row, Stage
from lasmlx.data import SequenceData
from lasmlx.models import Config, make_model
from lasmlx.models.lnn import LNNConfig
from lasmlx.models.lstm import LSTMConfig
from lasmlx.models.mamba_kan import MambaKANConfig
from lasmlx.train import TrainConfig, Trainer, evaluate_sequences
from lasmlx.train.sequences import SequenceTask, fit_scales

TAU: dict[str, Any] = {"tau_min": 1.0, "tau_max": 10.0}  # seconds, of elements a second apart
MODELS: Mapping[str, tuple[type[Config], dict[str, Any]]] = {
    "liquid": (LNNConfig, TAU),
    "soft": (LNNConfig, {"cell": "soft", **TAU}),
    "ltc": (LNNConfig, {"cell": "ltc", "substeps": 3, "layers": 1}),
    "cfc": (LNNConfig, {"cell": "cfc"}),
    "lstm": (LSTMConfig, {}),
    "mamba-kan": (MambaKANConfig, {"hidden": 64, "n": 8}),
    "mlp twin": (MambaKANConfig, {"hidden": 64, "n": 8, "kan": "mlp"}),
}
TRAINING = TrainConfig(steps=300, batch_size=16, lr=5e-3)


@dataclass(frozen=True)
class SequenceRow(Row):
    """One model on one set of data: the last model's score on the test set, a seed each."""

    data: str
    model: str
    dropped: float  # share of the elements left out of training and test set; the time stamps stay true
    scores: tuple[float, ...]  # accuracy, or root mean square error
    parameters: int
    seconds: float  # to train and to judge, a seed

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.scores))

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds, of a sample."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else 0.0


def measure_sequences(
    data: SequenceData,
    *,
    models: Sequence[str] = tuple(MODELS),
    dropped: Sequence[float] = (0.0,),
    seeds: int = 5,
    training: TrainConfig = TRAINING,
) -> Iterator[SequenceRow | Stage]:
    """Train every model on ``data``, once a seed; the same seed drops the same elements for all of them.

    Raises:
        ValueError: a model is unknown, a share is not 0 to below 1, or there is no seed.
    """
    unknown = [name for name in models if name not in MODELS]
    if unknown or seeds < 1 or not all(0 <= share < 1 for share in dropped):
        raise ValueError(
            f"bench: models {list(models)}, dropped {list(dropped)}, seeds {seeds}: expected some of "
            f"{', '.join(MODELS)}, shares from 0 to below 1, and at least one seed."
        )
    for share in dropped:
        for name in models:
            yield Stage(f"{data.name}, {share:.0%} dropped: {name}")
            start = time.perf_counter()
            results = [_train(data, name, share, seed, training) for seed in range(seeds)]
            seconds = (time.perf_counter() - start) / seeds
            yield SequenceRow(data.name, name, share, tuple(s for s, _ in results), results[0][1], seconds)


def _train(data: SequenceData, name: str, share: float, seed: int, training: TrainConfig) -> tuple[float, int]:
    if share:
        data = replace(data, train=data.train.thinned(share, 2 * seed), test=data.test.thinned(share, 2 * seed + 1))
    rows = min(training.batch_size, len(data.train))
    config = TrainConfig(**(training.to_dict() | {"seed": seed, "batch_size": rows}))
    family, settings = MODELS[name]
    return train_and_judge(family.from_dict(data.sizes | settings), data, config)[:2]


def train_and_judge(config: Config, data: SequenceData, plan: TrainConfig) -> tuple[float, int, float]:
    """The score of the last model on the test set, its parameters, and the seconds of its training."""
    mx.random.seed(plan.seed)
    model = make_model(config)
    fit_scales(model, data)
    task = SequenceTask(data, plan)
    trainer, start = Trainer(model, plan, task), time.perf_counter()
    for step in range(plan.steps):
        arrays, fresh = task.batch(step)
        trainer.step(*arrays, fresh=fresh)
    seconds = time.perf_counter() - start
    return evaluate_sequences(model, data).score, model.size, seconds
