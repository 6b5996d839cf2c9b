"""From a trained model to integers: quantise, emulate, and out to C++, HLS and RTL."""

from lasmlx.chip.chip_model import ChipConfig, ChipModel, load_chip
from lasmlx.chip.emulator import ChipSession, Crossbar, Emulator, Range, feed_many, supported_isas
from lasmlx.chip.fake import FakeQuantized
from lasmlx.chip.quantize import Options, assemble, check_family, measure, quantize
from lasmlx.chip.random_chip import random_chip
from lasmlx.chip.twin import ChipState, init_state, step
from lasmlx.chip.units import Units, calibrate

__all__ = [
    "ChipConfig",
    "ChipModel",
    "ChipSession",
    "ChipState",
    "Crossbar",
    "Emulator",
    "FakeQuantized",
    "Options",
    "Range",
    "Units",
    "assemble",
    "calibrate",
    "check_family",
    "feed_many",
    "init_state",
    "load_chip",
    "measure",
    "quantize",
    "random_chip",
    "step",
    "supported_isas",
]
