"""Tokenizers that have a piece of bytes for each token."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lasmlx.data.errors import DataError

PIECE = 1 << 20  # bytes encoded at once, cut after a line
_LONE = re.compile("([\udc80-\udcff]+)")  # what surrogateescape makes of bytes that are no UTF-8


class PieceTokenizer(ABC):
    """Text by a vocabulary; bytes that are no UTF-8 one by one.

    Args:
        name: as a model's configuration has it.
        pieces: the bytes of each token; of a token that only means something, none.
        single: the token of each of the 256 bytes.
        content: of the file the vocabulary came from.
    """

    def __init__(self, name: str, pieces: Sequence[bytes], single: Sequence[int], content: bytes) -> None:
        self.name, self.size = name, len(pieces)
        self._pieces, self._single = pieces, np.array(single, np.int32)
        self._content = content

    @cached_property
    def lengths(self) -> NDArray[np.int32]:
        """Bytes of each token, (size,)."""
        return np.array([len(piece) for piece in self._pieces], np.int32)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of a SHA-256 over the name and the vocabulary."""
        return hashlib.sha256(self.name.encode() + b"\0" + self._content).hexdigest()[:16]

    def encode(self, data: bytes) -> NDArray[np.int32]:
        """The tokens of ``data``, (n,). Above a mebibyte no token crosses from one mebibyte of lines to the next."""
        parts = [ids for text in _lines(data) for ids in self._encode(text)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)

    def decode(self, ids: ArrayLike) -> bytes:
        """The bytes of tokens (n,).

        Raises:
            DataError: a token is not of this vocabulary.
        """
        return b"".join(self._pieces[i] for i in checked(self.name, self.size, ids))

    def _encode(self, data: bytes) -> Iterator[NDArray[np.int32]]:
        for part in _LONE.split(data.decode(errors="surrogateescape")):
            if _LONE.match(part):
                yield self._bytes(part.encode(errors="surrogateescape"))
            elif part:
                yield np.array(self._text(part), np.int32)

    def _bytes(self, data: bytes) -> NDArray[np.int32]:
        return self._single[np.frombuffer(data, np.uint8)]

    @abstractmethod
    def _text(self, text: str) -> Any:
        """The tokens of a text without lone surrogates."""


def checked(name: str, size: int, ids: ArrayLike) -> list[int]:
    """``ids`` as a list, if all are tokens of a vocabulary of ``size``; else a DataError."""
    array = np.asarray(ids, np.int64).ravel()
    if array.size and not (array.min() >= 0 and array.max() < size):
        wrong = array[(array < 0) | (array >= size)][0]
        raise DataError(f"token {wrong} is none of {name}'s, expected 0 to {size - 1}: use the model's own tokenizer.")
    return array.tolist()


def _lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        stop = start + PIECE
        if stop < len(data):
            stop = data.rfind(b"\n", start, stop) + 1 or stop
        yield data[start:stop]
        start = stop
