import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.data import (
    BYTES,
    ByteSource,
    DataError,
    FileError,
    Tokenizer,
    gpt2,
    load_tokenizer,
    pieces,
    tokenizer_of,
    train_sentencepiece,
)

TEXT = b"".join(b"%d squared is %d,\nand so on\n" % (i, i * i) for i in range(400))
LEARNT = train_sentencepiece(ByteSource.from_bytes("squares", TEXT), 320)
EVERY: dict[str, Tokenizer] = {"bytes": BYTES, "gpt2": load_tokenizer("gpt2"), "sentencepiece": LEARNT}

ODD = ("\0", "\r\n", "\u2581", "\u2585", "\ufb01", "<unk>", "<0x41>", "<s>", "<|endoftext|>", "e\u0301", "\U0001f40b")
odd = st.sampled_from([*(text.encode() for text in ODD), b" ", b"\xff", b"\xe2\x96", b"\xf0\x9f", b"squared"])
data = st.one_of(st.binary(max_size=60), st.text(max_size=30).map(str.encode), st.lists(odd).map(b"".join))


@dataclass(frozen=True)
class Config:
    tokenizer: str
    vocab: int


@pytest.mark.parametrize("name", EVERY)
@settings(deadline=None)
@given(data)
def test_decode_is_the_inverse_of_encode_for_any_bytes(name: str, data: bytes) -> None:
    tokenizer = EVERY[name]
    ids = tokenizer.encode(data)
    assert ids.dtype == np.int32 and ids.ndim == 1
    assert tokenizer.decode(ids) == data
    assert tokenizer.lengths[ids].sum() == len(data)
    assert (tokenizer.lengths[ids] > 0).all()


@pytest.mark.parametrize("name", EVERY)
def test_lengths_are_those_of_the_bytes(name: str) -> None:
    tokenizer = EVERY[name]
    assert tokenizer.name == name and tokenizer.lengths.shape == (tokenizer.size,)
    some = range(0, tokenizer.size, 17)
    assert [len(tokenizer.decode([i])) for i in some] == [tokenizer.lengths[i] for i in some]
    for wrong in (-1, tokenizer.size):
        with pytest.raises(DataError, match=rf"token {wrong} is none of {name}'s, expected 0 to {tokenizer.size - 1}"):
            tokenizer.decode([0, wrong])


def test_long_data_is_encoded_by_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LEARNT.encode(TEXT)
    monkeypatch.setattr(pieces, "PIECE", 64)
    assert LEARNT.decode(LEARNT.encode(TEXT)) == TEXT
    parts = [LEARNT.encode(line) for line in TEXT[:400].splitlines(keepends=True)]
    assert LEARNT.encode(TEXT[:400]).size <= sum(part.size for part in parts)
    assert abs(LEARNT.encode(TEXT).size - whole.size) < 0.1 * whole.size
    for size in (1, 63, 64, 65, 1000):
        for tokenizer in EVERY.values():
            assert tokenizer.decode(tokenizer.encode(b"\xff" + b"x" * size)) == b"\xff" + b"x" * size


def test_gpt2_gives_the_ids_that_are_known() -> None:
    tokenizer = EVERY["gpt2"]
    known = {
        "Hello world": [15496, 995],
        "The quick brown fox jumps over the lazy dog": [464, 2068, 7586, 21831, 18045, 625, 262, 16931, 3290],
    }
    assert {text: tokenizer.encode(text.encode()).tolist() for text in known} == known
    assert tokenizer.size == 50257
    assert 50256 not in tokenizer.encode(b"<|endoftext|>")
    assert tokenizer.decode([15496, 50256, 995]) == b"Hello world" and tokenizer.lengths[50256] == 0
    assert tokenizer.encode(b"\xff\xfe").size == 2


def test_a_vocabulary_is_learnt_and_says_more_in_less() -> None:
    assert LEARNT.size == 320 and LEARNT.decode([0]) == b"" and LEARNT.lengths[0] == 0
    assert LEARNT.encode(TEXT).size < 0.4 * len(TEXT)
    assert b" squared" in {LEARNT.decode([i]) for i in range(LEARNT.size)}
    assert train_sentencepiece(ByteSource.from_bytes("again", TEXT), 320).fingerprint == LEARNT.fingerprint
    other = train_sentencepiece(ByteSource.from_bytes("squares", TEXT), 300)
    assert other.fingerprint != LEARNT.fingerprint
    assert len({tokenizer.fingerprint for tokenizer in EVERY.values()}) == 3


def test_what_is_no_text_is_passed_over() -> None:
    broken = TEXT.replace(b"so on", b"so\xff\0on").replace(b"squared", "\u2581squared".encode())
    learnt = train_sentencepiece(ByteSource.from_bytes("x", broken), 320)
    assert b"squared" in {learnt.decode([i]) for i in range(320)}
    assert learnt.decode(learnt.encode(broken)) == broken


def test_a_vocabulary_that_cannot_be_learnt() -> None:
    def learn(data: bytes, vocab: int) -> None:
        train_sentencepiece(ByteSource.from_bytes("x", data), vocab)

    with pytest.raises(DataError, match="the vocabulary is 100 tokens, expected 260 to 65536"):
        learn(TEXT, 100)
    with pytest.raises(DataError, match=r"no vocabulary of 9000 tokens can be learnt .*too high.*; give more text"):
        learn(TEXT, 9000)
    with pytest.raises(DataError, match=r"there is no text \(UTF-8\) to learn"):
        learn(b"\xff\xfe" * 1000, 300)


def test_files_round_trip_and_are_refused_by_name(tmp_path: Path) -> None:
    LEARNT.save(tmp_path / "run")
    path = tmp_path / "run" / "tokenizer.model"
    assert os.listdir(tmp_path / "run") == ["tokenizer.model"]
    for found in (load_tokenizer(path), load_tokenizer(str(path.parent))):
        assert found.fingerprint == LEARNT.fingerprint and found.encode(TEXT).tolist() == LEARNT.encode(TEXT).tolist()
    whole = path.read_bytes()
    for damaged in (b"", b"junk" * 400, whole[:-3], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(FileError, match=r"tokenizer\.model .*restore it from a copy"):
            load_tokenizer(path)
    with pytest.raises(FileError, match=r"none\.model cannot be read \(No such file"):
        load_tokenizer(tmp_path / "none.model")
    with pytest.raises(FileError, match=r"tokenizer\.model cannot be read"):
        load_tokenizer(tmp_path)
    with pytest.raises(DataError, match="there is no tokenizer 'gpt3'; expected bytes, gpt2, or a file"):
        load_tokenizer("gpt3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"byte_fallback": False}, "has 0 of the 256 bytes as tokens"),
        ({"add_dummy_prefix": True}, "changes the text it encodes"),
        ({"remove_extra_whitespaces": True}, "changes the text it encodes"),
        ({"normalization_rule_name": "nfkc"}, "changes the text it encodes"),
    ],
)
def test_a_model_that_loses_bytes_is_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    keeps = {"byte_fallback": True, "add_dummy_prefix": False, "remove_extra_whitespaces": False}
    made, text = io.BytesIO(), iter(TEXT.decode().splitlines())
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=text,
        model_writer=made,
        vocab_size=300,
        model_type="bpe",
        minloglevel=3,
        **keeps | {"normalization_rule_name": "identity"} | options,
    )
    (tmp_path / "lossy.model").write_bytes(made.getvalue())
    with pytest.raises(FileError, match=f"lossy.model {message}"):
        load_tokenizer(tmp_path / "lossy.model")


def test_the_vocabulary_that_ships_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpt2, "SHA256", "0" * 64)
    with pytest.raises(FileError, match=r"gpt2\.tiktoken\.xz has SHA-256 306cd27f03c1\.\., .*reinstall lasmlx"):
        gpt2.GPT2Tokenizer()
    monkeypatch.setattr(gpt2, "FILE", "README.md")
    with pytest.raises(FileError, match=r"README\.md cannot be read .*reinstall lasmlx"):
        gpt2.GPT2Tokenizer()


def test_the_tokenizer_of_a_model(tmp_path: Path) -> None:
    LEARNT.save(tmp_path)
    assert tokenizer_of(object()) is tokenizer_of(Config("bytes", 256)) is BYTES
    assert tokenizer_of(Config("gpt2", 50257)) is EVERY["gpt2"]
    assert tokenizer_of(Config("sentencepiece", 320), tmp_path).fingerprint == LEARNT.fingerprint
    with pytest.raises(FileError, match=r"has 320 tokens, the model 512: it is of another model"):
        tokenizer_of(Config("sentencepiece", 512), tmp_path)
    with pytest.raises(DataError, match=r"give tokenizer=lasmlx\.data\.load_tokenizer\(FOLDER\)"):
        tokenizer_of(Config("sentencepiece", 320))
    with pytest.raises(DataError, match="tokenizer is 'bpe', expected bytes, gpt2 or sentencepiece"):
        tokenizer_of(Config("bpe", 320))
