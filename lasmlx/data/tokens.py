"""A source of bytes as tokens, for models that read those."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lasmlx.data.source import ByteSource, Elements, Source
from lasmlx.data.tokenizer import BYTES, Tokenizer

PIECE = 16 << 20  # bytes read at once, cut after a line


class TokenSource:
    """The tokens of one or more documents, end to end, in memory: two bytes a token, four of large vocabularies.

    Args:
        ids: tokens, (n,).
        lengths: bytes of each token of the vocabulary, (size,).
    """

    unit = "tokens"

    def __init__(self, ids: Elements, lengths: NDArray[np.int32]) -> None:
        self._ids, self._lengths = ids, lengths
        self._ids.flags.writeable = False
        self.bytes_each = self.bytes_of(ids) / ids.size if ids.size else 1.0

    def __len__(self) -> int:
        return self._ids.size

    def __repr__(self) -> str:
        return f"TokenSource({len(self)} tokens of {self.bytes_of(self._ids)} bytes)"

    def __getitem__(self, span: slice) -> Elements:
        """Returns: int32 (stop - start,)."""
        return self._ids[span].astype(np.int32)

    def bytes_of(self, elements: Elements) -> int:
        """How many bytes these tokens stand for."""
        return int(self._lengths[elements].sum())


def tokens_of(source: ByteSource, tokenizer: Tokenizer) -> Source:
    """``source`` as what a model reads: itself for a model of bytes, else its tokens, document by document."""
    if tokenizer is BYTES:
        return source
    kind = np.uint16 if tokenizer.size <= 1 << 16 else np.int32
    parts = [tokenizer.encode(data).astype(kind) for data in _pieces(source)]
    return TokenSource(np.concatenate([np.zeros(0, kind), *parts]), tokenizer.lengths)


def _pieces(source: ByteSource) -> Iterator[bytes]:
    start = 0
    for size in source.sizes:
        end = start + size
        while start < end:
            data = source[start : min(start + PIECE, end)].tobytes()
            if start + len(data) < end:
                data = data[: data.rfind(b"\n") + 1 or len(data)]
            yield data
            start += len(data)
