"""A chip as C++ for a firmware, or as HLS C++ for an FPGA: fixed texts, and the model and test vectors as headers.

``firmware/`` and ``hls/`` hold the fixed texts; the step itself is one text for both. The integers are those of
:mod:`lasmlx.chip.twin`.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lasmlx.chip.chip_model import ChipModel, Ints
from lasmlx.chip.tools import ToolError, compiler, run
from lasmlx.chip.twin import trace
from lasmlx.models.files import FileError, write_atomically

Target = Literal["cpp", "hls"]

TEXTS = Path(__file__).parent
STEP = ("firmware/las_chip.hpp", "firmware/las_types.hpp", "firmware/las_check.hpp")
FIXED = {
    "cpp": (*STEP, "firmware/las_test.cpp", "firmware/Makefile"),
    "hls": (
        *STEP,
        "hls/las_hls.h",
        "hls/las_hls.cpp",
        "hls/las_axis.h",
        "hls/las_hls_test.cpp",
        "hls/Makefile",
        "hls/run_hls.tcl",
        "hls/build_vivado.tcl",
    ),
}
README = {"cpp": "firmware/README.md", "hls": "hls/README.md"}
C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t"}
COLUMNS = 120
HLS_SOURCES = ("-include", "las_hls.cpp", "las_hls_test.cpp")  # as one: the headers take the time
HLS_FLAGS = (
    *("-O1", "-Wall", "-Wextra"),
    *("-Wno-uninitialized", "-Wno-maybe-uninitialized", "-Wno-unknown-warning-option"),  # ap_int.h's own, inlined
    *("-D__AP_INT_SPECIAL_H__", "-D__AP_FIXED_SPECIAL_H__"),  # without its std::complex, which libc++ refuses
)
INSTALL_HEADERS = "pip install --no-deps hls4ml"


def export(
    chip: ChipModel,
    folder: str | Path,
    target: Target = "cpp",
    *,
    vectors: int = 64,
    seed: int = 0,
    data: bytes | None = None,
    force: bool = False,
) -> list[Path]:
    """Write ``chip`` as C++ into ``folder``, each file atomically.

    Args:
        vectors: number of random bytes, drawn with ``seed``, whose logits the exported test compares.
        data: compare with the logits of these bytes instead.
        force: write into a folder that holds files; those of the same names are replaced, the others stay.

    Returns:
        The files written.

    Raises:
        FileError: the folder holds files and ``force`` is off, or cannot be written.
        ValueError: ``target`` is unknown, or there is no byte to compare.
    """
    if target not in FIXED:
        raise ValueError(f"export: target is {target!r}, expected one of {', '.join(FIXED)}.")
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder} is a file, expected a folder.")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise FileError(f"{folder} is not empty: name another folder, or use force to write into it.")
    if data is None:
        data = np.random.default_rng(seed).integers(256, size=max(vectors, 0), dtype=np.uint8).tobytes()
    if not data:
        raise ValueError("export: there is no byte to compare, expected one vector at least.")
    files = {Path(name).name: (TEXTS / name).read_text() for name in FIXED[target]}
    files["README.md"] = Template((TEXTS / README[target]).read_text()).substitute(_facts(chip, len(data)))
    files["las_model.hpp"] = model_header(chip)
    files["las_vectors.hpp"] = vectors_header(data, trace(chip, data))
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    return [folder / name for name in files]


def firmware_logits(chip: ChipModel, data: bytes, *, sanitize: bool = False) -> Ints:
    """Logits (len(data), 256) of the exported C++, built here and run.

    Args:
        sanitize: with the address and undefined-behaviour sanitizers.

    Raises:
        ToolError: there is no compiler, or the code did not build or run.
    """
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if sanitize else ["-O2"]
    flags += ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fno-exceptions", "-fno-rtti"]
    with tempfile.TemporaryDirectory() as folder:
        export(chip, folder, "cpp", data=data[:1] or b"\0")
        return _run(Path(folder), build(folder, ("las_test.cpp",), flags), data)


def hls_logits(chip: ChipModel, data: bytes, *, headers: str | Path | None = None) -> Ints:
    """Logits (len(data), 256) of the exported HLS C++, simulated as C.

    Args:
        headers: folder of ``ap_int.h`` and ``hls_stream.h``; see :func:`hls_headers`.

    Raises:
        ToolError: there is no compiler, there are no headers, or the code did not build or run.
    """
    flags = [*HLS_FLAGS, "-isystem", str(hls_headers(headers))]
    with tempfile.TemporaryDirectory() as folder:
        export(chip, folder, "hls", data=data[:1] or b"\0")
        return _run(Path(folder), build(folder, HLS_SOURCES, flags), data)


def hls_headers(folder: str | Path | None = None) -> Path:
    """``folder`` if it holds ``ap_int.h``; without one, that of Vitis if its settings are loaded, or of hls4ml.

    Raises:
        ToolError: there is none; it says how to get one.
    """
    candidates = [Path(folder)] if folder is not None else _known_headers()
    for candidate in candidates:
        if (candidate / "ap_int.h").is_file():
            return candidate
    where = f"{folder} holds no ap_int.h" if folder is not None else "no ap_int.h is here"
    raise ToolError(f"{where}: name the include folder of Vitis HLS, or: {INSTALL_HEADERS}")


def _known_headers() -> list[Path]:
    vitis = [Path(os.environ["XILINX_HLS"]) / "include"] if "XILINX_HLS" in os.environ else []
    spec = importlib.util.find_spec("hls4ml")  # found, not imported: its own requirements need not be there
    places = (spec.submodule_search_locations or []) if spec else []
    return vitis + [Path(place) / "templates" / "vivado" / "ap_types" for place in places]


def build(folder: str | Path, sources: Sequence[str], flags: Sequence[str]) -> Path:
    """The program that ``sources`` of an exported folder make.

    Raises:
        ToolError: there is no compiler, or it refused; the first lines of what it said are in the text.
    """
    program = Path(folder) / "las_program"
    run([*compiler(), "-std=c++17", *flags, "-o", program.name, *sources], Path(folder))
    return program


def _run(folder: Path, program: Path, data: bytes) -> Ints:
    (folder / "bytes").write_bytes(data)
    run([str(program.resolve()), "bytes", "logits"], folder)
    return np.array((folder / "logits").read_text().split(), np.int64).reshape(len(data), 256)


def model_header(chip: ChipModel) -> str:
    """``las_model.hpp``: sizes, widths and arrays, the layers' arrays stacked."""
    c, w = chip.config, chip.system
    sizes = {"D": c.d, "LAYERS": c.layers, "E": c.e, "N": c.n, "K": c.k, "RANK": c.rank, "SUBSTEPS": c.substeps}
    bits = {
        "WEIGHT": w.weight, "ACTIVATION": w.activation, "LANE": w.lane, "FRACTION": w.fraction, "MIX": w.mix,
        "DRIVE": w.drive, "STATE": w.state, "STATE_BITS": c.state_bits, "ACCUMULATOR": w.accumulator,
        "MULTIPLIER": w.multiplier, "NORM_FRACTION": w.norm_fraction, "LOGIT_FRACTION": c.logit_fraction,
    }  # fmt: skip
    shifts = {
        "DRIVE_LEFT": w.drive_left, "DRIVE_RIGHT": w.drive_right, "READ_RIGHT": w.read_right,
        "NORM_RIGHT": w.norm_right, "DECAY_SHIFT": c.decay_shift, "EMBEDDING_SHIFT": c.embedding_shift,
    }  # fmt: skip
    unsigned = {"SEED": c.seed, "EPS": c.eps, "DT_MIN": c.dt_min, "DT_RANGE": c.dt_range}
    flags = {"DECAY_TABLE": c.decay == "table", "STOCHASTIC": c.rounding == "stochastic"}
    lines = [f"// A {w.name} chip of {chip.size} weights, for las_chip.hpp. Generated by lasmlx."]
    lines += ["#pragma once", '#include "las_types.hpp"', "", "namespace las {", ""]
    for comment, values in (("sizes", sizes), ("widths in bits", bits), ("shifts", shifts)):
        lines += [f"// {comment}", *(f"constexpr int {name} = {value};" for name, value in values.items()), ""]
    lines += [f"constexpr uint32_t {name} = {value}u;" for name, value in unsigned.items()]
    lines += [f"constexpr bool {name} = {str(value).lower()};" for name, value in flags.items()]
    lines += ["", *(_array(name, values) for name, values in _stacked(chip).items()), "}  // namespace las", ""]
    types = {"Weight": "head.weight", "Multiplier": "head.multiplier"}
    at = lines.index("// sizes")
    lines[at:at] = [f"using {name} = {C_TYPES[chip.arrays[key].dtype.name]};" for name, key in types.items()] + [""]
    return "\n".join(lines)


def vectors_header(data: bytes, logits: Ints) -> str:
    """``las_vectors.hpp``: bytes, and the logits after each."""
    arrays: dict[str, NDArray[Any]] = {
        "vector_bytes": np.frombuffer(data, np.uint8),
        "vector_logits": logits.astype(np.int32),
    }
    lines = ["// What the integer definition says. Generated.", "#pragma once", "#include <stdint.h>", ""]
    lines += ['#include "las_types.hpp"', "", "namespace las {", "", f"constexpr int VECTORS = {len(data)};", ""]
    return "\n".join([*lines, *(_array(name, values) for name, values in arrays.items()), "}  // namespace las", ""])


def _stacked(chip: ChipModel) -> dict[str, NDArray[Any]]:
    """Arrays by their names in C++: those of the layers as one, (layers, ...)."""
    out: dict[str, NDArray[Any]] = {}
    for name, values in chip.arrays.items():
        if name.startswith("layers.0."):
            kind = name.removeprefix("layers.0.")
            layers = [chip.arrays[f"layers.{i}.{kind}"] for i in range(chip.config.layers)]
            out[kind.replace(".", "_")] = np.stack(layers)
        elif name.startswith("tables."):
            out[name.removeprefix("tables.") + "_table"] = values
        elif not name.startswith("layers."):
            out[name.replace(".", "_").replace("norm", "head_norm")] = values
    return out


def _array(name: str, values: NDArray[Any]) -> str:
    kind = C_TYPES.get(values.dtype.name, "int64_t")
    shape = "".join(f"[{size}]" for size in values.shape)
    return f"LAS_CONST {kind} {name}{shape} =\n{_braced(values)};\n"


def _braced(values: NDArray[Any]) -> str:
    if values.ndim > 1:
        return "{" + ",\n".join(_braced(row) for row in values) + "}"
    numbers = [str(v) for v in values.tolist()]
    line = max(1, (COLUMNS - 4) // (max(map(len, numbers)) + 1))
    return "{" + ",\n".join(",".join(numbers[i : i + line]) for i in range(0, len(numbers), line)) + "}"


def _facts(chip: ChipModel, vectors: int) -> dict[str, object]:
    """What the README of an exported folder says."""
    c, w = chip.config, chip.system
    lane, activation, stored = w.lane // 8, w.activation // 8, 1 << max(0, (c.state_bits - 1).bit_length() - 3)
    state = c.layers * c.e * (max(c.k - 1, 1) * activation + c.n * stored + 4)
    scratch = (c.e + c.rank) * (lane + activation) + c.d * (lane + 2 * activation) + 2 * c.n * lane
    return {
        "summary": f"{w.name}, {c.layers} layers of {c.e} channels of {c.n} states, width {c.d}: {chip.size} weights.",
        "vectors": vectors,
        "logits": 256 * vectors,
        "state": state,
        "stack": (scratch + 767) // 256 * 256,
        "weights": sum(v.nbytes for v in chip.arrays.values()),
        "logit_fraction": c.logit_fraction,
    }
