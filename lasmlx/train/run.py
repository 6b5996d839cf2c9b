"""A run's folder: what it trains, its best weights, and all that an exact resume needs.

``config.json`` and ``model.safetensors`` are the model with the best held-out loss so far. ``optimizer.safetensors`` is
the last checkpoint: parameters, moments, carried state, random state, and in its header the step; one file, so one
rename makes it whole. ``train_state.json`` says what is trained on what. ``metrics.jsonl`` has a line a record.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import mlx.core as mx

from lasmlx.models.files import FileError, load_arrays, save_arrays, write_atomically
from lasmlx.train.records import AnyEval, AnyStep, SequenceStepRecord, StepRecord

CHECKPOINT_FILE = "optimizer.safetensors"
STATE_FILE = "train_state.json"
METRICS_FILE = "metrics.jsonl"


class RunError(ValueError):
    """A run's folder exists already, holds nothing to resume, or belongs to another run."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that moves during a run, after ``step`` steps."""

    step: int
    best: float | None  # the score of the best model so far: bits per byte, or the validation loss
    best_step: int  # after which it was found
    arrays: dict[str, mx.array]


@dataclass(frozen=True)
class Run:
    """The folder of one run and the description (model, training, data) that its checkpoints must match."""

    path: Path
    description: dict[str, Any]

    @classmethod
    def create(cls, path: Path, description: dict[str, Any]) -> Run:
        """Make the folder of a new run.

        Raises:
            RunError: it exists and is not empty. FileError: it cannot be made.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(f"{path} exists already: choose another --out, or continue that run with --resume.")
        write_atomically(path / STATE_FILE, json.dumps(description, indent=2).encode() + b"\n")
        return cls(path, description)

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run's folder.

        Raises:
            RunError: it is none, or has no checkpoint yet. FileError: its description is damaged.
        """
        if not (path / STATE_FILE).is_file():
            raise RunError(f"{path} holds no run to resume ({STATE_FILE} is missing).")
        if not (path / CHECKPOINT_FILE).is_file():
            raise RunError(f"{path} holds no checkpoint to resume: it ended before the first was saved.")
        try:
            description = json.loads((path / STATE_FILE).read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise FileError(f"{path / STATE_FILE} is damaged ({error}).") from None
        if not isinstance(description, dict) or not {"model", "train", "data", "fingerprint"} <= description.keys():
            raise FileError(f"{path / STATE_FILE} is not the state of a lasmlx run.")
        for leftover in path.glob(".*-*"):  # a kill while writing leaves a temporary file
            leftover.unlink()
        return cls(path, description)

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint atomically, in place of the one before."""
        metadata = {"step": str(checkpoint.step), "best": json.dumps(checkpoint.best)}
        metadata["best_step"] = str(checkpoint.best_step)
        save_arrays(self.path / CHECKPOINT_FILE, checkpoint.arrays, metadata)
        return self.path / CHECKPOINT_FILE

    def load(self) -> Checkpoint:
        """The last checkpoint.

        Raises:
            FileError: it is damaged.
        """
        arrays, metadata = load_arrays(self.path / CHECKPOINT_FILE)
        try:
            step, best = int(metadata["step"]), json.loads(metadata["best"])
            return Checkpoint(step, best, int(metadata.get("best_step", step)), arrays)
        except (KeyError, ValueError):
            raise FileError(f"{self.path / CHECKPOINT_FILE} is not a checkpoint of a lasmlx run.") from None

    def log(self, record: AnyStep | AnyEval) -> None:
        """Append a record to ``metrics.jsonl``."""
        line = {
            "record": "step" if isinstance(record, StepRecord | SequenceStepRecord) else "eval"
        } | dataclasses.asdict(record)
        try:
            with (self.path / METRICS_FILE).open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise FileError(f"cannot write {self.path / METRICS_FILE}: {error.strerror}.") from None

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``; a last line that a kill cut short is left out."""
        path, lines = self.path / METRICS_FILE, []
        for line in path.read_text().splitlines() if path.is_file() else []:
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return lines

    def rewind(self, step: int) -> None:
        """Drop what was logged after ``step``: a resumed run does those steps again."""
        kept = [line for line in self.metrics() if line["step"] <= step]
        write_atomically(self.path / METRICS_FILE, "".join(json.dumps(line) + "\n" for line in kept).encode())


def new_run_path(name: str, root: Path | None = None) -> Path:
    """A folder under ``./runs`` that does not exist yet: ``<date>-<time>-<name>``."""
    root = root or Path("runs")
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    path, count = root / stem, 1
    while path.exists():
        count += 1
        path = root / f"{stem}-{count}"
    return path


def newest_run(root: Path | None = None, file: str = "model.safetensors") -> Path | None:
    """The folder under ``./runs`` whose ``file`` was written last, or None."""
    root = root or Path("runs")
    found = [p.parent for p in root.glob(f"*/{file}")]
    return max(found, key=lambda p: os.stat(p / file).st_mtime_ns, default=None)
