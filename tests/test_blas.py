"""The fast BLAS: an absent or odd library never breaks an import, and the advice says what to do."""

import sys
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

Python = Callable[..., CompletedProcess[str]]

PROGRAM = """
import lasmlx
import mlx.core as mx
assert (mx.full((3, 4), 2.0) @ mx.full((4, 5), 3.0)).sum().item() == 15 * 24
print(lasmlx.BLAS.name, "|", lasmlx.BLAS.advice)
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="macOS multiplies with Accelerate: nothing is preloaded")


@linux
def test_off_leaves_mlx_its_own(python: Python) -> None:
    assert python(PROGRAM, LASMLX_BLAS="off").stdout == (
        "MLX's own (reference) | LASMLX_BLAS=off asks for the slow one: unset it.\n"
    )


@linux
@pytest.mark.parametrize("path", ["/nonexistent.so", "libc.so.6"])
def test_a_library_that_cannot_be_used_is_named(python: Python, path: str) -> None:
    assert f"MLX's own (reference) | LASMLX_BLAS={path} cannot be used (" in python(PROGRAM, LASMLX_BLAS=path).stdout


@linux
def test_importing_mlx_first_is_pointed_out(python: Python) -> None:
    output = python("import mlx.core\n" + PROGRAM, LASMLX_BLAS="").stdout
    assert "mlx.core was imported before lasmlx: import lasmlx first." in output


@linux
def test_without_any_openblas_the_advice_names_the_package(python: Python) -> None:
    hidden = (
        "import ctypes.util, importlib.util\nctypes.util.find_library = importlib.util.find_spec = lambda _: None\n"
    )
    assert "| pip install scipy-openblas32" in python(hidden + PROGRAM, LASMLX_BLAS="").stdout
