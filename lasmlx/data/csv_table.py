"""A CSV file with a header line: its columns by their names, as text, numbers or times."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from lasmlx.data.errors import DataError
from lasmlx.data.table_spec import is_number, near

DELIMITERS = ",;\t"
MISSING = {"", "?", "-", "na", "n/a", "nan", "null", "none"}
LARGEST = float(np.finfo(np.float32).max)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """Cells without the blanks around them; rows that are blank are left out."""

    path: Path
    columns: list[str]
    rows: list[list[str]]  # each as long as ``columns``
    lines: list[int]  # where in the file each row ends

    def place(self, column: str, key: str) -> int:
        """Which column is called so; ``key`` is the setting that names it."""
        if column not in self.columns:
            raise DataError(
                f"{self.path} has no column {column!r}, given as {key}{near(column, self.columns)}; "
                f"it has {_few(self.columns)}."
            )
        return self.columns.index(column)

    def places(self, columns: str, key: str) -> list[int]:
        """Of one column, or of several with commas between them, quoted where a name has a comma."""
        names = [columns] if columns in self.columns else next(csv.reader([columns], skipinitialspace=True))
        return [self.place(name.strip(), key) for name in names]

    def words(self, place: int) -> list[str]:
        """A column as text; no cell may be empty."""
        for line, row in zip(self.lines, self.rows, strict=True):
            if not row[place]:
                self._fault(line, place, "is empty: fill it, or drop the row")
        return [row[place] for row in self.rows]

    def numbers(self, places: Sequence[int]) -> Floats:
        """Columns as (rows, columns) of finite numbers."""
        return self._floats([[row[p] for p in places] for row in self.rows], places)

    def series(self, places: Sequence[int]) -> tuple[Floats, NDArray[np.int64]]:
        """Rows as sequences, (rows, t) with 0 behind their ends, and their lengths: empty cells end a row."""
        cells = [[row[p] for p in places] for row in self.rows]
        filled = np.array([[cell.lower() not in MISSING for cell in row] for row in cells])
        lengths = filled.sum(1)  # with a gap in a row it lies before the last of so many, and is named
        if not lengths.all():
            raise DataError(f"{self.path}, line {self.lines[lengths.argmin()]}: no values beside the label.")
        padded = [row[:length] + ["0"] * (len(row) - length) for row, length in zip(cells, lengths, strict=True)]
        return self._floats(padded, places)[:, : lengths.max()], lengths

    def times(self, place: int) -> Floats:
        """A column of seconds, or of ISO dates or times as seconds since the first."""
        if is_number(self.rows[0][place]):
            return self.numbers([place])[:, 0]
        moments = [self._moment(line, place, row[place]) for line, row in zip(self.lines, self.rows, strict=True)]
        try:
            return np.array([(moment - moments[0]).total_seconds() for moment in moments])
        except TypeError:
            raise DataError(
                f"{self.path}, column {self.columns[place]!r}: some times have a zone and some have none; give all one."
            ) from None

    def is_text(self, place: int) -> bool:
        """Whether the first cell that is not empty is no number."""
        return not is_number(next((row[place] for row in self.rows if row[place].lower() not in MISSING), "0"))

    def _moment(self, line: int, place: int, cell: str) -> datetime:
        try:
            return datetime.fromisoformat(cell)
        except ValueError:
            self._fault(line, place, f"is {cell!r}, expected seconds or an ISO time such as 2026-05-03T12:00:00")

    def _floats(self, cells: list[list[str]], places: Sequence[int]) -> Floats:
        try:
            values = np.array(cells, dtype=np.float64)
        except ValueError:
            values = np.array(np.nan)
        if not (np.abs(values) <= LARGEST).all():
            self._find_fault(cells, places)
        return values

    def _find_fault(self, cells: list[list[str]], places: Sequence[int]) -> None:
        for line, row in zip(self.lines, cells, strict=True):
            for place, cell in zip(places, row, strict=True):
                if cell.lower() in MISSING:
                    self._fault(line, place, f"is missing ({cell!r}): fill it, or drop the row")
                if not is_number(cell) or not abs(float(cell)) <= LARGEST:
                    self._fault(line, place, f"is {cell!r}, expected a finite number such as 1.5; drop columns of text")

    def _fault(self, line: int, place: int, what: str) -> NoReturn:
        raise DataError(f"{self.path}, line {line}, column {self.columns[place]!r}: the cell {what}.")


def read_table(path: Path, *, ragged: bool = False) -> Table:
    """Read a file: UTF-8 with or without a byte order mark, cells apart by ``,`` ``;`` or a tab, quotes where needed.

    Args:
        ragged: whether a row may end early.

    Raises:
        DataError: the file is missing or no such table.
    """
    text = _text(path)
    delimiter = max(DELIMITERS, key=lambda d: _fit(text, d))
    records = _records(path, text, delimiter)
    if not records:
        raise DataError(f"{path} is empty; expected a header line and rows below it.")
    columns = records.pop(0)[1]
    _check_header(path, columns)
    for line, row in records:
        if len(row) > len(columns) or (len(row) < len(columns) and not ragged):
            raise DataError(f"{path}, line {line}: {len(row)} cells, expected {len(columns)} as in the header.")
    if not records:
        raise DataError(f"{path} has a header line alone; expected rows below it.")
    return Table(path, columns, [row + [""] * (len(columns) - len(row)) for _, row in records], [n for n, _ in records])


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"there is no file {path}.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}: save it as CSV in UTF-8.") from None


def _fit(text: str, delimiter: str) -> tuple[bool, int]:
    """Whether this parts the first rows into as many cells as the header, and how many those are."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    sizes: list[int] = []
    with suppress(csv.Error):  # found again, and named, where all is read
        for row in islice((row for row in rows if any(row)), 8):
            sizes.append(len(row))
    return len(set(sizes)) == 1 and sizes[0] > 1, next(iter(sizes), 0)


def _records(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """The lines and cells of the rows that are not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    records: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                records.append((reader.line_num, cells))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: no CSV: {error}.") from None
    return records


def _check_header(path: Path, columns: list[str]) -> None:
    if all(is_number(name) for name in columns):
        raise DataError(f"{path} has no header line: its first is {_few(columns)}. Put a line of names above it.")
    if "" in columns:
        raise DataError(f"{path}: column {columns.index('') + 1} has no name in the header; name it or drop it.")
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: two columns are called {twice!r}; every name goes once.")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
