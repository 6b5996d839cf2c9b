"""Labelled sequences of one's own in an .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lasmlx.data.errors import DataError
from lasmlx.data.sequence_set import SequenceData, SequenceSet

NPZ_KEYS = "x_train (n, t, channels), y_train (n,), x_test, y_test; optional lengths_*, dt_* (n, t) or times_* (n, t)"


def read_npz(path: Path) -> SequenceData:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}.") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is no readable .npz file: {error}") from error
    missing = [key for key in ("x_train", "y_train", "x_test", "y_test") if key not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; expected {NPZ_KEYS}.")
    labels = [arrays["y_train"], arrays["y_test"]]
    classes = () if labels[0].dtype.kind == "f" else tuple(str(v) for v in np.unique(np.concatenate(labels)))
    sets = [_part(path, arrays, part, classes) for part in ("train", "test")]
    return SequenceData(path.stem, sets[0], sets[1], classes)


def _part(path: Path, arrays: dict[str, NDArray[Any]], part: str, classes: tuple[str, ...]) -> SequenceSet:
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    if x.ndim != 3 or 0 in x.shape or len(y) != len(x):
        raise DataError(f"{path}: x_{part} is {x.shape} and y_{part} {y.shape}; expected {NPZ_KEYS}.")
    n, t, _ = x.shape
    lengths = arrays.get(f"lengths_{part}", np.full(n, t)).astype(np.int64)
    if lengths.shape != (n,) or lengths.min() < 1 or lengths.max() > t:
        raise DataError(
            f"{path}: lengths_{part} is {lengths.shape}, {lengths.min()} to {lengths.max()}; 1 to {t} goes."
        )
    mask = np.arange(t) < lengths[:, None]
    dt = arrays.get(f"dt_{part}", np.ones((n, t)))
    if f"times_{part}" in arrays:
        times = arrays[f"times_{part}"].astype(np.float64)
        dt = np.diff(times, axis=-1, prepend=times[:, :1])
    dt = np.where(mask, dt, 0).astype(np.float32)
    if dt.shape != (n, t) or not (np.isfinite(dt).all() and (dt >= 0).all()):
        raise DataError(f"{path}: the times of {part} are not ({n}, {t}) of finite steps >= 0.")
    x = np.where(mask[..., None], x, 0).astype(np.float32)
    if not np.isfinite(x).all():
        raise DataError(f"{path}: x_{part} has values that are not finite.")
    if classes:
        return SequenceSet(x, lengths, dt, np.array([classes.index(str(v)) for v in y]))
    return SequenceSet(x, lengths, dt, y.reshape(n, -1).astype(np.float32))
