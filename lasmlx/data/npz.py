"""Labelled sequences, and series to forecast, of one's own in an .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lasmlx.data.errors import DataError
from lasmlx.data.sequence_set import SequenceData, SequenceSet

NPZ_KEYS = "x_train (n, t, channels), y_train (n,), x_test, y_test; optional lengths_*, dt_* (n, t) or times_* (n, t)"
WHOLE_KEYS = "x (n, t, channels) and labels (n,); optional lengths (n,), dt (n, t) or times (n, t)"
SERIES_KEYS = "x (t, channels) or (t,); optional dt (t,) or times (t,)"

Arrays = dict[str, NDArray[Any]]


def read_npz(path: Path) -> SequenceData:
    """Sequences that are split already: ``NPZ_KEYS``.

    Raises:
        DataError: there is no such file, or its arrays are not as expected.
    """
    arrays = read_arrays(path)
    missing = [key for key in ("x_train", "y_train", "x_test", "y_test") if key not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; expected {NPZ_KEYS}.")
    parts = [_part(path, arrays, f"_{half}", f"y_{half}", NPZ_KEYS) for half in ("train", "test")]
    values = parts[0].y.dtype.kind == "f"
    classes = () if values else tuple(str(v) for v in np.unique(np.concatenate([part.y for part in parts])))
    sets = [part.labelled(_values(part.y) if values else _places(part.y, classes)) for part in parts]
    return SequenceData(path.stem, sets[0], sets[1], classes)


def read_whole(path: Path, label: str) -> SequenceSet:
    """Sequences that are not split, ``WHOLE_KEYS``, with the array ``label`` as it is.

    Raises:
        DataError: there is no such file, or its arrays are not as expected.
    """
    arrays = read_arrays(path)
    missing = [key for key in ("x", label) if key not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; it has {', '.join(arrays)}, expected {WHOLE_KEYS}.")
    if arrays["x"].ndim == 2:
        arrays["x"] = arrays["x"][..., None]
    return _part(path, arrays, "", label, WHOLE_KEYS)


def read_series(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One series: x (t, channels), and dt (t,) in seconds.

    Raises:
        DataError: there is no such file, or its arrays are not as expected.
    """
    arrays = read_arrays(path)
    if "x" not in arrays or arrays["x"].ndim not in (1, 2) or 0 in arrays["x"].shape:
        shape = arrays["x"].shape if "x" in arrays else "absent"
        raise DataError(f"{path}: x is {shape}; expected {SERIES_KEYS}.")
    given = {key: arrays[key][None] for key in ("dt", "times") if key in arrays}
    x = arrays["x"].reshape(1, len(arrays["x"]), -1)
    part = _part(path, given | {"x": x, "y": np.zeros(1)}, "", "y", SERIES_KEYS)
    return part.x[0], part.dt[0]


def read_arrays(path: Path) -> Arrays:
    """What an .npz file holds.

    Raises:
        DataError: there is no such file, or it is damaged or holds objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}.") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is no readable .npz file: {error}") from error


def _part(path: Path, arrays: Arrays, suffix: str, label: str, expected: str) -> SequenceSet:
    """The sequences of the arrays so suffixed, with their labels as they are."""
    x, y = arrays[f"x{suffix}"], arrays[label]
    if x.ndim != 3 or 0 in x.shape or y.ndim == 0 or len(y) != len(x):
        raise DataError(f"{path}: x{suffix} is {x.shape} and {label} {y.shape}; expected {expected}.")
    n, t, _ = x.shape
    lengths = arrays.get(f"lengths{suffix}", np.full(n, t)).astype(np.int64)
    if lengths.shape != (n,) or lengths.min() < 1 or lengths.max() > t:
        raise DataError(
            f"{path}: lengths{suffix} is {lengths.shape}, {lengths.min()} to {lengths.max()}; 1 to {t} goes."
        )
    mask = np.arange(t) < lengths[:, None]
    dt = arrays.get(f"dt{suffix}", np.ones((n, t)))
    if f"times{suffix}" in arrays:
        times = arrays[f"times{suffix}"].astype(np.float64)
        dt = np.diff(times, axis=-1, prepend=times[:, :1])
    dt = np.where(mask, dt, 0).astype(np.float32)
    if dt.shape != (n, t) or not (np.isfinite(dt).all() and (dt >= 0).all()):
        raise DataError(f"{path}: the times{_of(suffix)} are not ({n}, {t}) of finite steps >= 0.")
    x = np.where(mask[..., None], x, 0).astype(np.float32)
    if not np.isfinite(x).all():
        raise DataError(f"{path}: x{suffix} has values that are not finite.")
    return SequenceSet(x, lengths, dt, y)


def _of(suffix: str) -> str:
    return f" of {suffix[1:]}" if suffix else ""


def _places(y: NDArray[Any], classes: tuple[str, ...]) -> NDArray[np.int64]:
    return np.array([classes.index(str(v)) for v in y])


def _values(y: NDArray[Any]) -> NDArray[np.float32]:
    return y.reshape(len(y), -1).astype(np.float32)
