"""A whole model in integers: sizes, weights, scales, tables. A chip directory holds one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lasmlx.chip.number_system import NumberSystem, System, number_system
from lasmlx.chip.tables import EXP2_PIECES, ONE, RSQRT_PIECES, SIGMOID_PIECES
from lasmlx.models.config import build, expect
from lasmlx.models.files import FileError, load_arrays, save_arrays, write_atomically

Ints = NDArray[np.int64]
Scale = tuple[Ints, Ints]  # multiplier and shift of each channel
Arrays = dict[str, NDArray[Any]]

CHIP_FILE, ARRAYS_FILE = "chip.json", "chip.safetensors"
FORMAT, VERSION = "lasmlx chip", 1
MAX_SHIFT = 46
STEEPEST = 1 << 15  # of a table, from one entry to the next: both share 32 bits in the emulator


@dataclass(frozen=True)
class ChipConfig:
    """Sizes and constants of a chip; the integers are explained in docs/chip.md."""

    system: System = "int8"
    d: int = 64  # width
    layers: int = 2
    e: int = 128  # inner channels
    n: int = 16  # states a channel
    k: int = 4  # taps of the convolution
    rank: int = 4  # bottleneck of the time step
    decay: Literal["table", "euler"] = "table"
    substeps: int = 1  # of the state equation
    state_bits: int = 31  # of h as it is stored; 32 of a q16 chip
    rounding: Literal["nearest", "stochastic"] = "nearest"  # of h, where state_bits drops some
    seed: int = 0  # of stochastic rounding
    dt_min: int = 655  # in dt_unit
    dt_range: int = 64880
    dt_unit: float = 0.1 / 65535  # s; informative: no step needs it
    decay_shift: int = 12
    eps: int = 1  # added to the sum of squares of the norm
    embedding_shift: int = 0
    logit_fraction: int = 10  # logits are in 2^-logit_fraction

    def __post_init__(self) -> None:
        for name, low, high in (
            ("d", 1, 4096), ("layers", 1, 256), ("e", 1, 8192), ("n", 1, 256), ("k", 1, 64), ("rank", 1, 4096),
            ("substeps", 1, 1024), ("seed", 0, (1 << 32) - 1), ("dt_min", 0, 65535), ("decay_shift", 0, 31),
            ("dt_range", 0, 65535 - self.dt_min), ("eps", 1, (1 << 31) - 1), ("embedding_shift", 0, 16),
            ("logit_fraction", 0, 30),
        ):  # fmt: skip
            value = getattr(self, name)
            expect("a chip", name, value, low <= value <= high, f"{low} to {high}")
        for name, known in (
            ("system", ("int8", "q16")), ("decay", ("table", "euler")), ("rounding", ("nearest", "stochastic")),
        ):  # fmt: skip
            expect("a chip", name, getattr(self, name), getattr(self, name) in known, " or ".join(known))
        widest = number_system(self.system, self.n).state
        fits = self.state_bits == widest if self.system == "q16" else 2 <= self.state_bits <= widest
        expect("a chip", "state_bits", self.state_bits, fits, "32" if self.system == "q16" else f"2 to {widest}")


@dataclass(frozen=True)
class Linear:
    """y = scale(weight @ x)."""

    weight: Ints  # (out, in)
    scale: Scale  # (out,)


@dataclass(frozen=True)
class Layer:
    """The integers of one layer."""

    norm: Scale  # (d,)
    in_proj: Linear  # (2 e, d)
    conv: Ints  # (e, k), newest input last
    conv_bias: Ints  # (e,)
    conv_scale: Scale  # (e,)
    x_scale: Scale  # (e,)
    x_proj: Linear  # (rank + 2 n, e)
    dt_proj: Linear  # (e, rank)
    dt_bias: Ints  # (e,)
    A: Ints  # (e, n)
    drive_scale: Scale  # (e,)
    read_scale: Scale  # (e,)
    skip_scale: Scale  # (e,)
    gate_scale: Scale  # (e,)
    out_proj: Linear  # (d, e)


@dataclass(frozen=True)
class Tables:
    """Three curves in straight pieces, in 1/65536."""

    sigmoid: Ints  # (257,)
    exp2: Ints  # (65,)
    rsqrt: Ints  # (193,)


class ChipModel:
    """A model in integers. What it holds is checked once: no step of it can overflow.

    Args:
        config: sizes and constants.
        arrays: by the names and shapes of :func:`layout`.

    Raises:
        ValueError: an array is missing, has another shape or type, or a value that could overflow.
    """

    def __init__(self, config: ChipConfig, arrays: Arrays) -> None:
        self.config, self.system = config, number_system(config.system, config.n)
        self.arrays = _checked(config, self.system, arrays)

        def wide(name: str) -> Ints:
            return self.arrays[name].astype(np.int64)

        def scale(name: str) -> Scale:
            return wide(f"{name}.multiplier"), wide(f"{name}.shift")

        def linear(name: str) -> Linear:
            return Linear(wide(f"{name}.weight"), scale(name))

        self.embedding = wide("embedding")
        self.layers = [
            Layer(
                norm=scale(f"layers.{i}.norm"),
                in_proj=linear(f"layers.{i}.in_proj"),
                conv=wide(f"layers.{i}.conv.weight"),
                conv_bias=wide(f"layers.{i}.conv.bias"),
                conv_scale=scale(f"layers.{i}.conv"),
                x_scale=scale(f"layers.{i}.x"),
                x_proj=linear(f"layers.{i}.x_proj"),
                dt_proj=linear(f"layers.{i}.dt_proj"),
                dt_bias=wide(f"layers.{i}.dt_proj.bias"),
                A=wide(f"layers.{i}.A"),
                drive_scale=scale(f"layers.{i}.drive"),
                read_scale=scale(f"layers.{i}.read"),
                skip_scale=scale(f"layers.{i}.skip"),
                gate_scale=scale(f"layers.{i}.gate"),
                out_proj=linear(f"layers.{i}.out_proj"),
            )
            for i in range(config.layers)
        ]
        self.norm = scale("norm")
        self.head = linear("head")
        self.tables = Tables(wide("tables.sigmoid"), wide("tables.exp2"), wide("tables.rsqrt"))

    @property
    def size(self) -> int:
        """Number of weights: the matrices, the convolutions, A and the embedding."""
        return sum(v.size for name, v in self.arrays.items() if name.endswith((".weight", ".bias", ".A", "embedding")))

    def save(self, folder: str | Path) -> None:
        """Write ``chip.safetensors``, then ``chip.json`` with its checksum, each atomically."""
        import mlx.core as mx

        folder = Path(folder)
        path = folder / ARRAYS_FILE
        save_arrays(path, {name: mx.array(v) for name, v in self.arrays.items()}, {"format": FORMAT})
        values = {"format": FORMAT, "version": VERSION, "sha256": _digest(path)} | dataclasses.asdict(self.config)
        write_atomically(folder / CHIP_FILE, json.dumps(values, indent=2).encode() + b"\n")


def load_chip(folder: str | Path) -> ChipModel:
    """The chip saved in ``folder``.

    Raises:
        FileError: the folder, or a file in it, is missing, damaged or foreign.
    """
    folder = Path(folder)
    path = folder / CHIP_FILE
    if not path.is_file():
        raise FileError(f"{folder} has no {CHIP_FILE}: it is no chip directory; make one with `las chip quantize`.")
    try:
        values = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileError(f"{path} is damaged ({error}).") from None
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise FileError(f"{path} is damaged or foreign: it does not say it is a {FORMAT}.")
    version, digest = values.pop("version", None), values.pop("sha256", None)
    if version != VERSION:
        raise FileError(f"{path} is of version {version!r}, this lasmlx reads {VERSION}: quantise the run again.")
    config = build(ChipConfig, values, str(path))
    arrays, _ = load_arrays(folder / ARRAYS_FILE)
    if _digest(folder / ARRAYS_FILE) != digest:
        raise FileError(f"{folder / ARRAYS_FILE} is not the file that {CHIP_FILE} was written for; restore both.")
    try:
        return ChipModel(config, {name: np.array(v) for name, v in arrays.items()})
    except ValueError as error:
        raise FileError(f"{folder / ARRAYS_FILE} is damaged: {error}") from None


def layout(config: ChipConfig) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Name, shape and type of every array of a chip."""
    d, e, n, k, r = config.d, config.e, config.n, config.k, config.rank
    wide = config.system == "q16"
    weight = np.dtype(np.int32 if wide else np.int8)
    bias = np.dtype(np.int64 if wide else np.int32)
    multiplier = np.dtype(np.int32 if wide else np.int16)
    out: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {"embedding": ((256, d), weight)}

    def scale(name: str, size: int) -> None:
        out[f"{name}.multiplier"] = ((size,), multiplier)
        out[f"{name}.shift"] = ((size,), np.dtype(np.uint8))

    def linear(name: str, rows: int, columns: int) -> None:
        out[f"{name}.weight"] = ((rows, columns), weight)
        scale(name, rows)

    for i in range(config.layers):
        at = f"layers.{i}."
        scale(at + "norm", d)
        linear(at + "in_proj", 2 * e, d)
        linear(at + "conv", e, k)
        linear(at + "x_proj", r + 2 * n, e)
        linear(at + "dt_proj", e, r)
        linear(at + "out_proj", d, e)
        out[at + "conv.bias"] = out[at + "dt_proj.bias"] = ((e,), bias)
        out[at + "A"] = ((e, n), np.dtype(np.uint16))
        for name in ("x", "drive", "read", "skip", "gate"):
            scale(at + name, e)
    scale("norm", d)
    linear("head", 256, d)
    for name, pieces in (("sigmoid", SIGMOID_PIECES), ("exp2", EXP2_PIECES), ("rsqrt", RSQRT_PIECES)):
        out[f"tables.{name}"] = ((pieces + 1,), np.dtype(np.int32))
    return out


def _checked(config: ChipConfig, w: NumberSystem, arrays: Arrays) -> Arrays:
    expected = layout(config)
    for name in sorted(arrays.keys() - expected.keys()):
        raise ValueError(f"array {name!r} is not one of a chip with these sizes.")
    for name, (shape, dtype) in expected.items():
        if name not in arrays:
            raise ValueError(f"array {name!r} is missing.")
        got = arrays[name]
        if got.shape != shape or got.dtype != dtype:
            raise ValueError(f"{name} is {got.dtype} of shape {got.shape}, expected {dtype} of {shape}.")
    for name, values in arrays.items():
        if name.endswith(".shift") and not (values.min() >= 1 and values.max() <= MAX_SHIFT):
            raise ValueError(f"{name} holds {values.min()} to {values.max()}, expected 1 to {MAX_SHIFT}.")
        if name.endswith(".multiplier") and values.min() == np.iinfo(values.dtype).min:
            raise ValueError(f"{name} holds {values.min()}, expected more.")
        if name.endswith(".weight") and values.min() == np.iinfo(values.dtype).min:
            raise ValueError(f"{name} holds {values.min()}, expected weights of both signs alike.")
        if name.startswith("tables.") and not _is_curve(values, rising=name.endswith("sigmoid")):
            raise ValueError(f"{name} is no curve within 0 to {ONE}.")
    if int(np.abs(arrays["embedding"].astype(np.int64)).max()) << config.embedding_shift >= 1 << (w.lane - 1):
        raise ValueError(f"embedding, shifted by {config.embedding_shift}, does not fit {w.lane} bits.")
    _refuse_overflow(config, w, arrays)
    return {name: np.ascontiguousarray(arrays[name]) for name in expected}


def _is_curve(values: NDArray[Any], rising: bool) -> bool:
    steps = np.diff(values.astype(np.int64))
    even = ((steps >= 0) if rising else (steps <= 0)).all() and np.abs(steps).max() < STEEPEST
    return bool(values.min() >= 0 and values.max() <= ONE and even)


def _refuse_overflow(config: ChipConfig, w: NumberSystem, arrays: Arrays) -> None:
    """The largest sum of products, and its product with its multiplier, of every requantisation."""
    lane, activation = 1 << (w.lane - 1), 1 << (w.activation - 1)

    def expect_fits(name: str, largest: Any, multiplier: NDArray[Any] | None = None) -> None:
        m = arrays[f"{name}.multiplier"] if multiplier is None else multiplier
        sums = np.broadcast_to(np.asarray(largest, object), m.shape)
        for total, by in zip(sums, m.tolist(), strict=True):
            if int(total) >= 1 << (w.accumulator - 1) or int(total) * abs(by) + (1 << MAX_SHIFT) >= 1 << 63:
                raise ValueError(f"{name}: a sum as large as {total} times {by} overflows.")

    def sums_of(name: str, bias: str = "", exponent: int = 0) -> Any:
        total = np.abs(arrays[f"{name}.weight"].astype(np.int64)).sum(1).astype(object) * activation << exponent
        return total + np.abs(arrays[bias].astype(object)) if bias else total

    direction = (1 << w.norm_fraction) + 2
    expect_fits("norm", direction)
    expect_fits("head", sums_of("head"))
    for i in range(config.layers):
        at = f"layers.{i}."
        expect_fits(at + "norm", direction)
        exponent = w.lane - w.activation + 1  # the largest of a block
        for name in ("in_proj", "x_proj"):
            expect_fits(at + name, sums_of(at + name))
        expect_fits(at + "out_proj", sums_of(at + "out_proj", exponent=exponent if w.accumulator == 64 else 0))
        expect_fits(at + "conv", sums_of(at + "conv", at + "conv.bias"))
        expect_fits(at + "dt_proj", sums_of(at + "dt_proj", at + "dt_proj.bias", exponent))
        expect_fits(at + "x", lane)
        expect_fits(at + "drive", 65535 * lane - 1)
        expect_fits(at + "read", config.n << (w.mix + w.state - w.read_right - 2))
        expect_fits(at + "skip", lane)
        expect_fits(at + "gate", lane * lane)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
