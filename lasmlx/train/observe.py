"""What there is to see inside a model while it is trained."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from lasmlx.train.records import ActivityRecord

OBSERVED = 8  # rows of a batch that are looked into


def activity_of(model: Any, step: int, x: mx.array, **where: mx.array) -> list[ActivityRecord]:
    """How much the neurons of a spiking model fire on x; nothing of other models."""
    if not hasattr(model, "activity"):
        return []
    layers = model.activity(x, **where)
    rates, silent, busy = (tuple(v.item() for v in values) for values in zip(*layers, strict=True))
    return [ActivityRecord(step, rates, silent, busy)]
