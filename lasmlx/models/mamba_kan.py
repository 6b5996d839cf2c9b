"""A liquid layer, then selective scans and Kolmogorov-Arnold layers in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import mlx.core as mx
import mlx.nn as nn

from lasmlx.layers import BoundedTau, KANLinear, LiquidCell, Mamba, MambaState, RMSNorm, Stack, plain_mamba
from lasmlx.models.cells import CellsConfig, SequenceModel, TextModel
from lasmlx.models.config import expect
from lasmlx.ops.bspline import HIGHEST_DEGREE


@dataclass(frozen=True)
class MambaKANConfig(CellsConfig):
    """Sizes of a ``mamba-kan``."""

    model_type: ClassVar[str] = "mamba-kan"

    kan: Literal["spline", "mlp"] = "spline"  # mlp: the twin
    grid: int = 5  # intervals of a spline
    degree: int = 3
    reach: float = 3.0  # the grid is -reach .. reach, of what a norm leaves
    inner: int = 0  # width inside the MLP; 0: as many parameters as the splines have
    n: int = 16  # states a channel of the scan
    k: int = 4  # taps of its convolution
    expand: int = 2  # its inner channels are expand hidden
    tau_min: float = 1.0  # s, of the liquid layer
    tau_max: float = 10.0
    l1: float = 0.0  # what the loss pays for KANLinear.l1, summed over the layers
    entropy: float = 0.0  # for KANLinear.entropy

    def __post_init__(self) -> None:
        super().__post_init__()
        family = self.model_type
        expect(family, "kan", self.kan, self.kan in ("spline", "mlp"), "spline or mlp")
        for name in ("grid", "n", "k", "expand"):
            value = getattr(self, name)
            expect(family, name, value, value >= 1, "at least 1")
        expect(family, "degree", self.degree, 0 <= self.degree <= HIGHEST_DEGREE, f"0 to {HIGHEST_DEGREE}")
        expect(family, "reach", self.reach, 0 < self.reach < math.inf, "above 0")
        expect(family, "inner", self.inner, self.inner >= 0, "0 (for as many parameters as the splines) or more")
        bounds = (self.tau_min, self.tau_max)
        expect(
            family, "(tau_min, tau_max)", bounds, 0 < self.tau_min < self.tau_max < math.inf, "0 < tau_min < tau_max"
        )
        for name in ("l1", "entropy"):
            value = getattr(self, name)
            expect(family, name, value, 0 <= value < math.inf, "0 or more")
            expect(family, name, value, self.kan == "spline" or value == 0, "0 with kan = mlp, which has no splines")


class SiLUMLP(nn.Module):
    """``y = W2 silu(W1 x + b1) + b2``.

    Args:
        d: width of x and y. inner: of what is between.
    """

    def __init__(self, d: int, inner: int) -> None:
        super().__init__()
        self.up = nn.Linear(d, inner)
        self.down = nn.Linear(inner, d)

    def __call__(self, x: mx.array) -> mx.array:
        """(..., d) to (..., d)."""
        y: mx.array = self.down(nn.silu(self.up(x)))
        return y


class MambaKANBlock(nn.Module):
    """``u = x + mixer(norm(x))``, ``y = u + kan(norm(u))``; a cell whose elements have no duration.

    A mask may be False behind the end of a sequence only, as the scan does not look at it: what is before the end does
    not change, the state after it is not that of the end.

    Args:
        d: width of x and y.
        mixer: over time.
        kan: from d to d, element by element.
    """

    def __init__(self, d: int, mixer: Mamba, kan: KANLinear | SiLUMLP) -> None:
        super().__init__()
        self.mixer_norm, self.mixer = RMSNorm(d), mixer
        self.kan_norm, self.kan = RMSNorm(d), kan

    def init_state(self, b: int) -> MambaState:
        """The state before the first element."""
        return self.mixer.init_state(b)

    def __call__(
        self, x: mx.array, state: MambaState | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, MambaState]:
        """(b, t, d) and the state before it to (b, t, d) and the state after it."""
        u, state = self.mixed(x, state)
        return u + self.kan(self.kan_norm(u)), state

    def mixed(self, x: mx.array, state: MambaState | None = None) -> tuple[mx.array, MambaState]:
        """u, (b, t, d), and the state after it."""
        y, state = self.mixer(self.mixer_norm(x), state)
        return x + y, state


class _Regularised:
    """The part of a model that follows from its splines."""

    stack: Any
    config: Any

    @property
    def kans(self) -> list[KANLinear]:
        """The layers of splines, the first block's first; none in the twin."""
        return [block.kan for block in self.stack.cells[1:] if isinstance(block.kan, KANLinear)]

    def learn(self, x: mx.array, state: Any = None, **where: Any) -> tuple[mx.array, Any, mx.array]:
        """As calling, with ``l1`` and ``entropy`` times what the splines weigh over their grids beside."""
        y, state, cost = super().learn(x, state, **where)  # type: ignore[misc]
        for weight, name in ((self.config.l1, "l1"), (self.config.entropy, "entropy")):
            if weight:
                cost = cost + weight * mx.stack([getattr(kan, name)() for kan in self.kans]).sum()
        return y, state, cost

    def _received(self, h: mx.array, **where: Any) -> list[mx.array]:
        """What each layer of splines receives, if the liquid layer receives h (b, t, inputs)."""
        liquid, *blocks = self.stack.cells
        h, _ = liquid(h, **where)
        received = []
        for block in blocks:
            u, _ = block.mixed(h)
            received.append(block.kan_norm(u))
            h = u + block.kan(received[-1])
        return received if self.kans else []


class TextMambaKAN(_Regularised, TextModel):
    """Bytes or tokens (b, t) to logits of the next (b, t, vocab)."""

    def kan_inputs(self, x: mx.array) -> list[mx.array]:
        """What each layer of splines receives while the model reads x from its initial state: (b, t, hidden) each."""
        return self._received(self.embedding(x), dt=self._steps(x))


class SequenceMambaKAN(_Regularised, SequenceModel):
    """Vectors (b, t, inputs) to what is known of the sequence after each of them, (b, t, outputs)."""

    def kan_inputs(self, x: mx.array, *, dt: Any = 1.0, mask: mx.array | None = None) -> list[mx.array]:
        """What each layer of splines receives while the model reads x from its initial state: (b, t, hidden) each.

        Args:
            dt, mask: as calling.
        """
        return self._received(self._scaled(x), dt=dt, mask=mask)


class LiquidMambaKAN(nn.Module):
    """What a ``mamba-kan`` says of whole sequences: (b, t, input_dim) to (b, output_dim), after the last element.

    Args:
        input_dim, d_model, num_layers, output_dim: ``inputs``, ``hidden``, ``layers``, ``outputs``.
        settings: others of :class:`MambaKANConfig`.
    """

    def __init__(self, input_dim: int, d_model: int, num_layers: int, output_dim: int, **settings: Any) -> None:
        super().__init__()
        expect("LiquidMambaKAN", "input_dim", input_dim, input_dim >= 1, "at least 1")
        config = MambaKANConfig(inputs=input_dim, hidden=d_model, layers=num_layers, outputs=output_dim, **settings)
        self.model: Any = make_mamba_kan(config)

    def __call__(self, x: mx.array, *, dt: Any = 1.0, mask: mx.array | None = None) -> mx.array:
        """(b, t, input_dim) to (b, output_dim).

        Args:
            dt, mask: see :class:`lasmlx.models.cells.SequenceModel`.
        """
        y, _ = self.model(x, dt=dt, mask=mask)
        return y[:, -1]


def make_mamba_kan(config: MambaKANConfig) -> TextMambaKAN | SequenceMambaKAN:
    """A model of bytes or tokens if there are no input channels, of vectors otherwise."""
    inputs, d = config.widths[0], config.hidden
    liquid = LiquidCell(inputs, d, BoundedTau(inputs, d, config.tau_min, config.tau_max), solver="fused")
    stack = Stack([liquid, *(_block(config) for _ in range(config.layers))])
    return SequenceMambaKAN(config, stack) if config.inputs else TextMambaKAN(config, stack)


def _block(config: MambaKANConfig) -> MambaKANBlock:
    d = config.hidden
    mixer = plain_mamba(d, n=config.n, k=config.k, expand=config.expand)
    return MambaKANBlock(d, mixer, _splines(config) if config.kan == "spline" else _twin(config))


def _splines(config: MambaKANConfig) -> KANLinear:
    reach = config.reach
    return KANLinear(config.hidden, config.hidden, grid=config.grid, degree=config.degree, low=-reach, high=reach)


def _twin(config: MambaKANConfig) -> SiLUMLP:
    """Of splines' d^2 (grid + degree + 1) parameters, as nearly as (2 d + 1) inner + d comes to them."""
    d = config.hidden
    splines = d * d * (config.grid + config.degree + 1)
    return SiLUMLP(d, config.inner or max(1, round((splines - d) / (2 * d + 1))))
