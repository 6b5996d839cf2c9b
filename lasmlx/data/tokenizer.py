"""From bytes to the tokens a model reads, and back to the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lasmlx.data.errors import DataError
from lasmlx.data.files import FileError
from lasmlx.data.pieces import checked

NAMES = ("bytes", "gpt2", "sentencepiece")


class Tokenizer(Protocol):
    """Bytes as tokens: ``decode(encode(data)) == data``, whatever the bytes."""

    name: str
    size: int  # tokens

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Bytes of each token, (size,); 0 of those that encode never gives, such as an end of text."""

    @property
    def fingerprint(self) -> str:
        """Tells vocabularies apart."""

    def encode(self, data: bytes) -> NDArray[np.int32]:
        """The tokens of data, (n,)."""

    def decode(self, ids: ArrayLike) -> bytes:
        """The bytes of tokens (n,). Raises: DataError, if one is not of this vocabulary."""

    def save(self, folder: Path) -> None:
        """Write what :func:`tokenizer_of` needs besides the name into folder, atomically."""


class ByteTokenizer:
    """Every byte is its own token."""

    name, size = "bytes", 256
    lengths = np.ones(256, np.int32)
    fingerprint = "bytes"

    def encode(self, data: bytes) -> NDArray[np.int32]:
        """The values of the bytes, (n,)."""
        return np.frombuffer(data, np.uint8).astype(np.int32)

    def decode(self, ids: ArrayLike) -> bytes:
        """The reverse."""
        return bytes(checked(self.name, self.size, ids))

    def save(self, folder: Path) -> None:
        """Nothing: its name is enough."""


BYTES = ByteTokenizer()


def load_tokenizer(folder_or_name: str | Path) -> Tokenizer:
    """``bytes``, ``gpt2``, a SentencePiece ``.model`` file, or the ``tokenizer.model`` of a folder.

    Raises:
        DataError: it is none of these. FileError: the file is missing, damaged or changes text.
    """
    if folder_or_name == "bytes":
        return BYTES
    if folder_or_name == "gpt2":
        from lasmlx.data.gpt2 import gpt2

        return gpt2()
    from lasmlx.data.sentences import MODEL_FILE, load_sentencepiece

    path = Path(folder_or_name).expanduser()
    if not path.exists() and isinstance(folder_or_name, str) and not path.suffix and path.name == folder_or_name:
        raise DataError(
            f"there is no tokenizer {folder_or_name!r}; expected bytes, gpt2, or a file that "
            "`las data tokenizer train` made."
        )
    return load_sentencepiece(path / MODEL_FILE if path.is_dir() else path)


def tokenizer_of(config: Any, folder: str | Path | None = None) -> Tokenizer:
    """What the model with this configuration reads.

    Args:
        config: with ``tokenizer`` and ``vocab``; without, the model reads bytes.
        folder: that the model was loaded from; only ``sentencepiece`` needs it.

    Raises:
        DataError: the name is unknown, or the folder is needed and absent.
        FileError: the file is missing, damaged or of another size than the model's vocabulary.
    """
    name = getattr(config, "tokenizer", "bytes")
    if name not in NAMES:
        raise DataError(f"the model's tokenizer is {name!r}, expected {', '.join(NAMES[:-1])} or {NAMES[-1]}.")
    if name == "sentencepiece" and folder is None:
        raise DataError(
            "the model's tokenizer is a file beside it: give tokenizer=lasmlx.data.load_tokenizer(FOLDER), "
            "the folder of the model."
        )
    tokenizer = load_tokenizer(Path(str(folder)) if name == "sentencepiece" else name)
    vocab = getattr(config, "vocab", 256)
    if tokenizer.size != vocab:
        of = f"the tokenizer in {folder}" if name == "sentencepiece" else f"the tokenizer {name}"
        raise FileError(f"{of} has {tokenizer.size} tokens, the model {vocab}: it is of another model.")
    return tokenizer
