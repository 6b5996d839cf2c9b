import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from lasmlx.data.source import ByteSource

WHOLE_BYTES = 4 << 20  # a source up to this size is hashed whole
SAMPLES = 64
SAMPLE_BYTES = 4096


@dataclass(frozen=True)
class Corpus:
    """Bytes to train on, and bytes kept away from training, by the name of the split."""

    name: str
    train: ByteSource
    held_out: Mapping[str, ByteSource]

    def full_name(self, split: str) -> str:
        """A split's name with its corpus before it, as `moby-dick/held-out`; joined corpora have it so already."""
        return split if "/" in split else f"{self.name}/{split}"

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of a SHA-256 over the documents' names, sizes and bytes.

        Of a source above 4 MiB, 64 evenly spaced pieces of 4 KiB, the first and the last included, stand for the bytes.
        """
        digest = hashlib.sha256()
        for split, source in [("train", self.train), *self.held_out.items()]:
            sizes = "".join(f"{name}\0{size}\0" for name, size in zip(source.names, source.sizes, strict=True))
            digest.update(f"{split}\0{len(source.names)}\0{sizes}".encode(errors="surrogateescape"))
            for start, stop in _spans(len(source)):
                digest.update(source[start:stop].tobytes())
        return digest.hexdigest()[:16]


def _spans(size: int) -> list[tuple[int, int]]:
    if size <= WHOLE_BYTES:
        return [(0, size)]
    starts = [i * (size - SAMPLE_BYTES) // (SAMPLES - 1) for i in range(SAMPLES)]
    return [(start, start + SAMPLE_BYTES) for start in starts]
