"""A chip directory is whole, or refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest

from lasmlx.chip import ChipModel, load_chip, random_chip
from lasmlx.models import FileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random_chip(0, d=5, e=7, n=3, layers=2).save(tmp_path)
    return tmp_path


@pytest.mark.parametrize("system", ["int8", "q16"])
def test_saved_and_loaded(system: str, tmp_path: Path) -> None:
    chip = random_chip(1, system=system)
    chip.save(tmp_path)
    again = load_chip(tmp_path)
    assert again.config == chip.config
    for name, values in chip.arrays.items():
        assert again.arrays[name].dtype == values.dtype
        np.testing.assert_array_equal(again.arrays[name], values)


def test_missing_and_foreign_folders(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="las chip quantize"):
        load_chip(tmp_path)
    (tmp_path / "chip.json").write_text('{"d": 3}')
    with pytest.raises(FileError, match="damaged or foreign"):
        load_chip(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2"),
        ({"d": 6}, "expected int8 of"),
        ({"d": "six"}, "d is 'six'"),
        ({"colour": 1}, "no setting 'colour'"),
        ({"sha256": "0"}, "not the file"),
        ({"layers": 3}, "'layers.2.norm.multiplier' is missing"),
        ({"layers": 1}, "is not one of a chip"),
        ({"eps": 0}, "eps is 0, expected 1"),
        ({"embedding_shift": 12}, "does not fit 16 bits"),
    ],
)
def test_changed_settings_are_refused(folder: Path, change: dict[str, object], message: str) -> None:
    path = folder / "chip.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_chip(folder)


def test_damaged_bytes_are_refused(folder: Path) -> None:
    """A fuzz of both files: a chip either loads as it was or is refused by the file's name."""
    random, refused = np.random.default_rng(0), []
    original = load_chip(folder)
    for file in ("chip.json", "chip.safetensors"):
        path = folder / file
        whole = path.read_bytes()
        for _ in range(120):
            damaged = bytearray(whole)
            for _ in range(random.integers(1, 4)):
                damaged[random.integers(len(damaged))] = random.integers(256)
            if random.random() < 0.3:
                damaged = damaged[: random.integers(len(damaged))]
            path.write_bytes(bytes(damaged))
            try:
                loaded = load_chip(folder)
            except ValueError as error:
                refused.append(str(error))
                continue
            # a byte that happened to be the same, or a constant that says something else that is valid
            assert file == "chip.json" or loaded.config == original.config
        path.write_bytes(whole)
    assert len(refused) > 200 and all("chip" in message for message in refused)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layers.0.norm.shift", 0, "expected 1 to 46"),
        ("layers.1.gate.shift", 60, "expected 1 to 46"),
        ("head.weight", -128, "both signs alike"),
        ("tables.exp2", 70000, "no curve"),
        ("tables.sigmoid", -1, "no curve"),
        ("layers.0.conv.bias", 2**31 - 1, "overflows"),
        ("layers.1.dt_proj.bias", -(2**31) + 5, "overflows"),
    ],
)
def test_values_that_could_overflow_are_refused(name: str, value: int, message: str) -> None:
    chip = random_chip(0, d=5, e=7, n=3, layers=2)
    arrays = {key: array.copy() for key, array in chip.arrays.items()}
    arrays[name].flat[0] = value
    with pytest.raises(ValueError, match=message):
        ChipModel(chip.config, arrays)


def test_random_integers_never_crash_the_emulator() -> None:
    """Chips of any integers are refused, or run to the twin's bits."""
    from lasmlx.chip import Emulator, init_state, step
    from lasmlx.chip.chip_model import layout

    random, ran = np.random.default_rng(1), 0
    for seed in range(60):
        chip = random_chip(seed, d=4, e=5, n=2, layers=1)
        arrays = dict(chip.arrays)
        for name in random.choice([n for n in layout(chip.config) if not n.startswith("tables")], 4):
            info = np.iinfo(arrays[name].dtype)
            low, high = (1, 46) if name.endswith(".shift") else (info.min, info.max)
            arrays[name] = random.integers(low, high, arrays[name].shape, endpoint=True).astype(arrays[name].dtype)
        try:
            wild = ChipModel(chip.config, arrays)
        except ValueError:
            continue
        ran += 1
        session, state = Emulator(wild).session(), init_state(wild)
        for byte in (0, 255, 7):
            expected, state = step(wild, state, byte)
            np.testing.assert_array_equal(session.step(byte), expected)
    assert ran > 5
