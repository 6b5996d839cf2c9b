"""What is wrong with a CSV or NPZ file of one's own, or with what is asked of it: each mistake is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lasmlx.data import DataError, load_sequences, table_spec


def written(folder: Path, text: str, name: str = "mine.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


def series(rows: int) -> str:
    return "a,b,c\n" + "".join(f"{i},{10 * i},{100 * i}\n" for i in range(rows))


CSV_MISTAKES = [
    ("", "label=y", r"is empty; expected a header line"),
    ("y,v\n", "label=y", "has a header line alone"),
    ("1,2\n3,4\n", "label=1", "has no header line: its first is 1, 2"),
    ("y,v,y\na,1,2\n", "label=y", "two columns are called 'y'"),
    (",y,v\n0,a,1\n", "label=y", "column 1 has no name in the header"),
    ("kind,v\na,1\n", "label=knd", r"has no column 'knd', given as label \(did you mean 'kind'\?\); it has kind, v"),
    ("y,v\na,1\nb,1,2\n", "label=y", "line 3: 3 cells, expected 2 as in the header"),
    ("y,v\na,1\nb,x\n", "label=y", "line 3, column 'v': the cell is 'x', expected a finite number"),
    ("y;v\na;1\nb;1,5\n", "label=y", "line 3, column 'v': the cell is '1,5', expected a finite number"),
    ("y,v\na,1\nb,inf\n", "label=y", "line 3, column 'v': the cell is 'inf', expected a finite number"),
    ("y,v\na,1\nb,1e39\n", "label=y", "line 3, column 'v': the cell is '1e39', expected a finite number"),
    ("y,v,w\na,1,2\nb,,2\n", "label=y", r"line 3, column 'v': the cell is missing \(''\): fill it, or drop the row"),
    ("y,v,w\na,1,2\nb,NaN,2\n", "label=y", r"line 3, column 'v': the cell is missing \('NaN'\)"),
    ("y,v\na,1\nb,\n", "label=y", "line 3: no values beside the label"),
    ("y,v\na,1\n,2\n", "label=y", "line 3, column 'y': the cell is empty"),
    ("y,v\na,1\na,2\n", "label=y", "has one class only, 'a'; expected two at least"),
    ("y,v\na,1\na,2\nb,1\n", "label=y", "class 'b' has a single sequence; expected two at least"),
    ("y\na\nb\n", "label=y", "label, id and time are to be different columns, and values to stand in others"),
    ('y,v\na,"1\n', "label=y", "line 2: no CSV: unexpected end of data"),
    ('y,v\na,"' + "1\n" * 70_000, "label=y", r"line \d+: no CSV: field larger than field limit"),
    ("y,i,v\na,1,1\nb,1,2\n", "label=y&id=i", "line 3: y is 'b', but of the same i, '1', 'a' on line 2"),
    ("y,i,v\na,1,1\na,,2\n", "label=y&id=i", "line 3, column 'i': the cell is empty"),
    ("y,i,v\na,1,1\na,1,\n", "label=y&id=i", "line 3, column 'v': the cell is missing"),
    ("y,i,v\na,1,1\na,1\n", "label=y&id=i", "line 3: 2 cells, expected 3"),
    (
        "y,i,t,v\na,1,2026-01-01,1\na,1,May,2\n",
        "label=y&id=i&time=t",
        "line 3, column 't': the cell is 'May', expected",
    ),
    ("y,i,t,v\na,1,2026-01-01,1\na,1,2026-01-01T00Z,2\n", "label=y&id=i&time=t", "column 't': some times have a zone"),
    ("y,i,v\na,1,1\n", "label=y&id=y", "label, id and time are to be different columns"),
]


@pytest.mark.parametrize(("text", "setting", "message"), CSV_MISTAKES)
def test_mistakes_in_a_table_are_named(tmp_path: Path, text: str, setting: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=message) as error:
        load_sequences(f"{path}#task=classify&{setting}")
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "setting", "message"),
    [
        (series(9), "window=6&horizon=2", "9 rows, 7 to train and 2 to test on; expected 8 at least to train on"),
        (series(20), "window=6&horizon=5&test=0.1", "2 to test on; expected 11 at least .* and 5 to test on"),
        (series(20), "label=d", "has no column 'd', given as label; it has a, b, c"),
        (series(20), "label=a,a", "label is 'a,a'; name each to forecast once"),
        (series(20), "label=a&time=a", "has no numbers to forecast beside its times"),
        ("t,a\n1,1\n3,1\n2,1\n", "time=t", "line 4, column 't': time goes back"),
        ("a,b\n1,1\n1,\n", "", "line 3, column 'b': the cell is missing"),
        ("a,b\nx,1\ny,1\n", "label=a", "line 2, column 'a': the cell is 'x', expected a finite number"),
        ("a,b\nx,y\n", "", "has no numbers to forecast"),
    ],
)
def test_mistakes_in_a_series_are_named(tmp_path: Path, text: str, setting: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_sequences(f"{written(tmp_path, text)}#task=forecast&{setting}".rstrip("&"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("x.csv#label=y", "no task is given; expected classify, regress, forecast"),
        ("x.csv#task=clasify", r"task is 'clasify' \(did you mean 'classify'\?\)"),
        ("x.csv#task=classify", "the task classify needs label=COLUMN"),
        ("x.csv#task=classify&labels=y", r"there is no setting 'labels' \(did you mean 'label'\?\); task, label, id"),
        ("x.csv#task=classify&label=y&label=z", "label is given twice"),
        ("x.csv#task=classify&label=", "label is empty"),
        ("x.csv#task=classify&label=y&window=8", "window is for the task forecast, not for classify"),
        ("x.csv#task=forecast&id=y", "id is for the task classify or regress, not for forecast"),
        ("x.csv#task=classify&label=y&time=t", "time goes with id=COLUMN"),
        ("x.csv#task=forecast&window=0", "window is '0', expected a whole number of elements, 1 or more"),
        ("x.csv#task=forecast&horizon=2.5", "horizon is '2.5', expected a whole number"),
        ("x.csv#task=forecast&test=1", "test is 1, expected a share above 0 and below 1, or a file"),
        ("x.csv#task=classify&label=y&test=nan", "test is nan, expected a share"),
        ("x.csv#task=forecast&test=y.csv", "test is 'y.csv'; a forecast is tested on the last share"),
        ("x.npz#task=classify&id=y", "id is for CSV files"),
        ("none.csv#task=forecast", "there is no file none.csv"),
        ("/#task=forecast", "/ cannot be read: Is a directory"),
        ("none.npz#task=forecast", "there is no file none.npz"),
    ],
)
def test_wrong_settings_are_named(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_sequences(spec)


@pytest.mark.parametrize(
    ("arrays", "setting", "message"),
    [
        ({"x": np.zeros((4, 2))}, "classify", "lacks y; it has x, expected x .* and labels"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(3)}, "classify", r"x is \(4, 2, 1\) and y \(3,\)"),
        (
            {"x": np.zeros((4, 2)), "y": np.zeros((4, 2))},
            "classify",
            r"y is \(4, 2\); expected a class a sequence, \(4,\)",
        ),
        ({"x": np.zeros((4, 2)), "y": np.array(list("abcd"))}, "regress", "y is <U1; expected finite numbers"),
        ({"x": np.zeros((1, 2)), "y": np.zeros(1)}, "regress", "has a single sequence; expected two at least"),
        ({"x": np.zeros((2, 3, 4))}, "forecast", r"x is \(2, 3, 4\); expected x \(t, channels\) or \(t,\)"),
        ({"y": np.zeros(3)}, "forecast", "x is absent"),
        ({"x": np.zeros(30), "times": np.arange(30)[::-1]}, "forecast", r"the times are not \(1, 30\) of finite steps"),
        ({"x": np.zeros((30, 2))}, "forecast&label=2", "label is '2', expected channels of x, 0 to 1"),
    ],
)
def test_mistakes_in_arrays_are_named(tmp_path: Path, arrays: dict[str, Any], setting: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_sequences(f"{saved(tmp_path, **arrays)}#task={setting}")


def test_test_files_that_do_not_go_with_the_other(tmp_path: Path) -> None:
    path = written(tmp_path, "kind,a,b,c\ncat,1,2,3\ndog,4,5,\n")
    for text, message in (
        ("kind,a,b,d\ncat,1,2,3\n", "has other columns than .*: c, d in one of them alone"),
        ("a,kind,b,c\n1,cat,2,3\n", "another order"),
        ("kind,a,b,c\ncow,1,2,3\n", "has no sequence of class 'cow', which the test file has"),
    ):
        other = written(tmp_path, text, "other.csv")
        with pytest.raises(DataError, match=message):
            load_sequences(table_spec(path, task="classify", label="kind", test=other))


def test_not_utf_8(tmp_path: Path) -> None:
    path = written(tmp_path, "y,v\né,1", encoding="latin-1")
    with pytest.raises(DataError, match="is not UTF-8 at byte 4: save it as CSV in UTF-8"):
        load_sequences(f"{path}#task=classify&label=y")
