"""What one of each integer is worth: measured on data for int8, fixed for q16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.chip.forward import forward
from lasmlx.chip.number_system import NumberSystem
from lasmlx.models.las import LAS

Floats = NDArray[np.float64]
Calibration = Literal["percentile", "mse"]

PIECE = 8  # bytes between two looks at h
ROWS = 4096  # of each tensor that are kept
PERCENTILE = 99.995
CLIPPED = 1e-5  # share of activations that the search may clip
HEADROOM = {"u": 1.5, "h": 2.0, "y": 1.5, "B": 1.25, "C": 1.25, "block": 2.0, "drive": 1.5, "activation": 1.1}


@dataclass(frozen=True)
class LayerUnits:
    """Real value of one, a channel each."""

    norm: Floats  # (d,)
    conv: Floats  # (e,)
    x: Floats  # (e,)
    low: Floats  # (rank,)
    B: float
    C: float
    h: Floats  # (e,)
    y: Floats  # (e,)
    gate: Floats  # (e,)


@dataclass(frozen=True)
class Units:
    """Real value of one, a tensor each."""

    u: float
    norm: Floats  # (d,)
    layers: list[LayerUnits]


def fixed_units(model: LAS, w: NumberSystem) -> Units:
    """2^-fraction everywhere."""
    c, one = model.config, 2.0**-w.fraction
    d, e, r = np.full(c.d, one), np.full(c.e, one), np.full(c.dt_rank, one)
    return Units(one, d, [LayerUnits(d, e, e, r, one, one, e, e, e) for _ in range(c.layers)])


def calibrate(model: LAS, windows: NDArray[np.uint8], w: NumberSystem, method: Calibration = "mse") -> Units:
    """Units that fit what the model does on ``windows``.

    Args:
        windows: bytes (b, t) of the training data.
        method: ``"percentile"`` takes the 99.995th of each activation's magnitudes as its range; ``"mse"`` searches,
            for each matrix, the clipping and the share of the range that moves from activations to weights, for the
            least square error of its product (SmoothQuant's migration, Xiao et al. 2023).

    Raises:
        ValueError: a tensor is not finite or zero throughout, so that there is no range to scale by.
    """
    seen = _observe(model, windows)
    weights: dict[str, Floats] = {"norm": floats(model.head_weight())}
    for i, block in enumerate(model.blocks):
        m = block.mixer
        pairs = (("norm", m.in_proj), ("x", m.x_proj), ("low", m.dt_proj), ("gate", m.out_proj))
        weights |= {f"layers.{i}.{name}": floats(linear.weight) for name, linear in pairs}

    def ranges(name: str) -> Floats:
        """The largest magnitude of every channel, or one that few pass; of a channel that hardly moves, a share."""
        largest = seen.largest[name] * HEADROOM["activation"]
        top = largest if method == "mse" else np.percentile(np.abs(seen.rows[name]), PERCENTILE, axis=0)
        return np.maximum(top, 1e-3 * top.max())

    def activation(name: str) -> Floats:
        rows, matrix, top = seen.rows[name], weights[name], ranges(name)
        return _searched(rows, top, matrix, w) if method == "mse" else _smoothed(top, matrix, w, 0.5)

    def blocks(name: str) -> Floats:
        """Of lanes that become activations with a shared exponent: the shape counts, the size has headroom."""
        rows, matrix, top = seen.rows[name], weights[name], ranges(name)
        shape = _searched(rows, top, matrix, w, shared=True) if method == "mse" else _smoothed(top, matrix, w, 0.5)
        most = (seen.largest[name] / shape).max() * HEADROOM["block"]
        return shape * (most / (2.0 ** (w.lane - 1) - 1))

    def lanes(name: str, bits: int) -> Floats:
        top = seen.largest[name] * HEADROOM[name.rsplit(".", 1)[-1]]
        return np.maximum(top, 1e-3 * top.max()) / (2.0 ** (bits - 1) - 1)

    def states(at: str, B: float) -> Floats:
        """Of h: its range fits, and so does what one element adds, the drive's range times 2^left."""
        drive = seen.largest[f"{at}drive"] * HEADROOM["drive"] / (2.0 ** (w.drive - 1) - 1)
        return np.maximum(lanes(f"{at}h", w.state), drive * B / 2.0 ** (w.drive_left - w.drive_right))

    mixes = [tuple(float(lanes(f"layers.{i}.{name}", w.mix).max()) for name in "BC") for i in range(len(model.blocks))]
    layers = [
        LayerUnits(
            norm=activation(f"layers.{i}.norm"),
            conv=ranges(f"layers.{i}.conv") / 127,
            x=activation(f"layers.{i}.x"),
            low=blocks(f"layers.{i}.low"),
            B=B,
            C=C,
            h=states(f"layers.{i}.", B),
            y=lanes(f"layers.{i}.y", w.lane),
            gate=blocks(f"layers.{i}.gate"),
        )
        for i, (B, C) in enumerate(mixes)
    ]
    return Units(float(lanes("u", w.lane).max()), activation("norm"), layers)


class _Observations:
    """A tap that keeps some rows of every tensor, and the largest magnitude of every channel."""

    def __init__(self, share: float) -> None:
        self._random, self._share = np.random.default_rng(0), share
        self._kept: dict[str, list[Floats]] = {}
        self.largest: dict[str, Floats] = {}

    def __call__(self, name: str, x: mx.array) -> mx.array:
        if name.endswith((".weight", "embedding")):
            return x
        values = floats(mx.abs(x).max(axis=-1) if name.endswith(".h") else x)  # h (b, e, n) has a unit a channel
        flat = values.reshape(-1, values.shape[-1])
        if not np.isfinite(flat).all():
            raise ValueError(f"chip: {name} is not finite on the calibration data; the model has diverged.")
        top = np.abs(flat).max(0)
        self.largest[name] = np.maximum(self.largest.get(name, top), top)
        if name.endswith(("norm", ".conv", ".x", ".low", ".gate")):
            chosen = self._random.random(len(flat)) < self._share
            self._kept.setdefault(name, []).append(flat[chosen])
        return x

    @property
    def rows(self) -> dict[str, Floats]:
        return {name: np.concatenate(parts) for name, parts in self._kept.items()}


def _observe(model: LAS, windows: NDArray[np.uint8]) -> _Observations:
    b, t = windows.shape
    seen = _Observations(min(1.0, ROWS / (b * t)))
    state = model.init_state(b)
    for start in range(0, t, PIECE):
        logits, state = forward(model, mx.array(windows[:, start : start + PIECE]), state, seen)
        mx.eval(logits, state)
    for name, top in seen.largest.items():
        if not top.max() > 0:
            raise ValueError(f"chip: {name} is 0 on all of the calibration data; there is no range to scale it by.")
    return seen


def _smoothed(top: Floats, matrix: Floats, w: NumberSystem, alpha: float, clip: float = 1.0) -> Floats:
    """Units of activations: ``top^alpha / column^(1 - alpha)``, sized so that the widest channel just fits."""
    column = np.abs(matrix).max(0)
    shape = top**alpha / np.maximum(column, 1e-3 * column.max()) ** (1 - alpha)
    return shape * (clip * (top / shape).max() / (2.0 ** (w.activation - 1) - 1))


def _searched(rows: Floats, top: Floats, matrix: Floats, w: NumberSystem, shared: bool = False) -> Floats:
    """The units with the least square error of ``rows @ matrix.T`` among those that hardly clip.

    Args:
        shared: every row has an exponent of its own, so that clipping is no choice.
    """
    exact, best, chosen = rows @ matrix.T, np.inf, None
    most = 2.0 ** (w.activation - 1)
    for alpha in (0.25, 0.4, 0.5, 0.6, 0.75, 1.0):
        for clip in (1.0,) if shared else (1.0, 0.9, 0.8, 0.7):
            unit = _smoothed(top, matrix, w, alpha, clip)
            exponent = _exponents(rows / unit, most) if shared else np.ones((len(rows), 1))
            q = np.round(rows / unit / exponent)
            limited = np.clip(q, -most, most - 1)
            if clip < 1 and (q != limited).mean() > CLIPPED:
                break
            weight = matrix * unit
            one = np.maximum(np.abs(weight).max(1, keepdims=True), 1e-30) / 127
            error = float((((limited * exponent) @ (np.round(weight / one) * one).T - exact) ** 2).mean())
            if error < best:
                best, chosen = error, unit
    assert chosen is not None  # clip 1.0 is always taken
    return chosen


def _exponents(rows: Floats, top: float) -> Floats:
    """2^e (b, 1): the least power of two that brings a row within ``top``; below 1 too, as lanes have bits to spare."""
    return np.exp2(np.ceil(np.log2(np.maximum(np.abs(rows).max(1, keepdims=True), 1e-30) / top)))


def floats(x: mx.array) -> Floats:
    """x in float64, in NumPy."""
    return np.array(x.astype(mx.float32)).astype(np.float64)
