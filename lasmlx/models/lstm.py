"""The baseline: an LSTM in the frame of the liquid network, over bytes or over vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lasmlx.layers import LSTMCell, Stack
from lasmlx.models.cells import CellsConfig, SequenceModel, TextModel


@dataclass(frozen=True)
class LSTMConfig(CellsConfig):
    """Sizes of an ``lstm``."""

    model_type: ClassVar[str] = "lstm"


def make_lstm(config: LSTMConfig) -> TextModel | SequenceModel:
    """A model of bytes if there are no input channels, of vectors otherwise."""
    stack = Stack([LSTMCell(width, config.hidden) for width in config.widths])
    return SequenceModel(config, stack) if config.inputs else TextModel(config, stack)
