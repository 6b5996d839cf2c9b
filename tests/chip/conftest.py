"""Small models and chips."""

from collections.abc import Callable

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.models import LAS, LASConfig


@pytest.fixture
def las() -> Callable[..., LAS]:
    def make(seed: int = 0, **settings: object) -> LAS:
        mx.random.seed(seed)
        model = LAS(LASConfig(**({"d": 24, "layers": 2, "n": 5, "frequencies": 8} | settings)))
        mx.eval(model.parameters())
        return model

    return make


@pytest.fixture
def some_bytes() -> Callable[..., bytes]:
    def make(count: int, seed: int = 0) -> bytes:
        return np.random.default_rng(seed).integers(0, 256, count).astype(np.uint8).tobytes()

    return make
