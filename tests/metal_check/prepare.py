"""The few textual steps between Metal and clang's C++ for OpenCL. Line numbers stay; all else compiles as written."""

import re
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx

from .source import Generated, Parameter

_ATTRIBUTE = re.compile(r"\[\[(?!\s*(?:clang|maybe_unused|nodiscard)).*?\]\]", re.S)
_INSTANTIATION = re.compile(r"template\s*\[\[\s*host_name.*?;", re.S)
_FUNCTION_CONSTANT = re.compile(r"(constant\s+\w+\s+\w+)\s*\[\[\s*function_constant\(\s*(\w+)\s*\)\s*\]\]\s*;")
_THREAD_METHOD = re.compile(r"(\)(?:\s*const)?)\s+thread\b(?=\s*(?:[:{;]|noexcept|$))", re.M)
_GROUP_ARRAY = re.compile(
    r"(?m)((?:^|(?<=[;{}]))[ \t]*)threadgroup\s+((?:[A-Za-z_]\w*::)*[A-Za-z_]\w*(?:<[^;={}()]*>)?)\s+(\w+)[ \t]*"
    r"((?:\[[^\]\n]+\][ \t]*)*);"
)

_VECTORS = {  # attribute: field of Place in runtime/machine.h
    "thread_position_in_grid": "thread_in_grid",
    "thread_position_in_threadgroup": "thread_in_group",
    "threadgroup_position_in_grid": "group_in_grid",
    "threadgroups_per_grid": "groups",
    "threads_per_grid": "threads",
    "grid_size": "threads",
    "grid_origin": "origin",
    "threads_per_threadgroup": "group_size",
    "dispatch_threads_per_threadgroup": "dispatch_size",
}
_SCALARS = {
    "thread_index_in_threadgroup": "place->index",
    "thread_index_in_simdgroup": "place->lane",
    "simdgroup_index_in_threadgroup": "place->simdgroup",
    "simdgroups_per_threadgroup": "place->simdgroups",
    "dispatch_simdgroups_per_threadgroup": "place->dispatch_simdgroups",
    "threads_per_simdgroup": "32",
    "thread_execution_width": "32",
    "thread_index_in_quadgroup": "place->lane & 3",
    "quadgroup_index_in_threadgroup": "place->index >> 2",
    "quadgroups_per_threadgroup": "(msl_volume(place->group_size) + 3) / 4",
    "dispatch_quadgroups_per_threadgroup": "(msl_volume(place->dispatch_size) + 3) / 4",
}

PREAMBLE = '#include "mlx/backend/metal/kernels/utils.h"\n'

_ENTRY = """
#line 1 "entry"
struct MslPlace {{
  uint thread_in_grid[3], thread_in_group[3], group_in_grid[3], groups[3], threads[3], group_size[3], dispatch_size[3];
  uint origin[3];
  uint index, lane, simdgroup, simdgroups, dispatch_simdgroups;
}};
#define msl_uint3(x) ((uint3){{(x)[0], (x)[1], (x)[2]}})
#define msl_volume(x) ((x)[0] * (x)[1] * (x)[2])
extern "C" __attribute__((no_sanitize("thread"), no_sanitize("undefined"))) void msl_entry(
    const __private ulong* arguments, const __private MslPlace* place) {{
  {function}{template}({values});
}}
"""


def blank_comments(text: str) -> str:
    """The text with comments as spaces, lines kept."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)


def rewrite(text: str, keep_instantiations: bool = False) -> str:
    """Drop attributes and the ``thread`` after a method; turn threadgroup arrays into references to checked memory."""
    if not keep_instantiations:
        text = _INSTANTIATION.sub(_newlines, text)
    text = _FUNCTION_CONSTANT.sub(r"\1 = MSL_FC(\2);", text)
    text = _ATTRIBUTE.sub(_newlines, text)
    text = _THREAD_METHOD.sub(r"\1", text)
    return _GROUP_ARRAY.sub(_group_array, text)


def translation_unit(generated: Generated, name: str, source: str, header: str) -> str:
    """The whole file for the compiler: MLX's preamble, its generated text, and a C entry that unpacks the arguments."""
    text = generated.text
    if header:
        text = f'#line 1 "{name}.header"\n' + text.replace(header, header + '\n#line 1 "generated"\n', 1)
    text = text.replace(source, f'\n#line 1 "{name}.metal"\n{source}\n#line 1 "generated"\n', 1)
    includes = PREAMBLE
    if "mlx_atomic" in text:
        includes += '#include "mlx/backend/metal/kernels/atomic.h"\n'
    return includes + rewrite(text) + entry(generated.function, generated.arguments, generated.parameters)


def entry(function: str, template: str, parameters: Sequence[Parameter]) -> str:
    """The C function that the runtime calls for every thread: it unpacks the arguments, in the order of parameters."""
    values, index = [], 0
    for parameter in parameters:
        values.append(_value(parameter, index))
        index += parameter.is_buffer
    return _ENTRY.format(function=function, template=template, values=", ".join(values))


def mirror_headers(folder: Path) -> None:
    """Write the installed wheel's own Metal headers under ``folder``, rewritten."""
    kernels = Path("mlx/backend/metal/kernels")
    wheel = Path(mx.__file__).parent / "include" / kernels
    for file in wheel.rglob("*.h"):
        target = folder / kernels / file.relative_to(wheel)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(rewrite(file.read_text(), keep_instantiations=True))


def _value(parameter: Parameter, index: int) -> str:
    if parameter.declarator == "*":
        return f"({parameter.type}*)arguments[{index}]"
    if parameter.declarator == "&":
        return f"*({parameter.type}*)arguments[{index}]"
    if parameter.name in _VECTORS:
        component = {"uint": ".x", "ushort": ".x", "uint2": ".xy"}.get(parameter.type, "")
        return f"msl_uint3(place->{_VECTORS[parameter.name]}){component}"
    return _SCALARS[parameter.name]


def _newlines(match: re.Match[str]) -> str:
    return "".join(re.findall(r"\\?\n", match[0]))


def _group_array(match: re.Match[str]) -> str:
    indent, element, name, extents = match[1], match[2], match[3], match[4].strip()
    alias = f"msl_{name}_type"
    return (
        f"{indent}using {alias} = {element} {extents}; threadgroup {alias}& {name} = *(threadgroup {alias}*)"
        f'msl_group_array(sizeof({alias}), sizeof({element}), "{name}", __LINE__);'
    )
