"""The drop-in for mx.fast.metal_kernel: build, bind, run, and say what was wrong."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from .compiler import CompileError, kernel_library
from .faults import Fault
from .launch import Launch, Settings
from .lint import lint_version, text_faults, tree_faults
from .prepare import translation_unit
from .source import Generated, generate

MAX_BUFFERS = 31
MAX_THREADS = 1024

_metal_kernel = mx.fast.metal_kernel  # MLX's own, kept for when install() has put ours in its place


def check_sizes(name: str, grid: Sequence[int], threadgroup: Sequence[int]) -> None:
    if min(*grid, *threadgroup) < 1:
        sizes = f"grid {tuple(grid)}, threadgroup {tuple(threadgroup)}"
        raise Fault(name, "limit", f"limit: {sizes}: every size must be at least 1")
    if math.prod(threadgroup) > MAX_THREADS:
        raise Fault(name, "limit", f"limit: threadgroup {tuple(threadgroup)} is more than {MAX_THREADS} threads")


def check_tree(name: str, library: Path, unit: str, function: str, header: str) -> None:
    """Lint the syntax tree, once for each library and each change of the lint."""
    linted = library.with_suffix(f".{lint_version()}.linted")
    if not linted.exists():
        found = tree_faults(unit, function, header)
        if found:
            raise Fault(name, "refused", "refused: " + "; ".join(found))
        linted.touch()


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
        check_sizes(self.name, grid, threadgroup)
        call: dict[str, Any] = {"output_shapes": output_shapes, "output_dtypes": output_dtypes, "grid": grid}
        call |= {"threadgroup": threadgroup, "template": template, "init_value": init_value}
        generated, library = self._build(arrays, call)
        if verbose:
            print(generated.text)
        with Launch(self.name, library, self.row_contiguous) as launch:
            for parameter in generated.buffers:
                if parameter.name in self.input_names:
                    launch.bind_input(parameter.name, arrays[self.input_names.index(parameter.name)])
                elif parameter.name in self.output_names:
                    i = self.output_names.index(parameter.name)
                    launch.bind_output(parameter.name, output_shapes[i], output_dtypes[i], init_value)
                else:
                    base, what = parameter.name.rsplit("_", 1)
                    launch.bind_property(parameter.name, arrays[self.input_names.index(base)], what)
            launch.run(grid, threadgroup)
            self.threadgroup_bytes = launch.threadgroup_bytes
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
        check_tree(self.name, library, unit, generated.function, self.header)
        return library
