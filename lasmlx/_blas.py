"""A fast BLAS for MLX on Linux, put in place before ``mlx.core`` is first imported.

MLX's Linux wheel links a reference BLAS of a few GFLOP/s. The dynamic linker resolves its ``cblas_?gemm`` imports to
the first library in the process that exports them, so a library loaded earlier with ``RTLD_GLOBAL`` takes their place.
macOS needs none of this: MLX uses Accelerate there.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

_PREFIXED = {"sgemm": "scipy_cblas_sgemm", "dgemm": "scipy_cblas_dgemm", "cgemm": "scipy_cblas_cgemm"}


@dataclass(frozen=True)
class Blas:
    """Which BLAS MLX multiplies with, and what to do when it is a slow one (empty when there is nothing to do)."""

    name: str
    advice: str = ""


def _load_pypi_openblas() -> Blas | None:
    """OpenBLAS of the ``scipy-openblas32`` wheel behind ``_cblas.so``: its names carry a prefix MLX does not know."""
    spec = importlib.util.find_spec("scipy_openblas32")
    forward = importlib.util.find_spec("lasmlx._cblas")  # by its name: an editable install keeps it elsewhere
    if spec is None or spec.origin is None or forward is None or forward.origin is None:
        return None
    libraries = sorted((Path(spec.origin).parent / "lib").glob("libscipy_openblas*.so"))
    if not libraries:
        return None
    openblas = ctypes.CDLL(str(libraries[0]))
    shim = ctypes.CDLL(forward.origin, mode=ctypes.RTLD_GLOBAL)
    for name, symbol in _PREFIXED.items():
        address = ctypes.cast(getattr(openblas, symbol), ctypes.c_void_p)
        ctypes.c_void_p.in_dll(shim, f"lasmlx_{name}").value = address.value
    return Blas("OpenBLAS (scipy-openblas32)")


def _load_system_openblas() -> Blas | None:
    name = ctypes.util.find_library("openblas")
    if name is None:
        return None
    library = ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    return Blas(f"OpenBLAS ({name})") if hasattr(library, "cblas_sgemm") else None


def preload() -> Blas:
    """Load the best BLAS that can be had and say which. A library that is absent or odd is passed over, never raised.

    ``LASMLX_BLAS`` overrides: ``off`` leaves MLX's own, a path loads that library (it must export ``cblas_sgemm``).
    """
    if sys.platform != "linux":
        return Blas("Accelerate")
    wanted = os.environ.get("LASMLX_BLAS", "")
    if wanted == "off":
        return Blas("MLX's own (reference)", "LASMLX_BLAS=off asks for the slow one: unset it.")
    if "mlx.core" in sys.modules:
        return Blas("MLX's own (reference)", "mlx.core was imported before lasmlx: import lasmlx first.")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")  # idle BLAS threads must not spin while ours work
    if wanted:
        try:
            ctypes.CDLL(wanted, mode=ctypes.RTLD_GLOBAL).cblas_sgemm  # noqa: B018
            return Blas(wanted)
        except (OSError, AttributeError) as error:
            return Blas("MLX's own (reference)", f"LASMLX_BLAS={wanted} cannot be used ({error}).")
    for load in (_load_pypi_openblas, _load_system_openblas):
        try:
            found = load()
        except (OSError, AttributeError, ValueError):
            continue
        if found is not None:
            return found
    return Blas("MLX's own (reference)", "pip install scipy-openblas32 (matrix products are up to 50x faster with it).")


BLAS = preload()
