"""The kernels' text as CUDA: compiled by NVIDIA's run-time compiler, which needs no GPU, and run where there is one."""

import ctypes
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from lasmlx.ops.metal import sources

INSTALL = "no NVIDIA run-time compiler: pip install nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-crt"
ARCHITECTURES = ("compute_75", "compute_90")
TYPES = {"float": "float", "half": "__half", "bfloat": "__nv_bfloat16"}
# What MLX 0.32 puts around a kernel, as far as ours use it.
AROUND = """
#include <cuda_bf16.h>
#include <cuda_fp16.h>
struct Shape {{
  int sizes[10];
  __device__ int operator[](int i) const {{ return sizes[i]; }}
}};
{header}
namespace mlx::core::cu {{
__global__ void {name}({parameters}) {{
{constants}
{source}
}}
}}
"""
SCAN: dict[str, Any] = {"SEGMENT": 16, "SUBSTEPS": True, "GATED": True, "N": 16}
NEURONS: dict[str, Any] = {"SEGMENT": 16, "RESTS": True, "POTENTIAL": True, "REFRACTORY": 2}
SPLINES: dict[str, Any] = {"THREADS": 256}
CASES = [
    ("selective_scan", "forward", {**SCAN, "CHUNKS": 1}),
    ("selective_scan", "forward", {**SCAN, "CHUNKS": 4, "SUBSTEPS": False, "GATED": False}),
    ("selective_scan", "backward", {**SCAN, "GROUPS": 8, "SLICE": 4}),
    ("selective_scan", "backward", {**SCAN, "GROUPS": 3, "SLICE": 4, "N": 5, "SUBSTEPS": False, "GATED": False}),
    ("causal_conv1d", "forward", {"K": 4, "SPAN": 32, "SILU": True}),
    ("causal_conv1d", "backward", {"K": 1, "SPAN": 32, "SILU": False}),
    ("lif_scan", "forward", {**NEURONS, "HARD": True, "ADAPTS": True}),
    ("lif_scan", "forward", {**NEURONS, "HARD": False, "ADAPTS": False}),
    ("lif_scan", "backward", {**NEURONS, "HARD": False, "ADAPTS": True, "SURROGATE": 1}),
    ("bspline", "forward", {**SPLINES, "P": 3, "BASE": True, "S": 4, "ROWS": 4, "OUTS": 4}),
    ("bspline", "forward", {**SPLINES, "P": 5, "BASE": False, "S": 2, "ROWS": 1, "OUTS": 1}),
    ("bspline", "backward_x", {**SPLINES, "P": 3, "BASE": True, "S": 4, "ROWS": 4}),
    ("bspline", "backward_x", {**SPLINES, "P": 0, "BASE": False, "S": 1, "ROWS": 1}),
    ("bspline", "backward_C", {**SPLINES, "P": 3, "BASE": True, "N": 9, "OUTS": 4, "SPANS": 8}),
    ("bspline", "backward_C", {**SPLINES, "P": 0, "BASE": False, "N": 10, "OUTS": 1, "SPANS": 1}),
]
FLOAT = {"h_last", "gA", "gB", "gC", "gD", "gh0", "gweight", "gbias"}  # outputs that are float32 whatever goes in
FLOAT |= {"after", "checkpoints", "gneurons", "gstate", "parts"}
TYPE_NAMES = {"selective_scan": "TUVP", "causal_conv1d": "TW", "lif_scan": "T", "bspline": "T"}  # of the others none
FLOAT32 = [
    *(
        ("cfc_scan", name, {"H": 37, "M": m, "DEEP": m == 5, "GATE": gate, "EACH": gate, "ROWS": 4, "UNITS": 64})
        for name in ("forward", "backward")
        for m, gate in ((5, True), (148, False))
    ),
    *(
        ("liquid_scan", name, {"H": 37, "M": m, "K": 3, "SOLVER": solver, "SOFT": m != 37, "ROWS": 4, "UNITS": 64})
        for name in ("forward", "backward")
        for solver, m in ((0, 5), (1, 37), (2, 5))
    ),
    *(
        ("ltc_scan", name, {"H": 37, "K": 3, "SOLVER": solver, "ROWS": rows, "UNITS": 64})
        for name in ("forward", "backward")
        for solver, rows in ((0, 1), (1, 4), (2, 2))
    ),
    *(
        ("plastic", name, {"N": 70, "RULE": rule, "KEY": keyed, "TARGET": taught, "GROUPS": 8, **own})
        for name, own in (("forward", {"ROWS": 4}), ("backward", {"TURNS": 2, "PIECE": 8}))
        for rule, keyed, taught in ((0, False, True), (1, True, False), (2, True, True))
    ),
]


def cuda_text(op: str, name: str, constants: dict[str, Any], dtype: str) -> str:
    """A kernel as MLX hands it to the compiler, all arrays of one type."""
    kernel = sources(op, "cuda")[name]
    shapes = [x for x in kernel["input_names"] if f"{x}_shape" in kernel["source"]]
    parameters = [f"const {TYPES[dtype]}* {x}" for x in kernel["input_names"]]
    parameters += [f"const __grid_constant__ Shape {x}_shape" for x in shapes]
    outputs = [f"{'float' if x in FLOAT else TYPES[dtype]}* {x}" for x in kernel["output_names"]]
    lines = [f"using {letter} = {TYPES[dtype]};" for letter in TYPE_NAMES.get(op, "")]
    lines += [f"constexpr {type(value).__name__} {key} = {str(value).lower()};" for key, value in constants.items()]
    return AROUND.format(
        header=kernel["header"],
        name=kernel["name"],
        parameters=", ".join(parameters + outputs),
        constants="\n".join(lines),
        source=kernel["source"],
    )


@pytest.fixture(scope="module")
def nvrtc() -> ctypes.CDLL:
    found = find_spec("nvidia")
    folders = [Path(p) / "cu13" for p in found.submodule_search_locations or ()] if found else []
    library = next((p for folder in folders for p in folder.glob("lib/libnvrtc.so.*")), None)
    if library is None:
        pytest.skip(INSTALL)
    return ctypes.CDLL(str(library))


def compile_log(nvrtc: ctypes.CDLL, text: str, architecture: str) -> str:
    """What the compiler says; nothing if it has no complaint."""
    include = next(Path(p) / "cu13/include" for p in find_spec("nvidia").submodule_search_locations)  # type: ignore
    options = [f"--gpu-architecture={architecture}", "--device-as-default-execution-space", "--std=c++17"]
    options += [f"--include-path={include}"]
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None)
    arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    result = nvrtc.nvrtcCompileProgram(program, len(options), arguments)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return log.value.decode() if result or log.value.strip() else ""


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("op", "name", "constants"), CASES)
def test_compiles(nvrtc: ctypes.CDLL, op: str, name: str, constants: dict[str, Any], dtype: str) -> None:
    for architecture in ARCHITECTURES:
        assert not compile_log(nvrtc, cuda_text(op, name, constants, dtype), architecture)


@pytest.mark.parametrize(("op", "name", "constants"), FLOAT32)
def test_float32_kernels_compile(nvrtc: ctypes.CDLL, op: str, name: str, constants: dict[str, Any]) -> None:
    for architecture in ARCHITECTURES:
        assert not compile_log(nvrtc, cuda_text(op, name, constants, "float"), architecture)


def test_a_fault_is_seen(nvrtc: ctypes.CDLL) -> None:
    text = cuda_text(*CASES[0], "float").replace("las_phi(step", "las_psi(step")
    assert "las_psi" in compile_log(nvrtc, text, ARCHITECTURES[0])


@pytest.fixture
def gpu() -> None:
    if not mx.cuda.is_available():
        pytest.skip("no CUDA device: pip install 'mlx[cuda13]' on a machine with an NVIDIA GPU")
    mx.set_default_device(mx.gpu)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("op", "sizes"), [("selective_scan", (2, 70, 37, 5)), ("causal_conv1d", (2, 67, 37, 4))])
def test_agrees_on_a_gpu(gpu: None, case: Any, agree: Any, op: str, sizes: tuple[int, ...], dtype: str) -> None:
    agree(replace(case(op, *sizes), kernel="cuda"), dtype)
