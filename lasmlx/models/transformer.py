"""The baseline with attention, over bytes, tokens or vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lasmlx.layers import Stack, TimedLinear, TransformerBlock
from lasmlx.models.cells import CellsConfig, SequenceModel, TextModel
from lasmlx.models.config import expect


@dataclass(frozen=True)
class TransformerConfig(CellsConfig):
    """Sizes of a ``transformer``."""

    model_type: ClassVar[str] = "transformer"

    heads: int = 4
    window: int = 1024  # elements attended to: the whole past up to this length
    inner: int = 0  # width inside SwiGLU; 0: 8/3 hidden, rounded up to a multiple of 8

    def __post_init__(self) -> None:
        super().__post_init__()
        family = self.model_type
        expect(family, "heads", self.heads, self.heads >= 1, "at least 1")
        fits = self.hidden % (2 * self.heads) == 0
        expect(family, "hidden", self.hidden, fits, f"a multiple of 2 heads = {2 * self.heads}")
        expect(family, "window", self.window, self.window >= 1, "at least 1")
        expect(family, "inner", self.inner, self.inner >= 0, "0 (for 8/3 hidden) or more")


def make_transformer(config: TransformerConfig) -> TextModel | SequenceModel:
    """A model of bytes or tokens if there are no input channels, of vectors otherwise."""
    d = config.hidden
    inner = config.inner or -(-8 * d // 24) * 8
    blocks = [TransformerBlock(d, config.heads, config.window, inner) for _ in range(config.layers)]
    if config.inputs:
        return SequenceModel(config, Stack([TimedLinear(config.inputs, d), *blocks]))
    return TextModel(config, Stack(blocks))
