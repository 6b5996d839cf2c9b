"""What a function takes while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx


def peak_mb(f: Callable[[], Any]) -> float:
    """The most that MLX holds during a second call of ``f``, beyond what it held before, MB."""
    f()
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    f()
    return float(mx.get_peak_memory() - before) / 1e6
