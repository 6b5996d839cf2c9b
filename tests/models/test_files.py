"""Checkpoints: there and back, written whole or not at all, and refused by name when damaged or foreign."""

import os
import resource
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from lasmlx.models import ConfigError, FileError, load
from lasmlx.models.files import load_arrays, save_arrays, write_atomically

Make = Callable[..., Any]


def parameters(model: Any) -> dict[str, mx.array]:
    return dict(tree_flatten(model.parameters()))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_float32_round_trip_is_exact(family: str, make: Make, tmp_path: Path) -> None:
    model = make(family)
    model.save(tmp_path / "new" / "folder")
    again = load(tmp_path / "new" / "folder")
    assert again.config == model.config
    assert type(again) is type(model)
    for name, value in parameters(again).items():
        assert mx.array_equal(value, parameters(model)[name]), name
    assert names(tmp_path / "new" / "folder") == ["config.json", "model.safetensors"]


def test_float16_round_trip_is_close_and_half_the_size(family: str, make: Make, tmp_path: Path) -> None:
    model = make(family)
    model.save(tmp_path / "whole")
    model.save(str(tmp_path / "half"), dtype=mx.float16)
    for name, value in parameters(load(tmp_path / "half")).items():
        assert value.dtype == mx.float32
        np.testing.assert_allclose(np.array(value), np.array(parameters(model)[name]), rtol=1e-3, atol=1e-6)
    sizes = [(tmp_path / which / "model.safetensors").stat().st_size for which in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    assert parameters(model)["norm.weight"].dtype == mx.float32


def test_metadata_is_kept(family: str, make: Make, tmp_path: Path) -> None:
    make(family).save(tmp_path, metadata={"command": "las train"})
    assert load_arrays(tmp_path / "model.safetensors")[1]["command"] == "las train"


def test_files_follow_the_umask(family: str, make: Make, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        make(family).save(tmp_path)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


def test_a_missing_folder_or_file_is_named(family: str, make: Make, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere is not a folder with a model in it\."):
        load(tmp_path / "nowhere")
    with pytest.raises(FileError, match=r"has no config\.json: it is not a run or model folder\."):
        load(tmp_path)
    make(family).save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileError, match=r"model\.safetensors does not exist\."):
        load(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe\x00", b"not json", b'{"model_type": "las"'])
def test_a_damaged_config_is_named(make: Make, tmp_path: Path, text: bytes) -> None:
    make("las").save(tmp_path)
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(FileError, match=r"config\.json is damaged \("):
        load(tmp_path)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"las"'])
def test_a_config_that_is_no_object_is_named(make: Make, tmp_path: Path, text: str) -> None:
    make("las").save(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(FileError, match=r"config\.json is damaged: it holds no JSON object\."):
        load(tmp_path)


def test_a_foreign_config_is_named(make: Make, tmp_path: Path) -> None:
    make("las").save(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": 4096}')
    with pytest.raises(ConfigError, match=r"model_type 'llama' is unknown"):
        load(tmp_path)


def test_truncated_weights_are_named(make: Make, tmp_path: Path) -> None:
    make("las").save(tmp_path)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    for size in [0, 1, 7, 8, 9, 500, *range(1000, len(whole), 7001), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(FileError, match=r"model\.safetensors is damaged or no safetensors file \("):
            load(tmp_path)


def header(text: bytes, size: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if size is None else size) + text


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x95pickle" * 20,
        bytes(1000),
        b"\xff" * 1000,
        header(b"{", 2**60),
        header(b"[1, 2]    "),
        header(b'{"a": 1}  '),
        header(b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 4]}}') + bytes(16),
        header(b'{"a": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}}') + bytes(16),
        header(b'{"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}') + bytes(16),
        header(b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}}') + bytes(16),
    ],
    ids=range(10),
)
def test_weights_of_another_format_are_named(make: Make, tmp_path: Path, content: bytes) -> None:
    make("las").save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(FileError, match=r"model\.safetensors"):
        load(tmp_path)


def test_weights_of_another_model_are_named(make: Make, tmp_path: Path) -> None:
    make("las").save(tmp_path)
    path = tmp_path / "model.safetensors"
    arrays, _ = load_arrays(path)
    lacking = {name: v for name, v in arrays.items() if name != "head.weight"}
    for changed, message in (
        (lacking, r"has no parameter 'head\.weight': it is of another model than its config\.json says\."),
        (arrays | {"extra": mx.zeros(3)}, r"has a parameter 'extra' that a las model lacks\."),
        (arrays | {"norm.weight": mx.zeros(13)}, r"norm\.weight has shape \(13,\), expected \(12,\)\."),
        (parameters(make("mamba")), r"has no parameter 'embedding\.frequency'"),
    ):
        save_arrays(path, changed, {})
        with pytest.raises(FileError, match=r"model\.safetensors.*" + message):
            load(tmp_path)


def test_a_write_that_fails_leaves_the_old_files_whole(family: str, make: Make, tmp_path: Path) -> None:
    model = make(family)
    model.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for room in (0, 4096):  # nothing fits; the configuration fits, the weights do not
        with full_disk(room), pytest.raises(FileError, match=r"cannot write .*What was there before is untouched\."):
            make(family, seed=1).save(tmp_path)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_error_while_writing_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(FileError, match=r"cannot write .*state\.json: No space left on device\."):
                write_atomically(path, b"new")
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["state.json"]


def test_an_interrupted_write_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "state.json", b"new")
    assert names(tmp_path) == []


def test_a_folder_that_is_a_file_is_named(family: str, make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("something")
    with pytest.raises(FileError, match=r"cannot write .*config\.json"):
        make(family).save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "something"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into a read-only folder")
def test_a_read_only_folder_is_named(family: str, make: Make, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(FileError, match=r"cannot write .*config\.json: Permission denied"):
            make(family).save(tmp_path)
    finally:
        tmp_path.chmod(0o700)
