import io
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from lasmlx.data import ByteSource, Corpus, DataError, load_corpus


def give_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data), closed=False))


def test_a_file_holds_its_last_tenth_out(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(bytes(range(105)))
    corpus = load_corpus([str(path)])
    assert corpus.name == "a.log"
    assert corpus.train[:].tobytes() == bytes(range(94))
    assert {split: source[:].tobytes() for split, source in corpus.held_out.items()} == {
        "held-out": bytes(range(94, 105))
    }


def test_a_folder_is_every_visible_file_below_it_in_order(tmp_path: Path) -> None:
    for name in ("b", "a/z", "a/.hidden", ".git/c", "a/b/c", "a-"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name[-1:].encode() * 10)
    (tmp_path / "empty").touch()
    corpus = load_corpus([str(tmp_path)])
    assert corpus.name == tmp_path.name
    assert corpus.train.names == corpus.held_out["held-out"].names == ("a-", "a/b/c", "a/z", "b")
    assert corpus.train[:].tobytes() == b"-" * 9 + b"c" * 9 + b"z" * 9 + b"b" * 9
    assert corpus.held_out["held-out"][:].tobytes() == b"-czb"


def test_a_folder_of_very_many_files_needs_no_handles(tmp_path: Path) -> None:
    for i in range(1500):
        (tmp_path / f"{i:04}").write_bytes(b"0123456789")
    before = len(os.listdir("/dev/fd"))
    corpus = load_corpus([str(tmp_path)])
    assert corpus.train[:].size == 13500
    assert len(os.listdir("/dev/fd")) == before


def test_standard_input_is_spooled_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256)) * 10_000
    give_stdin(monkeypatch, data)
    corpus = load_corpus(["-"])
    assert corpus.name == "stdin"
    assert corpus.train[:].tobytes() + corpus.held_out["held-out"][:].tobytes() == data
    assert len(corpus.train) == len(data) * 9 // 10


def test_a_pipe_is_spooled(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"0123456789",))
    writer.start()
    corpus = load_corpus([str(path)])
    writer.join()
    assert corpus.train[:].tobytes() == b"012345678"


def test_of_several_the_training_parts_join_and_splits_keep_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"0123456789")
    corpus = load_corpus(["val", str(path), "gps"])
    parts = [load_corpus([spec]) for spec in ("val", str(path), "gps")]
    assert corpus.name == "val+a.log+gps"
    assert corpus.train[:].tobytes() == b"".join(part.train[:].tobytes() for part in parts)
    assert list(corpus.held_out) == ["val/continued", "a.log/held-out", "gps/later", "gps/unseen"]
    assert corpus.held_out["a.log/held-out"][:].tobytes() == b"9"


def test_parts_of_one_name_are_told_apart_by_what_was_given(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "log" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"0123456789")
    assert list(load_corpus([str(path) for path in paths]).held_out) == [f"{path}/held-out" for path in paths]


def test_a_corpus_name_wins_over_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gps").write_bytes(b"0123456789")
    assert len(load_corpus(["gps"]).train) == 837_962
    relative = load_corpus(["./gps"])
    monkeypatch.chdir("/")
    assert relative.train[:].tobytes() == b"012345678"


def test_the_fingerprint_tells_data_apart(tmp_path: Path) -> None:
    def fingerprint(data: bytes, name: str = "a", split: str = "held-out") -> str:
        source = ByteSource.from_bytes(name, data)
        return Corpus("c", source, {split: source}).fingerprint

    kept = fingerprint(b"abc")
    assert kept == fingerprint(b"abc")
    assert (
        len({kept, fingerprint(b"abd"), fingerprint(b"abcd"), fingerprint(b"abc", "b"), fingerprint(b"abc", "a", "x")})
        == 5
    )
    big = bytearray(5 << 20)
    before = fingerprint(bytes(big))
    big[-1] = 1
    assert fingerprint(bytes(big)) != before
    for place in (tmp_path / "x", tmp_path / "y"):
        place.mkdir()
        (place / "log").write_bytes(b"0123456789")
    assert load_corpus([str(tmp_path / "x")]).train.names == ("log",)
    assert (
        load_corpus([str(tmp_path / "x" / "log")]).fingerprint == load_corpus([str(tmp_path / "y" / "log")]).fingerprint
    )


@pytest.mark.parametrize(("spec", "hint"), [("moby-dik", "moby-dick"), ("GPS", "gps"), ("vla", "val")])
def test_an_unknown_name_gets_its_near_misses(spec: str, hint: str) -> None:
    with pytest.raises(DataError, match=rf"'{spec}' is neither a corpus nor an existing path; .*Did you mean {hint}\?"):
        load_corpus([spec])


def test_an_absent_path_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    for path in (tmp_path / "none.txt", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match=rf"'{path}' is neither .* standard input\.$"):
            load_corpus([str(path)])
    with pytest.raises(DataError, match="xxx cannot be read"):
        load_corpus(["x" * 5000])


def test_empty_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "none").touch()
    with pytest.raises(DataError, match="none is empty; give a file with bytes in it"):
        load_corpus([str(tmp_path / "none")])
    with pytest.raises(DataError, match=rf"the folder {tmp_path} has no file with bytes in it"):
        load_corpus([str(tmp_path)])
    give_stdin(monkeypatch, b"")
    with pytest.raises(DataError, match=r"standard input \(-\) is empty; pipe bytes into it"):
        load_corpus(["-"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match=r"standard input \(-\) is closed"):
        load_corpus(["-"])
    for nothing in ([], [""]):
        with pytest.raises(DataError, match="no data was given; expected gps, moby-dick, val, a file"):
            load_corpus(nothing)


def test_one_byte_cannot_be_split(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    with pytest.raises(DataError, match="one has 1 bytes, too few to hold a tenth of a file out"):
        load_corpus([str(tmp_path / "one")])


def test_data_given_twice() -> None:
    with pytest.raises(DataError, match="the data 'gps' is given twice"):
        load_corpus(["gps", "val", "gps"])


def test_unreadable_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"0123456789")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    for spec in (path, tmp_path):
        with pytest.raises(DataError, match=r"secret cannot be read \(Permission denied\); change its permissions"):
            load_corpus([str(spec)])
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"secret cannot be read \(Permission denied\)"):
        load_corpus([str(tmp_path)])


def test_devices_are_refused() -> None:
    with pytest.raises(DataError, match="/dev/zero is neither a file, a folder nor a pipe"):
        load_corpus(["/dev/zero"])


def test_a_full_spool_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    give_stdin(monkeypatch, b"0123456789")
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(
        DataError, match=r"cannot be spooled to .* \(No space left on device\); make room, or set TMPDIR"
    ):
        load_corpus(["-"])
