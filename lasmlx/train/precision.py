"""Computing in 16 bits what is kept in 32: the parameters, their gradients and the optimizer stay float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_map, tree_map_with_path

from lasmlx.models.tree import flat

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES: dict[Precision, mx.Dtype] = {"float32": mx.float32, "bfloat16": mx.bfloat16, "float16": mx.float16}

# What says how fast a state decays or an angle turns: 8 bits of it would move it by a third of a per cent.
KEPT = {"A_log", "D", "beta", "theta", "kappa", "rho", "log_tau", "log_temperature", "frequency", "phase"}

FIRST_SCALE = 2.0**15
GROW_AFTER = 1000  # steps without an overflow


@contextmanager
def computing_in(model: nn.Module, precision: Precision) -> Iterator[None]:
    """Inside, the model's parameters are of this type; gradients pass through the conversion to the float32 ones."""
    if precision == "float32":
        yield
        return
    masters = model.trainable_parameters()

    def lowered(path: str, value: mx.array) -> mx.array:
        return value if path.rpartition(".")[2] in KEPT else value.astype(DTYPES[precision])

    model.update(tree_map_with_path(lowered, masters))
    try:
        yield
    finally:
        model.update(masters)


class LossScale:
    """What float16 gradients are multiplied by, so that small ones do not vanish.

    Halved at every overflow, whose step is left out; doubled after 1,000 steps without one. Elsewhere it stays 1.

    Source: Micikevicius et al. 2018, Mixed precision training, section 3.2.
    """

    def __init__(self, precision: Precision) -> None:
        self._moves = precision == "float16"
        self.state = {"scale": mx.array(FIRST_SCALE), "calm": mx.array(0)} if self._moves else {}

    @property
    def value(self) -> mx.array:
        """The factor, float32."""
        return self.state["scale"] if self._moves else mx.array(1.0)

    def unscaled(self, gradients: Any) -> Any:
        """The gradients as they are without the factor."""
        return tree_map(lambda g: g / self.value, gradients) if self._moves else gradients

    def accepts(self, gradients: Any) -> bool:
        """Whether these gradients are finite; the factor moves accordingly. Without float16 all are accepted.

        Below a factor of 1 nothing is left to halve: then they are accepted too, and the run ends on them.
        """
        if not self._moves:
            return True
        finite = mx.array(True)
        for g in flat(gradients).values():
            finite = finite & mx.isfinite(g).all()
        scale, calm = float(np.array(self.state["scale"])), int(np.array(self.state["calm"]))
        if finite.item():
            grows = calm + 1 == GROW_AFTER
            self._set(scale * 2 if grows else scale, 0 if grows else calm + 1)
            return True
        self._set(scale / 2, 0)
        return scale < 1

    def _set(self, scale: float, calm: int) -> None:
        self.state["scale"], self.state["calm"] = mx.array(scale), mx.array(calm)
