"""A ``las`` model that rounds as the chip will, with gradients that pass: fine-tune it, then make the integers."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np

from lasmlx.chip.forward import forward
from lasmlx.chip.number_system import number_system
from lasmlx.chip.units import Units
from lasmlx.models.byte_model import ByteState
from lasmlx.models.las import LAS
from lasmlx.models.model import Model

Noise = Callable[[str, mx.array], mx.array]
"""(name, weight (out, in) as whole numbers of its units) to what an analog array makes of it."""


class FakeQuantized(Model):
    """``model`` with every activation, weight, B and C rounded to the int8 chip's integers.

    The gradient of a rounding is that of the identity where the value is in range, 0 where it saturates (the
    straight-through estimator, Bengio et al. 2013). It shares the parameters of ``model``: training one trains both.

    Args:
        units: of :func:`lasmlx.chip.units.calibrate`; they stay as they are.
        noise: added to the weights of every forward pass, for training with an analog part's faults.
    """

    def __init__(self, model: LAS, units: Units, noise: Noise | None = None) -> None:
        super().__init__(model.config)
        self.inner = model
        self._noise = noise
        w = number_system("int8", model.config.n)
        self._reads: dict[str, mx.array] = {"head": _float(units.norm)}
        self._rounds: dict[str, tuple[mx.array, int]] = {
            "norm": (_float(units.norm), w.activation),
            "u": (_float(units.u), w.lane),
        }
        self._blocks: dict[str, mx.array] = {}
        self._lane, self._activation = w.lane, w.activation
        for i, unit in enumerate(units.layers):
            at = f"layers.{i}."
            for name in ("norm", "conv", "x"):
                self._rounds[at + name] = (_float(getattr(unit, name)), w.activation)
            self._rounds[at + "B"], self._rounds[at + "C"] = (_float(unit.B), w.mix), (_float(unit.C), w.mix)
            self._blocks[at + "low"], self._blocks[at + "gate"] = _float(unit.low), _float(unit.gate)
            for matrix, source in (
                ("in_proj", unit.norm),
                ("x_proj", unit.x),
                ("dt_proj", unit.low),
                ("out_proj", unit.gate),
            ):
                self._reads[at + matrix] = _float(source)
            self._reads[at + "conv"] = _float(unit.conv)[:, None]

    def init_state(self, b: int) -> ByteState:
        """The state before the first byte."""
        return self.inner.init_state(b)

    def __call__(self, x: mx.array, state: ByteState | None = None) -> tuple[mx.array, ByteState]:
        """As the model, rounded."""
        return forward(self.inner, x, self.init_state(x.shape[0]) if state is None else state, self._tap)

    def _tap(self, name: str, x: mx.array) -> mx.array:
        if name.endswith(".weight"):
            return self._weight(name.removesuffix(".weight"), x)
        if name == "embedding":
            return _rounded(x, mx.stop_gradient(mx.abs(x).max()) / 127, 8)
        if name in self._blocks:
            return self._block(_rounded(x, self._blocks[name], self._lane), self._blocks[name])
        return _rounded(x, *self._rounds[name]) if name in self._rounds else x

    def _block(self, lanes: mx.array, unit: mx.array) -> mx.array:
        """Rounded once more, with an exponent that all channels share."""
        largest = mx.stop_gradient(mx.abs(lanes / unit).max(axis=-1, keepdims=True))
        bits = mx.floor(mx.log2(mx.maximum(largest, 1.0))) + 1
        one = mx.power(2.0, mx.maximum(bits - (self._activation - 1), 0))
        return _rounded(lanes, unit * one, self._activation)

    def _weight(self, matrix: str, weight: mx.array) -> mx.array:
        reads = self._reads[matrix]
        scaled = weight * reads
        one = mx.stop_gradient(mx.maximum(mx.abs(scaled).max(axis=1, keepdims=True), 1e-30)) / 127
        whole = _rounded(scaled / one, mx.array(1.0), 8)
        if self._noise is not None and not matrix.endswith("conv"):
            whole = self._noise(matrix, whole)
        return whole * one / reads


def _rounded(x: mx.array, unit: mx.array, bits: int) -> mx.array:
    top = 2.0 ** (bits - 1)
    limited = mx.clip(x / unit, -top, top - 1)
    return (limited + mx.stop_gradient(mx.round(limited) - limited)) * unit


def _float(x: object) -> mx.array:
    return mx.array(np.asarray(x, np.float32))
