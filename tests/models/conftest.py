"""Small models of the families that are stacks of Mamba blocks."""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import pytest

from lasmlx.models import FAMILIES, make_model


def build(family: str, seed: int = 0, **settings: Any) -> Any:
    mx.random.seed(seed)
    sizes = {"d": 12, "layers": 2, "n": 3, "rank": 2} | ({"frequencies": 7} if family == "las" else {})
    return make_model(FAMILIES[family][0](**(sizes | settings)))


@pytest.fixture
def make() -> Callable[..., Any]:
    return build


@pytest.fixture(params=["las", "mamba"])
def family(request: pytest.FixtureRequest) -> str:
    return request.param
