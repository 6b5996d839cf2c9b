"""Bits per byte on bytes the model has not seen."""

from __future__ import annotations

import time
from typing import Any

import mlx.core as mx

from lasmlx.data import DataError, Source, eval_windows
from lasmlx.ops import cross_entropy
from lasmlx.train.compile import compile_step
from lasmlx.train.records import BITS_PER_NAT, EvalRecord

LOGITS = 1 << 26  # the most in one pass


def evaluate(
    model: Any,
    source: Source,
    *,
    batch_size: int = 16,
    seq_len: int | None = None,
    max_bytes: int | None = None,
    step: int = 0,
    split: str = "",
) -> EvalRecord:
    """Mean loss over ``source``, all but its first element predicted once, state carried along each of the lanes.

    Args:
        source: bytes, or the tokens that the model reads (``lasmlx.data.tokens_of``).
        batch_size: lanes the source is cut into; each starts from the initial state.
        seq_len: elements in one pass; 512 by default, or as many fewer as keep the logits of a large vocabulary small.
        max_bytes: look at no more than these many bytes, spread over the source.
        step, split: copied to the record.

    Raises:
        DataError: the source has fewer than two elements, or is bytes and the model reads tokens.
    """
    name = getattr(model.config, "tokenizer", "bytes")
    if (name == "bytes") != (source.unit == "bytes"):
        raise DataError(
            f"evaluate: the source is {source.unit}, the model's tokenizer {name!r}: give "
            "tokens_of(source, tokenizer_of(model.config, folder))."
        )

    def nats(x: mx.array, y: mx.array, mask: mx.array, state: Any) -> tuple[mx.array, Any]:
        logits, state = model(x, state)
        return (cross_entropy(logits, y) * mask).sum(), state

    if seq_len is None:
        seq_len = max(16, min(512, LOGITS // (batch_size * getattr(model.config, "vocab", 256))))
    forward = compile_step(nats, [model.state])
    start, total, count, state = time.perf_counter(), 0.0, 0, None
    for batch in eval_windows(source, batch_size, seq_len, max_bytes):
        if batch.fresh:
            state = model.init_state(batch.x.shape[0])
        loss, state = forward(mx.array(batch.x), mx.array(batch.y), mx.array(batch.mask), state)
        mx.eval(loss, state)
        total += loss.item()
        count += source.bytes_of(batch.y[batch.mask == 1])
    mean = total / count
    seconds = time.perf_counter() - start
    return EvalRecord(step, split, mean, mean * BITS_PER_NAT, count, seconds, final=max_bytes is None)
