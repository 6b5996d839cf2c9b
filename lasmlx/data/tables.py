"""A CSV or NPZ file of one's own as labelled sequences, or as a series to forecast."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lasmlx.data.csv_table import Table, read_table
from lasmlx.data.errors import DataError
from lasmlx.data.npz import read_series, read_whole
from lasmlx.data.sequence_set import SequenceData, SequenceSet, padded
from lasmlx.data.splits import check_classes, split_classes, split_rows, split_series
from lasmlx.data.table_spec import TableSpec, is_number, parse_table


def load_table(text: str) -> SequenceData:
    """What ``PATH#task=...`` means.

    ============== =====================================================================================
    ``classify``   ``label`` is a class. Each row is a sequence of one channel, the other columns in
                   order its values, empty cells at its end; or with ``id=COLUMN`` the rows of one id
                   are one, in the order of the file or of ``time=COLUMN``, and the columns channels.
    ``regress``    the same, with a number to say, or several: ``label=a,b``
    ``forecast``   rows are one series in the order of time; ``window`` elements of all channels are
                   read, the ``horizon`` after them forecast, of the columns ``label`` or of all
    ============== =====================================================================================

    Times of a table are counted in their median step, whatever that is, so that an element lasts about 1.

    In an .npz file x is (n, t, channels) and ``label`` the array beside it, y if absent; to forecast, x is
    (t, channels) and ``label`` numbers its channels.

    Raises:
        DataError: the file or a setting is not as expected; it names the line and the column.
    """
    spec = parse_table(text)
    if spec.task == "forecast":
        return _forecast(spec)
    return _classify(spec) if spec.task == "classify" else _regress(spec)


def _classify(spec: TableSpec) -> SequenceData:
    parts = _parts(spec)
    if len(parts) == 1:
        parts = [parts[0].take(rows) for rows in split_classes(spec.path, parts[0].y, spec.share)]
    labels = [[str(v) for v in part.y] for part in parts]
    check_classes(spec.path, *map(set, labels))
    names = _ordered(set(labels[0]))
    places = {name: i for i, name in enumerate(names)}
    train, test = (part.labelled(np.array([places[v] for v in y])) for part, y in zip(parts, labels, strict=True))
    return SequenceData(spec.path.stem, train, test, tuple(names))


def _regress(spec: TableSpec) -> SequenceData:
    parts = _parts(spec)
    if len(parts) == 1:
        parts = [parts[0].take(rows) for rows in split_rows(spec.path, len(parts[0]), spec.share)]
    return SequenceData(spec.path.stem, parts[0], parts[1], ())


def _parts(spec: TableSpec) -> list[SequenceSet]:
    """The whole set, or the one to train and the one to test on; classes are still text."""
    files = [spec.path] if spec.test_file is None else [spec.path, spec.test_file.expanduser()]
    if spec.path.suffix == ".npz":
        parts = [_arrays(spec, path) for path in files]
        each = [(part.x.shape[2], part.y.shape[1:]) for part in parts]
        if each[0] != each[-1]:
            raise DataError(f"{files[1]} has channels and labels {each[1]}, {files[0]} {each[0]}; expected the same.")
        return parts
    tables = [read_table(path, ragged=spec.id is None) for path in files]
    if tables[0].columns != tables[-1].columns:
        odd = set(tables[0].columns) ^ set(tables[1].columns)
        what = f"{', '.join(sorted(odd))} in one of them alone" if odd else "another order"
        raise DataError(f"{files[1]} has other columns than {files[0]}: {what}; expected the same.")
    if spec.id is None:
        return [_rows(spec, table) for table in tables]
    unit = _unit(spec, tables[0])
    return [_groups(spec, table, unit) for table in tables]


def _arrays(spec: TableSpec, path: Path) -> SequenceSet:
    part = read_whole(path, spec.label or "y")
    if spec.task == "classify":
        if part.y.ndim != 1:
            raise DataError(
                f"{path}: {spec.label or 'y'} is {part.y.shape}; expected a class a sequence, ({len(part)},)."
            )
        return part
    if part.y.dtype.kind not in "biuf" or not np.isfinite(part.y).all():
        raise DataError(f"{path}: {spec.label or 'y'} is {part.y.dtype}; expected finite numbers, or task=classify.")
    return part.labelled(part.y.reshape(len(part), -1).astype(np.float32))


def _rows(spec: TableSpec, table: Table) -> SequenceSet:
    """A sequence a row."""
    labels, others = _columns(spec, table)
    values, lengths = table.series(others)
    rows = [row[:length, None] for row, length in zip(values, lengths, strict=True)]  # (t, 1) each
    return padded(rows, [np.ones(length) for length in lengths], _said(spec, table, labels))


def _groups(spec: TableSpec, table: Table, unit: float) -> SequenceSet:
    """A sequence an id."""
    labels, channels = _columns(spec, table)
    rows = _ids(spec, table)
    _check_labels(spec, table, labels, rows)
    values, times = table.numbers(channels), _times(spec, table)
    if times is not None:
        rows = {name: sorted(group, key=times.__getitem__) for name, group in rows.items()}
    steps = [np.ones(len(g)) if times is None else _steps(times[g], unit) for g in rows.values()]
    y = _said(spec, table, labels)[[group[0] for group in rows.values()]]
    return padded([values[group] for group in rows.values()], steps, y)


def _ids(spec: TableSpec, table: Table) -> dict[str, list[int]]:
    """The rows of each id."""
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(table.words(table.place(spec.id or "", "id"))):
        rows.setdefault(name, []).append(i)
    return rows


def _times(spec: TableSpec, table: Table) -> NDArray[np.float64] | None:
    return None if spec.time is None else table.times(table.place(spec.time, "time"))


def _unit(spec: TableSpec, table: Table) -> float:
    """What the times of ids are counted in; 1 without any."""
    times = _times(spec, table)
    return 1.0 if times is None else _median_step([times[group] for group in _ids(spec, table).values()])


def _median_step(times: list[NDArray[np.float64]]) -> float:
    """Between neighbours of each in the order of time; 1 where all are the same."""
    steps = np.concatenate([np.diff(np.sort(of)) for of in times])
    return float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0


def _steps(times: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """How long each element lasts, in units: since the one before; the first one unit."""
    return np.concatenate([[1.0], np.diff(times) / unit])


def _columns(spec: TableSpec, table: Table) -> tuple[list[int], list[int]]:
    """The columns of the labels and those of values."""
    label = spec.label or ""
    labels = table.places(label, "label") if spec.task == "regress" else [table.place(label, "label")]
    named = {table.place(name, key) for key, name in (("id", spec.id), ("time", spec.time)) if name is not None}
    others = [place for place in range(len(table.columns)) if place not in named | set(labels)]
    if not others or named & set(labels):
        raise DataError(f"{table.path}: label, id and time are to be different columns, and values to stand in others.")
    return labels, others


def _said(spec: TableSpec, table: Table, labels: list[int]) -> NDArray[np.str_] | NDArray[np.float32]:
    return np.array(table.words(labels[0])) if spec.task == "classify" else table.numbers(labels).astype(np.float32)


def _check_labels(spec: TableSpec, table: Table, labels: list[int], rows: dict[str, list[int]]) -> None:
    for name, group in rows.items():
        first = [table.rows[group[0]][p] for p in labels]
        for row in group:
            given = [table.rows[row][p] for p in labels]
            if given != first:
                raise DataError(
                    f"{table.path}, line {table.lines[row]}: {spec.label} is {', '.join(given)!r}, but of the same "
                    f"{spec.id}, {name!r}, {', '.join(first)!r} on line {table.lines[group[0]]}; expected one an id."
                )


def _forecast(spec: TableSpec) -> SequenceData:
    x, dt, targets = _npz_series(spec) if spec.path.suffix == ".npz" else _csv_series(spec)
    if len(set(targets)) < len(targets):
        raise DataError(f"{spec.path}: label is {spec.label!r}; name each to forecast once.")
    train, test = split_series(spec.path, x, dt, targets, window=spec.window, horizon=spec.horizon, share=spec.share)
    return SequenceData(spec.path.stem, train, test, (), targets, ordered=True)


def _csv_series(spec: TableSpec) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[int, ...]]:
    table = read_table(spec.path)
    time = None if spec.time is None else table.place(spec.time, "time")
    wanted = [] if spec.label is None else table.places(spec.label, "label")
    channels = [p for p in range(len(table.columns)) if p in wanted or (p != time and not table.is_text(p))]
    if time in wanted or not channels:
        raise DataError(f"{spec.path} has no numbers to forecast beside its times; it has {', '.join(table.columns)}.")
    dt = np.ones(len(table.rows))
    if time is not None:
        times = table.times(time)
        dt = _steps(times, _median_step([times]))
        if (dt < 0).any():
            line, column = table.lines[int((dt < 0).argmax())], table.columns[time]
            raise DataError(f"{spec.path}, line {line}, column {column!r}: time goes back; put the rows in its order.")
    targets = tuple(channels.index(p) for p in wanted or channels)
    return table.numbers(channels).astype(np.float32), dt.astype(np.float32), targets


def _npz_series(spec: TableSpec) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[int, ...]]:
    x, dt = read_series(spec.path)
    every = [str(channel) for channel in range(x.shape[1])]
    wanted = every if spec.label is None else [name.strip() for name in spec.label.split(",")]
    wrong = next((name for name in wanted if name not in every), None)
    if wrong is not None:
        raise DataError(f"{spec.path}: label is {wrong!r}, expected channels of x, 0 to {x.shape[1] - 1}.")
    return x, dt, tuple(int(name) for name in wanted)


def _ordered(names: set[str]) -> list[str]:
    """Numbers by their size, else by the alphabet."""
    numbers = all(is_number(name) and isfinite(float(name)) for name in names)
    return sorted(sorted(names), key=float if numbers else str)
