"""Labelled sequences: files, lengths, times, thinning; named errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lasmlx.data import DataError, SequenceData, SequenceSet, load_sequences, names_sequences


def arrays(n: int = 5, t: int = 7, channels: int = 2) -> dict[str, Any]:
    random = np.random.default_rng(0)
    parts: dict[str, Any] = {}
    for part in ("train", "test"):
        parts[f"x_{part}"] = random.standard_normal((n, t, channels)).astype(np.float32)
        parts[f"y_{part}"] = np.array(["cat", "dog"] * n)[:n]
        parts[f"lengths_{part}"] = random.integers(2, t + 1, n)
    return parts


def saved(folder: Path, **changed: Any) -> str:
    path = folder / "pets.npz"
    np.savez(path, **{name: v for name, v in (arrays() | changed).items() if v is not None})
    return str(path)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    data = load_sequences(saved(tmp_path))
    given = arrays()
    assert (data.name, data.classes, data.channels, data.outputs) == ("pets", ("cat", "dog"), 2, 2)
    assert data.train.y.tolist() == [0, 1, 0, 1, 0]
    for row, length, x in zip(data.train.x, given["lengths_train"], given["x_train"], strict=True):
        np.testing.assert_array_equal(row[:length], x[:length])
        assert not row[length:].any()
    assert data.train.dt.sum(1).tolist() == given["lengths_train"].tolist()  # a second an element
    mean, deviation, low, high = data.statistics
    inside = given["x_train"][data.train.mask]
    np.testing.assert_allclose(mean, inside.mean(0), rtol=1e-5)
    np.testing.assert_allclose(deviation, inside.std(0), rtol=1e-5)
    assert (low.tolist(), high.tolist()) == (inside.min(0).tolist(), inside.max(0).tolist())


def test_times_become_steps(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(1).uniform(0.1, 2, (5, 7)), axis=1)
    data = load_sequences(saved(tmp_path, times_train=times, lengths_train=np.full(5, 7)))
    np.testing.assert_allclose(data.train.dt[:, 1:], np.diff(times), rtol=1e-5)
    assert not data.train.dt[:, 0].any()


def test_values_instead_of_classes(tmp_path: Path) -> None:
    values = {f"y_{part}": np.linspace(0, 1, 5) for part in ("train", "test")}
    data = load_sequences(saved(tmp_path, **values))
    assert data.classes == () and data.outputs == 1 and data.train.y.shape == (5, 1)


def test_the_fingerprint_tells_every_change(tmp_path: Path) -> None:
    first = load_sequences(saved(tmp_path)).fingerprint
    changed = arrays()["x_test"]
    changed[0, 0, 0] += 1e-3
    assert load_sequences(saved(tmp_path, x_test=changed)).fingerprint != first
    assert load_sequences(saved(tmp_path)).fingerprint == first


def pair(**more: Any) -> SequenceData:
    x = np.arange(24, dtype=np.float32).reshape(2, 4, 3)  # (n, t, channels)
    y = np.arange(8, dtype=np.float32).reshape(2, 4)
    part = SequenceSet(x, np.array([4, 2]), np.ones((2, 4), np.float32), y)
    return SequenceData("pair", part, part, (), **more)


def test_a_forecast_knows_its_horizon_and_the_naive_one() -> None:
    data = pair(targets=(2, 0))
    assert (data.horizon, pair().horizon, data.outputs) == (2, 0, 4)
    assert data.persistence(data.test).tolist() == [[11, 9, 11, 9], [17, 15, 17, 15]]  # of elements 4 and 2
    prints = {pair().fingerprint, data.fingerprint, pair(targets=(0, 2)).fingerprint, pair(targets=(0,)).fingerprint}
    assert len(prints) == 4


@pytest.mark.parametrize("targets", [(3,), (0, 1, 2)])
def test_targets_that_do_not_go(targets: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="expected some of channels 0 to 2, and as many values of each"):
        pair(targets=targets)


def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = load_sequences(saved(tmp_path))
    expected = whole.fingerprint, whole.statistics
    monkeypatch.setattr("lasmlx.data.sequence_set.PIECE", 2)
    again = load_sequences(saved(tmp_path))
    assert again.fingerprint == expected[0]
    np.testing.assert_allclose(np.stack(again.statistics), np.stack(expected[1]), rtol=1e-6)


def test_thinning_keeps_the_time() -> None:
    random = np.random.default_rng(0)
    lengths = np.array([20, 9])
    mask = np.arange(20) < lengths[:, None]
    x = np.where(mask[..., None], random.standard_normal((2, 20, 3)), 0).astype(np.float32)
    dt = np.where(mask, random.uniform(0.5, 2, (2, 20)), 0).astype(np.float32)
    whole = SequenceSet(x, lengths, dt, np.zeros(2, np.int64))
    thin = whole.thinned(0.5, seed=3)
    assert (thin.lengths < lengths).all() and (thin.lengths >= 1).all()
    for i in range(2):
        rows = [np.flatnonzero((x[i] == v).all(1))[0] for v in thin.x[i, : thin.lengths[i]]]
        assert rows[0] == 0 and rows == sorted(set(rows))
        ends = np.cumsum(dt[i])[rows]
        np.testing.assert_allclose(np.cumsum(thin.dt[i, : thin.lengths[i]]), ends, rtol=1e-5)
    np.testing.assert_array_equal(whole.thinned(0, seed=1).x, x[:, :20])


def test_what_names_sequences() -> None:
    assert names_sequences("ucr:GunPoint") and names_sequences("mine.npz")
    assert not names_sequences("gps") and not names_sequences("-")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y_test": None}, r"pets\.npz lacks y_test; expected x_train \(n, t, channels\)"),
        ({"x_train": np.zeros((5, 7))}, r"x_train is \(5, 7\) and y_train \(5,\)"),
        ({"lengths_test": np.array([1, 2, 3, 4, 9])}, r"lengths_test is \(5,\), 1 to 9; 1 to 7 goes"),
        ({"dt_train": np.full((5, 7), -1.0)}, r"the times of train are not \(5, 7\) of finite steps >= 0"),
        ({"x_test": np.full((5, 7, 2), np.nan)}, "x_test has values that are not finite"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_sequences(saved(tmp_path, **changed))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        load_sequences(str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DataError, match=r"is no readable \.npz file"):
        load_sequences(str(tmp_path / "text.npz"))
