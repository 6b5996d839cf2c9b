"""From what a user asks for to a run that is ready: model, data and folder, checked before anything starts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from lasmlx.data import (
    BYTES,
    Corpus,
    DataError,
    SequenceData,
    Tokenizer,
    absolute_sequences,
    corpus_names,
    load_corpus,
    load_sequences,
    load_tokenizer,
    names_sequences,
    tokenizer_of,
)
from lasmlx.models import make_model
from lasmlx.train.config import TrainConfig
from lasmlx.train.loop import train
from lasmlx.train.recipe import Recipe, load_recipe
from lasmlx.train.records import Record
from lasmlx.train.run import CHECKPOINT_FILE, Run, RunError, new_run_path, newest_run
from lasmlx.train.sequences import fit_scales
from lasmlx.train.task import Task, make_task


@dataclass(frozen=True)
class TrainingSession:
    """A run about to start, or to go on."""

    recipe: Recipe
    model: Any
    data: Corpus | SequenceData
    tokenizer: Tokenizer
    task: Task
    run: Run
    resumed: bool
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def config(self) -> TrainConfig:
        """How it is trained."""
        return self.recipe.train

    def records(self) -> Iterator[Record]:
        """Train, yielding records; set ``stop`` to end after the step in hand."""
        return train(self.model, self.task, self.config, self.run, resume=self.resumed, stop=self.stop)


def prepare(
    name: str | Path | None,
    settings: Mapping[str, Any],
    data: tuple[str, ...],
    out: Path | None,
    tokenizer: str | None = None,
) -> TrainingSession:
    """A new run of a preset or recipe file with some settings changed.

    Args:
        name: ``las`` if None.
        data: instead of the recipe's.
        out: a folder that is new or empty; by default a new one under ``./runs``.
        tokenizer: ``bytes``, ``gpt2`` or a file, instead of the recipe's; the file is copied into the run.

    Raises:
        ConfigError, DataError, RunError, FileError: before anything is written.
    """
    recipe = load_recipe(name or "las").replace(settings)
    recipe = replace(recipe, data=_absolute(data or recipe.data))
    recipe, reader = _reading(recipe, tokenizer)
    learnt = _load(recipe.data)
    if isinstance(learnt, SequenceData):
        recipe = _fitted(recipe, learnt)
    elif getattr(recipe.model, "inputs", 0):
        raise DataError(f"{' '.join(recipe.data)} is bytes: set inputs=0.")
    task = make_task(learnt, recipe.train, reader)  # too little data is an error before anything is written
    run = Run.create(out or new_run_path(recipe.name), _describe(recipe, learnt, reader))
    reader.save(run.path)
    mx.random.seed(recipe.train.seed)
    model = make_model(recipe.model)
    if isinstance(learnt, SequenceData):
        fit_scales(model, learnt)
    return TrainingSession(recipe, model, learnt, reader, task, run, resumed=False)


def resume_run(
    name: str | Path | None,
    settings: Mapping[str, Any],
    data: tuple[str, ...],
    out: Path | None,
    tokenizer: str | None = None,
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
    reader = tokenizer_of(stored.model, path)
    given = reader if tokenizer is None else load_tokenizer(tokenizer)
    if given.fingerprint != reader.fingerprint or reader.fingerprint != run.description.get("tokenizer", "bytes"):
        raise RunError(f"{path} was started with another tokenizer: resume with the one it was started with.")
    wanted = stored if name is None else load_recipe(name)
    wanted = replace(_with_vocabulary(wanted, reader), data=_absolute(data or wanted.data))
    learnt = _load(stored.data)
    if name is not None and isinstance(learnt, SequenceData):
        wanted = _fitted(wanted, learnt)
    _must_match(path, stored.to_dict(), wanted.replace(settings).to_dict())
    if learnt.fingerprint != run.description["fingerprint"]:
        raise RunError(f"the data ({', '.join(stored.data)}) is not what {path} was trained on: it has changed since.")
    mx.random.seed(stored.train.seed)
    task = make_task(learnt, stored.train, reader)
    return TrainingSession(stored, make_model(stored.model), learnt, reader, task, run, resumed=True)


def _load(data: tuple[str, ...]) -> Corpus | SequenceData:
    sequences = [spec for spec in data if names_sequences(spec)]
    if not sequences:
        return load_corpus(data)
    if len(data) > 1:
        raise DataError(f"labelled sequences are not joined: give {sequences[0]} alone.")
    return load_sequences(data[0])


def _reading(recipe: Recipe, tokenizer: str | None) -> tuple[Recipe, Tokenizer]:
    """With the model's vocabulary that of the tokenizer, and the tokenizer."""
    name = getattr(recipe.model, "tokenizer", "bytes")
    if not hasattr(recipe.model, "tokenizer") and tokenizer not in (None, "bytes"):
        raise DataError(f"a {recipe.model.model_type} model reads bytes; --tokenizer is for models that read tokens.")
    if name == "sentencepiece" and tokenizer is None:
        raise DataError(
            f"{recipe.name} reads tokens of a vocabulary learnt from data: give --tokenizer FILE.model; "
            "`las data tokenizer train` makes one."
        )
    reader = load_tokenizer(tokenizer or name)
    return _with_vocabulary(recipe, reader), reader


def _with_vocabulary(recipe: Recipe, tokenizer: Tokenizer) -> Recipe:
    if not hasattr(recipe.model, "tokenizer"):
        return recipe
    return recipe.replace({"model.tokenizer": tokenizer.name, "model.vocab": tokenizer.size})


def _fitted(recipe: Recipe, data: SequenceData) -> Recipe:
    """With the model's inputs and outputs those of the data."""
    if not hasattr(recipe.model, "inputs"):
        raise DataError(
            f"a {recipe.model.model_type} model reads bytes; labelled sequences are for lnn, lstm, mamba-kan, "
            "spiking-mamba and transformer."
        )
    return recipe.replace({f"model.{name}": value for name, value in data.sizes.items()})


def _describe(recipe: Recipe, data: Corpus | SequenceData, tokenizer: Tokenizer) -> dict[str, Any]:
    reads = {} if tokenizer is BYTES else {"tokenizer": tokenizer.fingerprint}
    classes = {"classes": list(data.classes)} if isinstance(data, SequenceData) else {}
    return {"name": recipe.name} | recipe.to_dict() | {"fingerprint": data.fingerprint} | reads | classes


def _absolute(data: tuple[str, ...]) -> tuple[str, ...]:
    """Files by their whole path, so that a run can be resumed from any folder."""
    return tuple(spec if spec in corpus_names() else _absolute_path(spec) for spec in data)


def _absolute_path(spec: str) -> str:
    if names_sequences(spec):
        return absolute_sequences(spec)
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
