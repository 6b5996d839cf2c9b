"""From what a user asks for to a run that is ready: model, data and folder, checked before anything starts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from lasmlx.data import Corpus, corpus_names, load_corpus
from lasmlx.models import make_model
from lasmlx.train.config import TrainConfig
from lasmlx.train.loop import train, training_windows
from lasmlx.train.recipe import Recipe, load_recipe
from lasmlx.train.records import Record
from lasmlx.train.run import CHECKPOINT_FILE, Run, RunError, new_run_path, newest_run


@dataclass(frozen=True)
class TrainingSession:
    """A run about to start, or to go on."""

    recipe: Recipe
    model: Any
    corpus: Corpus
    run: Run
    resumed: bool
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def config(self) -> TrainConfig:
        """How it is trained."""
        return self.recipe.train

    def records(self) -> Iterator[Record]:
        """Train, yielding records; set ``stop`` to end after the step in hand."""
        return train(self.model, self.corpus, self.config, self.run, resume=self.resumed, stop=self.stop)


def prepare(
    name: str | Path | None, settings: Mapping[str, Any], data: tuple[str, ...], out: Path | None
) -> TrainingSession:
    """A new run of a preset or recipe file with some settings changed.

    Args:
        name: ``las`` if None.
        data: instead of the recipe's.
        out: a folder that is new or empty; by default a new one under ``./runs``.

    Raises:
        ConfigError, DataError, RunError, FileError: before anything is written.
    """
    recipe = load_recipe(name or "las").replace(settings)
    recipe = replace(recipe, data=_absolute(data or recipe.data))
    corpus = load_corpus(recipe.data)
    training_windows(corpus, recipe.train)  # too little data is an error before anything is written
    run = Run.create(out or new_run_path(recipe.name), _describe(recipe, corpus))
    mx.random.seed(recipe.train.seed)
    return TrainingSession(recipe, make_model(recipe.model), corpus, run, resumed=False)


def resume_run(
    name: str | Path | None, settings: Mapping[str, Any], data: tuple[str, ...], out: Path | None
) -> TrainingSession:
    """The run in ``out``, or the newest under ``./runs``, from its last checkpoint.

    What is given besides must be what the run was started with.

    Raises:
        RunError: there is no such run, or it was started with something else. FileError: it is damaged.
        DataError: its data is gone or has changed.
    """
    path = out or newest_run(file=CHECKPOINT_FILE)
    if path is None:
        raise RunError("there is nothing to resume under ./runs: name the run's folder with --out.")
    run = Run.open(path)
    tables = {key: run.description[key] for key in ("model", "train", "data")}
    stored = Recipe.from_dict(run.description.get("name", "run"), tables)
    wanted = stored if name is None else load_recipe(name)
    wanted = replace(wanted, data=_absolute(data or wanted.data))
    _must_match(path, stored.to_dict(), wanted.replace(settings).to_dict())
    corpus = load_corpus(stored.data)
    if corpus.fingerprint != run.description["fingerprint"]:
        raise RunError(f"the data ({', '.join(stored.data)}) is not what {path} was trained on: it has changed since.")
    mx.random.seed(stored.train.seed)
    return TrainingSession(stored, make_model(stored.model), corpus, run, resumed=True)


def _describe(recipe: Recipe, corpus: Corpus) -> dict[str, Any]:
    return {"name": recipe.name} | recipe.to_dict() | {"fingerprint": corpus.fingerprint}


def _absolute(data: tuple[str, ...]) -> tuple[str, ...]:
    """Files by their whole path, so that a run can be resumed from any folder."""
    return tuple(spec if spec in corpus_names() else _absolute_path(spec) for spec in data)


def _absolute_path(spec: str) -> str:
    path = Path(spec).expanduser()
    return str(path.absolute()) if path.exists() else spec


def _must_match(path: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    for table in ("model", "train"):
        for key, value in stored[table].items():
            other = wanted[table].get(key, "absent")
            if other != value:
                raise RunError(f"{path} was started with {key} = {value}, not {other}: resume without changing it.")
    if stored["data"] != wanted["data"]:
        raise RunError(f"{path} was started with --data {' '.join(stored['data'])}: resume without changing it.")
