import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.data import ByteSource, DataError, FileBytes, Windows, load_corpus

documents = st.lists(st.binary(max_size=12), max_size=6)
bounds = st.one_of(st.none(), st.integers(-80, 80))


def source_of(parts: list[bytes]) -> ByteSource:
    return ByteSource.join(ByteSource.from_bytes(f"{i}", part) for i, part in enumerate(parts))


@settings(deadline=None)
@given(documents, bounds, bounds)
def test_a_slice_is_the_slice_of_the_concatenation(parts: list[bytes], start: int | None, stop: int | None) -> None:
    found = source_of(parts)[start:stop]
    assert found.dtype == np.uint8
    assert found.tobytes() == b"".join(parts)[start:stop]


@settings(deadline=None)
@given(documents, st.integers(0, 10))
def test_split_cuts_every_document(parts: list[bytes], tenths: int) -> None:
    head, tail = source_of(parts).split(tenths, 10)
    assert head[:].tobytes() == b"".join(part[: len(part) * tenths // 10] for part in parts)
    assert tail[:].tobytes() == b"".join(part[len(part) * tenths // 10 :] for part in parts)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=40), st.binary(max_size=9), bounds, bounds, st.integers(0, 10))
def test_files_memmaps_and_arrays_agree(
    tmp_path_factory: pytest.TempPathFactory, a: bytes, b: bytes, start: int | None, stop: int | None, tenths: int
) -> None:
    path = tmp_path_factory.mktemp("file") / "a"
    path.write_bytes(a)
    in_memory = source_of([a, b])
    rest = np.frombuffer(b, dtype=np.uint8)
    for data in (FileBytes(path, 0, len(a)), np.memmap(path, dtype=np.uint8, mode="r")):
        source = ByteSource([("0", data), ("1", rest)])
        np.testing.assert_array_equal(source[start:stop], in_memory[start:stop])
        for part, expected in zip(source.split(tenths, 10), in_memory.split(tenths, 10), strict=True):
            np.testing.assert_array_equal(part[:], expected[:])


def test_what_a_source_gives_cannot_be_written() -> None:
    owned = np.arange(5, dtype=np.uint8)
    source = ByteSource([("a", owned), ("b", owned)])
    for span in (source[1:3], source[3:7]):
        with pytest.raises(ValueError, match="read-only"):
            span[0] = 1
    assert owned.flags.writeable


def test_empty_documents_are_left_out() -> None:
    source = source_of([b"", b"ab", b"", b"c"])
    assert source.names == ("1", "3")
    assert source.sizes == (2, 1)
    assert len(source_of([])) == 0
    assert source_of([])[:].size == 0


def test_only_slices_of_step_one() -> None:
    with pytest.raises(ValueError, match="steps of 1, got 2"):
        source_of([b"abc"])[::2]
    with pytest.raises(TypeError, match="takes a slice of bytes, got 1"):
        source_of([b"abc"])[1]  # type: ignore[index]


def test_a_document_is_bytes() -> None:
    with pytest.raises(ValueError, match=r"a document is float64 \(3,\), expected uint8"):
        ByteSource([("a", np.zeros(3))])  # type: ignore[list-item]


def test_a_file_that_shrinks_or_goes_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")
    source = ByteSource([("log", FileBytes(path, 0, 10))])
    path.write_bytes(b"012345")
    assert source[:6].tobytes() == b"012345"
    with pytest.raises(DataError, match=r"log ends at byte 6, expected at least 8: it became shorter"):
        source[2:8]
    path.unlink()
    with pytest.raises(DataError, match=r"log can no longer be read \(No such file"):
        source[:1]


def test_a_huge_file_takes_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    size = 12 << 30
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size - 1)
        file.write(b"\x07")
    tracemalloc.start()
    corpus = load_corpus([str(path)])
    windows = Windows(corpus.train, batch_size=8, seq_len=512, seed=0)
    batches = [windows.batch(step).x.sum() for step in range(0, windows.steps_per_epoch, windows.steps_per_epoch // 50)]
    assert len(corpus.fingerprint) == 16
    assert corpus.held_out["held-out"][-1:].tolist() == [7]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert batches
    assert len(corpus.train) == size * 9 // 10
    assert peak < 2 << 20
