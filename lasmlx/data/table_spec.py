"""What is to be learnt of a file of one's own: ``PATH#task=classify&label=COLUMN``, the end as in a URL."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

from lasmlx.data.errors import DataError

TASKS = ("classify", "regress", "forecast")
LABELLED = TASKS[:2]
TASKS_OF = {"id": LABELLED, "window": ("forecast",), "horizon": ("forecast",)}  # keys that only some tasks have


@dataclass(frozen=True)
class TableSpec:
    """A file, CSV or NPZ, the task, and which columns or arrays matter to it."""

    path: Path
    task: str
    label: str | None = None  # what is to be said: a column; several, with commas, of values
    id: str | None = None  # the column that names the sequence a row belongs to
    time: str | None = None  # a column, seconds or ISO dates
    window: int = 96  # elements read
    horizon: int = 24  # elements forecast
    test: str = "0.2"  # the share that is tested on, or a file

    @property
    def share(self) -> float:
        """Of the sequences, or of the rows of a forecast, that is tested on."""
        return float(self.test)

    @property
    def test_file(self) -> Path | None:
        """The file that is tested on; None if a share is."""
        return None if is_number(self.test) else Path(self.test)


def is_table(spec: str) -> bool:
    """Whether ``spec`` is a path with settings after its last ``#``."""
    return spec.rpartition("#")[2].partition("=")[0] in _KEYS and "#" in spec


def table_spec(path: str | Path, *, task: str, **settings: str | float | Path | None) -> str:
    """The text that means this file and task, for ``load_sequences`` and ``--data``.

    Args:
        path: a CSV file (``,`` ``;`` or tab, a header line) or an .npz file.
        task: ``classify``, ``regress`` or ``forecast``.
        settings: ``label``, ``id``, ``time``, ``window``, ``horizon``, ``test``, as in ``TableSpec``; None: not given.

    Raises:
        DataError: a setting is unknown or wrong, or does not go with the task.
    """
    given = {"task": task} | {key: str(value) for key, value in settings.items() if value is not None}
    spec = f"{path}#{urlencode(given, quote_via=quote, safe='/,:')}"
    parse_table(spec)
    return spec


def absolute_table(spec: str) -> str:
    """The same with whole paths."""
    table = parse_table(spec)
    settings = dict(_pairs(spec))
    if table.test_file is not None:
        settings["test"] = str(table.test_file.expanduser().absolute())
    return table_spec(table.path.absolute(), **settings)


def parse_table(spec: str) -> TableSpec:
    """The settings of a text as ``table_spec`` makes it.

    Raises:
        DataError: a setting is unknown, given twice, empty or wrong, or does not go with the task.
    """
    path = spec.rpartition("#")[0]
    given: dict[str, Any] = {}
    for key, value in _pairs(spec):
        if key not in _KEYS:
            raise DataError(f"{path}: there is no setting {key!r}{near(key, _KEYS)}; {', '.join(_KEYS)} go.")
        if key in given or not value:
            raise DataError(f"{path}: {key} is {'given twice' if key in given else 'empty'}.")
        given[key] = value
    _check(path, given)
    for key in ("window", "horizon"):
        if key in given:
            given[key] = _whole_number(path, key, given[key])
    return TableSpec(Path(path).expanduser(), **given)


def near(word: str, words: Iterable[str]) -> str:
    """What may have been meant, as part of a sentence."""
    close = difflib.get_close_matches(word, list(words))
    return f" (did you mean {' or '.join(repr(w) for w in close)}?)" if close else ""


def _pairs(spec: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in spec.rpartition("#")[2].split("&")]
    return [(key, unquote(value)) for key, _, value in parts]


def _check(path: str, given: dict[str, str]) -> None:
    task = given.get("task", "")
    if task not in TASKS:
        what = f"task is {task!r}{near(task, TASKS)}" if task else "no task is given"
        raise DataError(f"{path}: {what}; expected {', '.join(TASKS)}.")
    for key, tasks in TASKS_OF.items():
        if key in given and task not in tasks:
            raise DataError(f"{path}: {key} is for the task {' or '.join(tasks)}, not for {task}: leave it out.")
    if path.endswith(".npz"):
        wrong = next((key for key in ("id", "time") if key in given), None)
        if wrong:
            raise DataError(f"{path}: {wrong} is for CSV files; beside x an .npz file may hold lengths, dt, times.")
    elif task in LABELLED and "label" not in given:
        raise DataError(f"{path}: the task {task} needs label=COLUMN, the column that holds what is to be said.")
    elif task in LABELLED and "time" in given and "id" not in given:
        raise DataError(f"{path}: time goes with id=COLUMN, for sequences of many rows; here a row is a sequence.")
    _check_test(path, task, given.get("test", "0.2"))


def _check_test(path: str, task: str, test: str) -> None:
    if is_number(test):
        if not 0 < float(test) < 1:
            raise DataError(f"{path}: test is {test}, expected a share above 0 and below 1, or a file.")
    elif task == "forecast":
        raise DataError(f"{path}: test is {test!r}; a forecast is tested on the last share of its rows, such as 0.2.")


def _whole_number(path: str, key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise DataError(f"{path}: {key} is {text!r}, expected a whole number of elements, 1 or more.")
    return int(text)


def is_number(text: str) -> bool:
    """Whether ``text`` can be read as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


_KEYS = [field.name for field in fields(TableSpec)][1:]
