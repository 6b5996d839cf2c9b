from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lasmlx.data import (
    BYTES,
    ByteSource,
    DataError,
    FileBytes,
    TokenSource,
    Windows,
    eval_windows,
    load_tokenizer,
    tokens,
    tokens_of,
)

TEXT = b"Call me Ishmael. Some years ago, never mind how long precisely\n" * 40
GPT2 = load_tokenizer("gpt2")


def test_bytes_are_their_own_tokens() -> None:
    source = ByteSource.from_bytes("x", TEXT)
    assert tokens_of(source, BYTES) is source
    assert source.bytes_each == 1 and source.bytes_of(source[3:10]) == 7


def test_documents_become_tokens_each_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(TEXT + b" min")
    first = FileBytes(tmp_path / "a", 0, len(TEXT) + 4)
    source = ByteSource([("a", first), ("b", np.frombuffer(b"d\xff" + TEXT[:100], np.uint8))])
    found = tokens_of(source, GPT2)
    ends = np.cumsum([0, *source.sizes])
    expected = [GPT2.encode(source[a:b].tobytes()) for a, b in pairwise(ends)]
    np.testing.assert_array_equal(found[:], np.concatenate(expected))
    assert found[:].tolist() != GPT2.encode(source[:].tobytes()).tolist()
    assert found[2:5].dtype == np.int32
    assert found.bytes_of(found[:]) == len(source) and found.bytes_each == len(source) / len(found)
    assert found.bytes_of(found[1:4]) == len(GPT2.decode(found[1:4]))
    monkeypatch.setattr(tokens, "PIECE", 150)
    assert GPT2.decode(tokens_of(source, GPT2)[:]) == source[:].tobytes()
    np.testing.assert_array_equal(tokens_of(ByteSource.from_bytes("a", TEXT), GPT2)[:], GPT2.encode(TEXT))


def test_large_vocabularies_keep_their_ids() -> None:
    class Large:
        name, size, fingerprint = "large", 70000, ""
        lengths = np.ones(70000, np.int32)

        def encode(self, data: bytes) -> np.ndarray:
            return np.frombuffer(data, np.uint8).astype(np.int32) + 69000

    found = tokens_of(ByteSource.from_bytes("x", b"abc"), Large())  # type: ignore[arg-type]
    assert found[:].tolist() == [69097, 69098, 69099]


def test_windows_of_tokens() -> None:
    source = tokens_of(ByteSource.from_bytes("x", TEXT), GPT2)
    batch = Windows(source, 4, 16, seed=0).batch(0)
    assert batch.x.dtype == np.int32 and batch.x.shape == (4, 16)
    np.testing.assert_array_equal(batch.y[:, :-1], batch.x[:, 1:])
    with pytest.raises(DataError, match=rf"has {len(source)} tokens, but 4 windows of 1000 tokens need 4001"):
        Windows(source, 4, 1000, seed=0)
    with pytest.raises(DataError, match="the held-out data has 1 tokens"):
        eval_windows(TokenSource(np.zeros(1, np.uint16), GPT2.lengths), 4, 8)


def test_the_most_to_evaluate_is_in_bytes() -> None:
    source = tokens_of(ByteSource.from_bytes("x", TEXT), GPT2)
    whole = list(eval_windows(source, 4, 16))
    assert sum(batch.count for batch in whole) == len(source) - 1
    batches = list(eval_windows(source, 4, 16, max_bytes=600))
    looked_at = sum(source.bytes_of(batch.y[batch.mask == 1]) for batch in batches)
    assert looked_at == pytest.approx(600, rel=0.05)
