import math
from collections.abc import Callable

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.data import ByteSource, Corpus
from lasmlx.models import LAS
from lasmlx.stream import evaluate_native
from lasmlx.train import evaluate


def plain_loss(model: LAS, data: bytes) -> float:
    x = mx.array(np.frombuffer(data, dtype=np.uint8))[None]
    logits = np.array(model(x[:, :-1])[0][0], dtype=np.float64)
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -logp[np.arange(len(data) - 1), np.frombuffer(data, dtype=np.uint8)[1:]].mean()


def test_one_lane_is_the_plain_definition(small: Callable[..., LAS], corpus: Corpus) -> None:
    source, model = corpus.held_out["held-out"], small()
    record = evaluate(model, source, batch_size=1, seq_len=37)
    assert record.bytes == len(source) - 1
    assert record.loss == pytest.approx(plain_loss(model, source[:].tobytes()), rel=1e-5)
    assert record.bits_per_byte == pytest.approx(record.loss / math.log(2))


def test_the_native_step_agrees(small: Callable[..., LAS], corpus: Corpus) -> None:
    source, model = corpus.held_out["held-out"], small()
    expected = evaluate(model, source, batch_size=1).bits_per_byte
    assert evaluate_native(model, source, weights="float32").bits_per_byte == pytest.approx(expected, rel=1e-5)
    assert evaluate_native(model, source, weights="int8").bits_per_byte == pytest.approx(expected, rel=0.01)


def test_nothing_to_predict_is_refused(small: Callable[..., LAS]) -> None:
    with pytest.raises(ValueError, match="1 bytes, expected at least 2"):
        evaluate(small(), ByteSource.from_bytes("x", b"x"))
