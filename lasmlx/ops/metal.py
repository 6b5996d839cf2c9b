"""The Metal kernels: text from ``metal/<op>.metal``, built by MLX once, when first asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import mlx.core as mx

Kernel = Callable[..., list[mx.array]]

HEAD = re.compile(r"^// kernel: (\w+) \(([^)]*)\) -> \(([^)]*)\)$", re.MULTILINE)


def kernel(op: str, name: str) -> Kernel:
    """The kernel ``name`` of ``metal/<op>.metal``, ready to launch.

    ``mx.fast.metal_kernel`` is looked up now and not at import, so a checker of kernels can stand in for it.
    """
    return _build(mx.fast.metal_kernel, op, name)


def sources(op: str) -> dict[str, dict[str, Any]]:
    """The keywords of ``mx.fast.metal_kernel`` for every kernel in ``metal/<op>.metal``.

    A line ``// kernel: name (inputs) -> (outputs)`` starts each body; what stands above the first is their header.
    """
    header, *parts = HEAD.split(files("lasmlx").joinpath("metal", f"{op}.metal").read_text(encoding="ascii"))
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


@cache
def _build(builder: Callable[..., Kernel], op: str, name: str) -> Kernel:
    return builder(**sources(op)[name])
