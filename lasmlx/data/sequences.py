"""Labelled sequences: vectors over time, of unequal length and at uneven times, each with a class or values."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lasmlx.data.chaos import NAME as CHAOS
from lasmlx.data.chaos import SYSTEMS, make_chaos, parse_chaos
from lasmlx.data.errors import DataError
from lasmlx.data.idx import read_images
from lasmlx.data.npz import read_npz
from lasmlx.data.sequence_set import SequenceData, SequenceSet, whole
from lasmlx.data.table_spec import absolute_table, is_table
from lasmlx.data.tables import load_table

PREFIX = "ucr:"
ROWS, WHOLE = "idx:", "idx-image:"  # images: an element a row, or one element with a channel a pixel
INSTALL = "pip install 'lasmlx[timeseries]'"


def names_sequences(spec: str) -> bool:
    """Whether ``spec`` means labelled sequences, or a series to forecast, and not bytes."""
    return is_table(spec) or _is_chaos(spec) or spec.startswith((PREFIX, ROWS, WHOLE)) or spec.endswith(".npz")


def absolute_sequences(spec: str) -> str:
    """The same by a whole path, where it names a file or folder."""
    if is_table(spec):
        return absolute_table(spec)
    if _is_chaos(spec) or spec.startswith(PREFIX):
        return spec
    prefix = next((p for p in (ROWS, WHOLE) if spec.startswith(p)), "")
    return prefix + str(Path(spec.removeprefix(prefix)).expanduser().absolute())


def load_sequences(spec: str) -> SequenceData:
    """Labelled sequences by their name.

    ======================== ==============================================================================
    ``ucr:NAME``             a set of the UCR and UEA archives, as aeon brings or downloads it
    ``FILE.npz``             your own
    ``FILE#task=...``        your own CSV or NPZ, to classify, regress or forecast: see ``table_spec``
    ``idx:FOLDER``           images in IDX files, MNIST's for one: an element a row, 0 to 1
    ``idx-image:FOLDER``     the same images, each one element with a channel a pixel
    ``chaos``                which of ten chaotic systems made a noisy trajectory; with settings, any of them:
                             ``chaos:length=1024,noise=1,train=500,test=500,seed=0,horizon=0``; from
                             horizon=1 on, that many elements after the sequence are forecast
    ======================== ==============================================================================

    Raises:
        DataError: there is no such set, file or folder, or it is not as expected.
    """
    if is_table(spec):
        return load_table(spec)
    if _is_chaos(spec):
        settings = parse_chaos(spec)
        arrays = make_chaos(settings)
        sets = [whole(arrays[f"x_{half}"], arrays[f"y_{half}"]) for half in ("train", "test")]
        if settings.horizon:
            return SequenceData(CHAOS, sets[0], sets[1], (), targets=(0,))
        return SequenceData(CHAOS, sets[0], sets[1], tuple(SYSTEMS))
    if spec.startswith((ROWS, WHOLE)):
        return _images(spec)
    return _archive(spec.removeprefix(PREFIX)) if spec.startswith(PREFIX) else read_npz(Path(spec).expanduser())


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
        sets.append(whole(x, np.searchsorted(names, arrays[f"y_{half}"])))
    return SequenceData(Path(spec).name, sets[0], sets[1], tuple(str(v) for v in names))
