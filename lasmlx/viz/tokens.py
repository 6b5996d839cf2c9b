"""What a model does at every token of a text: what hebb and steps share."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lasmlx.data import Tokenizer
from lasmlx.models.plastic_lm import PlasticLM
from lasmlx.viz.scale import Scale, even_ticks

MOST_BYTES = 16 << 20  # of a text to look at


class TokenTrace:
    """What can be said of a text element by element: tokens, or some neighbours together. A subclass is a dataclass."""

    symbol: ClassVar[str]  # hebb, steps

    data: bytes  # what was read
    edges: NDArray[np.int64]  # (n + 1,), the token that each element begins with, and how many there are
    lengths: NDArray[np.int64]  # (n,), bytes of each element
    layers: tuple[int, ...]  # which of the model's layers these are

    @property
    def unit(self) -> str:
        """What the model reads, and the time axis counts: byte or token."""
        return "byte" if len(self.data) == self.edges[-1] else "token"

    @property
    def element(self) -> str:
        """What a column of the text is coloured by: ``byte``, or ``16 tokens``."""
        size = int(self.edges[1])
        return self.unit if size == 1 else f"{size} {self.unit}s"

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Places on the time axis, at most so many, and what to write there."""
        return [(place, f"{place:g}" if place else f"{self.unit} 0") for place in even_ticks(self.edges[-1], most)]

    def scale(self, values: Any) -> Scale:
        """From little to much."""
        return Scale.of(values)

    def per_byte(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (n,) of the elements for each byte of the text."""
        return np.repeat(values, self.lengths)

    def at(self, layer: int) -> int:
        """Which of the layers this one of the model's is.

        Raises:
            ValueError: there is no such layer here.
        """
        if layer not in self.layers:
            deep = " or ".join(map(str, self.layers))
            raise ValueError(
                f"layer is {layer}, expected {deep}, which {'are' if len(self.layers) > 1 else 'is'} deep."
            )
        return self.layers.index(layer)


def as_tokens(op: str, tokenizer: Tokenizer, data: bytes) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The tokens (t,) of a text, and where each ends in it.

    Raises:
        ValueError: no data, or too much.
    """
    if not 1 <= len(data) <= MOST_BYTES:
        raise ValueError(f"{op}: there are {len(data)} bytes to read, expected 1 to {MOST_BYTES}.")
    ids = tokenizer.encode(data)
    return ids, np.cumsum(tokenizer.lengths[ids], dtype=np.int64)


def expect_plastic(model: Any, what: str) -> None:
    """Raise ``ValueError`` unless the model is one of those that have ``what``."""
    if isinstance(model, PlasticLM):
        return
    kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    other = {"las": "dt", "mamba": "dt", "lnn": "tau"}.get(kind)
    hint = f"; `las viz {other}` shows its time {'steps' if other == 'dt' else 'constants'}" if other else ""
    raise ValueError(f"a model of type {kind} has no {what} to look at; plastic-lm models have{hint}.")
