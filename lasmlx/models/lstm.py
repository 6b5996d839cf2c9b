"""The baseline: an LSTM in the frame of the liquid network, over bytes or over vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lasmlx.layers import Stack
from lasmlx.layers.lstm import LSTMCell
from lasmlx.models.config import Config, expect
from lasmlx.models.recurrent import RecurrentByteModel, RecurrentSequenceModel


@dataclass(frozen=True)
class LSTMConfig(Config):
    """Sizes of an ``lstm``."""

    model_type: ClassVar[str] = "lstm"

    inputs: int = 0  # channels of a sequence; 0: bytes
    outputs: int = 256  # classes or values; of bytes always 256
    hidden: int = 64  # units a layer
    layers: int = 2
    dt: float = 1.0  # s, a byte

    def __post_init__(self) -> None:
        for name in ("outputs", "hidden", "layers"):
            value = getattr(self, name)
            expect("lstm", name, value, value >= 1, "at least 1")
        expect("lstm", "inputs", self.inputs, self.inputs >= 0, "channels, or 0 for bytes")
        if not self.inputs:
            expect("lstm", "outputs", self.outputs, self.outputs == 256, "256 for bytes")


def make_lstm(config: LSTMConfig) -> RecurrentByteModel | RecurrentSequenceModel:
    """A model of bytes if there are no input channels, of vectors otherwise."""
    widths = [config.inputs or config.hidden, *[config.hidden] * config.layers]
    stack = Stack([LSTMCell(width, config.hidden) for width in widths[:-1]])
    return RecurrentSequenceModel(config, stack) if config.inputs else RecurrentByteModel(config, stack)
