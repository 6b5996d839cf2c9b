"""Trees of arrays by their paths."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten


def flat(tree: Any) -> dict[str, mx.array]:
    """The leaves of a tree of arrays by their dotted paths, as ``blocks.0.norm.weight``."""
    return dict(tree_flatten(tree))
