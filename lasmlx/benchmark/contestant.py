"""An op of ours on one set of inputs, as the timer and the parity check want it."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.benchmark.memory import peak_bytes

Results = dict[str, NDArray[np.float32]]


class Contestant:
    """``y = scan(arrays)``, and the gradients of ``sum(w y)`` with respect to all of them.

    Args:
        w: of the shape of y.
    """

    def __init__(
        self, name: str, scan: Callable[[dict[str, mx.array]], mx.array], arrays: Results, w: NDArray[np.float32]
    ) -> None:
        self.name, self._scan = name, scan
        self._arrays = {k: mx.array(v) for k, v in arrays.items()}
        self._w = mx.array(w)
        mx.eval(self._arrays, self._w)

    def forward(self) -> mx.array:
        """y, evaluated."""
        y = self._scan(self._arrays)
        mx.eval(y)
        return y

    def forward_backward(self) -> tuple[mx.array, dict[str, mx.array]]:
        """y and the gradients of ``sum(w y)``, evaluated."""

        def loss(arrays: dict[str, mx.array]) -> tuple[mx.array, mx.array]:
            y = self._scan(arrays)
            return (y * self._w).sum(), y

        (_, y), gradients = mx.value_and_grad(loss)(self._arrays)
        mx.eval(y, gradients)
        return y, gradients

    def results(self) -> Results:
        """y and every gradient by name."""
        y, gradients = self.forward_backward()
        return {"y": np.array(y)} | {f"d{k}": np.array(g) for k, g in gradients.items()}

    def peak_bytes(self) -> int:
        """What forward+backward takes beyond the inputs, by MLX's own count."""
        return peak_bytes(self.forward_backward)
