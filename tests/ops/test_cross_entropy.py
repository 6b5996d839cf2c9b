"""Cross-entropy: kernel against reference and definition, extreme logits, targets out of range."""

import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.ops import ImplError, cross_entropy

SIZES = [(1,), (7,), (1, 1), (3, 16), (2, 3, 17), (257, 33), (5, 256)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_agrees_with_reference(isa: str, case: Any, agree: Any, sizes: tuple[int, ...]) -> None:
    agree(case("cross_entropy", *sizes))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_agrees_in_half_precision(isa: str, case: Any, agree: Any, dtype: str) -> None:
    agree(case("cross_entropy", 33, 19), dtype)


def test_agrees_with_float64_definition(isa: str, case: Any, close: Any, slopes: Any) -> None:
    example = case("cross_entropy", 5, 21, scale=3)
    close("loss", example()[0], example.exact_outputs()[0], 2e-6)
    slopes(example)


def test_uniform_logits_cost_log_classes(isa: str) -> None:
    loss = cross_entropy(mx.full((3, 256), 5.0), mx.array([0, 100, 255]), impl="cpu")
    np.testing.assert_allclose(np.array(loss), math.log(256), rtol=2e-6)


@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_extreme_logits(isa: str, impl: str) -> None:
    logits = mx.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]])
    targets = mx.array([1, 2, 0])
    loss = cross_entropy(logits, targets, impl=impl)
    np.testing.assert_allclose(np.array(loss), [2e4, math.log(3), math.log(2)], atol=1e-3)  # float32 ends at 1e4 / 2^24
    gradient = mx.grad(lambda v: cross_entropy(v, targets, impl=impl).sum())(logits)
    expected = [[1, -1, 0], [1 / 3, 1 / 3, -2 / 3], [-0.5, 0.5, 0]]
    np.testing.assert_allclose(np.array(gradient), expected, atol=1e-3)


@pytest.mark.parametrize("dtype", [mx.uint8, mx.int64, mx.uint32])
def test_any_integer_targets(case: Any, close: Any, dtype: mx.Dtype) -> None:
    logits, targets = mx.random.normal((2, 3, 9)), mx.array([[0, 8, 3], [1, 2, 5]])
    expected = cross_entropy(logits, targets, impl="reference")
    close("loss", cross_entropy(logits, targets.astype(dtype), impl="cpu"), expected, 2e-6)


@pytest.mark.parametrize("target", [-1, 9, 2**31 - 1])
def test_a_target_out_of_range_is_nan_and_harms_nobody_else(isa: str, target: int) -> None:
    logits = mx.random.normal((3, 9))
    loss = cross_entropy(logits, mx.array([1, target, 2]), impl="cpu")
    assert mx.isnan(loss).tolist() == [False, True, False]
    gradient = mx.grad(lambda v: cross_entropy(v, mx.array([1, target, 2]), impl="cpu").sum())(logits)
    np.testing.assert_allclose(np.array(gradient).sum(-1)[[0, 2]], 0, atol=1e-6)


def test_mistakes_are_named() -> None:
    logits, targets = mx.zeros((2, 5)), mx.zeros(2, dtype=mx.int32)
    with pytest.raises(ImplError, match='cross_entropy: impl="metal" cannot run: no Metal kernel yet'):
        cross_entropy(logits, targets, impl="metal")
    with pytest.raises(ValueError, match=r"cross_entropy: targets has shape \(2,\), expected \(3,\)\."):
        cross_entropy(mx.zeros((3, 5)), targets)
    with pytest.raises(ValueError, match=r"cross_entropy: logits has shape \(0, 5\), expected \(\.\.\., classes\)"):
        cross_entropy(mx.zeros((0, 5)), targets)
    with pytest.raises(ValueError, match=r"cross_entropy: logits has dtype mlx\.core\.int32, expected float32"):
        cross_entropy(logits.astype(mx.int32), targets)
    with pytest.raises(ValueError, match=r"cross_entropy: targets has dtype mlx\.core\.float32, expected integers\."):
        cross_entropy(logits, targets.astype(mx.float32))
