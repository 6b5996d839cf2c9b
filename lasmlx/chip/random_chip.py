"""Chips of random integers: whatever their sizes and values, every realisation must agree on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lasmlx.chip.chip_model import Arrays, ChipConfig, ChipModel, layout
from lasmlx.chip.number_system import number_system
from lasmlx.chip.tables import exp2_table, rsqrt_table, sigmoid_table


def random_chip(seed: int, **settings: Any) -> ChipModel:
    """A chip whose lanes are well used and sometimes saturate.

    Args:
        seed: one seed, one chip.
        settings: of :class:`ChipConfig`; what is left out is drawn.
    """
    random = np.random.default_rng(seed)
    draw: dict[str, Any] = {
        "system": "int8",
        "d": int(random.integers(1, 40)),
        "layers": int(random.integers(1, 4)),
        "e": int(random.integers(1, 48)),
        "n": int(random.integers(1, 20)),
        "k": int(random.integers(1, 6)),
        "rank": int(random.integers(1, 6)),
        "decay": str(random.choice(["table", "euler"])),
        "substeps": int(random.choice([1, 1, 2, 4])),
        "rounding": str(random.choice(["nearest", "stochastic"])),
        "seed": int(random.integers(1 << 32)),
        "dt_min": int(random.integers(2000)),
        "dt_range": int(random.integers(60000)),
        "decay_shift": int(random.integers(8, 18)),
        "eps": int(random.integers(1, 1000)),
    } | settings
    wide = draw["system"] == "q16"
    draw.setdefault("state_bits", 32 if wide else int(random.choice([12, 16, 24, 31])))
    draw.setdefault("embedding_shift", 0 if wide else int(random.integers(9)))
    config = ChipConfig(**draw)
    arrays = {name: _fill(random, name, shape, dtype, wide) for name, (shape, dtype) in layout(config).items()}
    _rescale(random, config, arrays)
    return ChipModel(config, arrays)


def _fill(
    random: np.random.Generator, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], wide: bool
) -> NDArray[Any]:
    tables = {"tables.sigmoid": sigmoid_table, "tables.exp2": exp2_table, "tables.rsqrt": rsqrt_table}
    if name in tables:
        return tables[name]()
    if name.endswith(".A"):
        return np.exp(random.uniform(0, np.log(65536), shape)).astype(dtype)
    if name.endswith((".multiplier", ".shift")):
        return np.ones(shape, dtype)
    if name.endswith(".bias"):
        return random.integers(-(1 << 18) if wide else -3000, (1 << 18) if wide else 3000, shape).astype(dtype)
    if wide:
        return np.round(random.normal(0, 30000, shape)).astype(dtype)
    return random.integers(-127, 128, shape).astype(dtype)


def _rescale(random: np.random.Generator, config: ChipConfig, arrays: Arrays) -> None:
    """Multipliers that bring each stage's usual size to a good share of its width, a few of them beyond it."""
    w = number_system(config.system, config.n)
    if config.system == "q16":
        for name in [name.removesuffix(".shift") for name in arrays if name.endswith(".shift")]:
            kind = name.rsplit(".", 1)[-1]
            shift = {"norm": 10, "drive": 30, "x": 12, "skip": 14}.get(kind, 16)
            fixed = kind in ("read", "gate") or f"{name}.weight" in arrays
            high = 2 if fixed else 1 << 14
            shape = arrays[f"{name}.multiplier"].shape
            arrays[f"{name}.multiplier"] = random.integers(1, high, shape).astype(np.int32)
            arrays[f"{name}.shift"] = np.full(shape, shift, np.uint8)
        return
    for name in [name.removesuffix(".shift") for name in arrays if name.endswith(".shift")]:
        kind = name.rsplit(".", 1)[-1]
        usual, target = _usual(config, arrays, name, kind), _target(w, kind)
        shape = arrays[f"{name}.multiplier"].shape
        ratio = target / usual * np.exp(random.uniform(-1.5, 1.0, shape))
        shift = np.clip(14 - np.ceil(np.log2(ratio)), 1, 46)
        multiplier = np.clip(np.round(ratio * 2.0**shift), 1, 32767)
        if kind == "skip":
            multiplier *= random.choice([-1, 1], shape)
        arrays[f"{name}.multiplier"], arrays[f"{name}.shift"] = multiplier.astype(np.int16), shift.astype(np.uint8)


def _usual(config: ChipConfig, arrays: Arrays, name: str, kind: str) -> float:
    if f"{name}.weight" in arrays:
        exponent = {"out_proj": 5, "dt_proj": 2}.get(kind, 0)  # of the block it reads, about
        return 73 * 40 * float(np.sqrt(arrays[f"{name}.weight"].shape[1])) * 2**exponent
    sizes = {"norm": 32768 / config.d**0.5, "x": 4000, "drive": 8000 * 4000, "skip": 4000, "gate": 8000 * 4000}
    return float(sizes[kind]) if kind != "read" else 1000 * 4000 * config.n**0.5


def _target(w: Any, kind: str) -> float:
    if kind in ("in_proj", "norm", "x"):
        return float(1 << (w.activation - 3))
    if kind == "x_proj":
        return float(1 << (w.mix - 4))
    return float(1 << (w.drive - 3)) if kind == "drive" else float(1 << (w.lane - 4))
