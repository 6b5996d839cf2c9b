"""The AdamW update: kernel against reference, and both against MLX's optimizer over several steps."""

from typing import Any, Literal

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
import pytest

from lasmlx.ops import ImplError, adamw

Which = Literal["cpu", "reference"]
SETTINGS = {"betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def inputs(*shape: int) -> list[mx.array]:
    random = np.random.default_rng([*shape])
    p, g, m = (mx.array(random.standard_normal(shape).astype(np.float32)) for _ in range(3))
    return [p, g, m, mx.array(random.uniform(0, 1, shape).astype(np.float32))]


def scalars() -> dict[str, mx.array]:
    return {"lr": mx.array(0.01), "scale": mx.array(0.5), "bias_correction": mx.array(1.3)}


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (16, 16), (32768,), (181, 183), ()], ids=str)
def test_agrees_with_reference(isa: str, close: Any, shape: tuple[int, ...]) -> None:
    actual = adamw(*inputs(*shape), **scalars(), **SETTINGS, impl="cpu")
    expected = adamw(*inputs(*shape), **scalars(), **SETTINGS, impl="reference")
    for name, a, e in zip("pmv", actual, expected, strict=True):
        close(name, a, e, 1e-6)


@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_agrees_with_float64_definition(isa: str, close: Any, impl: Which) -> None:
    p, g, m, v = (np.array(a, dtype=np.float64) for a in inputs(13, 11))
    m, v = 0.9 * m + 0.1 * 0.5 * g, 0.95 * v + 0.05 * (0.5 * g) ** 2
    p = p * (1 - 0.01 * 0.1) - 0.01 * 1.3 * m / (np.sqrt(v) + 1e-8)
    actual = adamw(*inputs(13, 11), **scalars(), **SETTINGS, impl=impl)
    for name, a, e in zip("pmv", actual, (p, m, v), strict=True):
        close(name, a, e, 1e-6)


@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_follows_the_optimizer_of_mlx(isa: str, close: Any, impl: Which) -> None:
    random = np.random.default_rng(0)
    p = mx.array(random.standard_normal((9, 7)).astype(np.float32))
    b1, b2, eps, lr = 0.9, 0.95, 1e-6, 0.02
    optimizer = optim.AdamW(lr, betas=[b1, b2], eps=eps, weight_decay=0.1, bias_correction=True)
    theirs, m, v = {"p": p}, mx.zeros_like(p), mx.zeros_like(p)
    for step in range(1, 9):
        g = mx.array(random.standard_normal(p.shape).astype(np.float32))
        theirs = optimizer.apply_gradients({"p": g}, theirs)
        root = (1 - b2**step) ** 0.5  # theirs corrects v before adding eps, ours corrects the whole quotient
        p, m, v = adamw(
            p, g, m, v, lr=mx.array(lr), betas=(b1, b2), eps=eps * root, weight_decay=0.1,
            scale=mx.array(1.0), bias_correction=mx.array(root / (1 - b1**step)), impl=impl,
        )  # fmt: skip
        close(f"step {step}", p, theirs["p"], 1e-6)


def test_vanishing_and_huge_gradients_stay_finite(isa: str) -> None:
    p, g, m, v = inputs(64)
    for size in (0.0, 1e-30, 1e15):
        for array in adamw(p, g * size, m * size, v * 0, **scalars(), **SETTINGS, impl="cpu"):
            assert mx.isfinite(array).all().item()


def test_nan_gradient_gives_nan(isa: str) -> None:
    p, g, m, v = inputs(5)
    g[2] = float("nan")
    for array in adamw(p, g, m, v, **scalars(), **SETTINGS, impl="cpu"):
        assert mx.isnan(array).tolist() == [False, False, True, False, False]


def test_strided_inputs(close: Any) -> None:
    transposed = [mx.contiguous(a.T).T for a in inputs(7, 5)]
    plain = adamw(*inputs(7, 5), **scalars(), **SETTINGS, impl="cpu")
    for name, a, e in zip("pmv", adamw(*transposed, **scalars(), **SETTINGS, impl="cpu"), plain, strict=True):
        close(name, a, e, 1e-7)


def test_compiles_with_the_rate_as_input(unfused: None, close: Any) -> None:
    @mx.compile
    def step(p: mx.array, g: mx.array, m: mx.array, v: mx.array, lr: mx.array) -> Any:
        return adamw(p, g, m, v, **(scalars() | {"lr": lr}), **SETTINGS, impl="cpu")

    for lr in (0.01, 0.3):
        expected = adamw(*inputs(7, 5), **(scalars() | {"lr": mx.array(lr)}), **SETTINGS, impl="cpu")
        for name, a, e in zip("pmv", step(*inputs(7, 5), mx.array(lr)), expected, strict=True):
            close(name, a, e, 1e-7)


def test_mistakes_are_named() -> None:
    p, g, m, v = inputs(3, 5)
    with pytest.raises(ImplError, match='adamw: impl="metal" cannot run: no Metal kernel yet'):
        adamw(p, g, m, v, **scalars(), **SETTINGS, impl="metal")
    for name, changed in (("g", (p, g.T, m, v)), ("m", (p, g, m.T, v)), ("v", (p, g, m, v.T))):
        with pytest.raises(ValueError, match=rf"adamw: {name} has shape \(5, 3\), expected \(3, 5\)\."):
            adamw(*changed, **scalars(), **SETTINGS)
