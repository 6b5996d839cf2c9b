"""The modes of spiking-mamba beside attention, at equal parameters: memory, speed, what is learnt in a given time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from lasmlx.benchmark.memory import peak_mb
from lasmlx.benchmark.parity import check_parity
from lasmlx.benchmark.peers import PeerObject, Peers
from lasmlx.benchmark.records import Note, Row, Stage
from lasmlx.benchmark.timer import Timing, measure_together
from lasmlx.data import Corpus
from lasmlx.models import Config, config_from_dict, make_model
from lasmlx.models.tree import flat
from lasmlx.ops import cross_entropy
from lasmlx.train import EvalRecord, StepRecord, TrainConfig, Trainer, train

CONTENDERS: dict[str, dict[str, Any]] = {
    "sequential": {"model_type": "spiking-mamba", "mode": "sequential"},
    "parallel": {"model_type": "spiking-mamba", "mode": "parallel"},
    "bidirectional": {"model_type": "spiking-mamba", "mode": "bidirectional"},
    "transformer": {"model_type": "transformer"},
}
BASELINES: dict[str, dict[str, Any]] = {"mamba": {"model_type": "mamba"}}
TORCH = "transformer, PyTorch"
TOLERANCE = 1e-4  # of the largest logit and of the largest value of each gradient
LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384)
MOST_MB = 10_000.0  # more than that a transformer is not given
LONGEST = 15.0  # seconds a step; PyTorch's transformer is not tried at twice the length of such a one
FITTED = 1024  # from this length on memory is fitted: below, what does not grow with t shows


@dataclass(frozen=True)
class AttentionRow(Row):
    """One model at one length, one sequence a step."""

    model: str
    parameters: int
    length: int  # bytes
    step: Timing
    bytes_per_second: float
    peak_mb: float | None  # what a step takes beyond parameters, optimizer and inputs; None where nobody counts
    speed: float | None  # the transformer's time at this length over this one's; None where it is left out
    memory: float | None  # the same of memory


@dataclass(frozen=True)
class ModeRow(Row):
    """One model trained for a time."""

    model: str
    parameters: int
    lr: float
    steps: int
    seconds: float  # of training
    bytes_seen: int
    bits_per_byte: float  # held out
    ratio: float  # the transformer's perplexity a byte over this one's
    rates: tuple[float, ...]  # spikes a neuron and tick, a layer each


def of_size(settings: dict[str, Any], parameters: int, **more: Any) -> Config:
    """The configuration whose width, a multiple of 8, brings the model nearest to so many parameters."""
    width = "d" if settings["model_type"] == "mamba" else "hidden"

    def distance(size: int) -> int:
        model = make_model(config_from_dict(settings | more | {width: size}))
        return abs(int(model.size) - parameters)

    best, step = 8, 8
    while distance(best + step) < distance(best):
        best += step
    return config_from_dict(settings | more | {width: best})


def measure_attention(
    *,
    parameters: int = 500_000,
    lengths: tuple[int, ...] = LENGTHS,
    peers: Peers | None = None,
    repeats: int = 3,
    budget_seconds: float = 30.0,
) -> Iterator[AttentionRow | Note | Stage]:
    """A training step of each model on one sequence of each length, in turn, and the exponents of memory in t.

    The transformers attend to the whole sequence; cross-attention of the bidirectional mode to its window. PyTorch's is
    the same model: its logits and gradients are held to ours first, at the shortest length.

    Raises:
        ParityError: they differ; nothing is yielded then. ValueError: a size is below 1.
    """
    if parameters < 1 or not lengths or min(lengths) < 1:
        raise ValueError(f"bench attention: parameters {parameters}, lengths {lengths}: expected at least 1 of each.")
    configs = {name: of_size(settings, parameters, layers=4) for name, settings in CONTENDERS.items()}
    peaks: dict[str, dict[int, float]] = {name: {} for name in configs}
    times: dict[str, float] = {}
    for length in sorted(lengths):
        yield Stage(f"{length} bytes")
        x, y = _window(length)
        steps: dict[str, Any] = {}
        sizes: dict[str, int] = {}
        for name, config in configs.items():
            predicted = max((peak * (length / t) ** 2 for t, peak in peaks[name].items()), default=0.0)
            if name == "transformer" and predicted > MOST_MB:
                yield Note(f"the transformer would take {predicted / 1e3:.0f} GB at t = {length}: it is left out.")
                continue
            trainer = _trainer(config, length)
            steps[name] = partial(trainer.step, x, y, fresh=False)
            peaks[name][length], sizes[name] = peak_mb(steps[name]), trainer.model.size
        if peers is not None and times.get(TORCH, 0.0) < LONGEST:
            model = make_model(_whole(configs["transformer"], length))
            peer = _torch_transformer(peers, model, x, y, check=length == min(lengths))
            steps[TORCH], sizes[TORCH] = peer.function("train"), model.size
        timings = measure_together(steps, warmup=1, repeats=repeats, budget_seconds=budget_seconds, turn_seconds=0.05)
        times = {name: timing.median for name, timing in timings.items()}
        whole, most = times.get("transformer"), peaks["transformer"].get(length)
        for name, timing in timings.items():
            peak = peaks[name][length] if name in peaks else None
            yield AttentionRow(
                model=name,
                parameters=sizes[name],
                length=length,
                step=timing,
                bytes_per_second=length / timing.median,
                peak_mb=peak,
                speed=whole / timing.median if whole else None,
                memory=most / peak if most and peak else None,
            )
    said = []
    for name, found in peaks.items():
        fitted = [(t, peak) for t, peak in found.items() if t >= FITTED]
        if len(fitted) > 1:
            t, peak = np.log(np.array(fitted, np.float64)).T
            said.append(f"{name} {np.polyfit(t, peak, 1)[0]:.3f}")
    if said:
        yield Note(f"memory grows with t to the power of: {', '.join(said)} (from t = {FITTED} on).")


def _trainer(config: Any, length: int) -> Trainer:
    mx.random.seed(0)
    trainer = Trainer(make_model(_whole(config, length)), TrainConfig(batch_size=1, seq_len=length, carry=1))
    trainer.carried = [[]]
    return trainer


def _whole(config: Any, length: int) -> Any:
    """A transformer that attends to all of a sequence; other models as they are."""
    return dataclasses.replace(config, window=length) if config.model_type == "transformer" else config


def measure_modes(
    corpus: Corpus,
    *,
    parameters: int = 500_000,
    layers: int = 4,
    seconds: float = 120.0,
    batch_size: int = 8,
    seq_len: int = 256,
    rates: tuple[float, ...] = (1e-3, 3e-3),
    seed: int = 0,
) -> Iterator[ModeRow | Stage]:
    """Bits a byte on held-out bytes after the steps that ``seconds`` have room for, the best of the learning rates.

    How long a step takes is measured first, on a model that is thrown away.

    Raises:
        ValueError: a size is out of range. DataError: the corpus is too short.
    """
    if parameters < 1 or seconds <= 0 or not rates:
        raise ValueError(f"bench modes: parameters {parameters}, seconds {seconds}: expected above 0, and a rate.")
    rows: dict[str, ModeRow] = {}
    for name in ("transformer", *(other for other in CONTENDERS | BASELINES if other != "transformer")):
        config = of_size((CONTENDERS | BASELINES)[name], parameters, layers=layers)
        for lr in rates:
            yield Stage(f"training {name} for {seconds:g} s, lr {lr:g}")
            plan = TrainConfig(
                batch_size=batch_size, seq_len=seq_len, lr=lr, seed=seed, carry=1, eval_every=0, save_every=0
            )
            row = _trained(name, config, corpus, plan, seconds)
            if name not in rows or row.bits_per_byte < rows[name].bits_per_byte:
                rows[name] = row
        best = rows[name]
        yield dataclasses.replace(best, ratio=2 ** (rows["transformer"].bits_per_byte - best.bits_per_byte))


def _trained(name: str, config: Config, corpus: Corpus, plan: TrainConfig, seconds: float) -> ModeRow:
    pace = _seconds_a_step(config, corpus, plan)
    plan = dataclasses.replace(plan, steps=max(10, round(seconds / pace)))
    mx.random.seed(plan.seed)
    model = make_model(config)
    seen, last, spent = 0, None, 0.0
    for record in train(model, corpus, plan):
        if isinstance(record, StepRecord):
            seen += plan.batch_size * plan.seq_len
            spent += plan.batch_size * plan.seq_len / record.bytes_per_second
        elif isinstance(record, EvalRecord):
            last = record
    if last is None:
        raise ValueError(f"bench modes: {name} was never evaluated: {corpus.name} holds nothing out.")
    x, _ = _window(plan.seq_len)
    firing = tuple(a.rate.item() for a in model.activity(x)) if hasattr(model, "activity") else ()
    return ModeRow(name, model.size, plan.lr, plan.steps, spent, seen, last.bits_per_byte, 1.0, firing)


def _seconds_a_step(config: Config, corpus: Corpus, plan: TrainConfig) -> float:
    """By a few steps of a model that is thrown away, the first left out."""
    mx.random.seed(plan.seed)
    spent, began = [], time.perf_counter()
    for record in train(make_model(config), corpus, dataclasses.replace(plan, steps=100)):
        if isinstance(record, StepRecord):
            spent.append(plan.batch_size * plan.seq_len / record.bytes_per_second)
        if len(spent) > 3 and (len(spent) > 12 or time.perf_counter() - began > 10):
            break
    return float(np.median(spent[1:]))


def _torch_transformer(peers: Peers, model: Any, x: mx.array, y: mx.array, *, check: bool) -> PeerObject:
    arrays = {name: np.array(v) for name, v in flat(model.parameters()).items()}
    peer = peers.new("Transformer", model.config.heads, arrays)
    tokens, targets = np.array(x), np.array(y)
    if check:

        def loss_and_logits(x: mx.array, y: mx.array) -> tuple[mx.array, mx.array]:
            logits, _ = model(x)
            return cross_entropy(logits, y).mean(), logits

        (_, logits), gradients = nn.value_and_grad(model, loss_and_logits)(x, y)
        ours = {name: np.array(g) for name, g in flat(gradients).items()} | {"logits": np.array(logits)}
        check_parity(f"{TORCH} and transformer", peer.call("gradients", tokens, targets), ours, TOLERANCE)
    plan = TrainConfig()
    peer.call("start_training", tokens, targets, plan.lr, plan.betas, plan.weight_decay, plan.clip)
    return peer


def _window(length: int) -> tuple[mx.array, mx.array]:
    data = np.random.default_rng(0).integers(0, 256, (1, length + 1), dtype=np.uint8)
    return mx.array(data[:, :-1]), mx.array(data[:, 1:])
