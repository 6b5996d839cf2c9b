"""Computing in 16 bits: near float32, with parameters that stay float32; overflows; resuming; growing windows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.data import Corpus, DataError, SequenceData, SequenceSet
from lasmlx.models import LAS, ConfigError, make_model
from lasmlx.models.spiking_mamba import SpikingMambaConfig
from lasmlx.models.tree import flat
from lasmlx.train import ActivityRecord, EndRecord, Run, StepRecord, TrainConfig, Trainer, train
from lasmlx.train.precision import FIRST_SCALE, computing_in
from lasmlx.train.sequences import SequenceTask
from lasmlx.train.task import LanguageTask, window_length

Make = Callable[..., LAS]


def losses(model: Any, corpus: Corpus, config: TrainConfig) -> list[float]:
    return [r.loss for r in train(model, corpus, config) if isinstance(r, StepRecord)]


def spiking(**options: Any) -> Any:
    mx.random.seed(0)
    sizes: dict[str, Any] = {"hidden": 16, "layers": 1, "n": 4, "gate_heads": 2, "mode": "parallel"}
    return make_model(SpikingMambaConfig(**(sizes | options)))


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.02), ("float16", 0.01)])
def test_sixteen_bits_learn_what_float32_does(
    precision: Any, tolerance: float, small: Make, corpus: Corpus, config: TrainConfig
) -> None:
    config = replace(config, steps=40, lr=1e-2, eval_every=0)
    model = small()
    lowered = losses(model, corpus, replace(config, precision=precision))
    full = losses(small(), corpus, config)
    assert full[-1] < 0.8 * full[0] and lowered != full
    np.testing.assert_allclose(lowered, full, rtol=tolerance)
    assert {v.dtype for v in flat(model.parameters()).values()} == {mx.float32}


def test_spikes_are_learnt_in_sixteen_bits_too(corpus: Corpus, config: TrainConfig) -> None:
    config = replace(config, steps=30, lr=1e-2, eval_every=0)
    lowered = losses(spiking(), corpus, replace(config, precision="bfloat16"))
    full = losses(spiking(), corpus, config)
    np.testing.assert_allclose(np.mean(lowered[-5:]), np.mean(full[-5:]), rtol=0.03)


def test_only_the_computation_is_lowered(small: Make) -> None:
    model = small()
    before = flat(model.parameters())
    with computing_in(model, "bfloat16"):
        inside = flat(model.parameters())
        logits, _ = model(mx.zeros((1, 3), mx.uint8))
    assert logits.dtype == mx.bfloat16
    kept = {name for name, v in inside.items() if v.dtype == mx.float32}
    names = ("A_log", ".D", "frequency", "phase")
    assert kept == {name for name in before if name.endswith(names)} and len(kept) == 6
    for name, v in flat(model.parameters()).items():
        assert mx.array_equal(v, before[name]) and v.dtype == mx.float32


def test_an_overflow_leaves_a_step_out_and_halves_the_scale(
    small: Make, config: TrainConfig, windows: Callable[[int], mx.array]
) -> None:
    trainer = Trainer(small(), replace(config, precision="float16"))
    x, y = windows(0), windows(1)
    assert trainer.step(x, y, fresh=True)[1] > 0
    before = {name: np.array(v) for name, v in flat(trainer.model.parameters()).items()}
    trainer.scale.state["scale"] = mx.array(2.0**40)
    loss, norm = trainer.step(x, y, fresh=True)
    assert np.isfinite(loss) and norm == 0 and trainer.scale.value.item() == 2.0**39
    for name, v in flat(trainer.model.parameters()).items():
        np.testing.assert_array_equal(np.array(v), before[name])
    assert trainer.optimizer.step.item() == 1


def test_a_calm_stretch_doubles_the_scale(small: Make, config: TrainConfig, windows: Callable[[int], mx.array]) -> None:
    trainer = Trainer(small(), replace(config, precision="float16"))
    trainer.scale.state["calm"] = mx.array(999)
    trainer.step(windows(0), windows(1), fresh=True)
    assert (trainer.scale.value.item(), trainer.scale.state["calm"].item()) == (2 * FIRST_SCALE, 0)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_resuming_is_exact(precision: Any, small: Make, corpus: Corpus, config: TrainConfig, tmp_path: Path) -> None:
    config = replace(config, precision=precision, eval_every=0, curriculum=6)

    def steps(run: Run, resume: bool, config: TrainConfig = config) -> list[float]:
        found = train(small(), corpus, config, run, resume=resume)
        return [r.loss for r in found if isinstance(r, StepRecord)]

    about = {"model": {}, "train": config.to_dict(), "data": [], "fingerprint": ""}
    whole = steps(Run.create(tmp_path / "whole", about), False)
    run = Run.create(tmp_path / "halves", about)
    records = train(small(), corpus, config, run)
    first: list[float] = []
    for record in records:
        if isinstance(record, StepRecord):
            first.append(record.loss)
        if len(first) == 8:
            break
    assert first[:4] + steps(run, True) == whole  # the last checkpoint is that of step 4


def test_windows_grow_by_eighths(corpus: Corpus, config: TrainConfig) -> None:
    config = replace(config, curriculum=16)
    assert [window_length(config, step) for step in (0, 1, 2, 8, 15, 16, 99)] == [4, 4, 8, 20, 32, 32, 32]
    task = LanguageTask(corpus, config)
    for step in (0, 3, 16, 17):
        (x, y), fresh = task.batch(step)
        assert x.shape == y.shape == (4, window_length(config, step))
        assert mx.array_equal(x[:, 1:], y[:, :-1])
        assert fresh or step == 17


def test_labelled_sequences_have_no_windows(config: TrainConfig) -> None:
    ones = np.ones((4, 3), np.float32)
    part = SequenceSet(ones[..., None], np.full(4, 3), ones, np.array([0, 1, 0, 1]))
    with pytest.raises(DataError, match="set curriculum=0"):
        SequenceTask(SequenceData("d", part, part, ("a", "b")), replace(config, curriculum=3))


def test_without_carrying_no_state_is_kept(small: Make, corpus: Corpus, config: TrainConfig) -> None:
    config = replace(config, carry=1)
    task = LanguageTask(corpus, config)
    trainer = Trainer(small(), config, task)
    arrays, fresh = task.batch(0)
    trainer.step(*arrays, fresh=fresh)
    assert trainer.carried == [[]]


def test_networks_that_do_not_work_are_noticed(corpus: Corpus, config: TrainConfig) -> None:
    config = replace(config, steps=10, lr=1e-4)

    def warnings(**options: Any) -> list[str]:
        records = list(train(spiking(**options), corpus, config))
        assert isinstance(records[-1], EndRecord)
        seen = [r for r in records if isinstance(r, ActivityRecord)]
        assert [r.step for r in seen] == [4, 8, 10]
        return seen[-1].warnings

    assert warnings() == []
    assert warnings(theta=1e3) == ["layer 1 is silent (100% of its neurons never fire): lower theta or raise beta."]
    model = spiking()
    model.stack.blocks[0].neurons.b = mx.full((16,), 9.0)
    seen = [r for r in train(model, corpus, config) if isinstance(r, ActivityRecord)]
    assert seen[0].warnings == ["layer 1 fires all the time (100% of its neurons): raise theta or lower beta."]


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="precision is 'int8', expected one of float32, bfloat16, float16"):
        TrainConfig(precision="int8")  # type: ignore[arg-type]
