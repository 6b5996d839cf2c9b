"""How a model is trained."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from lasmlx.models.config import expect
from lasmlx.train.precision import DTYPES, Precision


@dataclass(frozen=True)
class TrainConfig:
    """AdamW with linear warm-up, a cosine to ``final_lr lr``, and clipping by the global norm."""

    steps: int = 2000
    batch_size: int = 8
    seq_len: int = 256  # bytes a window; tokens, if the model reads those
    lr: float = 5e-3
    final_lr: float = 0.02  # share of lr at the last step
    warmup: int = 40  # steps
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.01  # of matrices
    clip: float = 1.0  # largest global norm of the gradient
    accumulate: int = 1  # batches a step
    precision: Precision = "float32"  # of the computation: float32, bfloat16 or float16; what is kept is float32
    curriculum: int = 0  # steps in which windows grow from an eighth of seq_len to all of it; 0: whole from the start
    carry: int = 16  # windows in a row through which the state is carried (truncated back-propagation); 1: none
    seed: int = 0
    validation: float = 0.0  # share of labelled sequences held back to know the best model by; 0: the last is kept
    patience: int = 0  # looks without a better model after which the run ends early; 0: never
    crop: int = 0  # elements of a labelled sequence that a step sees, a random stretch of a longer one; 0: all
    jitter: float = 0.0  # noise on a labelled sequence, new at each step, in deviations of its channel
    balance: bool = False  # weigh each class the same, however many sequences it has
    eval_every: int = 500  # steps; 0: only at the end
    eval_bytes: int = 65536  # held-out bytes looked at during training, of each split; at the end all are
    save_every: int = 500  # steps; 0: only at the end

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "seq_len", "accumulate", "carry", "eval_bytes"):
            value = getattr(self, name)
            expect("training", name, value, value >= 1, "at least 1")
        known = ", ".join(DTYPES)
        expect("training", "precision", self.precision, self.precision in DTYPES, f"one of {known}")
        for name in ("warmup", "curriculum", "eval_every", "save_every", "seed", "weight_decay", "patience", "crop"):
            value = getattr(self, name)
            expect("training", name, value, value >= 0, "0 or more")
        expect("training", "lr", self.lr, 0 < self.lr <= 1, "above 0 and at most 1")
        expect("training", "final_lr", self.final_lr, 0 <= self.final_lr <= 1, "a share from 0 to 1")
        expect("training", "betas", self.betas, all(0 <= b < 1 for b in self.betas), "two numbers from 0 to below 1")
        expect("training", "validation", self.validation, 0 <= self.validation < 1, "a share from 0 to below 1")
        expect("training", "jitter", self.jitter, 0 <= self.jitter < math.inf, "0 or more")
        expect("training", "clip", self.clip, self.clip > 0, "above 0")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON or TOML."""
        return dataclasses.asdict(self)
