import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources

import numpy as np

from lasmlx.data.corpus import Corpus
from lasmlx.data.errors import DataError
from lasmlx.data.source import ByteSource

MOBY_DICK_SHA256 = "fe282a57094ed62e7144fb7c804a9748fc1c909bf3b49d06e7276015f9f67240"  # of the text
GPS_SHA256 = "c634b22fae13b9bfbbacd92538ff6b1b7d6248fd786b90ea10d611cffa138154"  # of the logs end to end, by name


@dataclass(frozen=True)
class _Shipped:
    build: Callable[[], Corpus]
    licence: str
    description: str


@dataclass(frozen=True)
class CorpusCard:
    """What there is to know about a corpus that ships, sizes in bytes."""

    name: str
    train_bytes: int
    held_out_bytes: dict[str, int]  # by split
    licence: str
    description: str


def corpus_names() -> tuple[str, ...]:
    """The corpora that need no file."""
    return tuple(_CORPORA)


def shipped_corpus(name: str) -> Corpus:
    """Args: name, one of `corpus_names()`. Raises: DataError if the package's copy is damaged or absent."""
    return _CORPORA[name].build()


def describe_corpora() -> tuple[CorpusCard, ...]:
    """A card for each of `corpus_names()`, in that order."""
    cards = []
    for name, shipped in _CORPORA.items():
        corpus = shipped.build()
        held_out = {split: len(source) for split, source in corpus.held_out.items()}
        cards.append(CorpusCard(name, len(corpus.train), held_out, shipped.licence, shipped.description))
    return tuple(cards)


def is_unseen(file_name: str) -> bool:
    """Whether a receiver's log is kept away whole: the SHA-256 of its file's name, a number, ends in the digit 9."""
    return int(hashlib.sha256(file_name.encode()).hexdigest(), 16) % 10 == 9


def _gps() -> Corpus:
    logs = dict(sorted(_logs(_unpack("gps.tar.xz"))))
    _verify("gps.tar.xz", b"".join(logs.values()), GPS_SHA256)
    seen = {name: (log, _line_end(log, len(log) * 9 // 10)) for name, log in logs.items() if not is_unseen(name)}
    unseen = {name: log for name, log in logs.items() if is_unseen(name)}
    return Corpus(
        "gps",
        train=_source({name: log[:cut] for name, (log, cut) in seen.items()}),
        held_out={
            "later": _source({name: log[cut:] for name, (log, cut) in seen.items()}),
            "unseen": _source(unseen),
        },
    )


def _moby_dick() -> Corpus:
    text = _unpack("moby-dick.txt.xz")
    _verify("moby-dick.txt.xz", text, MOBY_DICK_SHA256)
    train, held_out = ByteSource.from_bytes("moby-dick.txt", text).split(9, 10)
    return Corpus("moby-dick", train, {"held-out": held_out})


def _val() -> Corpus:
    step = 100 / 9999
    train = np.sin(np.linspace(0, 100, 10000))
    continued = np.sin(100 + step * np.arange(1, 1001))
    return Corpus("val", _source({"val": _val_lines(train)}), {"continued": _source({"val": _val_lines(continued)})})


def _val_lines(values: np.ndarray) -> bytes:
    return "".join(f"val: {value:.3f}\n" for value in values.tolist()).encode()


def _source(documents: dict[str, bytes]) -> ByteSource:
    return ByteSource.join(ByteSource.from_bytes(name, data) for name, data in documents.items())


def _line_end(log: bytes, near: int) -> int:
    return log.index(b"\n", near - 1) + 1


def _unpack(file_name: str) -> bytes:
    try:
        return lzma.decompress(resources.files("lasmlx.data").joinpath("corpora", file_name).read_bytes())
    except (OSError, lzma.LZMAError) as error:
        raise DataError(f"the packaged corpus {file_name} cannot be read ({error}); reinstall lasmlx.") from error


def _logs(archive: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None:
                yield member.name, content.read()


def _verify(file_name: str, content: bytes, expected: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataError(
            f"the packaged corpus {file_name} has SHA-256 {found[:12]}.., expected {expected[:12]}..; reinstall lasmlx."
        )


_CORPORA = {
    "gps": _Shipped(_gps, "BSD-2-Clause", "NMEA 0183 sentences of 41 GPS receivers, from the gpsd project's test logs"),
    "moby-dick": _Shipped(_moby_dick, "CC0-1.0 / PDDL-1.0", "Moby-Dick; or, The Whale, the novel as UTF-8 text"),
    "val": _Shipped(_val, "generated", "10,000 lines of telemetry: a sine as `val: 0.000`, and its continuation"),
}

_COMPRESSORS = {  # size(train + held out) - size(train), bits a byte: xz -9e, and 7z -m0=PPMd:o=16:mem=256m
    "gps/later": {"xz": 0.495, "ppmd": 0.557},
    "gps/unseen": {"xz": 0.785, "ppmd": 0.997},
    "moby-dick/held-out": {"xz": 2.536, "ppmd": 2.042},
    "val/continued": {"xz": 0.135, "ppmd": 0.378},
}


def compressor_bits(split: str) -> dict[str, float]:
    """What compressors that adapt as they go need for a held-out split that ships, in bits a byte; empty for others.

    Args: split, as `moby-dick/held-out`. How they were measured is in the corpora's README.
    """
    return _COMPRESSORS.get(split, {})
