"""Formulas found from data: a net of splines is trained, its edges named, and the names searched as a whole.

The functions are the toy functions of Liu et al. 2024, KAN: Kolmogorov-Arnold networks, section 3.1, in nets of
their widths; the mean of many inputs has 20 here and 100 there, for the time it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from numpy.typing import NDArray

from lasmlx.benchmark.records import Row, Stage
from lasmlx.layers import Formula, KANLinear, formula_of, search_formula

Exact = NDArray[np.float64]

ROWS, STEPS, LR = 1000, 900, 0.02
PHASES = ((1, True), (1, True), (1, True), (3, True), (3, False))  # shares of the steps; with penalties and a new grid?
PENALTY = 2e-3  # of each layer's l1 and entropy
FOUND = 1e-3  # test RMSE of a formula that counts as found


@dataclass(frozen=True)
class Target:
    """A function of numbers in [-1, 1], and the net that is to find it."""

    text: str
    truth: Callable[[Exact], Exact]  # (n, inputs) to (n, 1)
    widths: tuple[int, ...]


TARGETS = {
    "exp-sin": Target(
        "exp(sin(pi x0) + x1^2)", lambda x: np.exp(np.sin(np.pi * x[:, :1]) + x[:, 1:] ** 2), widths=(2, 1, 1)
    ),
    "product": Target("x0 x1", lambda x: x[:, :1] * x[:, 1:], widths=(2, 2, 1)),
    "four": Target(
        "exp((sin(pi (x0^2 + x1^2)) + sin(pi (x2^2 + x3^2))) / 2)",
        lambda x: np.exp(np.sin(np.pi * (x**2).reshape(-1, 2, 2).sum(2)).sum(1, keepdims=True) / 2),
        widths=(4, 2, 1, 1),
    ),
    "twenty": Target(
        "exp(mean of sin(pi xi / 2)^2)",
        lambda x: np.exp((np.sin(np.pi * x / 2) ** 2).mean(1, keepdims=True)),
        widths=(20, 1, 1),
    ),
}


@dataclass(frozen=True)
class SymbolicRow(Row):
    """One function; a net and a formula a seed."""

    function: str
    truth: str
    parameters: int  # of the net
    seeds: int
    net_rmse: float  # at points not trained on, mean over the seeds
    formula_rmse: tuple[float, ...]  # at the same points, a seed each
    found: int  # seeds whose formula's is below 1e-3
    best: str  # the formula of the least RMSE at the points of training
    seconds: float  # a seed, mean


def measure_symbolic(
    names: Sequence[str] = (), *, seeds: int = 3, rows: int = ROWS, steps: int = STEPS
) -> Iterator[SymbolicRow | Stage]:
    """Train a net a seed on the same points, and search its formula; the seeds are 0, 1, ... and all of them count.

    Args:
        names: some of ``TARGETS``; all if empty.
        rows: points of training, and as many others to test, both drawn evenly from [-1, 1].
        steps: of Adam.

    Raises:
        ValueError: a function is unknown, or there is no seed, point or step.
    """
    unknown = [name for name in names if name not in TARGETS]
    if unknown or min(seeds, rows, steps) < 1:
        raise ValueError(
            f"eval symbolic: functions {list(names)}, seeds {seeds}, rows {rows}, steps {steps}: expected some of "
            f"{', '.join(TARGETS)} and at least one of each."
        )
    for name in names or TARGETS:
        target, tries = TARGETS[name], []
        for seed in range(seeds):
            yield Stage(f"{name}: seed {seed}")
            tries.append(find(target, seed, rows, steps))
        errors = tuple(found.formula_rmse for found in tries)
        yield SymbolicRow(
            function=name,
            truth=target.text,
            parameters=tries[0].parameters,
            seeds=seeds,
            net_rmse=float(np.mean([found.net_rmse for found in tries])),
            formula_rmse=errors,
            found=sum(error < FOUND for error in errors),
            best=min(tries, key=lambda found: found.training_rmse).formula.text()[0],
            seconds=float(np.mean([found.seconds for found in tries])),
        )


@dataclass(frozen=True)
class Try:
    """What came of one seed."""

    formula: Formula
    parameters: int
    net_rmse: float
    formula_rmse: float
    training_rmse: float  # of the formula
    seconds: float


def find(target: Target, seed: int, rows: int, steps: int) -> Try:
    """Train a net and search its formula."""
    start = time.perf_counter()
    x, unseen = (_points(rows, target.widths[0], split) for split in (1, 2))
    y, truth = target.truth(x), target.truth(unseen)
    mx.random.seed(seed)
    net = nn.Sequential(*(KANLinear(*sizes) for sizes in zip(target.widths, target.widths[1:], strict=False)))
    train_splines(net, mx.array(x.astype(np.float32)), mx.array(y.astype(np.float32)), steps)
    formula = search_formula(formula_of(net.layers, mx.array(x.astype(np.float32))), x, y).refined(x, y)
    return Try(
        formula,
        parameters=sum(layer.C.size + layer.W.size for layer in net.layers),
        net_rmse=_rmse(np.array(net(mx.array(unseen.astype(np.float32)))), truth),
        formula_rmse=_rmse(formula(unseen), truth),
        training_rmse=_rmse(formula(x), y),
        seconds=time.perf_counter() - start,
    )


def train_splines(net: nn.Sequential, x: mx.array, y: mx.array, steps: int) -> None:
    """Train a stack of :class:`KANLinear` in place to y at x: Adam, in phases at whose ends the grids move to the data.

    Of each phase the learning rate falls to zero along a cosine; the last one is without penalties and keeps the grids.
    """
    _move_grids(net, x)
    for share, early in PHASES:
        many = max(1, steps * share // sum(share for share, _ in PHASES))
        optimizer = optim.Adam(learning_rate=optim.cosine_decay(LR, many))

        def loss(net: nn.Sequential, penalty: float = PENALTY * early) -> mx.array:
            h, cost = x, mx.array(0.0)
            for layer in net.layers:
                cost = cost + penalty * (layer.l1(h) + layer.entropy(h)) if penalty else cost
                h = layer(h)
            return mx.square(h - y).mean() + cost

        step = nn.value_and_grad(net, loss)
        for _ in range(many):
            optimizer.update(net, step(net)[1])
            mx.eval(net.parameters(), optimizer.state)
        if early:
            _move_grids(net, x)


def _move_grids(net: nn.Sequential, x: mx.array) -> None:
    for layer in net.layers:
        layer.update_grid(x, margin=0.1, mix=0.5)
        x = layer(x)


def _points(rows: int, inputs: int, split: int) -> Exact:
    """Evenly from [-1, 1], exact in float32."""
    return np.random.default_rng(split).uniform(-1, 1, (rows, inputs)).astype(np.float32).astype(np.float64)


def _rmse(got: Exact, wanted: Exact) -> float:
    return float(np.sqrt(np.square(got - wanted).mean()))
