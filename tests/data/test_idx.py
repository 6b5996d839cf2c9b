"""IDX images: the file format, rows and whole images, damage, names."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from lasmlx.data import DataError, absolute_sequences, load_sequences, names_sequences
from lasmlx.data.idx import FILES

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 3, 2), dtype=np.uint8)
LABELS = np.array([7, 3, 7, 3, 9], np.uint8)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for key, name in FILES.items():
        (tmp_path / name).write_bytes(idx(IMAGES if key.startswith("x") else LABELS))
    return tmp_path


def test_rows_over_time(folder: Path) -> None:
    data = load_sequences(f"idx:{folder}")
    assert (data.channels, data.outputs, data.classes, len(data.test)) == (2, 3, ("3", "7", "9"), 5)
    np.testing.assert_allclose(data.train.x, IMAGES / 255, rtol=1e-6)
    assert data.train.y.tolist() == [1, 0, 1, 0, 2]
    assert data.train.lengths.tolist() == [3] * 5 and data.train.dt.min() == 1


def test_an_image_as_one_element(folder: Path) -> None:
    path = folder / FILES["x_test"]
    (folder / (path.name + ".gz")).write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    data = load_sequences(f"idx-image:{folder}")
    np.testing.assert_allclose(data.test.x, IMAGES.reshape(5, 1, 6) / 255, rtol=1e-6)


def test_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert names_sequences("idx:x") and names_sequences("idx-image:x") and not names_sequences("x")
    assert absolute_sequences(f"idx:{folder.name}") == f"idx:{folder}"
    assert absolute_sequences("ucr:GunPoint") == "ucr:GunPoint"


def test_damage_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder nowhere. It should hold train-images-idx3-ubyte"):
        load_sequences("idx:nowhere")
    path = folder / FILES["x_train"]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"is damaged: it says \(5, 3, 2\) and holds 29 bytes"):
        load_sequences(f"idx:{folder}")
    path.write_bytes(b"\0\0\x0d\3" + whole[4:])
    with pytest.raises(DataError, match="is no IDX file of bytes with 3 axes"):
        load_sequences(f"idx:{folder}")
    path.write_bytes(idx(IMAGES[:4]))
    with pytest.raises(DataError, match="has 4 images, the labels are 5"):
        load_sequences(f"idx:{folder}")
    path.unlink()
    with pytest.raises(DataError, match=r"has no train-images-idx3-ubyte or train-images-idx3-ubyte\.gz"):
        load_sequences(f"idx:{folder}")
