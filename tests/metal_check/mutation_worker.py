"""The process that runs mutants, one after another: it may hang or crash, its parent then starts another."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from importlib.resources import files
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import patch

import mlx.core as mx

from . import install, runner
from .compiler import cache_folder, kernel_library
from .faults import Fault
from .mutants import Mutant
from .mutation_cases import cases, disagreement

READY = ("ready", "")
MOST_ACCESSES = 20_000_000  # the step limit of a mutant; the cases need less than a tenth


def serve(pipe: Connection, ops: list[str]) -> None:
    """Say READY once the unchanged kernels of the ops pass, then answer every mutant with (way, detail)."""
    with harness():
        wrong = next((found for op in ops for case in cases(op) if (found := disagreement(case))), None)
        pipe.send(("unchanged", wrong) if wrong else READY)
        with suppress(EOFError):  # the parent is gone
            while True:
                pipe.send(verdict(pipe.recv()))


@contextmanager
def harness() -> Iterator[None]:
    """Kernels run checked, and without the lint of syntax trees, which takes longer than all else."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(mx.metal, "is_available", lambda: True))
        stack.enter_context(patch.object(runner, "check_tree", lambda *_: None))
        stack.enter_context(install(order="random", offset=1, max_accesses=MOST_ACCESSES))
        yield


def verdict(mutant: Mutant) -> tuple[str, str]:
    """Who notices: ("compile" | "checker" | "numbers", what it says), or ("survived", "")."""
    with tempfile.TemporaryDirectory() as folder, _instead(mutant, Path(folder)), _no_libraries_left():
        for case in cases(mutant.op):
            try:
                wrong = disagreement(case)
            except Fault as fault:
                return "compile" if fault.kind == "refused" else "checker", str(fault)
            if wrong:
                return "numbers", wrong
    return "survived", ""


@contextmanager
def _instead(mutant: Mutant, folder: Path) -> Iterator[None]:
    """``lasmlx`` reads the mutant where it reads its kernels, and builds it anew."""
    source = import_module("lasmlx.ops.metal")
    (folder / "metal").mkdir()
    for file in Path(str(files("lasmlx").joinpath("metal"))).iterdir():
        (folder / "metal" / file.name).write_text(file.read_text())
    (folder / "metal" / f"{mutant.op}.metal").write_text(mutant.text)
    source._build.cache_clear()
    try:
        with patch.object(source, "files", lambda _: folder):
            yield
    finally:
        source._build.cache_clear()


@contextmanager
def _no_libraries_left() -> Iterator[None]:
    """A thousand mutants would fill the cache: what this one adds is deleted."""
    made: list[Path] = []

    def build(text: str, checked: bool) -> Path:
        known = set(cache_folder().glob("*.so"))
        library = kernel_library(text, checked)
        if library not in known:
            made.append(library)
        return library

    with patch.object(runner, "kernel_library", build):
        yield
    for library in made:
        for suffix in (".so", ".cl"):
            library.with_suffix(suffix).unlink(missing_ok=True)
