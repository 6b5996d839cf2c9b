"""Bits per byte on bytes the model has not seen."""

from __future__ import annotations

import time
from typing import Any

import mlx.core as mx

from lasmlx.data import ByteSource, eval_windows
from lasmlx.ops import cross_entropy
from lasmlx.train.compile import compile_step
from lasmlx.train.records import BITS_PER_NAT, EvalRecord


def evaluate(
    model: Any,
    source: ByteSource,
    *,
    batch_size: int = 16,
    seq_len: int = 512,
    max_bytes: int | None = None,
    step: int = 0,
    split: str = "",
) -> EvalRecord:
    """Mean loss over ``source``, every byte but the first predicted once, state carried along each of the lanes.

    Args:
        batch_size: lanes the source is cut into; each starts from the initial state.
        max_bytes: look at no more than these many bytes, spread over the source.
        step, split: copied to the record.

    Raises:
        DataError: the source has fewer than two bytes.
    """

    def nats(x: mx.array, y: mx.array, mask: mx.array, state: Any) -> tuple[mx.array, Any]:
        logits, state = model(x, state)
        return (cross_entropy(logits, y) * mask).sum(), state

    forward = compile_step(nats, [model.state])
    start, total, count, state = time.perf_counter(), 0.0, 0, None
    for batch in eval_windows(source, batch_size, seq_len, max_bytes):
        if batch.fresh:
            state = model.init_state(batch.x.shape[0])
        loss, state = forward(mx.array(batch.x), mx.array(batch.y), mx.array(batch.mask), state)
        mx.eval(loss, state)
        total += loss.item()
        count += batch.count
    mean = total / count
    seconds = time.perf_counter() - start
    return EvalRecord(step, split, mean, mean * BITS_PER_NAT, count, seconds, final=max_bytes is None)
