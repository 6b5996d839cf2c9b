"""Labelled sequences: vectors over time, of unequal length and at uneven times, each with a class or values."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lasmlx.data.chaos import NAME as CHAOS
from lasmlx.data.chaos import SYSTEMS, make_chaos, parse_chaos
from lasmlx.data.errors import DataError
from lasmlx.data.idx import read_images

PREFIX = "ucr:"
ROWS, WHOLE = "idx:", "idx-image:"  # images: an element a row, or one element with a channel a pixel
INSTALL = "pip install 'lasmlx[timeseries]'"
NPZ_KEYS = "x_train (n, t, channels), y_train (n,), x_test, y_test; optional lengths_*, dt_* (n, t) or times_* (n, t)"


@dataclass(frozen=True, eq=False)
class SequenceSet:
    """n sequences of up to t elements; what lies behind an end is 0."""

    x: NDArray[np.float32]  # (n, t, channels)
    lengths: NDArray[np.int64]  # (n,), elements
    dt: NDArray[np.float32]  # (n, t), seconds each element lasts
    y: NDArray[Any]  # (n,) int64, the class; or (n, outputs) float32, values

    def __len__(self) -> int:
        return len(self.x)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(n, t): where there is an element."""
        return np.arange(self.x.shape[1]) < self.lengths[:, None]

    def take(self, rows: NDArray[np.int64]) -> SequenceSet:
        """Some of the sequences."""
        return SequenceSet(self.x[rows], self.lengths[rows], self.dt[rows], self.y[rows])

    def thinned(self, share: float, seed: int) -> SequenceSet:
        """Each element but the first dropped with probability ``share``; dt then spans what was dropped before it."""
        random = np.random.default_rng(seed)
        keep = (random.random(self.mask.shape) >= share) & self.mask
        keep[:, 0] = True
        lengths = keep.sum(1)
        x, dt = np.zeros_like(self.x), np.zeros_like(self.dt)
        for i, kept in enumerate(keep):
            ends = np.cumsum(self.dt[i])[kept]
            x[i, : lengths[i]] = self.x[i, kept]
            dt[i, : lengths[i]] = np.diff(ends, prepend=0)
        longest = int(lengths.max())
        return SequenceSet(x[:, :longest], lengths, dt[:, :longest], self.y)


class Statistics(NamedTuple):
    """Of the channels of sequences, (channels,) each."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]  # 1 where a channel does not move
    low: NDArray[np.float32]
    high: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SequenceData:
    """A training and a test set, and the names of the classes; none if the labels are values."""

    name: str
    train: SequenceSet
    test: SequenceSet
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        """Numbers an element."""
        return int(self.train.x.shape[2])

    @property
    def outputs(self) -> int:
        """Classes, or values a sequence."""
        return len(self.classes) or int(self.train.y.shape[1])

    @property
    def statistics(self) -> Statistics:
        """Of each channel over the training set."""
        values = self.train.x[self.train.mask]  # (elements, channels)
        deviation = values.std(0, dtype=np.float64)
        return Statistics(
            values.mean(0, dtype=np.float64).astype(np.float32),
            np.where(deviation > 0, deviation, 1).astype(np.float32),
            values.min(0),
            values.max(0),
        )

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of a SHA-256 over everything."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for part in (self.train, self.test):
            for array in (part.x, part.lengths, part.dt, part.y):
                digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def names_sequences(spec: str) -> bool:
    """Whether ``spec`` means labelled sequences and not bytes."""
    return _is_chaos(spec) or spec.startswith((PREFIX, ROWS, WHOLE)) or spec.endswith(".npz")


def absolute_sequences(spec: str) -> str:
    """The same by a whole path, where it names a file or folder."""
    if _is_chaos(spec) or spec.startswith(PREFIX):
        return spec
    prefix = next((p for p in (ROWS, WHOLE) if spec.startswith(p)), "")
    return prefix + str(Path(spec.removeprefix(prefix)).expanduser().absolute())


def load_sequences(spec: str) -> SequenceData:
    """Labelled sequences by their name.

    ======================== ==============================================================================
    ``ucr:NAME``             a set of the UCR and UEA archives, as aeon brings or downloads it
    ``FILE.npz``             your own
    ``idx:FOLDER``           images in IDX files, MNIST's for one: an element a row, 0 to 1
    ``idx-image:FOLDER``     the same images, each one element with a channel a pixel
    ``chaos``                which of ten chaotic systems made a noisy trajectory; with settings, any of them:
                             ``chaos:length=1024,noise=1,train=500,test=500,seed=0``
    ======================== ==============================================================================

    Raises:
        DataError: there is no such set, file or folder, or it is not as expected.
    """
    if _is_chaos(spec):
        arrays = make_chaos(parse_chaos(spec))
        sets = [_whole(arrays[f"x_{half}"], arrays[f"y_{half}"]) for half in ("train", "test")]
        return SequenceData(CHAOS, sets[0], sets[1], tuple(SYSTEMS))
    if spec.startswith((ROWS, WHOLE)):
        return _images(spec)
    return _archive(spec.removeprefix(PREFIX)) if spec.startswith(PREFIX) else _npz(Path(spec).expanduser())


def _is_chaos(spec: str) -> bool:
    return spec == CHAOS or spec.startswith(f"{CHAOS}:")


def _archive(name: str) -> SequenceData:
    try:
        from aeon.datasets import load_classification
    except ImportError as error:
        raise DataError(f"{PREFIX}{name} needs aeon ({error}): {INSTALL}") from error
    if not re.fullmatch(r"\w+", name):
        raise DataError(f"{PREFIX}{name} names no set of the archives.")
    parts = []
    for split in ("train", "test"):
        try:
            parts.append(load_classification(name, split=split))
        except (OSError, ValueError) as error:
            raise DataError(f"{PREFIX}{name} cannot be had: {error}") from error
    values = [[np.asarray(v, np.float32).T for v in x] for x, _ in parts]  # (t, channels) each
    classes = tuple(sorted({str(label) for _, labels in parts for label in labels}))
    longest = max(len(v) for part in values for v in part)
    sets = [
        _regular(part, np.array([classes.index(str(v)) for v in labels]), longest)
        for part, (_, labels) in zip(values, parts, strict=True)
    ]
    return SequenceData(name, sets[0], sets[1], classes)


def _regular(values: list[NDArray[np.float32]], y: NDArray[np.int64], longest: int) -> SequenceSet:
    """Sequences a second an element."""
    lengths = np.array([len(v) for v in values])
    x = np.zeros((len(values), longest, values[0].shape[1]), np.float32)
    for row, v in zip(x, values, strict=True):
        row[: len(v)] = v
    mask = np.arange(longest) < lengths[:, None]
    return SequenceSet(np.nan_to_num(x), lengths, mask.astype(np.float32), y)


def _whole(x: NDArray[np.float32], y: NDArray[np.int64]) -> SequenceSet:
    """Sequences of one length, a second an element."""
    return SequenceSet(x, np.full(len(x), x.shape[1]), np.ones(x.shape[:2], np.float32), y)


def _images(spec: str) -> SequenceData:
    prefix = WHOLE if spec.startswith(WHOLE) else ROWS
    arrays = read_images(Path(spec.removeprefix(prefix)).expanduser())
    names = np.unique(np.concatenate([arrays["y_train"], arrays["y_test"]]))
    sets = []
    for half in ("train", "test"):
        images = arrays[f"x_{half}"]
        x: NDArray[np.float32] = images.astype(np.float32) / np.float32(255)
        if prefix == WHOLE:
            x = x.reshape(len(x), 1, -1)
        sets.append(_whole(x, np.searchsorted(names, arrays[f"y_{half}"])))
    return SequenceData(Path(spec).name, sets[0], sets[1], tuple(str(v) for v in names))


def _npz(path: Path) -> SequenceData:
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
