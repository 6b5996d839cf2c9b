"""Kernels as they stand in a Metal file: a ``[[kernel]]`` function, or an instance of such a template, run checked."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from .compiler import CompileError, kernel_library
from .faults import Fault
from .launch import Launch, Settings
from .lint import file_faults
from .prepare import PREAMBLE, blank_comments, entry, rewrite
from .runner import MAX_BUFFERS, check_sizes, check_tree
from .source import Parameter

CONSTANTS = {"int": np.int32, "uint": np.uint32, "size_t": np.uint64, "int64_t": np.int64, "bool": np.bool_}
CONSTANTS |= {"float": np.float32, "half": np.float16, "int32_t": np.int32, "uint32_t": np.uint32}


class Output(NamedTuple):
    """A buffer the kernel writes; ``value`` fills it first, else it starts unwritten."""

    shape: tuple[int, ...]
    dtype: mx.Dtype = mx.float32
    value: float | None = None


class _Function(NamedTuple):
    name: str
    arguments: str  # of the template: "<float, 4>" or ""
    parameters: list[Parameter]


def run_source(
    text: str,
    function: str,
    arguments: Sequence[mx.array | Output | float],
    grid: tuple[int, int, int],
    threadgroup: tuple[int, int, int],
) -> list[mx.array]:
    """Run a kernel of ``text`` (its own code or MLX headers that it includes) and return its outputs in order.

    Args:
        function: its name, or "name<arguments>" with every template argument written out.
        arguments: one a buffer in the order of their indices: an array is an input, an Output is written, a number is
            a ``constant`` scalar.
        grid: threads, not threadgroups.
    """
    name = function.split("<")[0].strip()
    check_sizes(name, grid, threadgroup)
    called = _signature(text, function)
    buffers = [parameter for parameter in called.parameters if parameter.is_buffer]
    if len(buffers) != len(arguments):
        raise ValueError(f"run_source: {name} has {len(buffers)} buffers, got {len(arguments)} arguments.")
    if len(buffers) > MAX_BUFFERS:
        raise Fault(name, "limit", f"limit: {len(buffers)} buffers, Metal has {MAX_BUFFERS}")
    with Launch(name, _compile(text, called)) as launch:
        for parameter, value in zip(buffers, arguments, strict=True):
            _bind(launch, parameter, value)
        launch.run(grid, threadgroup)
        return [launch.result(p.name) for p, v in zip(buffers, arguments, strict=True) if isinstance(v, Output)]


def _bind(launch: Launch, parameter: Parameter, value: Any) -> None:
    if isinstance(value, Output):
        launch.bind_output(parameter.name, value.shape, value.dtype, value.value)
    elif isinstance(value, mx.array):
        launch.bind_input(parameter.name, value)
    else:
        words = [word for word in parameter.type.split() if word not in ("const", "constant", "device")]
        launch.bind_constant(parameter.name, np.array([value], CONSTANTS[words[0]]))


def _compile(text: str, called: _Function) -> Path:
    found = file_faults(text)
    if found:
        raise Fault(called.name, "refused", "refused: " + "; ".join(found))
    unit = PREAMBLE + f'#line 1 "{called.name}.metal"\n' + rewrite(text)
    unit += entry(called.name, called.arguments, called.parameters)
    try:
        library = kernel_library(unit, Settings.checked)
    except CompileError as error:
        raise Fault(called.name, "refused", f"refused: {error}") from None
    check_tree(called.name, library, unit, called.name, "")
    return library


def _signature(text: str, function: str) -> _Function:
    name, _, given = function.partition("<")
    source = blank_comments(text + _included(text))
    found = re.search(rf"(?:template\s*<([^{{}};]*?)>\s*)?(?:\[\[kernel\]\]|\bkernel)\s+void\s+{name}\s*\(", source)
    if not found:
        raise ValueError(f"run_source: no kernel {name} in the text or the MLX headers that it includes.")
    values = dict(zip(_template_names(found[1] or ""), _split(given.rstrip("> ")), strict=False))
    parameters = [_parameter(p, values) for p in _split(_until_closed(source, found.end()))]
    buffers = sorted((p for p in parameters if p[1].is_buffer), key=lambda p: p[0])
    if [p for _, p in buffers] != [p for _, p in parameters if p.is_buffer]:
        raise ValueError(f"run_source: the buffers of {name} are not in the order of their indices.")
    return _Function(name, f"<{given}" if given else "", [p for _, p in parameters])


def _included(text: str) -> str:
    root = Path(mx.__file__).parent / "include"
    files = [root / name for name in re.findall(r'#include\s+["<](mlx/[^">]+)[">]', text)]
    return "\n".join(file.read_text() for file in files if file.exists())


def _template_names(declared: str) -> list[str]:
    return [re.split(r"\s|=", part.split("=")[0].strip())[-1] for part in _split(declared)]


def _until_closed(text: str, start: int) -> str:
    depth, at = 1, start
    while depth:
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return text[start : at - 1]


def _split(text: str) -> list[str]:
    """At the commas outside brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += {"<": 1, "(": 1, "[": 1, ">": -1, ")": -1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _parameter(text: str, template: dict[str, str]) -> tuple[int, Parameter]:
    """(buffer index or -1, the parameter); a buffer with no index keeps its place."""
    attribute = re.search(r"\[\[\s*(\w+)(?:\((\d+)\))?", text)
    plain = " ".join(re.sub(r"\[\[.*\]\]", "", text, flags=re.S).split())
    declared = re.fullmatch(r"(.*?)\s*([*&]?)\s*(\w+)", plain)
    if not declared:
        raise ValueError(f"run_source: the parameter {plain!r} is not understood.")
    kind, mark, name = declared.groups()
    for letter, value in template.items():
        kind = re.sub(rf"\b{letter}\b", value, kind)
    if not mark:
        return -1, Parameter(attribute[1] if attribute else name, kind, "")
    return int(attribute[2]) if attribute and attribute[2] else 0, Parameter(name, kind, mark)
