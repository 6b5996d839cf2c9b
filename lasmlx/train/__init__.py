"""The loop, its schedule, checkpoints and metrics. Yields records, prints nothing."""

from lasmlx.train.config import TrainConfig
from lasmlx.train.evaluate import evaluate
from lasmlx.train.loop import Trainer, train
from lasmlx.train.optimizer import AdamW
from lasmlx.train.recipe import Recipe, load_recipe, preset_names
from lasmlx.train.records import (
    ActivityRecord,
    CheckpointRecord,
    EndRecord,
    EvalRecord,
    Record,
    SequenceEvalRecord,
    SequenceStepRecord,
    StartRecord,
    StepRecord,
)
from lasmlx.train.run import Run, RunError, new_run_path, newest_run
from lasmlx.train.sequences import SequenceTask, evaluate_sequences

__all__ = [
    "ActivityRecord",
    "AdamW",
    "CheckpointRecord",
    "EndRecord",
    "EvalRecord",
    "Recipe",
    "Record",
    "Run",
    "RunError",
    "SequenceEvalRecord",
    "SequenceStepRecord",
    "SequenceTask",
    "StartRecord",
    "StepRecord",
    "TrainConfig",
    "Trainer",
    "evaluate",
    "evaluate_sequences",
    "load_recipe",
    "new_run_path",
    "newest_run",
    "preset_names",
    "train",
]
