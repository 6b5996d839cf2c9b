"""From a trained ``las`` model to a chip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lasmlx.chip.chip_model import Arrays, ChipConfig, ChipModel, layout
from lasmlx.chip.number_system import NumberSystem, System, number_system
from lasmlx.chip.tables import ONE, exp2_table, rsqrt_table, sigmoid_table
from lasmlx.chip.units import Calibration, LayerUnits, Units, calibrate, fixed_units, floats
from lasmlx.models.las import LAS

Floats = NDArray[np.float64]
LOG2E = 1 / math.log(2)
NORM_EPS = 1e-5


@dataclass(frozen=True)
class Options:
    """How a chip is to compute."""

    system: System = "int8"
    decay: Literal["table", "euler"] = "table"
    substeps: int = 0  # of the state equation; 0: as many as the model has
    state_bits: int = 0  # of h as it is stored; 0: the most
    rounding: Literal["nearest", "stochastic"] = "nearest"
    seed: int = 0  # of stochastic rounding


def quantize(
    model: Any, windows: NDArray[np.uint8], options: Options = Options(), *, calibration: Calibration = "mse"
) -> ChipModel:
    """A chip that computes what ``model`` does, in integers.

    Args:
        model: of the ``las`` family.
        windows: training bytes (b, t) to measure ranges on; q16 looks at none.
        calibration: see :func:`lasmlx.chip.units.calibrate`.

    Raises:
        ValueError: another family, exact zero-order hold, windows without bytes, or ranges that cannot be scaled by.
    """
    check_family(model)
    return assemble(model, measure(model, windows, options, calibration), options)


def check_family(model: Any) -> None:
    """Raise ValueError unless a chip can compute ``model``."""
    family = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    if family != "las":
        raise ValueError(f"chip: the model is of the '{family}' family, expected 'las': the chip has a bounded dt.")


def measure(model: LAS, windows: NDArray[np.uint8], options: Options, calibration: Calibration) -> Units:
    """What one of each integer is worth."""
    w = number_system(options.system, model.config.n)
    if options.system == "q16":
        return fixed_units(model, w)
    if windows.ndim != 2 or windows.size == 0:
        raise ValueError(f"chip: the calibration windows have shape {windows.shape}, expected (b, t) with bytes in it.")
    return calibrate(model, windows, w, calibration)


def assemble(model: LAS, units: Units, options: Options) -> ChipModel:
    """The integers of ``model`` in ``units``."""
    c, w = model.config, number_system(options.system, model.config.n)
    substeps = options.substeps or c.substeps
    if math.isinf(substeps):
        raise ValueError(
            "chip: the model takes exact zero-order hold (substeps inf), a chip whole sub-steps: say how many."
        )
    table = floats(model.embedding.table())
    one = units.u if options.system == "q16" else np.abs(table).max() / 127
    shift = 0 if options.system == "q16" else int(np.clip(math.ceil(math.log2(one / units.u)), 0, 8))
    u = one / 2**shift
    dt_unit = c.dt_max / 65535
    rates = [np.exp(floats(block.mixer.A_log)) * dt_unit / substeps for block in model.blocks]
    if options.decay == "table":
        rates = [a * LOG2E for a in rates]
    decay_shift = int(np.clip(math.floor(math.log2(65535 / (max(a.max() for a in rates) * ONE))), 0, 31))
    config = ChipConfig(
        system=options.system, d=c.d, layers=c.layers, e=c.e, n=c.n, k=c.k, rank=c.dt_rank,
        decay=options.decay, substeps=int(substeps), state_bits=options.state_bits or w.state,
        rounding=options.rounding, seed=options.seed,
        dt_min=round(c.dt_min / dt_unit), dt_range=65535 - round(c.dt_min / dt_unit), dt_unit=dt_unit,
        decay_shift=decay_shift, eps=max(1, round(NORM_EPS * c.d / (u * 2**w.norm_right) ** 2)),
        embedding_shift=shift, logit_fraction=w.fraction,
    )  # fmt: skip
    pack = _Packer(config, w)
    pack.arrays["embedding"] = pack.whole("embedding", table / one)
    for i, (block, unit, rate) in enumerate(zip(model.blocks, units.layers, rates, strict=True)):
        _pack_layer(pack, f"layers.{i}.", block, unit, u, rate)
    pack.scale("norm", 2.0**-w.norm_fraction * math.sqrt(c.d) * floats(model.norm.weight) / units.norm, bits=30)
    pack.linear("head", floats(model.head_weight()), units.norm, np.full(256, 2.0**-w.fraction))
    return ChipModel(config, pack.arrays)


def _pack_layer(pack: _Packer, at: str, block: Any, unit: LayerUnits, u: float, rate: Floats) -> None:
    c, w, m = pack.config, pack.system, block.mixer
    lane = 2.0**-w.fraction
    lanes = np.full(c.e, lane)
    pack.scale(at + "norm", 2.0**-w.norm_fraction * math.sqrt(c.d) * floats(block.norm.weight) / unit.norm, bits=30)
    pack.linear(at + "in_proj", floats(m.in_proj.weight), unit.norm, np.concatenate([unit.conv, lanes]))
    pack.linear(at + "conv", floats(m.conv.weight), unit.conv[:, None], lanes, bias=floats(m.conv.bias))
    pack.scale(at + "x", lane / unit.x)
    mixed = np.concatenate([unit.low, np.full(c.n, unit.B), np.full(c.n, unit.C)])
    pack.linear(at + "x_proj", floats(m.x_proj.weight), unit.x, mixed)
    pack.linear(at + "dt_proj", floats(m.dt_proj.weight), unit.low, lanes, bias=floats(m.dt_proj.bias))
    pack.arrays[at + "A"] = np.round(rate * ONE * 2.0**c.decay_shift).clip(0, 65535).astype(np.uint16)
    drive = unit.h * 2.0 ** (w.drive_left - w.drive_right) / unit.B
    pack.scale(at + "drive", c.dt_unit * lane / c.substeps / drive)
    pack.scale(at + "read", unit.C * unit.h * 2.0**w.read_right / unit.y)
    pack.scale(at + "skip", floats(m.D) * lane / unit.y, bits=30)
    pack.scale(at + "gate", unit.y * lane / unit.gate)
    pack.linear(at + "out_proj", floats(m.out_proj.weight), unit.gate, np.full(c.d, u))


class _Packer:
    """Arrays of a chip, as they come together."""

    def __init__(self, config: ChipConfig, system: NumberSystem) -> None:
        self.config, self.system = config, system
        self._layout = layout(config)
        self.arrays: Arrays = {
            "tables.sigmoid": sigmoid_table(),
            "tables.exp2": exp2_table(),
            "tables.rsqrt": rsqrt_table(),
        }

    def whole(self, name: str, values: Floats) -> NDArray[Any]:
        """Rounded, in the type of the array ``name``, of both signs alike."""
        dtype = self._layout[name][1]
        most = np.iinfo(dtype).max
        return np.round(values).clip(-most, most).astype(dtype)

    def linear(self, name: str, weight: Floats, reads: Floats, writes: Floats, bias: Floats | None = None) -> None:
        """Integers of ``weight`` between activations in the unit ``reads`` and outputs in the unit ``writes``."""
        if self.config.system == "q16":
            one = np.full(len(weight), 2.0**-16)
            weight, sums = weight / one[:, None], one * 2.0**-16
        else:
            weight = weight * reads
            one = np.maximum(np.abs(weight).max(1), 1e-30) / 127
            weight, sums = weight / one[:, None], one
        self.arrays[f"{name}.weight"] = self.whole(f"{name}.weight", weight)
        self.scale(name, sums / writes)
        if bias is not None:
            self.arrays[f"{name}.bias"] = self.whole(f"{name}.bias", bias / sums)

    def scale(self, name: str, ratio: Floats, bits: int = 15) -> None:
        """``ratio`` as a multiplier over a power of two; ``bits`` of it where the number system has them."""
        bits = min(bits, self.system.multiplier - 1)
        size = np.maximum(np.abs(ratio), 2.0**-60)
        shift = np.clip(bits - 1 - np.floor(np.log2(size)), 1, 46)
        multiplier = np.round(ratio * 2.0**shift)
        if np.abs(multiplier).max() > 2**bits:
            raise ValueError(f"chip: {name} needs a gain of {np.abs(ratio).max():.3g}, more than a multiplier holds.")
        multiplier = multiplier.clip(1 - 2**bits, 2**bits - 1).astype(np.int64)
        shift = shift.astype(np.int64)
        while (even := (multiplier % 2 == 0) & (shift > 1)).any():
            multiplier[even] //= 2
            shift[even] -= 1
        self.arrays[f"{name}.multiplier"] = multiplier.astype(self._layout[f"{name}.multiplier"][1])
        self.arrays[f"{name}.shift"] = shift.astype(np.uint8)
