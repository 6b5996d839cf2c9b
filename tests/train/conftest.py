from collections.abc import Callable

import mlx.core as mx
import numpy as np
import pytest

import lasmlx  # noqa: F401  (before mlx: brings the BLAS)
from lasmlx.data import ByteSource, Corpus
from lasmlx.models import LAS, LASConfig
from lasmlx.train import TrainConfig


@pytest.fixture
def corpus() -> Corpus:
    text = b"".join(b"%d squared is %d\n" % (i, i * i) for i in range(400))
    train, held_out = ByteSource.from_bytes("squares", text).split(9, 10)
    return Corpus("squares", train, {"held-out": held_out})


@pytest.fixture
def small() -> Callable[[], LAS]:
    def make(seed: int = 0) -> LAS:
        mx.random.seed(seed)
        return LAS(LASConfig(d=16, layers=2, n=4, frequencies=8))

    return make


@pytest.fixture
def config() -> TrainConfig:
    return TrainConfig(steps=12, batch_size=4, seq_len=32, warmup=3, eval_every=4, save_every=4, carry=3)


@pytest.fixture
def windows() -> Callable[[int], mx.array]:
    return lambda seed: mx.array(np.random.default_rng(seed).integers(0, 256, (4, 32), dtype=np.uint8))
