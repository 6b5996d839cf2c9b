"""What the measurements yield, as plain data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from lasmlx.benchmark.timer import Timing


@dataclass(frozen=True)
class Note:
    """Something a reader of the table must know, such as a row that is left out."""

    text: str


@dataclass(frozen=True)
class Stage:
    """What is being done now."""

    text: str


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    unit: ClassVar[str] = "ms"  # of every Timing

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {k: v.to_dict(self.unit) if isinstance(v, Timing) else v for k, v in values.items()}
