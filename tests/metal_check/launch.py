"""One run of a compiled kernel: buffers in checked memory, the runtime's report, the results."""

import ctypes
import functools
import math
import re
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np

from . import lines
from .compiler import runtime_library
from .faults import Fault

ORDERS = {"forward": 0, "reverse": 1, "random": 2}


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


class Launch:
    """One run: buffers live in the runtime between ``with`` and its end. Bind all of them, in order, then ``run``."""

    def __init__(self, name: str, library: Path, row_contiguous: bool = True) -> None:
        self.name = name
        self.library = library
        self.row_contiguous = row_contiguous
        self.threadgroup_bytes = 0
        self.runtime = _runtime()
        self.outputs: dict[str, tuple[int, np.ndarray, mx.Dtype]] = {}

    def __enter__(self) -> "Launch":
        s = Settings
        options = _Options(s.checked, ORDERS[s.order], s.fuzz, s.seed, s.max_accesses)
        self.runtime.msl_begin(ctypes.byref(options))
        return self

    def __exit__(self, *_: object) -> None:
        self.runtime.msl_end()

    def bind_input(self, name: str, array: mx.array) -> None:
        values = _storage(array, self.row_contiguous)
        self._put(name, values, offset=Settings.offset * values.itemsize)

    def bind_constant(self, name: str, value: np.ndarray) -> None:
        self._put(name, value, constant=True)

    def bind_property(self, name: str, array: mx.array, what: str) -> None:
        """The ``_shape``, ``_strides`` and ``_ndim`` that MLX passes with an input."""
        if what == "shape":
            values = np.array(array.shape, np.int32)
        elif what == "strides":
            values = np.array(_strides(array, self.row_contiguous), np.int64)
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
        self.threadgroup_bytes = statistics[2]
        if report:
            found = [line.split("\t", 2) for line in report.splitlines()]
            text = "\n".join(self._sentence(kind, where, message) for kind, where, message in found)
            raise Fault(self.name, found[0][0], text)

    def _sentence(self, kind: str, where: str, message: str) -> str:
        where = re.sub(r"^line (\d+)$", rf"{self.name}.metal:\1", where)
        text = f"{where}: {kind}: {message}" if where else f"{kind}: {message}"
        text = text.replace("__global ", "device ").replace("__local ", "threadgroup ").replace("__private ", "thread ")
        return re.sub(r"@([0-9a-f]+)", lambda m: lines.place(self.library, int(m[1], 16)), text)

    def result(self, name: str) -> mx.array:
        pointer, values, dtype = self.outputs[name]
        ctypes.memmove(values.ctypes.data, pointer, values.nbytes)
        array = mx.array(values)
        return array if array.dtype == dtype else array.view(dtype)


@functools.cache
def _runtime() -> ctypes.CDLL:
    ctypes.CDLL("libm.so.6", mode=ctypes.RTLD_GLOBAL)  # kernels call it and are linked with nothing
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
