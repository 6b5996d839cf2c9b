"""Training on labelled sequences: it learns, resumes bit for bit, keeps the last model, names mistakes."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lasmlx.data import DataError, SequenceData, SequenceSet
from lasmlx.models import load
from lasmlx.models.lnn import LNNConfig
from lasmlx.models.tree import flat
from lasmlx.train import EndRecord, SequenceEvalRecord, SequenceStepRecord, TrainConfig, evaluate_sequences
from lasmlx.train.run import RunError
from lasmlx.train.session import prepare, resume_run
from lasmlx.train.task import SequenceTask

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
