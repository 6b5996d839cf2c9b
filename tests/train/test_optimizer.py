import itertools
import math

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import pytest

from lasmlx.train import AdamW, TrainConfig
from lasmlx.train.optimizer import global_norm, schedule


def test_steps_agree_with_mlx_adamw() -> None:
    models = []
    for make in (
        lambda: AdamW(1e-2, betas=(0.9, 0.95), weight_decay=0.0),
        lambda: optim.AdamW(1e-2, betas=(0.9, 0.95), weight_decay=0.0, bias_correction=True),
    ):
        mx.random.seed(0)
        model = nn.Linear(7, 5)
        optimizer = make()
        for step in range(20):
            gradients = {"weight": mx.sin(model.weight * (step + 1)), "bias": mx.cos(model.bias + step)}
            optimizer.update(model, gradients)
        models.append(model)
    np.testing.assert_allclose(np.array(models[0].weight), np.array(models[1].weight), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(np.array(models[0].bias), np.array(models[1].bias), rtol=2e-5, atol=1e-6)


def test_only_matrices_decay() -> None:
    model = nn.Linear(3, 3)
    optimizer = AdamW(0.1, weight_decay=0.5)
    before = np.array(model.weight), np.array(model.bias)
    optimizer.update(model, {"weight": mx.zeros((3, 3)), "bias": mx.zeros(3)})
    np.testing.assert_allclose(np.array(model.weight), before[0] * 0.95, rtol=1e-6)
    np.testing.assert_array_equal(np.array(model.bias), before[1])


def test_clipping_scales_to_the_norm() -> None:
    tree = {"a": mx.array([3.0, 0.0]), "b": {"c": mx.array([[4.0]])}}
    assert global_norm(tree).item() == pytest.approx(5.0)
    model = nn.Linear(2, 1)
    optimizer = AdamW(0.1, max_norm=1.0)
    optimizer.update(model, {"weight": mx.array([[30.0, 0.0]]), "bias": mx.array([40.0])})
    assert optimizer.state["grad_norm"].item() == pytest.approx(50.0)
    moments = [optimizer.state["weight"]["m"][0, 0].item(), optimizer.state["bias"]["m"][0].item()]
    assert moments == pytest.approx([0.1 * 0.6, 0.1 * 0.8], rel=1e-4)


def test_schedule_warms_up_and_follows_a_cosine() -> None:
    config = TrainConfig(steps=101, lr=1.0, final_lr=0.1, warmup=10)
    rate = schedule(config)
    rates = [rate(mx.array(step)).item() for step in range(101)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(rates) == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 0.5)), rel=1e-5)
    assert rates[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
