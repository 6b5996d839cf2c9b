"""What training reports, as plain data: the library prints nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BITS_PER_NAT = 1 / math.log(2)


@dataclass(frozen=True)
class StartRecord:
    """A run begins, or goes on after ``step`` steps."""

    step: int
    steps: int
    parameters: int
    train_size: int
    unit: str  # of train_size: bytes or sequences
    steps_per_epoch: int


@dataclass(frozen=True)
class StepRecord:
    """One optimiser step."""

    step: int  # steps done
    loss: float  # nats a byte
    bits_per_byte: float
    bytes_per_second: float  # of this step
    lr: float
    grad_norm: float  # before clipping


@dataclass(frozen=True)
class EvalRecord:
    """Held-out bytes, each predicted once from those before it."""

    step: int
    split: str
    loss: float  # nats a byte
    bits_per_byte: float
    bytes: int
    seconds: float
    final: bool = False  # over the whole split


@dataclass(frozen=True)
class SequenceStepRecord:
    """One optimiser step on labelled sequences."""

    step: int  # steps done
    loss: float  # nats a sequence, or the mean square of the error
    sequences_per_second: float  # of this step
    lr: float
    grad_norm: float  # before clipping


@dataclass(frozen=True)
class SequenceEvalRecord:
    """Test sequences, each judged after its last element."""

    step: int
    split: str
    loss: float
    measure: Literal["accuracy", "rmse"]
    score: float
    sequences: int
    seconds: float
    final: bool = False


@dataclass(frozen=True)
class CheckpointRecord:
    """A checkpoint is on the disk."""

    step: int
    path: Path
    best: bool  # its weights are now those of model.safetensors


@dataclass(frozen=True)
class EndRecord:
    """The run is over, for this reason."""

    step: int
    reason: Literal["done", "stopped", "diverged"]
    path: Path | None
    seconds: float
    message: str = ""


AnyStep = StepRecord | SequenceStepRecord
AnyEval = EvalRecord | SequenceEvalRecord
Record = StartRecord | AnyStep | AnyEval | CheckpointRecord | EndRecord
