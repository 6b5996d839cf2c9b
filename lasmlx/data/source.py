from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lasmlx.data.file_bytes import FileBytes

ByteArray = npt.NDArray[np.uint8]
Elements = npt.NDArray[Any]


class Source(Protocol):
    """What windows are cut from: bytes, or tokens that each stand for some."""

    unit: str  # of an element
    bytes_each: float  # the mean over the elements

    def __len__(self) -> int: ...

    def __getitem__(self, span: slice, /) -> Elements: ...

    def bytes_of(self, elements: Elements, /) -> int:
        """How many bytes these elements stand for."""


class ByteSource:
    """An immutable view over the bytes of one or more documents, end to end.

    `source[start:stop]` is `concatenate(documents)[start:stop]`, and costs what the slice costs.

    Args:
        documents: pairs of a name and its bytes: a uint8 array `(size,)`, a `np.memmap`, or a `FileBytes`.
            Documents without bytes are left out.
    """

    unit, bytes_each = "bytes", 1.0

    def __init__(self, documents: Iterable[tuple[str, ByteArray | FileBytes]]) -> None:
        kept = [(name, _read_only(data)) for name, data in documents if len(data)]
        self._documents = tuple(data for _, data in kept)
        self.names = tuple(name for name, _ in kept)
        self.sizes = tuple(len(data) for data in self._documents)  # bytes
        self._ends = np.cumsum(self.sizes, dtype=np.int64)

    @classmethod
    def from_bytes(cls, name: str, data: bytes) -> "ByteSource":
        """One document held in memory."""
        return cls([(name, np.frombuffer(data, dtype=np.uint8))])

    @classmethod
    def join(cls, sources: Iterable["ByteSource"]) -> "ByteSource":
        """The documents of all sources, in order."""
        return cls(pair for source in sources for pair in zip(source.names, source._documents, strict=True))

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._ends.size else 0

    def __repr__(self) -> str:
        return f"ByteSource({len(self)} bytes in {len(self.names)} documents)"

    def __getitem__(self, span: slice) -> ByteArray:
        """Returns: uint8 `(stop - start,)`, read-only; bounds as of a list. Raises: TypeError, ValueError."""
        if not isinstance(span, slice):
            raise TypeError(f"a ByteSource takes a slice of bytes, got {span!r}.")
        start, stop, step = span.indices(len(self))
        if step != 1:
            raise ValueError(f"a ByteSource is sliced in steps of 1, got {step}.")
        if stop <= start:
            return np.empty(0, dtype=np.uint8)
        first = int(np.searchsorted(self._ends, start, side="right"))
        last = int(np.searchsorted(self._ends, stop, side="left"))
        pieces = []
        for index in range(first, last + 1):
            begin = int(self._ends[index]) - self.sizes[index]
            pieces.append(_read(self._documents[index][max(start - begin, 0) : stop - begin]))
        joined = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        joined.flags.writeable = False
        return joined

    def bytes_of(self, elements: Elements) -> int:
        """One each."""
        return elements.size

    def split(self, numerator: int, denominator: int) -> tuple["ByteSource", "ByteSource"]:
        """Cut every document at byte `size * numerator // denominator`: (all the heads, all the tails)."""
        cuts = [size * numerator // denominator for size in self.sizes]
        triples = list(zip(self.names, self._documents, cuts, strict=True))
        return (
            ByteSource((name, data[:cut]) for name, data, cut in triples),
            ByteSource((name, data[cut:]) for name, data, cut in triples),
        )


def _read_only(data: ByteArray | FileBytes) -> ByteArray | FileBytes:
    if isinstance(data, FileBytes):
        return data
    if data.dtype != np.uint8 or data.ndim != 1:
        raise ValueError(f"a document is {data.dtype} {data.shape}, expected uint8 (size,).")
    view = data.view()
    view.flags.writeable = False
    return view


def _read(data: ByteArray | FileBytes) -> ByteArray:
    return data.read() if isinstance(data, FileBytes) else np.asarray(data)
