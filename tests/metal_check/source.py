"""The text MLX generates for a kernel, taken from MLX itself: exporting a call prints it, even without Metal."""

import ctypes
import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx


@dataclass(frozen=True)
class Parameter:
    """One parameter of the generated function: a buffer, or an attribute such as ``thread_position_in_grid``."""

    name: str
    type: str  # "const device float", without the * or &
    declarator: str  # "*", "&", "" for an attribute

    @property
    def is_buffer(self) -> bool:
        return self.declarator != ""


@dataclass(frozen=True)
class Generated:
    """``text`` as MLX wrote it, the function's name, its template arguments ("<float, 16>" or "") and parameters."""

    text: str
    function: str
    arguments: str
    parameters: tuple[Parameter, ...]

    @property
    def buffers(self) -> tuple[Parameter, ...]:
        return tuple(p for p in self.parameters if p.is_buffer)


def generate(build: Callable[..., Any], inputs: list[mx.array], **call: Any) -> Generated:
    """Ask MLX for the source of ``build(inputs=..., **call)``, ``build`` being what mx.fast.metal_kernel returned."""
    stand_ins = [mx.zeros(x.shape, x.dtype) for x in inputs]

    def run(*arrays: mx.array) -> Any:
        return build(inputs=list(arrays), verbose=True, **call)

    with tempfile.TemporaryDirectory() as folder:
        printed = _printed(lambda: mx.export_function(os.path.join(folder, "kernel.mlxfn"), run, *stand_ins))
    found = re.search(r"```\n(.*)```", printed, re.S)
    if not found:
        raise RuntimeError(f"MLX printed no kernel source, but: {printed[:200]!r}")
    return _parse(found[1])


def _parse(text: str) -> Generated:
    found = re.search(r"\[\[kernel\]\] void (\w+)\((.*?)\) \{", text, re.S)
    if not found:
        raise RuntimeError(f"no kernel in the source MLX generated: {text[:200]!r}")
    arguments = re.search(r"decltype\(\w+(<.*?>)\) \w+<", text)
    parameters = tuple(_parameter(line.strip()) for line in found[2].split(",\n"))
    return Generated(text, found[1], arguments[1] if arguments else "", parameters)


def _parameter(text: str) -> Parameter:
    buffer = re.match(r"(.*?)\s*([*&])\s*(\w+)\s*\[\[buffer\(\d+\)\]\]", text)
    if buffer:
        return Parameter(buffer[3], buffer[1], buffer[2])
    attribute = re.match(r"(\w+)\s+(\w+)\s*\[\[\w+\]\]", text)
    if not attribute:
        raise RuntimeError(f"a parameter MLX generated is not understood: {text!r}")
    return Parameter(attribute[2], attribute[1], "")


def _printed(action: Callable[[], object]) -> str:
    """What ``action`` writes to file descriptor 1: MLX prints from C++, past sys.stdout."""
    sys.stdout.flush()
    saved = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            action()
        finally:
            ctypes.CDLL(None).fflush(None)
            os.dup2(saved, 1)
            os.close(saved)
        file.seek(0)
        return file.read().decode()
