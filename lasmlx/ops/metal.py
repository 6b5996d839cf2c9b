"""The GPU kernels: text from ``metal/<op>.metal``, built by MLX once, when first asked for, for Metal or for CUDA."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import mlx.core as mx

Kernel = Callable[..., list[mx.array]]
Backend = Literal["metal", "cuda"]

HEAD = re.compile(r"^// kernel: (\w+) \(([^)]*)\) -> \(([^)]*)\)$", re.MULTILINE)
TOO_WIDE = "Thread group size"  # how MLX's error begins when a kernel's registers leave room for fewer threads


def kernel(op: str, name: str, backend: Backend = "metal") -> Kernel:
    """The kernel ``name`` of ``metal/<op>.metal``, ready to launch.

    MLX's builder is looked up now and not at import, so a checker of kernels can stand in for it.
    """
    return _build(mx.fast.metal_kernel if backend == "metal" else mx.fast.cuda_kernel, op, name, backend)


def sources(op: str, backend: Backend = "metal") -> dict[str, dict[str, Any]]:
    """The keywords of ``mx.fast.metal_kernel`` or ``mx.fast.cuda_kernel`` for every kernel in ``metal/<op>.metal``.

    A line ``// kernel: name (inputs) -> (outputs)`` starts each body; what stands above the first is their header. For
    CUDA ``metal/cuda.h`` goes before it and gives Metal's words their meaning there.
    """
    header, *parts = HEAD.split(_text(f"{op}.metal"))
    if backend == "cuda":
        header = _text("cuda.h") + header
    return {
        name: {
            "name": f"lasmlx_{op}_{name}",
            "input_names": inputs.split(", "),
            "output_names": outputs.split(", "),
            "source": body,
            "header": header,
        }
        for name, inputs, outputs, body in zip(*(iter(parts),) * 4, strict=True)
    }


def widest(sizes: Iterable[int], launch: Callable[[int], list[mx.array]]) -> int:
    """The first of ``sizes``, widest first, at which ``launch(size)`` runs on this GPU; for a cached caller.

    A pipeline takes fewer threads the more registers it needs, and says so only when it is run.
    """
    for size in sizes:
        try:
            mx.eval(launch(size))
        except ValueError as error:
            if TOO_WIDE not in str(error):
                raise
            refusal = error
        else:
            return size
    raise refusal


def _text(name: str) -> str:
    return files("lasmlx").joinpath("metal", name).read_text(encoding="ascii")


@cache
def _build(builder: Callable[..., Kernel], op: str, name: str, backend: Backend) -> Kernel:
    launch = builder(**sources(op, backend)[name])

    def run(*, inputs: list[mx.array], **call: Any) -> list[mx.array]:
        return list(_mapped(lambda arrays: launch(inputs=arrays, **call))(*inputs))

    return run


def _mapped(launch: Callable[[list[mx.array]], list[mx.array]]) -> Callable[..., tuple[mx.array, ...]]:
    """``launch`` with a rule for ``mx.vmap``, which MLX's custom kernels lack: one launch for each index."""

    @mx.custom_function
    def once(*arrays: mx.array) -> tuple[mx.array, ...]:
        return tuple(launch(list(arrays)))

    @once.vmap
    def each(
        arrays: tuple[mx.array, ...], axes: tuple[int | None, ...]
    ) -> tuple[tuple[mx.array, ...], tuple[int, ...]]:
        mapped = list(zip(arrays, axes, strict=True))
        size = next(a.shape[axis] for a, axis in mapped if axis is not None)
        rows = [once(*(a if axis is None else mx.take(a, i, axis) for a, axis in mapped)) for i in range(size)]
        outputs = tuple(mx.stack(output) for output in zip(*rows, strict=True))
        return outputs, (0,) * len(outputs)

    return once  # type: ignore[return-value]
