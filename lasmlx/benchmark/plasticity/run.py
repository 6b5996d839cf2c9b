"""One question after the other, each arm, each seed: results as they come."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mlx.core as mx

from lasmlx.benchmark.plasticity import capacity, completion, recall, text
from lasmlx.benchmark.plasticity.arms import ARMS, MAIN, Arm, make_arms
from lasmlx.benchmark.records import Row, Stage
from lasmlx.data import load_corpus
from lasmlx.models import make_model
from lasmlx.models.plastic_lm import PlasticLMConfig
from lasmlx.models.tree import flat

MODEL = PlasticLMConfig(d=64, heads=1, fast=1, deep=1)


@dataclass(frozen=True)
class Plan:
    """What is compared, and how long each model trains."""

    model: PlasticLMConfig = MODEL
    arms: tuple[str, ...] = MAIN
    seeds: int = 5
    steps: int = 0  # of training, for every question; 0: each its own
    text: tuple[str, ...] = ("moby-dick", "gps")


@dataclass(frozen=True)
class Score(Row):
    """What one model answered: ``scores`` by the name of the measure."""

    task: str
    arm: str
    seed: int
    parameters: int
    scores: Mapping[str, float]
    seconds: float


def measure_plasticity(
    plan: Plan, tasks: Sequence[str] = (), done: Callable[[str, str, int], bool] = lambda *_: False
) -> Iterator[Score | Stage]:
    """Train and ask every model.

    Args:
        tasks: some of ``TASKS``; all if empty.
        done: whether a task, arm and seed are known already, and left out.

    Raises:
        ValueError: a task or an arm is unknown.
    """
    unknown = [name for name in tasks if name not in TASKS]
    if unknown or plan.seeds < 1:
        raise ValueError(
            f"eval plasticity: tasks {list(tasks)}, seeds {plan.seeds}: expected some of {', '.join(TASKS)} "
            "and at least one seed."
        )
    arms = make_arms(plan.model, plan.arms)
    for task in tasks or TASKS:
        for seed in range(plan.seeds):
            for arm in arms:
                if done(task, arm.name, seed):
                    continue
                yield Stage(f"{task}: {arm.name}, seed {seed}")
                start = time.perf_counter()
                mx.random.seed(seed)
                answer = TASKS[task](plan, arm, seed)
                if answer is not None:
                    yield Score(task, arm.name, seed, *answer, time.perf_counter() - start)


Answer = tuple[int, dict[str, float]]


def _completion(plan: Plan, arm: Arm, seed: int) -> Answer:
    net = completion.make_net(arm.name)
    completion.train_completion(net, seed, plan.steps or completion.EPISODES)
    size = sum(v.size for v in flat(net.parameters()).values())
    return size, {"wrong bits": completion.completion_errors(net)}


def _capacity(plan: Plan, arm: Arm, seed: int) -> Answer | None:
    rule = ARMS[arm.name]["rule"]
    if rule == "none":
        return None
    net = capacity.CapacityNet(rule)
    before = capacity.capacity_accuracy(net)
    capacity.train_capacity(net, seed, plan.steps or capacity.STEPS)
    size = sum(v.size for v in flat(net.parameters()).values())
    return size, {"64 pairs, keys at random": before, "64 pairs, keys learnt": capacity.capacity_accuracy(net)}


def _recall(plan: Plan, arm: Arm, seed: int) -> Answer:
    model = make_model(arm.config)
    training = recall.TRAINING
    recall.train_recall(model, replace(training, seed=seed, steps=plan.steps or training.steps))
    return model.size, {question: recall.recall_accuracy(model, question) for question in recall.QUESTIONS}


def _persistence(plan: Plan, arm: Arm, seed: int) -> Answer:
    model, training = make_model(arm.config), recall.TRAINING
    recall.train_recall(model, replace(training, seed=seed, steps=plan.steps or training.steps))
    scores = {f"{n} tokens between": recall.persistence(model, n) for n in text.BETWEEN}
    with tempfile.TemporaryDirectory() as folder:
        scores["64 tokens, saved and loaded"] = recall.persistence(model, 64, Path(folder))
    return model.size, scores


def _text(plan: Plan, arm: Arm, seed: int) -> Answer:
    scores: dict[str, float] = {}
    for name in plan.text:
        model, corpus = make_model(arm.config), load_corpus([name])
        training = text.TRAINING
        text.train_text(model, corpus, replace(training, seed=seed, steps=plan.steps or training.steps))
        scores |= {corpus.full_name(split): bits for split, bits in text.bits_per_byte(model, corpus).items()}
        if name == "moby-dick":
            held_out = next(iter(corpus.held_out.values()))
            for n in text.BETWEEN:
                scores[f"told, {n} bytes between"] = text.ask(model, held_out, n, trials=32).preferred
    return make_model(arm.config).size, scores


def _long(plan: Plan, arm: Arm, seed: int) -> Answer:
    model, corpus = make_model(arm.config), load_corpus(["gps"])
    text.train_text(model, corpus, replace(text.TRAINING, seed=seed, steps=plan.steps or text.LONG_STEPS))
    scores = text.bits_per_byte(model, corpus)
    return model.size, {corpus.full_name(split): bits for split, bits in scores.items()}


def _told(plan: Plan, arm: Arm, seed: int) -> Answer:
    model, corpus = make_model(arm.config), load_corpus(["moby-dick"])
    training = replace(text.TRAINING, seed=seed, steps=plan.steps or text.TOLD_STEPS)
    text.train_text(model, text.with_definitions(corpus, 32, seed), training)
    held_out = next(iter(corpus.held_out.values()))
    scores = {}
    for n in text.BETWEEN:
        asked = text.ask(model, held_out, n)
        scores[f"told, {n} bytes between"] = asked.preferred
        scores[f"bits, {n} bytes between"] = asked.bits
    return model.size, scores


TASKS: dict[str, Callable[[Plan, Arm, int], Answer | None]] = {
    "completion": _completion,
    "capacity": _capacity,
    "recall": _recall,
    "persistence": _persistence,
    "text": _text,
    "told": _told,
    "long": _long,
}
