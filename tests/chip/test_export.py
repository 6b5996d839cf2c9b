"""The exported C++ and HLS C++ give the integers of the twin."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from lasmlx.chip import tools
from lasmlx.chip.chip_model import ChipModel
from lasmlx.chip.export import (
    HLS_FLAGS,
    HLS_SOURCES,
    STEP,
    TEXTS,
    build,
    export,
    firmware_logits,
    hls_headers,
    hls_logits,
)
from lasmlx.chip.random_chip import random_chip
from lasmlx.chip.tools import ToolError, compiler
from lasmlx.chip.twin import trace
from lasmlx.models.files import FileError

STRICT = ("-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fno-exceptions", "-fno-rtti")
SMALLEST = {"d": 1, "e": 1, "n": 1, "k": 1, "rank": 1, "layers": 1}
INT8_CORNERS: list[dict[str, object]] = [
    SMALLEST | {"dt_min": 65535, "dt_range": 0, "decay": "euler", "decay_shift": 16},
    {"n": 17, "k": 7, "substeps": 3, "state_bits": 2, "rounding": "stochastic", "eps": (1 << 31) - 1},
    {"d": 65, "e": 37, "n": 256, "decay": "table", "decay_shift": 0, "state_bits": 31, "dt_min": 65535, "dt_range": 0},
    {"state_bits": 16, "rounding": "stochastic", "decay": "euler", "decay_shift": 16},
]
Q16_CORNERS: list[dict[str, object]] = [
    SMALLEST | {"dt_min": 65535, "dt_range": 0, "decay": "table", "decay_shift": 0},
    {"n": 256, "e": 5, "k": 9, "decay": "table", "substeps": 3, "eps": (1 << 31) - 1, "dt_range": 65535, "dt_min": 0},
]


def bytes_of(seed: int, count: int) -> bytes:
    return np.random.default_rng(seed).bytes(count)


def extreme_chip(seed: int, **settings: object) -> ChipModel:
    """An int8 chip that saturates everywhere: the largest weights and multipliers, any shift, tables of any slope."""
    chip, random = random_chip(seed, system="int8", **settings), np.random.default_rng(seed)
    arrays = {name: values.copy() for name, values in chip.arrays.items()}
    for name, values in arrays.items():
        if name.endswith((".weight", ".multiplier")):
            top = np.iinfo(values.dtype).max
            arrays[name] = random.choice(np.array([-top, top], values.dtype), values.shape)
        elif name.endswith(".shift"):
            low, high = (1, 47) if random.random() < 0.3 else (1, 20)
            arrays[name] = random.integers(low, high, values.shape).astype(np.uint8)
        elif name.endswith(".bias"):
            arrays[name] = random.choice(np.array([-(1 << 30), 0, 1 << 30], np.int32), values.shape)
        elif name.endswith(".A"):
            arrays[name] = random.choice(np.array([0, 1, 65535], np.uint16), values.shape)
        elif name.startswith("tables.") and random.random() < 0.7:
            curve = np.sort(random.integers(0, 65537, values.shape)).astype(np.int32)
            arrays[name] = curve if name.endswith("sigmoid") else curve[::-1].copy()
    return ChipModel(chip.config, arrays)


def headers() -> Path:
    try:
        return hls_headers()
    except ToolError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("system", ["int8", "q16"])
@pytest.mark.parametrize("seed", range(8))
def test_firmware_equals_the_twin(system: str, seed: int) -> None:
    chip, data = random_chip(seed, system=system), bytes_of(seed, 40)
    np.testing.assert_array_equal(firmware_logits(chip, data), trace(chip, data))


@pytest.mark.parametrize("settings", [*INT8_CORNERS, *({"system": "q16"} | corner for corner in Q16_CORNERS)])
def test_firmware_of_odd_sizes(settings: dict[str, object]) -> None:
    chip, data = random_chip(50, **settings), bytes_of(50, 24)
    np.testing.assert_array_equal(firmware_logits(chip, data, sanitize=True), trace(chip, data))


@pytest.mark.parametrize("seed", range(4))
def test_firmware_that_saturates(seed: int) -> None:
    chip, data = extreme_chip(seed, **(INT8_CORNERS[seed] | {"embedding_shift": 8})), bytes_of(seed, 24)
    want = trace(chip, data)
    assert len(np.unique(want)) > 2
    np.testing.assert_array_equal(firmware_logits(chip, data, sanitize=True), want)


@pytest.mark.parametrize(
    "chip",
    [
        random_chip(1, system="int8", decay="table", rounding="stochastic", state_bits=16),
        random_chip(2, system="q16", decay="euler", substeps=2),
        extreme_chip(1, n=17, k=1, decay="euler", rounding="nearest", state_bits=24, embedding_shift=8),
    ],
    ids=["int8", "q16", "extreme"],
)
def test_hls_bench_passes(chip: ChipModel, tmp_path: Path) -> None:
    """Streams, TLAST and reset against the likeliest bytes of the twin, and every logit."""
    export(chip, tmp_path, "hls", vectors=33, seed=5)
    program = build(tmp_path, HLS_SOURCES, [*HLS_FLAGS, "-Werror", "-isystem", str(headers())])
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["0 of 66 beats differ", f"0 of {33 * 256} logits differ over 33 bytes"]
    assert done.returncode == 0


def test_hls_equals_the_twin() -> None:
    chip, data = random_chip(4, system="int8", decay="euler", rounding="stochastic", state_bits=12), bytes_of(4, 20)
    np.testing.assert_array_equal(hls_logits(chip, data, headers=headers()), trace(chip, data))


@pytest.mark.parametrize("system", ["int8", "q16"])
def test_exported_vectors_pass_and_catch(system: str, tmp_path: Path) -> None:
    files = export(random_chip(3, system=system), tmp_path, vectors=9)
    assert sorted(files) == sorted(tmp_path.iterdir())
    done = subprocess.run([build(tmp_path, ["las_test.cpp"], STRICT)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0 of 2304 logits differ over 9 bytes\n")
    model = tmp_path / "las_model.hpp"
    model.write_text(re.sub(r"EPS = \d+u", "EPS = 1234567u", model.read_text()))
    done = subprocess.run([build(tmp_path, ["las_test.cpp"], STRICT)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not done.stdout.startswith("0 ")


@pytest.mark.parametrize("system", ["int8", "q16"])
def test_step_needs_no_heap_and_no_float(system: str, tmp_path: Path) -> None:
    if shutil.which("nm") is None:
        pytest.skip("no nm is here: install binutils")
    export(random_chip(6, system=system), tmp_path, vectors=1)
    (tmp_path / "step.cpp").write_text(
        '#include "las_chip.hpp"\n'
        "void step(las::State& state, uint8_t byte, las::Lane (&logits)[256]) { las::las_step(state, byte, logits); }\n"
        "void reset(las::State& state) { las::las_reset(state); }\n"
    )
    program = build(tmp_path, ["step.cpp"], [*STRICT, "-ffreestanding", "-c", "-mgeneral-regs-only"])  # refuses floats
    undefined = subprocess.run(["nm", "-u", program], capture_output=True, text=True, check=True).stdout.split()
    assert {name.lstrip("_") for name in undefined} - {"U"} <= {
        "memcpy",
        "memset",
        "memmove",
        "bzero",
        "stack_chk_fail",
    }
    for name in STEP[:2]:
        text = (TEXTS / name).read_text()
        assert not re.search(r"\b(float|double|new|malloc|throw|std)\b(?!::)", re.sub(r"//.*", "", text))


def test_pragmas_are_well_formed(tmp_path: Path) -> None:
    export(random_chip(8), tmp_path, vectors=1)
    flags = ["-D__SYNTHESIS__", "-DLAS_PARALLEL=16", "-Wno-unknown-pragmas"]
    build(tmp_path, ["las_test.cpp"], flags)
    text = build(tmp_path, ["las_test.cpp"], [*flags, "-E"]).read_text()
    for pragma in ("PIPELINE II=1", "UNROLL factor=16", "ARRAY_PARTITION variable=t type=cyclic factor=16"):
        assert f"#pragma HLS {pragma}\n" in text


def test_export_refuses_a_folder_that_holds_files(tmp_path: Path) -> None:
    chip = random_chip(0)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileError, match="not empty"):
        export(chip, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    export(chip, tmp_path, force=True, data=b"ab")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert "constexpr int VECTORS = 2;" in (tmp_path / "las_vectors.hpp").read_text()
    with pytest.raises(FileError, match="is a file"):
        export(chip, tmp_path / "mine.txt")


def test_export_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cpp, hls"):
        export(random_chip(0), tmp_path / "a", "verilog")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no byte"):
        export(random_chip(0), tmp_path / "a", vectors=0)
    assert not (tmp_path / "a").exists()


def test_same_chip_same_text(tmp_path: Path) -> None:
    first, second = (export(random_chip(7), tmp_path / name, "hls", vectors=3) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    for path in first:
        text = path.read_text()
        assert path.name == "README.md" or max(map(len, text.splitlines())) <= 120, path.name
        assert "$" not in text or path.suffix == ".tcl" or path.name in ("Makefile", "README.md")


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    with pytest.raises(ToolError, match=r"CXX names no-such-compiler.*pip install ziglang"):
        compiler()
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="pip install ziglang"):
        compiler()
    monkeypatch.delenv("XILINX_HLS", raising=False)
    with pytest.raises(ToolError, match="pip install --no-deps hls4ml"):
        hls_headers()
    with pytest.raises(ToolError, match=r"holds no ap_int\.h"):
        hls_headers(tmp_path)


def test_headers_of_vitis_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "ap_int.h").touch()
    monkeypatch.setenv("XILINX_HLS", str(tmp_path))
    assert hls_headers() == tmp_path / "include"


def test_what_the_compiler_says_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "broken.cpp").write_text("int main() { return nonsense; }\n")
    with pytest.raises(ToolError, match="nonsense"):
        build(tmp_path, ["broken.cpp"], [])
