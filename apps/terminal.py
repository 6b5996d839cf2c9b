"""The two consoles, made when first used so that ``las --help`` need not wait for Rich."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@cache
def stdout() -> Console:
    """For results."""
    from rich.console import Console

    return Console(highlight=False)


@cache
def stderr() -> Console:
    """For progress and mistakes."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def for_tables() -> Console:
    """As :func:`stdout`; a pipe has no width, and gets one that tables fit."""
    from rich.console import Console

    return stdout() if stdout().is_terminal else Console(highlight=False, width=160)
