"""Arrays in files that are whole or not there at all."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import mlx.core as mx

from lasmlx.data.files import FileError, replace_atomically, write_atomically

__all__ = ["FileError", "load_arrays", "save_arrays", "write_atomically"]


def save_arrays(path: Path, arrays: dict[str, mx.array], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically; see :func:`write_atomically`."""
    mx.eval(arrays)
    replace_atomically(path, lambda temporary: mx.save_safetensors(str(temporary), arrays, metadata))


def load_arrays(path: Path) -> tuple[dict[str, mx.array], dict[str, str]]:
    """The arrays and metadata of a safetensors file.

    Raises:
        FileError: it is missing or damaged.
    """
    if not path.is_file():
        raise FileError(f"{path} does not exist.")
    try:
        arrays, metadata = mx.load(str(path), return_metadata=True)
        mx.eval(arrays)
    except (RuntimeError, ValueError) as error:
        raise FileError(f"{path} is damaged or no safetensors file ({error}). Restore it from a copy.") from None
    return cast(dict[str, mx.array], arrays), cast(dict[str, str], metadata)
