"""Random models by their parameters' names."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.float32]]


def build(
    d: int = 24, e: int = 40, n: int = 5, k: int = 4, rank: int = 2, layers: int = 2, seed: int = 0, sharp: float = 1.0
) -> Arrays:
    random = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (random.standard_normal(shape) * scale / np.sqrt(shape[-1])).astype(np.float32)

    def near_one(size: int) -> NDArray[np.float32]:
        return (1 + 0.1 * random.standard_normal(size)).astype(np.float32)

    arrays = {
        "table": normal(256, d, scale=d**0.5),
        "norm.weight": near_one(d),
        "head.weight": normal(256, d, scale=sharp),
    }
    for i in range(layers):
        mixer = f"blocks.{i}.mixer."
        arrays |= {
            f"blocks.{i}.norm.weight": near_one(d),
            mixer + "in_proj.weight": normal(2 * e, d),
            mixer + "conv.weight": normal(e, k),
            mixer + "conv.bias": normal(e),
            mixer + "x_proj.weight": normal(rank + 2 * n, e, scale=2),
            mixer + "dt_proj.weight": normal(e, rank),
            mixer + "dt_proj.bias": normal(e, scale=e**0.5) - 2,
            mixer + "A_log": random.uniform(-1, 3, (e, n)).astype(np.float32),
            mixer + "D": near_one(e),
            mixer + "out_proj.weight": normal(d, e),
        }
    return arrays


@pytest.fixture
def arrays() -> Callable[..., Arrays]:
    return build
