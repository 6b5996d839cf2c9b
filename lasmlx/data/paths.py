import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from lasmlx.data.corpus import Corpus
from lasmlx.data.errors import DataError
from lasmlx.data.file_bytes import FileBytes
from lasmlx.data.source import ByteArray, ByteSource

BLOCK_BYTES = 1 << 20


def path_corpus(path: Path) -> Corpus:
    """A file, a folder (every file below it, hidden ones apart, by sorted name) or a pipe; the last tenth of each file
    is held out.

    Files stay on the disk; what comes through a pipe is spooled to it.

    Raises:
        FileNotFoundError, NotADirectoryError: there is nothing at the path.
        DataError: it is unreadable, empty, or none of the three.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        _refuse(path, error)
    name = path.absolute().name or str(path)
    if stat.S_ISDIR(found.st_mode):
        return _split(name, str(path), _folder(path))
    if stat.S_ISFIFO(found.st_mode):
        return _piped(name, str(path), path)
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} is neither a file, a folder nor a pipe; give one of these.")
    if found.st_size == 0:
        raise DataError(f"{path} is empty; give a file with bytes in it.")
    return _split(name, str(path), ByteSource([(name, _file(path))]))


def stdin_corpus() -> Corpus:
    """Standard input to its end, spooled to an unlinked temporary file; its last tenth is held out.

    Raises: DataError if it is closed or empty, or the temporary folder is full.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise DataError("standard input (-) is closed; pipe bytes into it, or name a file.")
    given = "standard input (-)"
    return _split("stdin", given, ByteSource([("stdin", _spool(sys.stdin.buffer, given))]))


def _split(name: str, given: str, source: ByteSource) -> Corpus:
    train, held_out = source.split(9, 10)
    if not len(train):
        raise DataError(f"{given} has {len(source)} bytes, too few to hold a tenth of a file out; give more data.")
    return Corpus(name, train, {"held-out": held_out})


def _folder(folder: Path) -> ByteSource:
    paths = sorted(_visible(folder), key=lambda path: path.relative_to(folder).as_posix())
    source = ByteSource((path.relative_to(folder).as_posix(), _file(path)) for path in paths)
    if not len(source):
        raise DataError(
            f"the folder {folder} has no file with bytes in it (hidden and empty files are skipped); give another."
        )
    return source


def _visible(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder, onerror=lambda error: _refuse(Path(error.filename), error)):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (path for name in files if not name.startswith(".") and (path := Path(root, name)).is_file())


def _file(path: Path) -> FileBytes:
    try:
        with path.open("rb") as file:
            return FileBytes(path.absolute(), 0, os.fstat(file.fileno()).st_size)
    except OSError as error:
        _refuse(path, error)


def _piped(name: str, given: str, path: Path) -> Corpus:
    try:
        with path.open("rb") as pipe:
            return _split(name, given, ByteSource([(name, _spool(pipe, given))]))
    except OSError as error:
        _refuse(path, error)


def _spool(stream: BinaryIO, given: str) -> ByteArray:
    try:
        with tempfile.TemporaryFile() as file:
            while block := stream.read(BLOCK_BYTES):
                file.write(block)
            file.flush()
            size = file.tell()
            if size:
                return np.memmap(file, dtype=np.uint8, mode="r", shape=(size,))
    except OSError as error:
        raise DataError(
            f"{given} cannot be spooled to {tempfile.gettempdir()} ({error.strerror}); "
            "make room, or set TMPDIR to a folder with more."
        ) from error
    raise DataError(f"{given} is empty; pipe bytes into it.")


def _refuse(path: Path, error: OSError) -> NoReturn:
    raise DataError(f"{path} cannot be read ({error.strerror}); change its permissions, or give other data.") from error
