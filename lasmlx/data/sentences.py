"""SentencePiece vocabularies, learnt from a corpus."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from lasmlx.data.errors import DataError
from lasmlx.data.files import FileError, write_atomically
from lasmlx.data.pieces import PieceTokenizer
from lasmlx.data.source import ByteSource

MODEL_FILE = "tokenizer.model"
SPACE = "\u2581"  # SentencePiece's mark for a space, so as text it goes byte by byte
SENTENCE = 2000  # characters handed to the trainer at once
MOST_BYTES = 64 << 20  # of a corpus to learn from, spread over it
LEAST, MOST = 260, 65536
_ODD = re.compile(f"([{SPACE}\0]+)")
_NO_TEXT = re.compile(f"[\udc80-\udcff{SPACE}\0]+")
_PROBE = f"  a \u00a0 e\u0301\ufb01\u2460\t\r\n\n {SPACE}\0<unk><0x41>\U0001f40b \ufffd "


class SentencePieceTokenizer(PieceTokenizer):
    """The tokens of a SentencePiece model that keeps every byte: byte_fallback, identity, no dummy prefix.

    Args:
        model: the content of the ``.model`` file.
        source: names it in errors.

    Raises:
        FileError: it is damaged, or changes the text it encodes.
    """

    def __init__(self, model: bytes, source: str) -> None:
        import sentencepiece

        self.model = model
        try:
            self._processor = processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError:
            raise FileError(f"{source} is damaged or no SentencePiece model; {_MEND}") from None
        ids = range(processor.get_piece_size() if model else 0)
        single = {int(processor.id_to_piece(i)[3:-1], 16): i for i in ids if processor.is_byte(i)}
        if len(single) != 256:
            raise FileError(f"{source} has {len(single)} of the 256 bytes as tokens (byte_fallback); {_MEND}")
        mute = {i for i in ids if processor.is_unknown(i) or processor.is_control(i)}
        pieces = [b"" if i in mute else processor.id_to_piece(i).replace(SPACE, " ").encode() for i in ids]
        for byte, i in single.items():
            pieces[i] = bytes([byte])
        super().__init__("sentencepiece", pieces, [single[byte] for byte in range(256)], model)
        if self.decode(self.encode(_PROBE.encode())) != _PROBE.encode():
            raise FileError(f"{source} changes the text it encodes (normalisation, or a dummy prefix); {_MEND}")

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.model`` into ``folder``, atomically."""
        write_atomically(folder / MODEL_FILE, self.model)

    def _text(self, text: str) -> Any:
        ids: list[int] = []
        for part in _ODD.split(text):
            ids += self._bytes(part.encode()).tolist() if _ODD.match(part) else self._processor.encode(part)
        return ids


def load_sentencepiece(path: Path) -> SentencePieceTokenizer:
    """The tokenizer in a ``.model`` file.

    Raises:
        FileError: it is missing, damaged, or not as :class:`SentencePieceTokenizer` wants it.
    """
    try:
        model = path.read_bytes()
    except OSError as error:
        raise FileError(f"the tokenizer {path} cannot be read ({error.strerror}); {_MEND}") from None
    return SentencePieceTokenizer(model, str(path))


def train_sentencepiece(source: ByteSource, vocab: int) -> SentencePieceTokenizer:
    """Byte pairs learnt from the text in ``source``, by frequency; what is no UTF-8 is passed over.

    Args:
        source: of at most 64 MiB every byte, of more so many, spread over it.
        vocab: tokens, the 256 bytes and one for the unknown among them.

    Raises:
        DataError: vocab is out of range, or more than the text has pieces for.
    """
    import sentencepiece

    if not LEAST <= vocab <= MOST:
        raise DataError(f"the vocabulary is {vocab} tokens, expected {LEAST} to {MOST}.")
    sentences, model = _sentences(source), io.BytesIO()
    first = next(sentences, None)
    if first is None:
        raise DataError("there is no text (UTF-8) to learn a vocabulary from; give other data.")
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=chain([first], sentences),
            model_writer=model,
            vocab_size=vocab,
            model_type="bpe",
            byte_fallback=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            unk_id=0,
            max_sentence_length=8 * SENTENCE,  # bytes
            minloglevel=3,
        )
    except RuntimeError as error:
        reason = str(error).rpartition("] ")[2].strip(" .") or str(error)
        raise DataError(
            f"no vocabulary of {vocab} tokens can be learnt from these {len(source):,} bytes "
            f"({reason}); give more text, or ask for other --vocab."
        ) from None
    return SentencePieceTokenizer(model.getvalue(), "the vocabulary learnt")


def _sentences(source: ByteSource) -> Iterator[str]:
    for start, stop in _spans(len(source)):
        for text in _NO_TEXT.split(source[start:stop].tobytes().decode(errors="surrogateescape")):
            at = 0
            while at < len(text):
                end = text.rfind("\n", at, at + SENTENCE) + 1 or at + SENTENCE
                yield text[at:end]
                at = end


def _spans(size: int, piece: int = 1 << 20) -> Iterator[tuple[int, int]]:
    count = min(-(-size // piece), MOST_BYTES // piece)
    for i in range(count):
        start = i * piece if size <= MOST_BYTES else i * (size - piece) // (count - 1)
        yield start, min(start + piece, size)


_MEND = "learn one with `las data tokenizer train`, or restore it from a copy."
