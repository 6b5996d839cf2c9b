"""CSV and NPZ files of one's own: what a spec means, rows and ids as sequences, windows of a series, named errors."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.data import absolute_sequences, load_sequences, names_sequences, table_spec
from lasmlx.data.table_spec import TableSpec, parse_table

WIDE = "kind,a,b,c\ncat,1,2,3\ndog,4,5,\ncat,6,,\ndog,7,8,9\n"
LONG = """walk,when,left,right,who
1,2026-01-01T00:00:00,1,2,ann
2,2026-01-01T00:00:05,9,8,bob
1,2026-01-01T00:00:30,3,4,ann
1,2026-01-01T00:00:10,5,6,ann
2,2026-01-01T00:00:05.5,7,6,bob
3,2026-01-02,1,1,ann
4,2026-01-02,2,2,bob
"""


def written(folder: Path, text: str, name: str = "mine.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def series(rows: int) -> str:
    return "a,b,c\n" + "".join(f"{i},{10 * i},{100 * i}\n" for i in range(rows))


def everything(data: Any) -> list[tuple[Any, ...]]:
    """Of both sets: the elements, the seconds and the label of each sequence."""
    return [
        (x[:length].tolist(), dt[:length].tolist(), y.tolist())
        for part in (data.train, data.test)
        for x, length, dt, y in zip(part.x, part.lengths, part.dt, part.y, strict=True)
    ]


name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(label=name, id=name, time=name, share=st.floats(0.001, 0.999))
def test_a_spec_means_what_it_was_made_of(label: str, id: str, time: str, share: float) -> None:
    spec = table_spec("a #1/x.csv", task="classify", label=label, id=id, time=time, test=share)
    assert names_sequences(spec)
    assert parse_table(spec) == TableSpec(Path("a #1/x.csv"), "classify", label, id, time, test=str(share))


def test_specs_are_short_and_get_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert table_spec("x.csv", task="forecast", label="a,b", window=8, test=None) == (
        "x.csv#task=forecast&label=a,b&window=8"
    )
    monkeypatch.chdir(tmp_path)
    spec = table_spec("x.csv", task="classify", label="my kind", test="y.csv")
    assert spec == "x.csv#task=classify&label=my%20kind&test=y.csv"
    assert absolute_sequences(spec) == f"{tmp_path}/x.csv#task=classify&label=my%20kind&test={tmp_path}/y.csv"
    assert not names_sequences("x.csv") and not names_sequences("x#1.csv") and not names_sequences("task=classify")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_row_is_a_sequence(tmp_path: Path, delimiter: str, encoding: str) -> None:
    path = written(tmp_path, WIDE.replace(",", delimiter).replace("\n", "\r\n"), encoding=encoding)
    data = load_sequences(table_spec(path, task="classify", label="kind"))
    assert (data.name, data.classes, data.channels, data.ordered) == ("mine", ("cat", "dog"), 1, False)
    assert (len(data.train), len(data.test)) == (2, 2) and data.test.x.dtype == data.test.dt.dtype == np.float32
    assert sorted(everything(data)) == [
        ([[1], [2], [3]], [1, 1, 1], 0),
        ([[4], [5]], [1, 1], 1),
        ([[6]], [1], 0),
        ([[7], [8], [9]], [1, 1, 1], 1),
    ]


def test_rows_may_end_early_and_cells_be_quoted(tmp_path: Path) -> None:
    path = written(tmp_path, 'v1;v2;"the ""kind"";"\n1;2; "a;\nb"\n\n;;\n3;"4";c\n5;6;c\n7;;"a;\nb"\n')
    data = load_sequences(table_spec(path, task="classify", label='the "kind";'))
    assert data.classes == ("a;\nb", "c") and sorted(everything(data))[-1] == ([[7]], [1], 0)
    early = load_sequences(
        table_spec(written(tmp_path, "kind,a,b\nx,1\nx,2,3\ny,4\ny,5\n"), task="classify", label="kind")
    )
    assert [x for x, *_ in sorted(everything(early))] == [[[1]], [[2], [3]], [[4]], [[5]]]


def test_commas_in_names_of_a_table_of_semicolons(tmp_path: Path) -> None:
    path = written(tmp_path, "wind, m/s;heat, J, K;kind, really\n1;2;x\n3;4;y\n5;6;x\n7;8;y\n")
    assert load_sequences(table_spec(path, task="classify", label="kind, really")).classes == ("x", "y")


def test_rows_of_an_id_are_a_sequence_in_the_order_of_time(tmp_path: Path) -> None:
    path = written(tmp_path, LONG)
    data = load_sequences(table_spec(path, task="classify", label="who", id="walk", time="when"))
    assert (data.classes, data.channels) == (("ann", "bob"), 2)
    assert sorted(everything(data)) == [
        ([[1, 1]], [1], 0),
        ([[1, 2], [5, 6], [3, 4]], [1, 1, 2], 0),
        ([[2, 2]], [1], 1),
        ([[9, 8], [7, 6]], [1, np.float32(0.05)], 1),
    ]  # the median step is 10 seconds


def test_without_a_time_rows_last_a_second_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "\n".join(",".join(line.split(",")[:1] + line.split(",")[2:]) for line in LONG.splitlines())
    data = load_sequences(table_spec(written(tmp_path, text), task="classify", label="who", id="walk"))
    assert ([[1, 2], [3, 4], [5, 6]], [1, 1, 1], 0) in everything(data)


def test_times_are_counted_in_their_median_step(tmp_path: Path) -> None:
    text = "id,t,v,y\n1,1700000000.5,1,0.5\n1,1700000002,2,0.5\n1,1700000005,4,0.5\n1,1700000006.5,0,0.5\n2,3,3,1\n"
    data = load_sequences(table_spec(written(tmp_path, text), task="regress", label="y", id="id", time="t"))
    assert sorted(everything(data)) == [([[1], [2], [4], [0]], [1, 1, 2, 1], [0.5]), ([[3]], [1], [1])]
    assert data.classes == () and data.outputs == 1 and data.train.y.dtype == np.float32


def test_regression_may_have_several_values(tmp_path: Path) -> None:
    path = written(tmp_path, 'p,"q,r",v\n1,2,3\n4,5,6\n')
    data = load_sequences(table_spec(path, task="regress", label='"q,r",p'))
    assert sorted(everything(data)) == [([[3]], [1], [2, 1]), ([[6]], [1], [5, 4])]


def test_classes_that_are_numbers_are_in_their_order(tmp_path: Path) -> None:
    path = written(tmp_path, "y,v\n" + "10,1\n9,2\n" * 3)
    assert load_sequences(table_spec(path, task="classify", label="y")).classes == ("9", "10")


@settings(deadline=None, max_examples=30)
@given(counts=st.lists(st.integers(2, 40), min_size=2, max_size=4), share=st.floats(0.01, 0.99))
def test_every_class_is_in_both_sets_by_its_share(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], share: float
) -> None:
    labels = [f"c{i}" for i, count in enumerate(counts) for _ in range(count)]
    text = "y,v\n" + "".join(f"{label},{i}\n" for i, label in enumerate(labels))
    path = written(tmp_path_factory.mktemp("split"), text)
    data, again = (load_sequences(table_spec(path, task="classify", label="y", test=share)) for _ in range(2))
    assert data.fingerprint == again.fingerprint
    assert sorted(x[0][0] for x, *_ in everything(data)) == list(range(len(labels)))
    for part, wanted in ((data.train, 1 - share), (data.test, share)):
        held = np.bincount(part.y, minlength=len(counts))
        expected = np.clip(wanted * np.array(counts), 1, np.array(counts) - 1)
        assert (np.abs(held - expected) <= 0.5).all()
        assert (np.diff(part.x[:, 0, 0]) > 0).all()  # as in the file


def test_a_test_file(tmp_path: Path) -> None:
    other = written(tmp_path, "kind,a,b,c\ndog,1,2,\n", "later.csv")
    data = load_sequences(table_spec(written(tmp_path, WIDE), task="classify", label="kind", test=other))
    assert len(data.train) == 4 and everything(data)[4:] == [([[1], [2]], [1, 1], 1)]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(24, 60), st.integers(1, 6), st.integers(1, 5), st.floats(0.25, 0.4), st.sampled_from(["a", "c,a", None])
)
def test_windows_of_a_series(
    tmp_path_factory: pytest.TempPathFactory, rows: int, window: int, horizon: int, share: float, label: str | None
) -> None:
    path = written(tmp_path_factory.mktemp("series"), series(rows))
    spec = table_spec(path, task="forecast", label=label, window=window, horizon=horizon, test=share)
    data = load_sequences(spec)
    scale = np.array([1.0, 10, 100])
    wanted = {"a": (0,), "c,a": (2, 0), None: (0, 1, 2)}[label]
    assert (data.targets, data.horizon, data.channels, data.classes, data.ordered) == (wanted, horizon, 3, (), True)
    cut = rows - round(rows * share)
    begins = {"train": range(cut - window - horizon + 1), "test": range(cut - window, rows - window - horizon + 1)}
    for half, starts in begins.items():
        part = getattr(data, half)
        time = np.array(starts)[:, None] + np.arange(window + horizon)  # (n, window + horizon)
        np.testing.assert_array_equal(part.x, time[:, :window, None] * scale)
        following = time[:, window:, None] * scale[list(wanted)]
        np.testing.assert_array_equal(part.y, following.reshape(len(time), -1))
        assert (part.dt == 1).all() and part.lengths.tolist() == [window] * len(time)
        assert not part.x.flags.owndata and part.x.strides[0] == part.x.strides[1]  # views, each an element later
        naive = np.repeat(part.x[:, -1:, list(wanted)], horizon, 1).reshape(len(time), -1)
        np.testing.assert_array_equal(data.persistence(part), naive)


def test_a_series_with_times_and_text(tmp_path: Path) -> None:
    days = [f"2026-02-{day:02}" for day in (1, 2, 4, 5, 6, 8, 9, 10, 11, 12)]
    text = "day,wind,note\n" + "".join(f"{day},{i},calm\n" for i, day in enumerate(days))
    spec = table_spec(written(tmp_path, text), task="forecast", time="day", window=3, horizon=1, test=0.3)
    data = load_sequences(spec)
    assert data.channels == 1 and data.targets == (0,)
    assert data.train.dt[:3].tolist() == [[1, 1, 2], [1, 2, 1], [2, 1, 1]]


def test_defaults_read_96_and_forecast_24(tmp_path: Path) -> None:
    data = load_sequences(table_spec(written(tmp_path, series(200)), task="forecast"))
    assert data.train.x.shape == (41, 96, 3) and data.horizon == 24 and len(data.test) == 17


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


def test_arrays_beside_each_other(tmp_path: Path) -> None:
    x, y = np.arange(24.0).reshape(6, 4), np.array([3, 10, 3, 10, 3, 3])
    path = saved(tmp_path, x=x, y=y, kind=y.astype(str), lengths=np.full(6, 3), times=np.tile([0, 1, 5, 9], (6, 1)))
    data = load_sequences(table_spec(path, task="classify"))
    assert data.classes == ("3", "10") and len(data.test) == 2
    assert ([[0], [1], [2]], [0, 1, 4], 0) in everything(data)
    named = load_sequences(table_spec(path, task="classify", label="kind", test=0.2))
    assert named.fingerprint == data.fingerprint
    values = load_sequences(table_spec(path, task="regress", label="y"))
    assert values.classes == () and sorted(y[0] for *_, y in everything(values)) == [3, 3, 3, 3, 10, 10]


def test_an_array_is_a_series(tmp_path: Path) -> None:
    time = np.arange(20.0)
    path = saved(tmp_path, x=np.stack([time, -time], 1), dt=np.full(20, 2.0))
    data = load_sequences(table_spec(path, task="forecast", label="1", window=4, horizon=2, test=0.3))
    assert data.targets == (1,) and data.train.y[0].tolist() == [-4, -5] and data.train.dt[0].tolist() == [2] * 4
    one = load_sequences(table_spec(saved(tmp_path, x=time), task="forecast", window=4, horizon=2, test=0.3))
    assert one.channels == 1 and one.targets == (0,)


@settings(deadline=None, max_examples=30)
@given(
    names=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=3, max_size=3),
    delimiter=st.sampled_from(",;\t"),
)
def test_what_the_csv_module_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], delimiter: str
) -> None:
    columns = [f"{i}c {name}".strip() for i, name in enumerate(names)]
    path = tmp_path_factory.mktemp("csv") / "mine.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([columns, *([1.5, i, f"c{i % 2}"] for i in range(4))])
    data = load_sequences(table_spec(path, task="classify", label=columns[2]))
    assert data.classes == ("c0", "c1") and sorted(x[1][0] for x, *_ in everything(data)) == [0, 1, 2, 3]
