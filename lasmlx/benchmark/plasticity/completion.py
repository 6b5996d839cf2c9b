"""Pattern completion: five patterns of a thousand bits shown, then one with half its bits put out."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from lasmlx.layers import ConstantRates, FixedLinear
from lasmlx.ops import Rule, plastic_scan
from lasmlx.train.optimizer import AdamW

BITS, PATTERNS, CYCLES, SHOWN, RECALLED = 1000, 5, 2, 6, 6
CLAMP = 20.0  # of the input, so that a unit that has one follows it
EPISODES = 60
LR = 1e-3


class CompletionNet(nn.Module):
    """``x <- tanh(W x + (alpha * H) x / sqrt(n) + 20 input)``: a unit for each bit, every synapse plastic.

    While a pattern is shown its units are clamped, so the activity is the pattern, and showing all of them is one call
    of :func:`lasmlx.ops.plastic_scan`; the network's own steps begin with the cue. Nothing is written between patterns,
    where Miconi's network has steps of silence.

    Args:
        rule: None for fixed synapses.
        inner: units of a further layer of fixed synapses, W2 tanh(W1 x).
    """

    def __init__(self, rule: Rule | None, bits: int = BITS, inner: int = 0) -> None:
        super().__init__()
        self.W = 0.001 * mx.random.normal((bits, bits))
        self._rule, self._scale = rule, bits**-0.5
        if rule is not None:
            self.alpha = mx.random.uniform(0, 16, (1, bits, bits))
            self.rates = ConstantRates(1, 1, rate=0.02, fading=0.1)
        if inner:
            self.first, self.second = FixedLinear(bits, inner), FixedLinear(inner, bits)

    def __call__(self, shown: mx.array, cue: mx.array) -> mx.array:
        """Activity after the cue, (b, n), for patterns shown (b, t, n) and a cue (b, n), of -1, 1 and, put out, 0."""
        b, n = cue.shape
        trace = None if self._rule is None else mx.zeros((b, 1, n, n))
        _, trace = self._steps(shown, shown, trace)
        x = cue
        for _ in range(RECALLED):
            y, trace = self._steps(x[:, None], cue[:, None], trace)
            x = mx.tanh(y[:, 0])
        return x

    def _steps(self, x: mx.array, given: mx.array, trace: mx.array | None) -> tuple[mx.array, mx.array | None]:
        u = x @ self.W.T + CLAMP * given
        if "first" in self:
            inner, _ = self.first(x)
            u = u + self.second(mx.tanh(inner))[0]
        if self._rule is None:
            return u, trace
        rate, keep = self.rates(x)
        k = (x * self._scale)[:, :, None]
        y, trace = plastic_scan(u[:, :, None], k, self.alpha, trace, rate=rate, keep=keep, rule=self._rule)
        return y[:, :, 0], trace


def make_net(arm: str, bits: int = BITS) -> CompletionNet:
    """The network of an arm: ``static`` spends alpha's n^2 parameters on a further layer of n / 2 units."""
    rules: dict[str, Rule] = {"hebb": "hebb", "oja": "oja", "delta": "delta"}
    return CompletionNet(rules.get(arm), bits, inner=bits // 2 if arm == "static" else 0)


def episode(random: np.random.Generator, bits: int = BITS) -> tuple[mx.array, mx.array, mx.array]:
    """What is shown (1, t, n), the cue (1, n) and the whole pattern (1, n).

    Source: Miconi, Clune & Stanley 2018, section 4.1: every pattern six steps, all of them twice, in random order.
    """
    patterns = random.choice([-1.0, 1.0], (PATTERNS, bits)).astype(np.float32)
    order = [i for _ in range(CYCLES) for i in random.permutation(PATTERNS)]
    shown = np.repeat(patterns[order], SHOWN, axis=0)
    wanted = patterns[random.integers(PATTERNS)]
    cue = wanted.copy()
    cue[random.permutation(bits)[: bits // 2]] = 0
    return mx.array(shown[None]), mx.array(cue[None]), mx.array(wanted[None])


def train_completion(
    net: CompletionNet,
    seed: int,
    episodes: int = EPISODES,
    bits: int = BITS,
    look: Callable[[int, float], None] | None = None,
) -> None:
    """Train ``net`` in place on the squared error of the last step's activity."""
    random, optimizer = np.random.default_rng(seed), AdamW(LR, weight_decay=0.0, max_norm=1.0)
    optimizer.init(net.trainable_parameters())

    def loss(shown: mx.array, cue: mx.array, wanted: mx.array) -> mx.array:
        return mx.square(net(shown, cue) - wanted).mean()

    step = nn.value_and_grad(net, loss)
    for i in range(episodes):
        value, gradients = step(*episode(random, bits))
        optimizer.update(net, gradients)
        mx.eval(net.parameters(), optimizer.state)
        if look is not None:
            look(i, float(value))


def completion_errors(net: CompletionNet, *, episodes: int = 20, seed: int = 1 << 20, bits: int = BITS) -> float:
    """Share of a pattern's bits that end with the wrong sign."""
    random, wrong = np.random.default_rng(seed), []
    for _ in range(episodes):
        shown, cue, wanted = episode(random, bits)
        wrong.append(float(((net(shown, cue) * wanted) <= 0).mean()))
    return float(np.mean(wrong))
