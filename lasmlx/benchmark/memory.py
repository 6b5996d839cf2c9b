"""What a function takes while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx


def peak_bytes(f: Callable[[], Any]) -> int:
    """The most that MLX holds while ``f`` runs, beyond what it held before."""
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    f()
    return int(mx.get_peak_memory()) - int(before)


def peak_mb(f: Callable[[], Any]) -> float:
    """The same of a second call, MB."""
    f()
    return peak_bytes(f) / 1e6
