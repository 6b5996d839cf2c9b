"""The questions about plasticity: what they ask is what they say, and a model that cannot know is at chance."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.benchmark import soak
from lasmlx.benchmark.plasticity import ARMS, Plan, Score, capacity, completion, interval, make_arms, recall, text
from lasmlx.benchmark.plasticity.run import MODEL, measure_plasticity
from lasmlx.data import ByteSource, load_corpus
from lasmlx.models.plastic_lm import PlasticLM, PlasticLMConfig


def test_an_interval_is_students() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2 and abs(found.half - 4.303 / math.sqrt(3)) < 1e-3
    assert math.isinf(interval([1.0]).half)
    twenty = interval([0.0, 1.0] * 10)
    assert abs(twenty.half - 2.093 * np.std([0.0, 1.0] * 10, ddof=1) / math.sqrt(20)) < 2e-3
    with pytest.raises(ValueError, match="no values"):
        interval([])


def test_a_static_arm_is_as_large_as_a_plastic_one() -> None:
    sizes = {arm.name: arm.parameters for arm in make_arms(MODEL, tuple(ARMS))}
    assert sizes["off"] < sizes["delta"] == sizes["hebb"] == sizes["oja"]
    assert sizes["delta-mapped"] == sizes["delta"] + 64 * 64
    assert abs(sizes["static"] / sizes["delta"] - 1) < 0.03
    with pytest.raises(ValueError, match="arm 'hopfield' is unknown"):
        make_arms(MODEL, ("hopfield",))


@pytest.mark.parametrize("question", recall.QUESTIONS)
def test_every_answer_follows_its_key_as_told_last(question: str) -> None:
    kind, sizes = recall.QUESTIONS[question]
    tokens, answers = recall.MAKERS[kind](np.random.default_rng(1), 3, **sizes)
    for row, wanted in zip(tokens, answers, strict=True):
        assert wanted.sum() == sizes["pairs"]
        first = int(np.flatnonzero(wanted)[0]) - 1
        known = {int(k): int(v) for k, v in pairwise(row[:first]) if k < recall.KEYS <= v}
        for i in np.flatnonzero(wanted):
            assert row[i] == known[int(row[i - 1])] and recall.KEYS <= row[i] < recall.KEYS + recall.VALUES


class Oracle:
    """Predicts what followed the last eight bytes the last time; other bytes alike."""

    context = 8

    def __call__(self, x: mx.array, state: Any = None) -> tuple[mx.array, Any]:
        past = np.zeros((x.shape[0], 0), np.uint8) if state is None else state
        rows = np.concatenate([past, np.array(x)], 1)
        logits = np.zeros((*x.shape, 256), np.float32)
        for b, row in enumerate(rows):
            data = row.tobytes()
            for i in range(x.shape[1]):
                end = past.shape[1] + i + 1
                if (at := data.rfind(data[max(0, end - self.context) : end], 0, end - 1)) >= 0:
                    logits[b, i, data[min(at + self.context, end - 1)]] = 9
        return mx.array(logits), rows


class Forgetful:
    """Knows nothing."""

    def __call__(self, x: mx.array, state: Any = None) -> tuple[mx.array, Any]:
        return mx.sin(x[..., None] * mx.arange(256)), state


def test_who_remembers_prefers_what_was_told_and_who_does_not_is_at_chance() -> None:
    filler = ByteSource.from_bytes("filler", bytes(np.random.default_rng(0).integers(97, 123, 2000, dtype=np.uint8)))
    for between in (0, 40):
        knows = text.ask(Oracle(), filler, between, trials=8)
        assert knows.preferred == 1 and knows.bits > 3
        guesses = text.ask(Forgetful(), filler, between, trials=16)
        assert guesses.preferred == 0.5 and abs(guesses.bits) < 1e-6


def test_definitions_are_told_before_they_are_asked() -> None:
    corpus = text.with_definitions(load_corpus("val"), 64, seed=1)
    data = corpus.train[0 : len(corpus.train)].tobytes().decode()
    lines = [line for line in data.splitlines() if line[4:5] == "-" and ": " in line]
    words = [line.split(": ")[0] for line in lines]
    assert len(lines) > 100 and all(words.count(word) % 2 == 0 for word in words[:50])
    assert set(corpus.held_out) == set(load_corpus("val").held_out)


def test_a_memory_that_was_saved_and_loaded_answers_alike(tmp_path: Path) -> None:
    mx.random.seed(0)
    model = PlasticLM(PlasticLMConfig(d=16, heads=1, fast=1, deep=1))
    recall.train_recall(model, recall.TrainConfig(steps=5, batch_size=4, eval_every=0, save_every=0))
    within = recall.persistence(model, 20, sequences=16)
    assert recall.persistence(model, 20, tmp_path, sequences=16) == within
    assert 0 <= within < 0.5


def test_patterns_are_completed_by_each_rule_and_not_without() -> None:
    for arm in ("hebb", "oja", "delta", "off"):
        mx.random.seed(0)
        net = completion.make_net(arm, 60)
        completion.train_completion(net, 0, 10, 60)
        wrong = completion.completion_errors(net, episodes=10, bits=60)
        assert wrong > 0.15 if arm == "off" else wrong < 0.03, (arm, wrong)


def test_a_trace_holds_as_many_pairs_as_it_is_wide() -> None:
    mx.random.seed(0)
    net = capacity.CapacityNet("delta")
    capacity.train_capacity(net, 0, 40)
    assert capacity.capacity_accuracy(net) > 0.99


def test_results_come_one_by_one_and_what_is_known_is_left_out() -> None:
    plan = Plan(model=PlasticLMConfig(d=8, heads=1, fast=1, deep=1), arms=("off", "delta"), seeds=1, steps=2)
    rows = [row for row in measure_plasticity(plan, ["recall"]) if isinstance(row, Score)]
    assert [row.arm for row in rows] == ["off", "delta"] and set(rows[0].scores) == set(recall.QUESTIONS)
    rest = measure_plasticity(plan, ["recall"], lambda task, arm, seed: arm == "off")
    assert [row.arm for row in rest if isinstance(row, Score)] == ["delta"]
    with pytest.raises(
        ValueError, match="expected some of completion, capacity, recall, persistence, text, told, long"
    ):
        list(measure_plasticity(plan, ["tea"]))


def test_the_command_keeps_its_results_and_shows_them(las: Any, tmp_path: Path) -> None:
    done = [
        {"task": "recall", "arm": arm, "seed": seed, "steps": 0, "parameters": 5, "scores": {"8 pairs": score}}
        for arm, scores in {"off": (0.0, 0.5), "delta": (1.0, 0.5)}.items()
        for seed, score in enumerate(scores)
    ]
    file = tmp_path / "plasticity.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in done))
    shown = las("eval", "plasticity", "--table").stdout.decode()
    assert "0.250 ± 3.176" in shown and "0.750 ± 3.176" in shown and "delta" in shown
    one = json.loads(las("eval", "plasticity", "--table", "--arm", "delta", "--json").stdout)
    assert one["mean"] == 0.75 and one["seeds"] == 2
    file.write_text("hello\n")
    broken = las("eval", "plasticity", "--table")
    assert broken.returncode == 2 and b"plasticity.jsonl, line 1" in broken.stderr and file.read_text() == "hello\n"


def test_a_soak_reports_time_memory_and_traces_below_their_bound() -> None:
    model = PlasticLM(PlasticLMConfig(d=8, heads=2, fast=1, deep=1))
    rows = list(soak.measure_soak(model, count=50, stretch=20))
    assert [row.bytes for row in rows] == [20, 40, 50]
    assert all(0 < row.trace_norm < row.bound and row.p50_us > 0 and row.resident_mb > 1 for row in rows)
