"""``mx.compile``, on a CPU without kernel fusion: there that means running a C++ compiler for seconds."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from lasmlx.ops import native


def compile_step(function: Callable[..., Any], state: list[Any]) -> Callable[..., Any]:
    """Compile ``function``, with the arrays in ``state`` (parameters, optimizer, random numbers) captured both ways."""
    compiled = mx.compile(function, inputs=state, outputs=state)
    fuses = native.module is None or mx.default_device() != mx.Device(mx.cpu)
    if fuses or os.environ.get("MLX_DISABLE_COMPILE"):
        return compiled

    def without_fusion(*args: Any) -> Any:
        native.module.set_compile_fusion(False)
        try:
            return compiled(*args)
        finally:
            native.module.set_compile_fusion(True)

    return without_fusion
