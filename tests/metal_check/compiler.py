"""Finds a compiler, and turns prepared kernels and the runtime into shared libraries, cached by their contents."""

import functools
import hashlib
import importlib.util
import itertools
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from .faults import NoCompiler
from .prepare import mirror_headers

HERE = Path(__file__).parent
OLDEST_CLANG = 17  # arithmetic on __bf16
INSTALL = "no compiler for Metal kernels: pip install ziglang (or install clang >= 17)"

_TARGET = f"{'aarch64' if platform.machine() in ('arm64', 'aarch64') else 'x86_64'}-linux-gnu"
_LANGUAGE = [
    "-cl-std=clc++2021",
    "-cl-no-stdinc",
    "-target",
    _TARGET,
    "-Wno-c++20-extensions",
    "-Wno-unknown-attributes",
]
_EXTENSIONS = ["-Xclang", "-cl-ext=-all,+cl_khr_fp16,+__opencl_c_generic_address_space"]
_WARNINGS = ["-Wall", "-Wno-unused", "-Wno-sign-compare", "-Wconditional-uninitialized", "-Werror=uninitialized"]
_WARNINGS += ["-Wimplicit-float-conversion", "-fno-caret-diagnostics"]
_UNDEFINED = "alignment,bounds,integer-divide-by-zero,signed-integer-overflow,float-cast-overflow"
_CHECKS = ["-O1", "-gdwarf-4", "-gz=none", "-fsanitize=thread", "-mllvm", "-tsan-instrument-func-entry-exit=0"]
_CHECKS += ["-mllvm", "-tsan-instrument-read-before-write"]
_CHECKS += [f"-fsanitize={_UNDEFINED}", "-fsanitize-coverage=trace-pc", "-ftrivial-auto-var-init=pattern"]
_IR = ["-fPIC", "-S", "-emit-llvm", "-Xclang", "-disable-llvm-passes", "-fno-discard-value-names"]
_RUNTIME = ["-target", _TARGET, "-std=c++20", "-O2", "-g", "-fPIC", "-fno-exceptions", "-fno-rtti"]
_RUNTIME += ["-fno-threadsafe-statics", "-fno-sanitize=undefined"]
_UNCHECKED = ["-O2", "-ftrivial-auto-var-init=pattern"]

SHIFTS = r"^(\s*%sh[lr]\.mask\d* = and (i\d+) (%[\w.]+), (\d+)(, !dbg !\d+)?)$"


class CompileError(Exception):
    """The compiler's error lines."""


@dataclass(frozen=True)
class Compiler:
    """A command that compiles; ``zig`` names the language by the file's ending and adds sanitizers of its own."""

    command: tuple[str, ...]
    zig: bool

    def front(self) -> list[str]:
        language = [] if self.zig else ["-x", "clcpp"]
        include = ["-isystem", str(HERE / "shim"), "-isystem", str(_mirror())]
        return [*self.command, *language, *_LANGUAGE, *_EXTENSIONS, *include]

    def link(self, objects: list[str], library: Path) -> list[str]:
        """Zig's driver would build libraries first that nothing here needs: its linker alone does."""
        driver = [*self.command[:-1], "ld.lld"] if self.zig else [*self.command]
        return [*driver, "-shared", *objects, "-o", str(library)]


@functools.cache
def find_compiler() -> Compiler:
    """METAL_CHECK_CXX, else clang >= 17 on the path, else PyPI's ziglang, else NoCompiler, which says how."""
    chosen = os.environ.get("METAL_CHECK_CXX")
    if chosen:
        return Compiler(tuple(chosen.split()), "zig" in chosen)
    if sys.platform == "linux":
        for name in ["clang++", *(f"clang++-{version}" for version in range(25, OLDEST_CLANG - 1, -1))]:
            path = shutil.which(name)
            if path and _clang_version(path) >= OLDEST_CLANG:
                return Compiler((path,), zig=False)
        if importlib.util.find_spec("ziglang"):
            return Compiler((sys.executable, "-m", "ziglang", "c++"), zig=True)
    raise NoCompiler(INSTALL)


def runtime_library() -> Path:
    """The runtime, built once."""
    compiler = find_compiler()
    sources = sorted((HERE / "runtime").glob("*.cpp"))
    text = "".join(p.read_text() for p in sorted((HERE / "runtime").iterdir()))
    library = cache_folder() / f"runtime-{_digest(text, *compiler.command)}.so"
    if not library.exists():
        made = [str(library.with_suffix(f".{os.getpid()}.{source.stem}.o")) for source in sources]
        for source, target in zip(sources, made, strict=True):
            _run([*compiler.command, *_RUNTIME, "-c", str(source), "-o", target])
        _publish(library, lambda target: _run(compiler.link(made, target)))
        for target in made:
            Path(target).unlink()
    return library


def kernel_library(text: str, checked: bool = True) -> Path:
    """Compile a prepared translation unit. Raises CompileError with clang's error lines."""
    compiler = find_compiler()
    flags = [*_WARNINGS, *(_CHECKS if checked else _UNCHECKED)]
    library = cache_folder() / f"{_digest(text, *flags, *compiler.command, shim_text(), SHIFTS)}.so"
    if not library.exists():
        unit = library.with_suffix(".cl")
        unit.write_text(text)
        made = library.with_suffix(f".{os.getpid()}.o")
        if checked:
            code = library.with_suffix(f".{os.getpid()}.ll")
            diagnostics = _run([*compiler.front(), *flags, *_IR, str(unit), "-o", str(code)])
            code.write_text(check_shifts(code.read_text()))
            _run([*compiler.command, "-target", _TARGET, *_CHECKS, "-w", "-fPIC", "-c", str(code), "-o", str(made)])
            code.unlink()
        else:
            diagnostics = _run([*compiler.front(), *flags, "-fPIC", "-c", str(unit), "-o", str(made)])
        _refuse_bfloat(diagnostics)
        _publish(library, lambda target: _run(compiler.link([str(made)], target)))
        made.unlink()
    return library


def check_shifts(code: str) -> str:
    """LLVM's text with a call of the runtime before every shift by a variable.

    OpenCL takes the low bits of the count, so clang masks it and -fsanitize=shift is silent; in C++, so in Metal, a
    count of 32 or more for an int is undefined.
    """
    numbers = itertools.count()

    def call(match: re.Match[str]) -> str:
        line, width, count, mask, place = match.groups()
        wide = count
        before = ""
        if width != "i64":
            wide = f"%msl.shift{next(numbers)}"
            before = f"  {wide} = sext {width} {count} to i64{place}\n"
        return f"{before}  call void @msl_shift(i64 {wide}, i64 {mask}){place}\n{line}"

    checked, found = re.subn(SHIFTS, call, code, flags=re.M)
    return checked + "\ndeclare void @msl_shift(i64, i64)\n" if found else code


def syntax_tree(text: str, names: str) -> str:
    """Clang's dump of the declarations whose qualified name contains ``names``."""
    with tempfile.NamedTemporaryFile("w", suffix=".cl") as file:
        file.write(text)
        file.flush()
        dump = ["-fsyntax-only", "-w", "-Xclang", "-ast-dump", "-Xclang", f"-ast-dump-filter={names}"]
        return subprocess.run([*find_compiler().front(), *dump, file.name], capture_output=True, text=True).stdout


def check_syntax(text: str) -> None:
    """Compile without making a file; CompileError when the compiler refuses."""
    with tempfile.NamedTemporaryFile("w", suffix=".cl") as file:
        file.write(text)
        file.flush()
        _refuse_bfloat(_run([*find_compiler().front(), *_WARNINGS, "-fsyntax-only", file.name]))


@functools.cache
def cache_folder() -> Path:
    """METAL_CHECK_CACHE, else a folder of this user in the system's temporary one."""
    default = Path(tempfile.gettempdir()) / f"metal_check-{os.getuid()}"
    folder = Path(os.environ.get("METAL_CHECK_CACHE", default))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@functools.cache
def shim_text() -> str:
    return "".join(p.read_text() for p in sorted((HERE / "shim").iterdir()))


@functools.cache
def _mirror() -> Path:
    """MLX's own Metal headers, rewritten once for each version and each change of the rewriting."""
    rewriting = (HERE / "prepare.py").read_text()
    folder = cache_folder() / f"mlx-{_digest(version('mlx'), rewriting)}"
    if not folder.exists():
        fresh = Path(tempfile.mkdtemp(dir=cache_folder()))
        mirror_headers(fresh)
        try:
            fresh.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(fresh)
    return folder


def _refuse_bfloat(diagnostics: str) -> None:
    """Metal has no implicit conversion from float to bfloat; clang only warns."""
    for line in diagnostics.splitlines():
        if "implicit-float-conversion" in line and re.search(r"to '[^']*bfloat|to '[^']*'( \(aka '[^']*__bf16)", line):
            raise CompileError(line.replace("warning:", "error: Metal has no implicit conversion to bfloat:"))


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error:" in line]
        raise CompileError("\n".join(lines[:8]) or done.stderr[-1500:])
    return done.stderr


def _publish(library: Path, make: Callable[[Path], object]) -> None:
    """Make the file under another name, then move it into place: never half a library."""
    target = library.with_suffix(f".{os.getpid()}.tmp")
    make(target)
    target.rename(library)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:20]


def _clang_version(path: str) -> int:
    printed = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"clang version (\d+)", printed)
    return int(found[1]) if found and "Apple" not in printed else 0
