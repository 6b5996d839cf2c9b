"""The readable definition of a product in an analog array, in integers; the emulator gives the bits that it gives."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lasmlx.chip.chip_model import ChipModel, Linear
from lasmlx.chip.emulator import Crossbar

Ints = NDArray[np.int64]

MATRICES = ("in_proj", "x_proj", "dt_proj", "out_proj")


class Noise:
    """The generator of a stream's reading noise: about normal, in 1/65536, twelve uniform draws less six.

    Args:
        seed: that of the chip.
    """

    def __init__(self, seed: int) -> None:
        self._random = (seed * 0x85EBCA6B | 1) & 0xFFFFFFFF

    def __call__(self) -> int:
        total, x = -(6 << 16), self._random
        for _ in range(12):  # Marsaglia's xorshift
            x ^= x << 13 & 0xFFFFFFFF
            x ^= x >> 17
            x ^= x << 5 & 0xFFFFFFFF
            total += x >> 16
        self._random = x
        return total


class Array:
    """``array @ x``: what the cells, converters and noise of a crossbar make of ``weight @ x``."""

    def __init__(self, bar: Crossbar, noise: Noise) -> None:
        self._bar, self._noise = bar, noise

    def __matmul__(self, x: Ints) -> Ints:
        bar, top = self._bar, 1 << (self._bar.adc_bits - 1)
        driven = dac(x, bar.dac_drop)
        total = bar.cell @ driven  # 1/256 of a weight's one
        spread = bar.read_noise * int(math.sqrt(int((driven**2).sum())))  # 1/65536
        if spread:
            total = total + np.array([spread * self._noise() >> 24 for _ in total])
        code = np.clip((2 * total + bar.adc_step) // (2 * bar.adc_step), -top, top - 1)
        return (code * bar.adc_step + 128) >> 8


def dac(x: Ints, drop: int) -> Ints:
    """x with its low bits rounded off, within what is left of 127."""
    return np.minimum((x + (1 << drop >> 1)) >> drop, 127 >> drop) << drop


def matrices(chip: ChipModel) -> dict[str, Linear]:
    """The matrices that an array may take the place of, in the order of a step."""
    named = [(f"layers.{i}.{m}", getattr(layer, m)) for i, layer in enumerate(chip.layers) for m in MATRICES]
    return dict(named) | {"head": chip.head}


def analog_chip(chip: ChipModel, replace: Callable[[str, Ints], Any]) -> ChipModel:
    """``chip`` for :func:`lasmlx.chip.twin.step`, with ``replace(name, weight) @ x`` in the place of each product."""
    new = copy.copy(chip)
    linears = {name: Linear(replace(name, m.weight), m.scale) for name, m in matrices(chip).items()}
    new.head = linears.pop("head")
    new.layers = []
    for i, layer in enumerate(chip.layers):
        replaced: Any = {m: linears[f"layers.{i}.{m}"] for m in MATRICES}
        new.layers.append(dataclasses.replace(layer, **replaced))
    return new


def with_crossbars(chip: ChipModel, crossbars: Mapping[str, Crossbar]) -> ChipModel:
    """``chip`` for one stream of :func:`lasmlx.chip.twin.step`, as the emulator runs it with these crossbars."""
    noise = Noise(chip.config.seed)
    return analog_chip(chip, lambda name, w: Array(crossbars[name], noise) if name in crossbars else w)
