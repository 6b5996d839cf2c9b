"""A chip as digital logic, described with Amaranth: the integers of the twin, one byte a few thousand cycles."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lasmlx.chip.rtl.core import Core as Core
    from lasmlx.chip.rtl.uart import SerialChip as SerialChip

_HOMES = {"Core": "core", "SerialChip": "uart"}


def __getattr__(name: str) -> Any:
    """The two tops, once they are asked for: the rest of the package needs no Amaranth."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lasmlx.chip.tools import need

    need("amaranth", "Amaranth")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
