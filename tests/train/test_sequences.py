"""Training on labelled sequences: it learns, resumes bit for bit, keeps the right model, ends early, names mistakes."""

import dataclasses
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.data import DataError, SequenceData, SequenceSet, load_sequences
from lasmlx.data.sequence_set import whole
from lasmlx.models import load, make_model
from lasmlx.models.lnn import LNNConfig
from lasmlx.models.tree import flat
from lasmlx.train import EndRecord, SequenceEvalRecord, SequenceStepRecord, TrainConfig, evaluate_sequences, train
from lasmlx.train.run import RunError
from lasmlx.train.sequences import SequenceTask, _split, fit_scales
from lasmlx.train.session import prepare, resume_run

CONFIG = TrainConfig(steps=60, batch_size=8, lr=2e-2, warmup=5, eval_every=30, save_every=20)


def waves(n: int, seed: int) -> dict[str, np.ndarray]:
    """Slow waves and fast ones, with noise, of unequal length."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    lengths = random.integers(12, 20, n)
    phase = random.uniform(0, 6, (n, 1))
    x = np.sin(phase + np.arange(20) * np.where(y, 2.0, 0.4)[:, None]) + 0.1 * random.standard_normal((n, 20))
    return {"x": x[..., None].astype(np.float32), "y": y, "lengths": lengths}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "waves.npz"
    parts = {"train": waves(32, 0), "test": waves(20, 1)}
    np.savez(path, **{f"{name}_{part}": v for part, arrays in parts.items() for name, v in arrays.items()})
    return path


@pytest.fixture
def settings() -> dict[str, object]:
    return {f"train.{k}": v for k, v in CONFIG.to_dict().items()} | {
        "model.hidden": 8,
        "model.layers": 1,
        "model.tau_min": 0.3,
        "model.tau_max": 5.0,
    }


def test_it_learns_and_keeps_the_last_model(file: Path, settings: dict[str, object], tmp_path: Path) -> None:
    session = prepare("lnn", settings, (str(file),), tmp_path / "run")
    assert session.model.config == LNNConfig(inputs=1, outputs=2, hidden=8, layers=1, tau_min=0.3, tau_max=5.0)
    records = list(session.records())
    losses = [r.loss for r in records if isinstance(r, SequenceStepRecord)]
    assert np.mean(losses[-5:]) < 0.3 * losses[0]
    evals = [r for r in records if isinstance(r, SequenceEvalRecord)]
    assert [(r.step, r.final, r.sequences, r.measure) for r in evals] == [
        (30, False, 20, "accuracy"),
        (60, True, 20, "accuracy"),
    ]
    assert evals[-1].score >= 0.9
    assert isinstance(records[-1], EndRecord) and records[-1].reason == "done"
    kept = evaluate_sequences(load(tmp_path / "run"), session.data)
    assert (kept.score, kept.loss) == (evals[-1].score, pytest.approx(evals[-1].loss, rel=1e-5))
    assert session.run.description["classes"] == ["0", "1"]


def test_resume_gives_the_bits_of_an_unbroken_run(file: Path, settings: dict[str, object], tmp_path: Path) -> None:
    whole = prepare("lnn", settings, (str(file),), tmp_path / "whole")
    list(whole.records())
    broken = prepare("lnn", settings, (str(file),), tmp_path / "broken")
    for record in broken.records():
        if isinstance(record, SequenceStepRecord) and record.step == 47:
            break
    resumed = resume_run(None, {}, (), tmp_path / "broken")
    list(resumed.records())
    for name, value in flat(whole.model.parameters()).items():
        assert np.array(value).tobytes() == np.array(flat(resumed.model.parameters())[name]).tobytes(), name


def test_the_best_model_by_validation_is_kept_and_tested_once(
    file: Path, settings: dict[str, object], tmp_path: Path
) -> None:
    chosen = settings | {"train.validation": 0.25, "train.eval_every": 5, "train.lr": 0.3}  # too high: it gets worse
    session = prepare("lnn", chosen, (str(file),), tmp_path / "run")
    assert session.task.size == 24
    records = list(session.records())
    evals = [r for r in records if isinstance(r, SequenceEvalRecord)]
    looks, tests = [r for r in evals if r.split == "validation"], [r for r in evals if r.split == "test"]
    best = min(looks, key=lambda r: r.loss)
    assert len(looks) == 12 and {r.sequences for r in looks} == {8} and best.step < 60
    assert [(r.step, r.final, r.sequences) for r in tests] == [(best.step, True, 20)]
    kept = evaluate_sequences(load(tmp_path / "run"), session.data)
    assert (kept.score, kept.confusion) == (tests[0].score, tests[0].confusion)
    assert evaluate_sequences(session.model, session.data).loss == pytest.approx(kept.loss, rel=1e-6)


def test_a_run_ends_early_and_resumes_to_the_same_end(file: Path, settings: dict[str, object], tmp_path: Path) -> None:
    chosen = settings | {"train.validation": 0.25, "train.eval_every": 5, "train.patience": 3, "train.lr": 0.3}
    whole = list(prepare("lnn", chosen, (str(file),), tmp_path / "whole").records())
    end = whole[-1]
    looks = [r for r in whole if isinstance(r, SequenceEvalRecord) and r.split == "validation"]
    best = min(looks, key=lambda r: r.loss)
    assert isinstance(end, EndRecord) and (end.reason, end.step) == ("early", best.step + 15) and end.step < 60
    assert end.message == f"no better than after step {best.step}"
    session = prepare("lnn", chosen, (str(file),), tmp_path / "broken")
    for record in session.records():
        if isinstance(record, SequenceStepRecord) and record.step == end.step - 4:
            break
    resumed = resume_run(None, {}, (), tmp_path / "broken")
    rest = list(resumed.records())
    assert rest[-1].step == end.step and rest[-1].reason == "early"  # type: ignore[union-attr]
    assert [(r.split, r.loss) for r in rest if isinstance(r, SequenceEvalRecord) and r.final] == [
        (r.split, r.loss) for r in whole if isinstance(r, SequenceEvalRecord) and r.final
    ]
    again = resume_run(None, {}, (), tmp_path / "whole")
    assert [type(r).__name__ for r in again.records()] == ["StartRecord", "SequenceEvalRecord", "EndRecord"]


def test_balance_weighs_each_class_the_same() -> None:
    y = np.array([0] * 6 + [1, 1])
    part = SequenceSet(np.zeros((8, 3, 1), np.float32), np.full(8, 3), np.ones((8, 3), np.float32), y)
    data = SequenceData("uneven", part, part, ("a", "b"))
    model = make_model(LNNConfig(inputs=1, outputs=2, hidden=4, layers=1))
    losses = {}
    for balance in (False, True):
        task = SequenceTask(data, dataclasses.replace(CONFIG, balance=balance))
        losses[balance] = task.loss(model, task.batch(0)[0], [])[0].item()
    said = np.array(model(mx.array(part.x))[0])[0, -1].astype(np.float64)
    nats = np.log(np.exp(said).sum()) - said
    assert losses[False] == pytest.approx(0.75 * nats[0] + 0.25 * nats[1], rel=1e-5)
    assert losses[True] == pytest.approx(0.5 * nats[0] + 0.5 * nats[1], rel=1e-5)
    values = SequenceData("values", dataclasses.replace(part, y=np.ones((8, 1), np.float32)), part, ())
    with pytest.raises(DataError, match="values has values and no classes to balance"):
        SequenceTask(values, dataclasses.replace(CONFIG, balance=True))


def test_each_class_is_held_back_in_proportion() -> None:
    y = np.array([0] * 20 + [1] * 5 + [2])
    part = SequenceSet(np.zeros((26, 3, 1), np.float32), np.full(26, 3), np.ones((26, 3), np.float32), y)
    data = SequenceData("uneven", part, part, ("a", "b", "c"))
    train, held = _split(data, dataclasses.replace(CONFIG, validation=0.2))
    assert held is not None
    assert np.bincount(held.y, minlength=3).tolist() == [4, 1, 0] and np.bincount(train.y).tolist() == [16, 4, 1]
    one = dataclasses.replace(data, train=part.take(np.array([25])))
    with pytest.raises(DataError, match=r"uneven has 1 sequences to train on: 0\.2 of them leave 1 to train on and 0"):
        SequenceTask(one, dataclasses.replace(CONFIG, validation=0.2))


def test_confusion_counts_what_was_said_of_each_class(file: Path) -> None:
    data = load_sequences(str(file))
    model = make_model(LNNConfig(inputs=1, outputs=2, hidden=4, layers=1))
    judged = evaluate_sequences(model, data)
    counts = np.array(judged.confusion)
    assert counts.sum(1).tolist() == np.bincount(data.test.y).tolist()
    assert judged.score == pytest.approx(np.trace(counts) / counts.sum())
    assert evaluate_sequences(model, data, batch_size=7).confusion == judged.confusion


def test_other_data_is_not_resumed(file: Path, settings: dict[str, object], tmp_path: Path) -> None:
    list(prepare("lnn", settings, (str(file),), tmp_path / "run").records())
    parts = {"train": waves(32, 5), "test": waves(20, 1)}
    np.savez(file, **{f"{name}_{part}": v for part, arrays in parts.items() for name, v in arrays.items()})
    with pytest.raises(RunError, match="has changed since"):
        resume_run(None, {}, (), tmp_path / "run")


def test_every_sequence_comes_once_an_epoch() -> None:
    x = np.arange(32, dtype=np.float32).reshape(32, 1, 1)
    part = SequenceSet(x, np.ones(32, np.int64), np.ones((32, 1), np.float32), np.zeros(32, np.int64))
    task = SequenceTask(SequenceData("count", part, part, ("a",)), CONFIG)
    epochs = [[np.array(task.batch(4 * epoch + i)[0][0]).ravel().tolist() for i in range(4)] for epoch in range(2)]
    for epoch in epochs:
        assert sorted(v for batch in epoch for v in batch) == list(range(32))
    assert epochs[0] != epochs[1]


def test_mistakes_are_named(file: Path, settings: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="waves has 32 sequences to train on, a step takes 64: lower the batch size"):
        prepare("lnn", settings | {"train.batch_size": 64}, (str(file),), tmp_path / "a")
    with pytest.raises(DataError, match="a las model reads bytes; labelled sequences are for lnn"):
        prepare("las", {}, (str(file),), tmp_path / "b")
    with pytest.raises(DataError, match="labelled sequences are not joined"):
        prepare("lnn", settings, (str(file), "gps"), tmp_path / "c")
    assert not any((tmp_path / name).exists() for name in "abc")
    session = prepare("lnn", settings, (str(file),), tmp_path / "d")
    data = session.data
    assert isinstance(data, SequenceData)
    wider = dataclasses.replace(data, classes=("a", "b", "c"))
    with pytest.raises(DataError, match="waves has 1 channels and 3 outputs, the model 1 and 2"):
        evaluate_sequences(session.model, wider)


def test_a_step_sees_stretches_of_longer_sequences() -> None:
    x = np.arange(8 * 30, dtype=np.float32).reshape(8, 30, 1)
    lengths = np.array([30] * 6 + [5, 12])
    part = SequenceSet(x, lengths, np.ones((8, 30), np.float32), np.arange(8))
    task = SequenceTask(SequenceData("count", part, part, tuple("abcdefgh")), dataclasses.replace(CONFIG, crop=12))
    starts = set()
    for step in range(20):
        seen, dt, mask, ends, y = (np.array(v) for v in task.batch(step)[0])
        assert seen.shape == (8, 12, 1) and np.array_equal(ends, np.minimum(lengths[y], 12))
        assert np.array_equal(mask, np.arange(12) < ends[:, None]) and np.array_equal(dt, mask)
        for row, c, end in zip(seen[..., 0], y, ends, strict=True):
            first = row[0] - 30 * c
            assert np.array_equal(row[:end], 30 * c + first + np.arange(end)) and not row[end:].any()
            starts.add((c, first))
    assert {first for c, first in starts if c < 6} == set(range(19)) and {s for c, s in starts if c > 5} == {0}
    ahead = SequenceData("ahead", dataclasses.replace(part, y=x[:, 0]), part, (), targets=(0,))
    with pytest.raises(DataError, match=r"ahead is forecasts, .* set crop=0"):
        SequenceTask(ahead, dataclasses.replace(CONFIG, crop=12))


def test_values_are_learnt_on_any_scale(tmp_path: Path, settings: dict[str, object]) -> None:
    parts = {"train": waves(32, 0), "test": waves(20, 1)}
    for part in parts.values():
        part["y"] = 1e6 + 1e4 * part["y"].astype(np.float32)
    np.savez(
        tmp_path / "v.npz", **{f"{name}_{part}": v for part, arrays in parts.items() for name, v in arrays.items()}
    )
    session = prepare("lnn", settings, (str(tmp_path / "v.npz"),), tmp_path / "run")
    assert session.model.config.answers == "values"
    last = [r for r in session.records() if isinstance(r, SequenceEvalRecord)][-1]
    assert last.measure == "rmse" and last.score < 3e3 and last.loss == pytest.approx((last.score / 5e3) ** 2, rel=1e-3)
    assert evaluate_sequences(load(tmp_path / "run"), session.data).score == pytest.approx(last.score, rel=1e-5)


def test_a_forecast_goes_on_from_the_last_element(tmp_path: Path, settings: dict[str, object]) -> None:
    t = np.arange(14) + np.random.default_rng(0).uniform(0, 6, (48, 1))
    series = np.sin(t).astype(np.float32)[..., None]
    sets = [whole(series[rows, :12], series[rows, 12:].reshape(-1, 2)) for rows in (slice(32), slice(32, 48))]
    data = SequenceData("sine", sets[0], sets[1], (), targets=(0,))
    mx.random.seed(0)
    model = make_model(LNNConfig(inputs=1, outputs=2, hidden=8, layers=1, answers="forecast", tau_min=0.3, tau_max=5.0))
    fit_scales(model, data)
    config = dataclasses.replace(CONFIG, steps=150)
    last = [r for r in train(model, data, config) if isinstance(r, SequenceEvalRecord)][-1]
    assert last.naive == pytest.approx(np.sqrt(((series[32:, 11:12] - series[32:, 12:]) ** 2).mean()), rel=1e-5)
    assert last.score < 0.3 * last.naive


def test_jitter_is_noise_that_is_new_at_each_step() -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((8, 400, 2)).astype(np.float32) * np.array([3.0, 0.1], np.float32)
    lengths, x[7, 9:] = np.array([400] * 7 + [9]), 0
    part = SequenceSet(x, lengths, np.ones((8, 400), np.float32), np.arange(8))
    data = SequenceData("noisy", part, part, tuple("abcdefgh"))
    task = SequenceTask(data, dataclasses.replace(CONFIG, jitter=0.2))
    first, again, second = (task.batch(step)[0] for step in (0, 0, 1))
    assert np.array_equal(np.array(first[0]), np.array(again[0]))
    noise = [np.array(a[0]) - x[np.array(a[4])] for a in (first, second)]
    np.testing.assert_allclose(noise[0][np.array(first[4]) < 7].std((0, 1)) / data.statistics.deviation, 0.2, rtol=0.05)
    assert np.abs(noise[0] - noise[1]).max() > 0.1
    assert not np.array(first[0])[np.array(first[4]) == 7][0, 9:].any()


def test_the_end_of_a_series_is_held_back_and_what_reaches_into_it_left_out() -> None:
    series = np.arange(60, dtype=np.float32)
    x, y = (np.lib.stride_tricks.sliding_window_view(series[k:], n) for k, n in ((0, 8), (8, 4)))
    part = whole(x[: len(y), :, None], y)
    data = SequenceData("line", part, part, (), targets=(0,), ordered=True)
    train, held = _split(data, dataclasses.replace(CONFIG, validation=0.25))
    assert held is not None and len(held) == round(0.25 * len(y))
    assert train.y.max() < held.y.min() == train.y.max() + 1  # nothing forecast in both
    assert held.x[-1, -1] + 1 == held.y[-1, 0] and np.shares_memory(train.x, part.x)
    few = dataclasses.replace(data, train=part.stretch(slice(5)))
    with pytest.raises(DataError, match="line has 5 windows to train on, too few to hold back those from 3 on"):
        _split(few, dataclasses.replace(CONFIG, validation=0.4))


def test_a_run_is_resumed_by_its_preset_too(file: Path, settings: dict[str, object], tmp_path: Path) -> None:
    short = settings | {"train.steps": 3}
    list(prepare("lnn", short, (str(file),), tmp_path / "run").records())
    session = resume_run("lnn", short, (str(file),), tmp_path / "run")
    assert session.resumed and session.model.config.inputs == 1
    with pytest.raises(RunError, match="was started with hidden = 8, not 9"):
        resume_run("lnn", short | {"model.hidden": 9}, (str(file),), tmp_path / "run")
