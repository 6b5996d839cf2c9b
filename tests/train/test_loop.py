import dataclasses
import math
import threading
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.data import ByteSource, Corpus, DataError
from lasmlx.models import LAS, load
from lasmlx.models.tree import flat
from lasmlx.train import (
    CheckpointRecord,
    EndRecord,
    EvalRecord,
    Run,
    StartRecord,
    StepRecord,
    TrainConfig,
    Trainer,
    train,
)

Make = Callable[..., LAS]


def describe(config: TrainConfig) -> dict[str, object]:
    return {"model": {}, "train": config.to_dict(), "data": [], "fingerprint": ""}


def bits(model: LAS) -> dict[str, bytes]:
    return {name: np.array(value).tobytes() for name, value in flat(model.parameters()).items()}


def test_records_come_in_order_and_the_loss_falls(small: Make, corpus: Corpus, config: TrainConfig, tmp_path: Path):
    config = dataclasses.replace(config, steps=60, lr=1e-2, eval_every=30, save_every=20)
    run = Run.create(tmp_path / "run", describe(config))
    records = list(train(small(), corpus, config, run))
    assert isinstance(records[0], StartRecord)
    assert records[0].parameters == small().size
    steps = [r for r in records if isinstance(r, StepRecord)]
    assert [r.step for r in steps] == list(range(1, 61))
    assert steps[-1].loss < 0.8 * steps[0].loss
    assert steps[0].loss == pytest.approx(math.log(256), rel=0.3)
    for r in steps:
        assert r.bits_per_byte == pytest.approx(r.loss / math.log(2))
        assert r.bytes_per_second > 0
    evals = [r for r in records if isinstance(r, EvalRecord)]
    assert [(r.step, r.final) for r in evals] == [(30, False), (60, True)]
    assert evals[-1].bytes == len(corpus.held_out["held-out"]) - 1
    assert [r.step for r in records if isinstance(r, CheckpointRecord)] == [20, 30, 40, 60]
    assert isinstance(records[-1], EndRecord) and records[-1].reason == "done"
    assert [line["step"] for line in run.metrics() if line["record"] == "step"] == list(range(1, 61))
    assert {p.name for p in run.path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "optimizer.safetensors",
        "train_state.json",
        "metrics.jsonl",
    }


def test_resume_gives_the_bits_of_an_unbroken_run(small: Make, corpus: Corpus, config: TrainConfig, tmp_path: Path):
    whole_run = Run.create(tmp_path / "whole", describe(config))
    whole = small()
    expected = [r for r in train(whole, corpus, config, whole_run) if isinstance(r, StepRecord)]

    run = Run.create(tmp_path / "broken", describe(config))
    for record in train(small(), corpus, config, run):
        if isinstance(record, StepRecord) and record.step == 6:
            break  # as a kill would: the checkpoint is of step 4
    mx.random.seed(99)
    resumed = small(seed=7)
    records = list(train(resumed, corpus, config, Run.open(run.path), resume=True))
    assert records[0].step == 4
    again = [r for r in records if isinstance(r, StepRecord)]
    assert [(r.step, r.loss, r.grad_norm) for r in again] == [(r.step, r.loss, r.grad_norm) for r in expected[4:]]
    assert bits(resumed) == bits(whole)
    assert [m["step"] for m in run.metrics()] == [m["step"] for m in whole_run.metrics()]


def test_compiled_and_not_agree_with_momentum(small: Make, config: TrainConfig, windows: Callable[[int], mx.array]):
    trained = []
    for compiled in (True, False):
        model = small()
        trainer = Trainer(model, config, compiled=compiled)
        for step in range(5):
            trainer.step(windows(step), windows(step + 1), fresh=step == 0)
        trained.append((flat(model.parameters()), flat(trainer.optimizer.state)))
    for one, other in zip(*trained, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            np.testing.assert_allclose(np.array(value), np.array(other[name]), rtol=2e-4, atol=2e-6, err_msg=name)
    assert any(np.abs(np.array(v)).max() > 0 for k, v in trained[0][1].items() if k.endswith(".m"))


def test_accumulation_is_a_bigger_batch(small: Make, config: TrainConfig, windows: Callable[[int], mx.array]):
    config = dataclasses.replace(config, clip=1e9)
    x, y = (mx.concatenate([windows(i), windows(i + 1)]) for i in (0, 2))
    results = []
    for batch_size, accumulate in ((8, 1), (4, 2)):
        model = small()
        trainer = Trainer(model, dataclasses.replace(config, batch_size=batch_size, accumulate=accumulate))
        loss, norm = trainer.step(x, y, fresh=True)
        results.append((loss, norm, flat(model.parameters())))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-4)
    for name, value in results[0][2].items():
        np.testing.assert_allclose(np.array(value), np.array(results[1][2][name]), atol=1e-4, err_msg=name)


def test_state_is_carried_until_the_windows_start_afresh(small: Make, config: TrainConfig, windows):
    trainer = Trainer(small(), config)
    trainer.step(windows(0), windows(1), fresh=True)
    carried = np.array(trainer.carried[0][0].h)
    assert np.abs(carried).max() > 0
    alone = Trainer(small(), config)
    alone.step(windows(0), windows(1), fresh=True)
    first, _ = trainer.step(windows(2), windows(3), fresh=False)
    second, _ = alone.step(windows(2), windows(3), fresh=True)
    assert first != second


def test_stop_ends_with_a_checkpoint(small: Make, corpus: Corpus, config: TrainConfig, tmp_path: Path):
    run, stop, records = Run.create(tmp_path / "run", describe(config)), threading.Event(), []
    for record in train(small(), corpus, config, run, stop=stop):
        records.append(record)
        if isinstance(record, StepRecord) and record.step == 2:
            stop.set()
    assert records[-1].reason == "stopped" and records[-1].step == 2
    assert run.load().step == 2
    assert load(run.path).size == small().size


def test_divergence_keeps_the_last_good_checkpoint(small: Make, corpus: Corpus, config: TrainConfig, tmp_path: Path):
    run, model, good = Run.create(tmp_path / "run", describe(config)), small(), {}
    for record in train(model, corpus, config, run):
        if isinstance(record, CheckpointRecord) and record.step == 4:
            good = bits(load(run.path))
        if isinstance(record, StepRecord) and record.step == 5:
            model.norm.weight = mx.full(model.norm.weight.shape, math.nan)
    assert isinstance(record, EndRecord) and record.reason == "diverged"
    assert "loss became nan at step 6" in record.message and str(run.path) in record.message
    assert bits(load(run.path)) == good
    assert run.load().step == 4


def test_too_little_data_is_refused_before_anything_is_written(small: Make, config: TrainConfig, tmp_path: Path):
    tiny = Corpus("tiny", ByteSource.from_bytes("tiny", b"short"), {})
    with pytest.raises(DataError, match="5 bytes, but 4 windows of 32 bytes need 129"):
        next(train(small(), tiny, config))


def test_a_checkpoint_of_another_model_is_refused(small: Make, corpus: Corpus, config: TrainConfig, tmp_path: Path):
    from lasmlx.models import LASConfig

    run = Run.create(tmp_path / "run", describe(config))
    list(train(small(), corpus, config, run))
    with pytest.raises(ValueError, match="checkpoint of another model"):
        next(train(LAS(LASConfig(d=8, layers=1)), corpus, config, run, resume=True))
