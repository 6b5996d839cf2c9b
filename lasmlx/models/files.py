"""Files that are whole or not there at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import cast

import mlx.core as mx


class FileError(ValueError):
    """A file is missing, damaged, foreign or cannot be written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``: whoever looks, at any moment, finds the old content or the new, whole.

    Raises:
        FileError: the folder cannot be made or written, or the disk is full; the old file is left as it was.
    """

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    _replace(path, write)


def save_arrays(path: Path, arrays: dict[str, mx.array], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically; see :func:`write_atomically`."""
    mx.eval(arrays)
    _replace(path, lambda temporary: mx.save_safetensors(str(temporary), arrays, metadata))


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


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}-{secrets.token_hex(8)}{path.suffix}")
        write(temporary)
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except (OSError, RuntimeError) as error:
        raise FileError(f"cannot write {path}: {_reason(error)}. What was there before is untouched.") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
