"""Files that are whole or not there at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


class FileError(ValueError):
    """A file is missing, damaged, foreign or cannot be written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``: whoever looks, at any moment, finds the old content or the new, whole.

    Raises:
        FileError: the folder cannot be made or written, or the disk is full; the old file is left as it was.
    """

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    replace_atomically(path, write)


def replace_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` make a temporary file beside ``path`` and put it in its place; see :func:`write_atomically`."""
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
