"""What training reports, as plain data: the library prints nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BITS_PER_NAT = 1 / math.log(2)

MOST_SILENT = 0.9  # shares of a layer from which on it is called silent, or busy
MOST_BUSY = 0.5


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
    loss: float  # nats a sequence, or the mean square of the error in deviations
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
    naive: float | None = None  # of a forecast: the score of saying the last element again
    confusion: tuple[tuple[int, ...], ...] = ()  # of each class, a row, how many were said to be of each


@dataclass(frozen=True)
class ActivityRecord:
    """How much the neurons of a spiking model fire, a number a layer."""

    step: int
    rates: tuple[float, ...]  # spikes a neuron and tick
    silent: tuple[float, ...]  # share of the neurons that never fired
    busy: tuple[float, ...]  # share of those that fired at nearly every tick

    @property
    def warnings(self) -> list[str]:
        """What is wrong, and what to do about it; nothing if all is well."""
        found = []
        for i, (silent, busy) in enumerate(zip(self.silent, self.busy, strict=True), 1):
            if silent > MOST_SILENT:
                found.append(
                    f"layer {i} is silent ({silent:.0%} of its neurons never fire): lower theta or raise beta."
                )
            if busy > MOST_BUSY:
                found.append(f"layer {i} fires all the time ({busy:.0%} of its neurons): raise theta or lower beta.")
        return found


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
    reason: Literal["done", "early", "stopped", "diverged"]  # early: no better for as long as the patience was
    path: Path | None
    seconds: float
    message: str = ""


AnyStep = StepRecord | SequenceStepRecord
AnyEval = EvalRecord | SequenceEvalRecord
Record = StartRecord | AnyStep | AnyEval | ActivityRecord | CheckpointRecord | EndRecord
