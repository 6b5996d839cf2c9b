"""Images of the MNIST family as sequences: IDX files, as they are handed out."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lasmlx.data.errors import DataError

FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def read_images(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """The images (n, rows, columns) and labels (n,) of both halves, by the keys of ``FILES``.

    Args:
        folder: with the four files of MNIST, Fashion-MNIST, ..., gzipped or not.

    Raises:
        DataError: a file is missing or damaged, or images and labels do not go together.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}. It should hold {', '.join(FILES.values())}, gzipped or not.")
    arrays = {key: _read(folder, name, 3 if key.startswith("x") else 1) for key, name in FILES.items()}
    for half in ("train", "test"):
        x, y = arrays[f"x_{half}"], arrays[f"y_{half}"]
        if len(x) != len(y) or not len(x):
            raise DataError(f"{folder}: {FILES[f'x_{half}']} has {len(x)} images, the labels are {len(y)}.")
    return arrays


def _read(folder: Path, name: str, axes: int) -> NDArray[np.uint8]:
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise DataError(f"{folder} has no {name} or {name}.gz.")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    header = 4 + 4 * axes
    if len(data) < header or data[:4] != bytes([0, 0, 8, axes]):
        raise DataError(f"{path} is no IDX file of bytes with {axes} axes.")
    shape: tuple[Any, ...] = struct.unpack(f">{axes}I", data[4:header])
    if len(data) - header != np.prod(shape):
        raise DataError(f"{path} is damaged: it says {shape} and holds {len(data) - header} bytes.")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
