"""The pure liquid network: liquid layers on top of each other, over bytes or over vectors at any times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import mlx.core as mx

from lasmlx.layers import BoundedTau, CfCCell, FullyConnected, LiquidCell, LTCCell, SoftTau, Stack
from lasmlx.models.cells import CellsConfig, SequenceModel, SequenceState, TextModel
from lasmlx.models.config import expect
from lasmlx.ops import Solver, time_steps

CELLS = ("liquid", "soft", "ltc", "cfc")


@dataclass(frozen=True)
class LNNConfig(CellsConfig):
    """Sizes and time constants of an ``lnn``."""

    model_type: ClassVar[str] = "lnn"

    cell: Literal["liquid", "soft", "ltc", "cfc"] = "liquid"
    tau_min: float = 1.0  # s; of liquid and soft cells
    tau_max: float = 100.0  # s; of soft cells the largest at the start
    solver: Solver = "fused"
    substeps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        expect("lnn", "substeps", self.substeps, self.substeps >= 1, "at least 1")
        expect("lnn", "cell", self.cell, self.cell in CELLS, f"one of {', '.join(CELLS)}")
        bounds = (self.tau_min, self.tau_max)
        expect("lnn", "(tau_min, tau_max)", bounds, 0 < self.tau_min < self.tau_max < math.inf, "0 < tau_min < tau_max")


class LNNTrace(NamedTuple):
    """What a forward pass felt."""

    y: mx.array  # (b, t, outputs)
    state: Any  # after the last element
    tau: tuple[mx.array, ...]  # seconds, a layer each: (b, t, units)


class ByteLNN(TextModel):
    """Bytes (b, t) to logits of the next byte (b, t, 256)."""

    def __init__(self, config: LNNConfig) -> None:
        super().__init__(config, _stack(config))

    def trace(self, x: mx.array, state: Any = None) -> LNNTrace:
        """As calling, with every layer's time constants beside."""
        h, state, tau = self.stack.traced(self.embedding(x), state, dt=self._steps(x))
        return LNNTrace(self.head(self.norm(h)), state, tau)


class SequenceLNN(SequenceModel):
    """Vectors (b, t, inputs) to what is known of the sequence after each of them, (b, t, outputs)."""

    def __init__(self, config: LNNConfig) -> None:
        super().__init__(config, _stack(config))

    def trace(
        self, x: mx.array, state: SequenceState | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> LNNTrace:
        """As calling, with every layer's time constants beside."""
        state = self.init_state(x.shape[0]) if state is None else state
        h, cells, tau = self.stack.traced(self._scaled(x), state.cells, dt=dt, mask=mask)
        y, state = self._read(h, cells, state, time_steps(dt, *x.shape[:2], mask=mask))
        return LNNTrace(y, state, tau)


def make_lnn(config: LNNConfig) -> ByteLNN | SequenceLNN:
    """A model of bytes if there are no input channels, of vectors otherwise."""
    return SequenceLNN(config) if config.inputs else ByteLNN(config)


def _stack(config: LNNConfig) -> Stack:
    return Stack([_cell(config, width) for width in config.widths])


def _cell(config: LNNConfig, inputs: int) -> Any:
    hidden, bounds = config.hidden, (config.tau_min, config.tau_max)
    if config.cell == "ltc":
        return LTCCell(FullyConnected(inputs, hidden, hidden), solver=config.solver, substeps=config.substeps)
    if config.cell == "cfc":
        return CfCCell(inputs, hidden, units=hidden)
    tau = BoundedTau(inputs, hidden, *bounds) if config.cell == "liquid" else SoftTau(inputs, hidden, hidden, *bounds)
    return LiquidCell(inputs, hidden, tau, solver=config.solver, substeps=config.substeps)
