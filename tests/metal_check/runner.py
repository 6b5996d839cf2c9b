"""The drop-in for mx.fast.metal_kernel: build, bind, run, and say what was wrong."""

import ctypes
import functools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from . import lines
from .compiler import CompileError, kernel_library, runtime_library
from .faults import Fault
from .lint import text_faults, tree_faults
from .prepare import translation_unit
from .source import Generated, Parameter, generate

MAX_BUFFERS = 31
MAX_THREADS = 1024
ORDERS = {"forward": 0, "reverse": 1, "random": 2}

_metal_kernel = mx.fast.metal_kernel  # MLX's own, kept for when install() has put ours in its place


class _Options(ctypes.Structure):
    """Options in runtime/machine.h."""

    _fields_ = (
        ("checked", ctypes.c_int),
        ("order", ctypes.c_int),
        ("fuzz", ctypes.c_float),
        ("seed", ctypes.c_uint32),
        ("max_accesses", ctypes.c_uint64),
    )


class Settings:
    """How kernels run from now on; tests change and restore these.

    order: of threads and threadgroups, "forward", "reverse" or "random"; fuzz: 1.0 moves ``fast::`` functions by up to
    their documented error; offset: elements by which inputs are bound past alignment; max_accesses: the step limit.
    """

    order = "forward"
    fuzz = 0.0
    offset = 0
    seed = 0
    checked = True
    max_accesses = 2_000_000_000


class Kernel:
    """Same arguments as mx.fast.metal_kernel; calling it runs on the CPU, checked, and raises Fault."""

    def __init__(
        self,
        name: str,
        input_names: Sequence[str],
        output_names: Sequence[str],
        source: str,
        header: str = "",
        ensure_row_contiguous: bool = True,
        atomic_outputs: bool = False,
        compile_options: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.input_names = list(input_names)
        self.output_names = list(output_names)
        self.source = source
        self.header = header
        self.row_contiguous = ensure_row_contiguous
        found = text_faults(source, header)
        if found:
            raise Fault(name, "refused", "refused: " + "; ".join(found))
        self._mlx: Callable[..., Any] = _metal_kernel(  # type: ignore[assignment]
            name=name,
            input_names=self.input_names,
            output_names=self.output_names,
            source=source,
            header=header,
            ensure_row_contiguous=ensure_row_contiguous,
            atomic_outputs=atomic_outputs,
        )
        self._built: dict[str, tuple[Generated, Path]] = {}
        self.threadgroup_bytes = 0  # of the last run

    def __call__(
        self,
        *,
        inputs: Sequence[Any],
        output_shapes: Sequence[Sequence[int]],
        output_dtypes: Sequence[mx.Dtype],
        grid: tuple[int, int, int],
        threadgroup: tuple[int, int, int],
        template: list[tuple[str, Any]] | None = None,
        init_value: float | None = None,
        verbose: bool = False,
        stream: Any = None,
    ) -> list[mx.array]:
        arrays = [x if isinstance(x, mx.array) else mx.array(x) for x in inputs]
        if min(*grid, *threadgroup) < 1:
            sizes = f"grid {tuple(grid)}, threadgroup {tuple(threadgroup)}"
            raise Fault(self.name, "limit", f"limit: {sizes}: every size must be at least 1")
        if math.prod(threadgroup) > MAX_THREADS:
            raise Fault(
                self.name, "limit", f"limit: threadgroup {tuple(threadgroup)} is more than {MAX_THREADS} threads"
            )
        call: dict[str, Any] = {"output_shapes": output_shapes, "output_dtypes": output_dtypes, "grid": grid}
        call |= {"threadgroup": threadgroup, "template": template, "init_value": init_value}
        generated, library = self._build(arrays, call)
        if verbose:
            print(generated.text)
        with _Launch(self, generated, library) as launch:
            for parameter in generated.buffers:
                if parameter.name in self.input_names:
                    launch.bind_input(parameter, arrays[self.input_names.index(parameter.name)])
                elif parameter.name in self.output_names:
                    i = self.output_names.index(parameter.name)
                    launch.bind_output(parameter.name, output_shapes[i], output_dtypes[i], init_value)
                else:
                    base, what = parameter.name.rsplit("_", 1)
                    launch.bind_property(parameter.name, arrays[self.input_names.index(base)], what)
            launch.run(grid, threadgroup)
            return [launch.result(name) for name in self.output_names]

    def _build(self, arrays: list[mx.array], call: dict[str, Any]) -> tuple[Generated, Path]:
        key = repr(([(x.shape, x.dtype) for x in arrays], call, Settings.checked))
        if key not in self._built:
            generated = generate(self._mlx, arrays, **call)
            if len(generated.buffers) > MAX_BUFFERS:
                raise Fault(self.name, "limit", f"limit: {len(generated.buffers)} buffers, Metal has {MAX_BUFFERS}")
            self._built[key] = generated, self._compile(generated)
        return self._built[key]

    def _compile(self, generated: Generated) -> Path:
        unit = translation_unit(generated, self.name, self.source, self.header)
        try:
            library = kernel_library(unit, Settings.checked)
        except CompileError as error:
            raise Fault(self.name, "refused", f"refused: {error}") from None
        linted = library.with_suffix(".linted")
        if not linted.exists():
            found = tree_faults(unit, generated.function, self.header)
            if found:
                raise Fault(self.name, "refused", "refused: " + "; ".join(found))
            linted.touch()
        return library


class _Launch:
    """One run: buffers live in the runtime between ``with`` and its end."""

    def __init__(self, kernel: Kernel, generated: Generated, library: Path) -> None:
        self.kernel = kernel
        self.generated = generated
        self.library = library
        self.runtime = _runtime()
        self.outputs: dict[str, tuple[int, np.ndarray, mx.Dtype]] = {}

    def __enter__(self) -> "_Launch":
        s = Settings
        options = _Options(s.checked, ORDERS[s.order], s.fuzz, s.seed, s.max_accesses)
        self.runtime.msl_begin(ctypes.byref(options))
        return self

    def __exit__(self, *_: object) -> None:
        self.runtime.msl_end()

    def bind_input(self, parameter: Parameter, array: mx.array) -> None:
        values = _storage(array, self.kernel.row_contiguous)
        self._put(parameter.name, values, offset=Settings.offset * values.itemsize)

    def bind_property(self, name: str, array: mx.array, what: str) -> None:
        """The ``_shape``, ``_strides`` and ``_ndim`` that MLX passes with an input."""
        if what == "shape":
            values = np.array(array.shape, np.int32)
        elif what == "strides":
            values = np.array(_strides(array, self.kernel.row_contiguous), np.int64)
        else:
            values = np.array([array.ndim], np.int32)
        self._put(name, values, constant=True)

    def bind_output(self, name: str, shape: Sequence[int], dtype: mx.Dtype, value: float | None) -> None:
        values = _values(mx.full(tuple(shape), 0 if value is None else value, dtype=dtype))
        pointer = self._put(name, values, read_only=False, initialised=value is not None)
        self.outputs[name] = pointer, values, dtype

    def _put(
        self,
        name: str,
        values: np.ndarray,
        read_only: bool = True,
        initialised: bool = True,
        constant: bool = False,
        offset: int = 0,
    ) -> int:
        pointer: int = self.runtime.msl_buffer(
            name.encode(), values.nbytes, values.itemsize, read_only, initialised, constant, offset
        )
        if initialised:
            ctypes.memmove(pointer, values.ctypes.data, values.nbytes)
        return pointer

    def run(self, grid: Sequence[int], threadgroup: Sequence[int]) -> None:
        kernel = ctypes.CDLL(str(self.library))
        entry = ctypes.cast(kernel.msl_entry, ctypes.c_void_p)
        triple = ctypes.c_uint32 * 3
        begin, end = _mapping(self.library)
        report = self.runtime.msl_run(entry, triple(*grid), triple(*threadgroup), begin, end).decode()
        statistics = (ctypes.c_uint64 * 3)()
        self.runtime.msl_statistics(statistics)
        self.kernel.threadgroup_bytes = statistics[2]
        if report:
            found = [line.split("\t", 2) for line in report.splitlines()]
            text = "\n".join(self._sentence(kind, where, message) for kind, where, message in found)
            raise Fault(self.kernel.name, found[0][0], text)

    def _sentence(self, kind: str, where: str, message: str) -> str:
        where = re.sub(r"^line (\d+)$", rf"{self.kernel.name}.metal:\1", where)
        text = f"{where}: {kind}: {message}" if where else f"{kind}: {message}"
        return re.sub(r"@([0-9a-f]+)", lambda m: lines.place(self.library, int(m[1], 16)), text)

    def result(self, name: str) -> mx.array:
        pointer, values, dtype = self.outputs[name]
        ctypes.memmove(values.ctypes.data, pointer, values.nbytes)
        array = mx.array(values)
        return array if array.dtype == dtype else array.view(dtype)


@functools.cache
def _runtime() -> ctypes.CDLL:
    runtime = ctypes.CDLL(str(runtime_library()), mode=ctypes.RTLD_GLOBAL)
    u32, u64, flag = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int
    runtime.msl_buffer.restype = ctypes.c_void_p
    runtime.msl_buffer.argtypes = [ctypes.c_char_p, u64, u32, flag, flag, flag, u32]
    runtime.msl_run.restype = ctypes.c_char_p
    runtime.msl_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, u64, u64]
    return runtime


def _mapping(library: Path) -> tuple[int, int]:
    """Where the library's code and constants lie in this process."""
    with open("/proc/self/maps") as maps:
        spans = [line.split()[0].split("-") for line in maps if str(library) in line]
    return min(int(begin, 16) for begin, _ in spans), max(int(end, 16) for _, end in spans)


def _bits(array: mx.array) -> mx.array:
    """NumPy has no bfloat16: its bits."""
    return array.view(mx.uint16) if array.dtype == mx.bfloat16 else array


def _values(array: mx.array) -> np.ndarray:
    return np.ascontiguousarray(np.array(_bits(array)))


def _strides(array: mx.array, row_contiguous: bool) -> list[int]:
    if not row_contiguous and array.dtype != mx.bfloat16:
        view = np.array(array, copy=False)
        return [stride // view.itemsize for stride in view.strides]
    return [math.prod(array.shape[i + 1 :]) for i in range(array.ndim)]


def _storage(array: mx.array, row_contiguous: bool) -> np.ndarray:
    """What MLX binds: the elements in row order or, without ``ensure_row_contiguous``, the memory under the view."""
    if row_contiguous or array.dtype == mx.bfloat16:
        return _values(array)
    view = np.array(array, copy=False)
    reach = 1 + sum((n - 1) * stride // view.itemsize for n, stride in zip(view.shape, view.strides, strict=True))
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(view, (reach,), (view.itemsize,)))
