"""How many pairs a trace holds: as many keys as it is wide, each with a value drawn anew, told once, all asked."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from lasmlx.layers import ConstantRates
from lasmlx.layers.plastic import unit
from lasmlx.ops import Rule, cross_entropy, plastic_scan
from lasmlx.train.optimizer import AdamW

WIDTH, PAIRS, VALUES = 64, 64, 64
BATCH, STEPS, LR = 32, 100, 1e-2


class CapacityNet(nn.Module):
    """Learnt keys and values in one trace (width, width); the value read is the nearest by inner product."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.K = mx.random.normal((PAIRS, WIDTH))
        self.V = mx.random.normal((VALUES, WIDTH))
        self.scale = mx.array(8.0)
        self.rates = ConstantRates(1, 1, rate=0.9, fading=0.002)
        self._rule = rule

    def __call__(self, keys: mx.array, values: mx.array, asked: mx.array) -> mx.array:
        """Logits (b, q, values) for the keys asked, (b, q), after pairs of keys and values, (b, p) each."""
        told, wanted = unit(self.K[keys])[:, :, None], unit(self.V[values])[:, :, None]
        alpha = mx.ones((1, WIDTH, 1))
        rate, keep = self.rates(told[..., 0])
        nothing = mx.zeros(told.shape)
        options: Any = {"rate": rate, "keep": keep, "rule": self._rule, "target": wanted}
        _, trace = plastic_scan(nothing, told, alpha, **options)
        query = unit(self.K[asked])
        read = query @ trace[:, 0].swapaxes(1, 2)  # (b, q, width)
        return self.scale * (read @ unit(self.V).T)


def train_capacity(net: CapacityNet, seed: int, steps: int = STEPS) -> None:
    """Train ``net`` in place."""
    random, optimizer = np.random.default_rng(seed), AdamW(LR, weight_decay=0.0, max_norm=1.0)
    optimizer.init(net.trainable_parameters())

    def loss(keys: mx.array, values: mx.array) -> mx.array:
        return cross_entropy(net(keys, values, keys), values).mean()

    step = nn.value_and_grad(net, loss)
    for _ in range(steps):
        _, gradients = step(*_pairs(random, BATCH))
        optimizer.update(net, gradients)
        mx.eval(net.parameters(), optimizer.state)


def capacity_accuracy(net: CapacityNet, seed: int = 1 << 20) -> float:
    """Share of the pairs of 256 sequences that are recalled."""
    keys, values = _pairs(np.random.default_rng(seed), 256)
    return float((net(keys, values, keys).argmax(-1) == values).mean())


def _pairs(random: np.random.Generator, b: int) -> tuple[mx.array, mx.array]:
    keys = random.permuted(np.tile(np.arange(PAIRS), (b, 1)), axis=1)
    return mx.array(keys), mx.array(random.integers(0, VALUES, (b, PAIRS)))
