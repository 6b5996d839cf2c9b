"""GPT-2's tokenizer, from the vocabulary that ships."""

from __future__ import annotations

import base64
import hashlib
import lzma
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from lasmlx.data.files import FileError
from lasmlx.data.pieces import PieceTokenizer

FILE = "gpt2.tiktoken.xz"
SHA256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"  # of its lines; tiktoken states the same
END_OF_TEXT = "<|endoftext|>"
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""


class GPT2Tokenizer(PieceTokenizer):
    """GPT-2's 50,257 tokens, by tiktoken. The last, ``<|endoftext|>``, is no text: it is never made of any.

    Raises:
        FileError: the package's copy of the vocabulary is damaged or absent.
    """

    def __init__(self) -> None:
        import tiktoken

        lines = _lines()
        ranks = {base64.b64decode(piece): int(rank) for piece, rank in map(bytes.split, lines.splitlines())}
        super().__init__("gpt2", [*ranks, b""], [ranks[bytes([i])] for i in range(256)], lines)
        special = {END_OF_TEXT: len(ranks)}
        self._bpe = tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)

    def save(self, folder: Path) -> None:
        """Nothing: its name is enough."""

    def _text(self, text: str) -> Any:
        return self._bpe.encode_ordinary(text)


@cache
def gpt2() -> GPT2Tokenizer:
    """The tokenizer, made once."""
    return GPT2Tokenizer()


def _lines() -> bytes:
    try:
        lines = lzma.decompress(resources.files("lasmlx.data").joinpath("tokenizers", FILE).read_bytes())
    except (OSError, lzma.LZMAError) as error:
        raise FileError(f"the packaged vocabulary {FILE} cannot be read ({error}); reinstall lasmlx.") from error
    found = hashlib.sha256(lines).hexdigest()
    if found != SHA256:
        raise FileError(
            f"the packaged vocabulary {FILE} has SHA-256 {found[:12]}.., expected {SHA256[:12]}..; reinstall lasmlx."
        )
    return lines
