"""What a byte costs a chip: counts by formula, energy and area from published figures. Estimates, not measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lasmlx.chip.analog import ACTIVITY, MOST, READ_TIME, AnalogPart
from lasmlx.chip.analog_twin import matrices
from lasmlx.chip.chip_model import ChipModel

# Horowitz, Computing's energy problem, ISSCC 2014: 45 nm, 0.9 V; areas of the same units as Sze et al. 2017 quote them.
ADD_32_PJ, MULTIPLY_8_PJ, MULTIPLY_32_PJ = 0.1, 0.2, 3.1
SRAM_BYTE_PJ = 10 / 8  # of a memory of 8 KB read 64 bits at a time; a write counts as a reading
MULTIPLY_ADD_8_MM2, MULTIPLY_32_MM2 = (282 + 137) * 1e-6, 3495e-6
# Mistry et al., IEDM 2007: a six-transistor cell in 45 nm. The share of a memory that is cells is an assumption.
SRAM_BIT_MM2, SRAM_CELLS = 0.346e-6, 0.5
# Assumptions: how many units work side by side.
MULTIPLY_ADDS, WIDE_MULTIPLIERS = 64, 8
# Servalli, IEDM 2009: a phase-change cell in 45 nm, of a memory; one that is read in analog is larger.
PCM_CELL_MM2 = 0.015e-6
READ_VOLTS = 0.2  # assumption
# Shafiee et al. (ISAAC), ISCA 2016, table I, 32 nm: eight 8-bit ADCs of 1.2 GS/s in 16 mW and 0.0096 mm2; 8 x 128 DACs
# of one bit in 4 mW and 0.00017 mm2, a bit each 100 ns; 128 columns share an ADC. A bit more doubles an ADC (Walden).
ADC_8_PJ, ADC_8_MM2, ADC_COLUMNS = 16e-3 / 8 / 1.2e9 * 1e12, 0.0096 / 8, 128
DAC_BIT_PJ, DAC_MM2 = 4e-3 / 1024 * 100e-9 * 1e12, 0.00017 / 1024
# Khaddam-Aljameh et al., JSSC 2022: a core of 256 x 256 phase-change cells in 14 nm, 10.5 TOPS/W with its converters.
MEASURED_CORE_PJ = 2 / 10.5  # a multiply-add


@dataclass(frozen=True)
class Counts:
    """What happens at each byte."""

    matrix_macs: int  # layers (2 e d + (rank + 2 n) e + e rank + d e) + 256 d
    conv_macs: int  # layers e k
    states: int  # layers e n
    state_updates: int  # states substeps
    look_ups: int  # sigmoid: 3 a channel; 2^-x: one a state; 1 / sqrt: one a norm
    requantisations: int  # layers (2 d + 9 e + rank + 2 n) + d + 256
    inputs: int  # of all matrices: values through a DAC
    outputs: int  # of all matrices: values through an ADC
    weight_bytes: int  # of every array; of these, the embedding has 256 rows and a step reads one
    state_bytes: int  # tails of the convolutions, and h in as few bits as it has


def count(chip: ChipModel) -> Counts:
    """The counts of a chip; tests/chip/test_report.py holds them to the steps that run."""
    c, w = chip.config, chip.system
    states = c.layers * c.e * c.n
    mixed = c.rank + 2 * c.n
    return Counts(
        matrix_macs=c.layers * (2 * c.e * c.d + mixed * c.e + c.e * c.rank + c.d * c.e) + 256 * c.d,
        conv_macs=c.layers * c.e * c.k,
        states=states,
        state_updates=states * c.substeps,
        look_ups=c.layers * 3 * c.e + (states if c.decay == "table" else 0) + c.layers + 1,
        requantisations=c.layers * (2 * c.d + 9 * c.e + mixed) + c.d + 256,
        inputs=c.layers * (c.d + 2 * c.e + c.rank) + c.d,
        outputs=c.layers * (3 * c.e + mixed + c.d) + 256,
        weight_bytes=sum(v.nbytes for v in chip.arrays.values()),
        state_bytes=(c.layers * (c.k - 1) * c.e * w.activation + states * c.state_bits + 7) // 8,
    )


@dataclass(frozen=True)
class Estimate:
    """Energy and area by part, from the constants of this module. Wires, control and leakage are left out."""

    energy: dict[str, float]  # pJ a byte
    area: dict[str, float]  # mm2

    @property
    def total_energy(self) -> float:
        """pJ a byte."""
        return sum(self.energy.values())

    @property
    def total_area(self) -> float:
        """mm2."""
        return sum(self.area.values())


def estimate(chip: ChipModel, part: AnalogPart | None = None) -> Estimate:
    """What the chip would take, with its matrices in arrays of ``part`` if one is given.

    An int8 weight is priced as 8 bits and every other product as 32; products of one lane with another outside of the
    state equation, the look-ups and the requantisations are left out.
    """
    n, wide = count(chip), chip.config.system == "q16"
    product = (MULTIPLY_32_PJ if wide else MULTIPLY_8_PJ) + ADD_32_PJ
    in_arrays = sum(chip.arrays[f"{name}.weight"].nbytes for name in matrices(chip)) if part else 0
    embedding = chip.arrays["embedding"].nbytes
    read = n.weight_bytes - in_arrays - embedding * 255 // 256
    states = 3 * (MULTIPLY_32_PJ + ADD_32_PJ) * n.states + (MULTIPLY_32_PJ + ADD_32_PJ) * n.state_updates
    energy = {
        "matrices": 0.0 if part else product * n.matrix_macs,
        "weights": SRAM_BYTE_PJ * read,
        "convolutions": product * n.conv_macs,
        "states": states,
        "state memory": SRAM_BYTE_PJ * 2 * n.state_bytes,
        "look-ups": (MULTIPLY_32_PJ + 2 * 4 * SRAM_BYTE_PJ) * n.look_ups,
        "requantisations": (MULTIPLY_32_PJ + ADD_32_PJ) * n.requantisations,
    }
    area = {
        "memory": 8 * (n.weight_bytes - in_arrays + n.state_bytes) * SRAM_BIT_MM2 / SRAM_CELLS,
        "arithmetic": MULTIPLY_ADDS * MULTIPLY_ADD_8_MM2 + WIDE_MULTIPLIERS * MULTIPLY_32_MM2,
    }
    if part:
        more_energy, more_area = _arrays(chip, part, n)
        energy, area = energy | more_energy, area | more_area
    return Estimate({k: v for k, v in energy.items() if v}, area)


def _arrays(chip: ChipModel, part: AnalogPart, n: Counts) -> tuple[dict[str, float], dict[str, float]]:
    """A pair of devices is (g+ + g-) V^2 t a; an array's inputs last for ``READ_TIME`` where they are largest."""
    weights = [m.weight for m in matrices(chip).values()]
    carried = sum(float(np.abs(w).sum()) for w in weights) / MOST * (part.g_max - part.g_min)
    siemens = (carried + 2 * part.g_min * n.matrix_macs) * 1e-6
    adc = 2.0 ** ((part.adc_bits or _bits_needed(max(w.shape[1] for w in weights))) - 8)
    converters = sum(math.ceil(len(w) / ADC_COLUMNS) for w in weights)
    energy = {
        "cells": siemens * READ_VOLTS**2 * READ_TIME * ACTIVITY * 1e12,
        "ADCs": ADC_8_PJ * adc * n.outputs,
        "DACs": DAC_BIT_PJ * part.dac_bits * n.inputs,
    }
    area = {
        "cells": 2 * PCM_CELL_MM2 * n.matrix_macs,
        "ADCs": ADC_8_MM2 * adc * converters,
        "DACs": DAC_MM2 * n.inputs,
    }
    return energy, area


def _bits_needed(inputs: int) -> int:
    return (MOST * 128 * inputs).bit_length() + 1
