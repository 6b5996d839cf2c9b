"""The project's own kernels, through their dispatch, against the references."""

import math
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import metal_check
from lasmlx.ops import causal_conv1d, selective_scan

SCAN = import_module("lasmlx.ops.selective_scan")
CONV = import_module("lasmlx.ops.causal_conv1d")


@pytest.fixture(autouse=True)
def metal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    with metal_check.install(order="random", offset=1):
        yield


def normal(seed: int, *shapes: tuple[int, ...]) -> list[mx.array]:
    random = np.random.default_rng(seed)
    return [mx.array(random.standard_normal(shape).astype(np.float32)) for shape in shapes]


def agree(got: list[mx.array], expected: list[mx.array], tolerance: float) -> None:
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        one, other = np.array(a.astype(mx.float32)), np.array(b.astype(mx.float32))
        assert np.isfinite(one).all(), i
        assert np.abs(one - other).max() <= tolerance * max(np.abs(other).max(), 1e-6), i


def outputs_and_gradients(f: Any, arguments: list[mx.array]) -> list[mx.array]:
    def loss(*arrays: mx.array) -> mx.array:
        y, state = f(*arrays)
        return (y * mx.sin(y)).sum() + (state * state).sum()

    return [*f(*arguments), *mx.grad(loss, argnums=list(range(len(arguments))))(*arguments)]


@pytest.mark.parametrize(("shape", "substeps"), [((2, 48, 37, 3), 1), ((1, 17, 5, 16), 4), ((1, 5, 33, 7), math.inf)])
def test_selective_scan(shape: tuple[int, int, int, int], substeps: float) -> None:
    b, t, d, n = shape
    x, dt, A, B, C, D, z, h0 = normal(0, (b, t, d), (b, t, d), (d, n), (b, t, n), (b, t, n), (d,), (b, t, d), (b, d, n))
    arguments = [x, 0.2 * mx.sigmoid(dt), -mx.exp(A), B, C, D, z, h0]
    got = outputs_and_gradients(lambda *v: selective_scan(*v, substeps=substeps, impl="metal"), arguments)
    agree(got, outputs_and_gradients(lambda *v: SCAN.reference(*v, substeps=substeps), arguments), 2e-5)


@pytest.mark.parametrize("shape", [(2, 19, 33, 4), (1, 2, 5, 3)])
def test_causal_conv1d(shape: tuple[int, int, int, int]) -> None:
    b, t, d, k = shape
    arguments = normal(1, (b, t, d), (d, k), (d,), (b, k - 1, d))
    got = outputs_and_gradients(lambda *v: causal_conv1d(*v, activation="silu", impl="metal"), arguments)
    agree(got, outputs_and_gradients(lambda *v: CONV.reference(*v, activation="silu"), arguments), 2e-5)
