"""Parting one set of sequences, or one series, into what is trained on and what is tested on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lasmlx.data.errors import DataError
from lasmlx.data.sequence_set import SequenceSet

SEED = 0
Rows = NDArray[np.int64]


def split_classes(path: Path, labels: NDArray[Any], share: float) -> tuple[Rows, Rows]:
    """Rows to train and to test on: of each class the share, but one at least in either.

    Raises:
        DataError: there is one class only, or a class has a single sequence.
    """
    names, places = np.unique([str(label) for label in labels], return_inverse=True)
    _check_classes(path, names)
    parts = [np.flatnonzero(places == i) for i in range(len(names))]
    single = next((str(name) for name, rows in zip(names, parts, strict=True) if len(rows) < 2), None)
    if single is not None:
        raise DataError(
            f"{path}: class {single!r} has a single sequence; expected two at least, one to train and one to test on. "
            "Drop it, give test=FILE, or use task=regress for a label that is a number."
        )
    random = np.random.default_rng(SEED)
    return _joined([_split(rows, share, random) for rows in parts])


def split_rows(path: Path, count: int, share: float) -> tuple[Rows, Rows]:
    """Any of the rows, one at least in either part.

    Raises:
        DataError: there is one row only.
    """
    if count < 2:
        raise DataError(f"{path} has a single sequence; expected two at least, one to train and one to test on.")
    return _joined([_split(np.arange(count), share, np.random.default_rng(SEED))])


def split_series(
    path: Path,
    x: NDArray[np.float32],  # (t, channels)
    dt: NDArray[np.float32],  # (t,)
    targets: tuple[int, ...],
    *,
    window: int,
    horizon: int,
    share: float,
) -> tuple[SequenceSet, SequenceSet]:
    """All windows of a series and what follows them, as views of it; the last share of its rows is tested on.

    What a test window forecasts lies after the cut; what it reads may lie before.

    Raises:
        DataError: the series is too short for a window in either part.
    """
    cut = len(x) - round(len(x) * share)
    if cut < window + horizon or len(x) - cut < horizon:
        raise DataError(
            f"{path} has {len(x)} rows, {cut} to train and {len(x) - cut} to test on; expected {window + horizon} at "
            f"least to train on, a window of {window} and a horizon of {horizon}, and {horizon} to test on."
        )
    train = _windows(x[:cut], dt[:cut], targets, window, horizon)
    return train, _windows(x[cut - window :], dt[cut - window :], targets, window, horizon)


def check_classes(path: Path, names: set[str], tested: set[str]) -> None:
    """Look at sets that are split already.

    Raises:
        DataError: there is one class only, or a class that is tested on is never trained on.
    """
    _check_classes(path, sorted(names))
    if tested - names:
        raise DataError(f"{path} has no sequence of class {min(tested - names)!r}, which the test file has.")


def _check_classes(path: Path, names: NDArray[np.str_] | list[str]) -> None:
    if len(names) < 2:
        raise DataError(f"{path} has one class only, {str(names[0])!r}; expected two at least.")


def _split(rows: Rows, share: float, random: np.random.Generator) -> tuple[Rows, Rows]:
    tested = min(max(round(share * len(rows)), 1), len(rows) - 1)
    shuffled = random.permutation(rows)
    return shuffled[tested:], shuffled[:tested]


def _joined(parts: list[tuple[Rows, Rows]]) -> tuple[Rows, Rows]:
    train, test = zip(*parts, strict=True)
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def _windows(
    x: NDArray[np.float32], dt: NDArray[np.float32], targets: tuple[int, ...], window: int, horizon: int
) -> SequenceSet:
    count, wide = len(x) - window - horizon + 1, len(targets)
    read = sliding_window_view(x, window, axis=0)[:count].swapaxes(1, 2)  # (n, window, channels)
    ahead = np.ascontiguousarray(x[window:, list(targets)]).reshape(-1)  # element by element
    y = sliding_window_view(ahead, horizon * wide)[::wide]  # (n, horizon targets)
    return SequenceSet(read, np.full(count, window), sliding_window_view(dt, window)[:count], y)
