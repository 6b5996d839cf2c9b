"""The compiled CPU primitives, or the reason why they are not there. Importing this never fails."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import mlx.core  # noqa: F401  (registers mx.array before the extension mentions it)

module: Any = None
absent = ""

try:
    module = import_module("lasmlx._ops")
except ImportError as error:
    absent = (
        f"{error}. Reinstall lasmlx where a C++ compiler is at hand: pip install --force-reinstall --no-deps lasmlx"
    )
else:
    built, running = module.mlx_versions()
    if built != running:
        module, absent = (
            None,
            f"lasmlx was compiled for mlx {built}, mlx {running} runs: pip install 'mlx[cpu]=={built}'",
        )
    else:
        module.keep_freed_memory()
