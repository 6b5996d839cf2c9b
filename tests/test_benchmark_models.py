"""Families side by side on labelled sequences: costs, scores, lengths, mistakes."""

import re

import numpy as np
import pytest

from lasmlx.benchmark import ModelRow, Note, Stage, measure_lengths, measure_models, models, sized_contenders
from lasmlx.data import SequenceData, SequenceSet
from lasmlx.models import MambaKANConfig, make_model


def waves() -> SequenceData:
    x = np.sin(np.arange(24) * np.where(np.arange(16) % 2, 2.0, 0.4)[:, None]).astype(np.float32)[..., None]
    part = SequenceSet(x, np.full(16, 24), np.ones((16, 24), np.float32), np.arange(16) % 2)
    return SequenceData("waves", part, part, ("slow", "fast"))


def test_model_rows_tell_costs_and_scores() -> None:
    chosen = sized_contenders(4000, ["transformer", "mamba-kan", "mlp twin"])
    found = list(measure_models(waves(), contenders=chosen, steps=12, seeds=2, window=16, batch_size=4, repeats=1))
    rows = [r for r in found if isinstance(r, ModelRow)]
    assert [r.model for r in rows] == ["transformer", "mamba-kan", "mlp twin"]
    for row in rows:
        assert (row.length, row.window, row.steps, row.seen, len(row.scores)) == (24, 16, 12, 48, 2)
        assert row.inference is not None and row.step is not None and row.inference.repeats == row.step.repeats
        assert row.step_mb is not None and row.step_mb > 0 and 1000 < row.parameters < 8000
        assert 0 <= row.mean <= 1 and row.half >= 0


def test_models_learn_in_the_time_they_are_given() -> None:
    chosen = sized_contenders(4000, ["mamba-kan"])
    row = list(measure_models(waves(), contenders=chosen, seconds=2, seeds=1, window=24, repeats=1))[-1]
    assert isinstance(row, ModelRow) and row.steps >= 10 and row.scores == (1.0,) and row.half == np.inf


def test_costs_alone() -> None:
    row = list(measure_models(waves(), contenders=sized_contenders(4000, ["mlp twin"]), seeds=0, repeats=1))[-1]
    assert isinstance(row, ModelRow) and row.step is not None and (row.steps, row.seen, row.scores) == (0, 0, ())
    assert np.isnan(row.mean) and row.to_dict()["scores"] == ()


def test_what_would_not_fit_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MOST_MB", 1e-3)
    monkeypatch.setattr(models, "PROBES", (4, 8, 16))
    chosen = sized_contenders(4000, ["mamba-kan"])
    found = list(measure_models(waves(), contenders=chosen, steps=2, seeds=1, window=16, repeats=1))
    assert "would take 0 GB to train on 24 elements" in next(r.text for r in found if isinstance(r, Note))
    row = found[-1]
    assert isinstance(row, ModelRow) and row.inference is None and row.step_mb is None and len(row.scores) == 1


def test_length_rows_and_their_exponents() -> None:
    config = MambaKANConfig(inputs=2, outputs=3, hidden=16, layers=1, n=4)
    *rows, note = [r for r in measure_lengths("m", config, (3200, 1600), repeats=1) if not isinstance(r, Stage)]
    assert [r.length for r in rows] == [1600, 3200] and all(r.parameters == make_model(config).size for r in rows)
    assert 1.4 < rows[1].step_mb / rows[0].step_mb < 3 and rows[0].inference_mb < rows[0].step_mb
    assert re.match(r"m grows with t to the power of [01]\.\d{3} \(memory of inference\), [01]\.", note.text)


def test_wrong_sizes_of_models_are_named() -> None:
    with pytest.raises(ValueError, match="'gru' is no model; transformer, lstm, mamba-kan, mlp twin go"):
        sized_contenders(0, ["gru"])
    with pytest.raises(ValueError, match="seeds -1"):
        list(measure_models(waves(), seeds=-1))
    with pytest.raises(ValueError, match="lengths are"):
        list(measure_lengths("m", MambaKANConfig(inputs=1), ()))
