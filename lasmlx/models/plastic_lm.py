"""A language model whose synapses change on every token."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import mlx.core as mx

from lasmlx.layers import (
    BoundedTau,
    FixedLinear,
    LiquidCell,
    LiquidWithSynapses,
    LookupEmbedding,
    PlasticLinear,
    PlasticLiquidCell,
    RMSNorm,
    sinusoidal_positions,
)
from lasmlx.models.config import Config, expect, expect_vocabulary
from lasmlx.models.model import Model
from lasmlx.ops import Adaptive, Solver, Steps
from lasmlx.ops.ode import KERNEL_SOLVERS

RULES = ("none", "hebb", "oja", "delta")


@dataclass(frozen=True)
class PlasticLMConfig(Config):
    """Sizes, time constants and plasticity of a ``plastic-lm``."""

    model_type: ClassVar[str] = "plastic-lm"

    tokenizer: Literal["bytes", "gpt2", "sentencepiece"] = "bytes"
    vocab: int = 256
    d: int = 128  # width, and units a layer
    fast: int = 2  # liquid layers, one Euler step a token
    deep: int = 2  # plastic liquid layers
    solver: Solver = "midpoint"  # of the deep layers
    substeps: int = 3  # of the deep layers
    rule: Literal["none", "hebb", "oja", "delta"] = "delta"  # none: the deep layers have fixed synapses
    place: Literal["beside", "drive"] = "beside"  # of the plastic synapses: beside the cell, or W and U inside its tanh
    lag: int = 1  # 0: a trace links what is there at once; 1: what was there to what came next
    heads: int = 4  # traces a layer
    rank: int = 0  # width of keys that a learnt map makes, beside the cell; 0: the layer's input is its own key
    update: Literal["element", "substep"] = "element"  # of drive, when the trace changes: a token, or a sub-step
    tau_min: float = 1.0  # s
    tau_max: float = 30.0  # s
    dt: float = 1.0  # s, a token

    def __post_init__(self) -> None:
        family = self.model_type
        for name in ("d", "deep", "substeps", "heads"):
            value = getattr(self, name)
            expect(family, name, value, value >= 1, "at least 1")
        expect(family, "d", self.d, self.d % (2 * self.heads) == 0, f"an even multiple of heads = {self.heads}")
        expect(family, "fast", self.fast, self.fast >= 0, "0 or more")
        expect(family, "lag", self.lag, self.lag in (0, 1), "0 or 1")
        expect(family, "solver", self.solver, self.solver in KERNEL_SOLVERS, f"one of {', '.join(KERNEL_SOLVERS)}")
        expect(family, "rule", self.rule, self.rule in RULES, f"one of {', '.join(RULES)}")
        fits = self.rank >= 0 and self.rank % self.heads == 0 and (self.place == "beside" or not self.rank)
        expect(family, "rank", self.rank, fits, f"0, or a multiple of heads = {self.heads} with place = beside")
        expect(family, "place", self.place, self.place in ("beside", "drive"), "beside or drive")
        expect(family, "update", self.update, self.update in ("element", "substep"), "element or substep")
        expect_vocabulary(family, self.tokenizer, self.vocab)
        bounds = (self.tau_min, self.tau_max)
        expect(
            family, "(tau_min, tau_max)", bounds, 0 < self.tau_min < self.tau_max < math.inf, "0 < tau_min < tau_max"
        )
        expect(family, "dt", self.dt, 0 < self.dt <= self.tau_min, "seconds above 0 and at most tau_min")


class PlasticLMState(NamedTuple):
    """What the model remembers: where it is, and the state of each layer, traces included."""

    position: mx.array  # (b, 1), int32, tokens read
    layers: tuple[Any, ...]  # (b, d) of a liquid layer; with a trace and a key of a plastic one


class PlasticTrace(NamedTuple):
    """What a forward pass felt."""

    logits: mx.array  # (b, t, vocab)
    state: PlasticLMState  # after the last token
    tau: tuple[mx.array, ...]  # seconds, a layer each: (b, t, d)


class PlasticLM(Model):
    """Tokens (b, t) to logits of the next (b, t, vocab), and to other synapses.

    Embedding and sinusoidal positions; ``fast`` liquid layers and ``deep`` plastic ones, each ``x + cell(norm(x))``;
    norm; the embedding again as the head.
    """

    def __init__(self, config: PlasticLMConfig) -> None:
        super().__init__(config)
        self.embedding = LookupEmbedding(config.d, config.vocab)
        layers = config.fast + config.deep
        self.norms = [RMSNorm(config.d) for _ in range(layers)]
        self.cells = [_fast_cell(config) for _ in range(config.fast)] + [_deep_cell(config) for _ in range(config.deep)]
        self.norm = RMSNorm(config.d)

    def init_state(self, b: int) -> PlasticLMState:
        """The state before the first token, for a batch of b: traces of zeros."""
        cells = tuple(cell.init_state(b) for cell in self.cells)
        return PlasticLMState(mx.zeros((b, 1), mx.int32), cells)

    def __call__(self, x: mx.array, state: PlasticLMState | None = None) -> tuple[mx.array, PlasticLMState]:
        """Logits of the token after each token, and the state after the last.

        Args:
            x: tokens, (b, t).
            state: of :meth:`init_state` or an earlier call; the caller's.
        """
        logits, state, _ = self._through(x, state, lambda cell, u, before: (*cell(u, before, dt=self._steps(x)), None))
        return logits, state

    def trace(self, x: mx.array, state: PlasticLMState | None = None) -> PlasticTrace:
        """As calling, with every layer's time constants beside."""
        return PlasticTrace(*self._through(x, state, lambda cell, u, before: cell.traced(u, before, dt=self._steps(x))))

    def counted(
        self, x: mx.array, state: PlasticLMState | None = None, *, adaptive: Adaptive
    ) -> tuple[mx.array, PlasticLMState, tuple[mx.array, ...]]:
        """As calling, the deep layers by the adaptive solver, with the steps (b, t) that each layer took beside."""

        def run(cell: Any, u: mx.array, before: Any) -> tuple[Any, ...]:
            deep = any(cell is other for other in self.cells[self.config.fast :])
            return tuple(cell.counted(u, before, dt=self._steps(x), adaptive=adaptive if deep else None))

        return self._through(x, state, run)

    def traces(self, state: PlasticLMState) -> list[mx.array]:
        """The traces in a state, one a plastic layer, (b, g, m, n)."""
        return [s.trace for s in map(_synapses, state.layers) if s is not None]

    def forget(self, state: PlasticLMState) -> PlasticLMState:
        """The state with traces of zeros, all else as it was."""
        return state._replace(layers=tuple(_without_trace(s) for s in state.layers))

    def _steps(self, x: mx.array) -> Steps:
        return Steps(mx.full((*x.shape, 1), self.config.dt))

    def _through(self, x: mx.array, state: PlasticLMState | None, run: Any) -> tuple[mx.array, PlasticLMState, Any]:
        state = self.init_state(x.shape[0]) if state is None else state
        if len(state.layers) != len(self.cells):
            raise ValueError(
                f"state has {len(state.layers)} layers, expected {len(self.cells)}: make it with init_state(b)."
            )
        t = x.shape[1]
        positions = state.position + mx.arange(t, dtype=mx.int32)
        u, after, beside = self.embedding(x), [], []
        u = u + sinusoidal_positions(positions, self.config.d).astype(u.dtype)
        for norm, cell, before in zip(self.norms, self.cells, state.layers, strict=True):
            y, last, felt = run(cell, norm(u), before)
            u = u + y
            after.append(last)
            beside.append(felt)
        logits = self.norm(u) @ self.embedding.table().T
        return logits, PlasticLMState(state.position + t, tuple(after)), tuple(beside)


def _tau(config: PlasticLMConfig) -> BoundedTau:
    return BoundedTau(config.d, config.d, config.tau_min, config.tau_max)


def _fast_cell(config: PlasticLMConfig) -> LiquidCell:
    return LiquidCell(config.d, config.d, _tau(config), solver="euler", substeps=1)


def _deep_cell(config: PlasticLMConfig) -> Any:
    d = config.d
    how: Any = {"solver": config.solver, "substeps": config.substeps}
    plastic: Any = {"rule": config.rule, "lag": config.lag, "heads": config.heads}
    if config.place == "drive" and config.rule != "none":
        return PlasticLiquidCell(d, d, _tau(config), update=config.update, **plastic, **how)
    cell = LiquidCell(d, d, _tau(config), **how)
    if config.place == "drive":
        return cell
    return LiquidWithSynapses(
        cell, FixedLinear(d, d) if config.rule == "none" else PlasticLinear(d, d, rank=config.rank, **plastic)
    )


def _synapses(state: Any) -> Any:
    """The part of a layer's state that has a trace, or None."""
    if isinstance(state, tuple) and not hasattr(state, "trace"):
        state = state[1]
    return state if hasattr(state, "trace") else None


def _without_trace(state: Any) -> Any:
    part = _synapses(state)
    if part is None:
        return state
    empty = part._replace(trace=mx.zeros_like(part.trace))
    return empty if part is state else (state[0], empty)
