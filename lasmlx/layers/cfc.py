"""Closed-form continuous-time cells: a liquid cell's solution written down instead of solved for."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from lasmlx.layers.liquid import checked_input
from lasmlx.layers.wiring import Wiring
from lasmlx.ops.cfc_scan import activation, cfc_scan, mix, rate_along
from lasmlx.ops.ode import Steps, time_steps

Mode = Literal["default", "no_gate", "pure"]


class GatedHead(nn.Module):
    """``h = (1 - s) tanh(f) + s tanh(g)``, ``s = sigmoid(a dt + b)``; f, g, a and b are linear in the features.

    The weight (4 hidden, features) holds f, g, a and b in this order. The sparsity (features, hidden), 1 where there is
    a synapse, cuts those of f and g. What stands for a time constant is ``1 / |a|``: the time in which the gate's
    argument moves by one.

    Source: Hasani et al. 2022, Closed-form continuous-time neural networks, eq. 4.
    """

    gate = True

    def __init__(self, features: int, hidden: int, sparsity: NDArray[Any] | None = None) -> None:
        super().__init__()
        self.weight = mx.concatenate([_xavier(hidden, features) for _ in range(4)])
        self.bias = mx.random.uniform(-1, 1, (4 * hidden,)) * features**-0.5
        self._present = None
        if sparsity is not None:
            whole = np.ones((2 * hidden, features))
            self._present = mx.array(np.concatenate([sparsity.T, sparsity.T, whole]).astype(np.float32))

    def __call__(self, features: mx.array, dt: mx.array) -> tuple[mx.array, mx.array]:
        """(b, features) and dt, seconds, (b, 1) or (b, hidden), to h and tau, (b, hidden) each."""
        f, g, a, b = mx.split(features @ self.present().T + self.bias, 4, axis=-1)
        return mix(mx.tanh(f), mx.tanh(g), mx.sigmoid(a * dt + b), self.gate), _finite_tau(mx.abs(a))

    def present(self) -> mx.array:
        """The weight, zero where there is no synapse."""
        return self.weight if self._present is None else self.weight * self._present


class UngatedHead(GatedHead):
    """``h = tanh(f) + s tanh(g)``: as :class:`GatedHead`, without the first gate."""

    gate = False


class PureHead(nn.Module):
    """``h = A - A exp(-dt (|w_tau| + |f|)) f``, f linear in the features; ``tau = 1 / (|w_tau| + |f|)``.

    Source: Hasani et al. 2022, eq. 2, without the bias of the decay.
    """

    def __init__(self, features: int, hidden: int, sparsity: NDArray[Any] | None = None) -> None:
        super().__init__()
        self.weight = _xavier(hidden, features)
        self.bias = mx.random.uniform(-1, 1, (hidden,)) * features**-0.5
        self.w_tau = _xavier(1, hidden)[0]
        self.A = _xavier(1, hidden)[0]
        self._present = None if sparsity is None else mx.array(sparsity.T.astype(np.float32))

    def __call__(self, features: mx.array, dt: mx.array) -> tuple[mx.array, mx.array]:
        """(b, features) and dt, seconds, (b, 1) or (b, hidden), to h and tau, (b, hidden) each."""
        weight = self.weight if self._present is None else self.weight * self._present
        f = features @ weight.T + self.bias
        decay = mx.abs(self.w_tau) + mx.abs(f)
        return self.A - self.A * mx.exp(-dt * decay) * f, _finite_tau(decay)


_HEADS: dict[Mode, Callable[..., nn.Module]] = {"default": GatedHead, "no_gate": UngatedHead, "pure": PureHead}


class CfCCell(nn.Module):
    """``h = head(backbone([x, h]), dt)``, ``y = h``.

    Args:
        inputs, hidden: widths of x and h.
        mode: the head: :class:`GatedHead`, :class:`UngatedHead` or :class:`PureHead`.
        units, layers: width and number of the backbone's layers, each ``1.7159 tanh(0.666 (W z + b))``; without layers
            the head sees ``[x, h]``.
        sparsity: (inputs + hidden, hidden), 1 where there is a synapse; only without a backbone.

    With a gate and at most one layer :func:`lasmlx.ops.cfc_scan` takes a whole sequence; else it is a loop over time.

    Source: Hasani et al. 2022, figure 3 and eq. 4; the activation: see :func:`lasmlx.ops.cfc_scan.activation`.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        *,
        mode: Mode = "default",
        units: int = 128,
        layers: int = 1,
        sparsity: NDArray[Any] | None = None,
    ) -> None:
        super().__init__()
        if mode not in _HEADS:
            raise ValueError(f"CfCCell: mode is {mode!r}, expected one of {', '.join(_HEADS)}.")
        if sparsity is not None and layers:
            raise ValueError(f"CfCCell: sparsity is given with layers = {layers}, expected layers = 0.")
        widths = [inputs + hidden, *[units] * layers]
        self.backbone = [nn.Linear(n, m) for n, m in pairwise(widths)]
        self.head = _HEADS[mode](widths[-1], hidden, sparsity)
        self._inputs, self._hidden = inputs, hidden

    def init_state(self, b: int) -> mx.array:
        """The state before the first input, for a batch of b: zeros, (b, hidden), float32."""
        return mx.zeros((b, self._hidden))

    def __call__(
        self, x: mx.array, state: mx.array | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, mx.array]:
        """(b, t, inputs) and the state before it to (b, t, hidden) and the state after it; see :class:`LiquidCell`.

        dt may be (b, t, hidden) besides: seconds that differ from unit to unit.
        """
        y, state, _ = self.traced(x, state, dt=dt, mask=mask)
        return y, state

    def traced(
        self, x: mx.array, state: mx.array | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, mx.array, mx.array]:
        """As calling, with the head's time constants tau (b, t, hidden), seconds, beside."""
        x = checked_input("CfCCell", x, self._inputs, mask, dt)
        b, t, _ = x.shape
        h = self.init_state(b) if state is None else state
        if h.shape != (b, self._hidden):
            raise ValueError(f"CfCCell: state has shape {h.shape}, expected {(b, self._hidden)}.")
        steps = time_steps(dt, b, t, units=self._hidden, op="CfCCell")
        if isinstance(self.head, GatedHead) and len(self.backbone) < 2:
            return self._scan(x, h, Steps(steps), mask, self.head)
        outputs, taus = [], []
        for i in range(t):
            new, tau = self.head(self._features(x[:, i], h), steps[:, i])
            h = new if mask is None else mx.where(mask[:, i, None], new, h)
            outputs.append(h)
            taus.append(tau)
        return mx.stack(outputs, 1).astype(x.dtype), h, mx.stack(taus, 1)

    def _features(self, x: mx.array, h: mx.array) -> mx.array:
        z = mx.concatenate([x, h], -1)
        for layer in self.backbone:
            z = activation(layer(z))
        return z

    def _scan(
        self, x: mx.array, h: mx.array, steps: Steps, mask: mx.array | None, head: GatedHead
    ) -> tuple[mx.array, mx.array, mx.array]:
        W, b = (head.present(), head.bias) if self.backbone else (None, None)
        first, bias = (self.backbone[0].weight, self.backbone[0].bias) if self.backbone else (head.present(), head.bias)
        u, V = x.astype(mx.float32) @ first[:, : self._inputs].T + bias, first[:, self._inputs :]
        y, last = cfc_scan(u, V, W, b, h, steps, gate=head.gate, mask=mask)
        return y.astype(x.dtype), last, _finite_tau(mx.abs(rate_along(u, V, W, b, y, h)))


class WiredCfCCell(nn.Module):
    """A :class:`CfCCell` without a backbone for each layer of a wiring; each reads the layer before and itself.

    The state (b, units) holds the layers in the order in which a signal passes them; y is the motor layer's.
    Synapses within a layer are dense, whatever the wiring says of them.

    Args:
        wiring: who talks to whom, see :mod:`lasmlx.layers.wiring`.
        mode: see :class:`CfCCell`.

    Source: Hasani et al. 2022; the wiring: Lechner et al. 2020.
    """

    def __init__(self, wiring: Wiring, *, mode: Mode = "default") -> None:
        super().__init__()
        self.layers = []
        matrix = wiring.sensory
        for layer in wiring.layers:
            hidden = layer.stop - layer.start
            into = matrix[:, layer.start : layer.stop]
            sparsity = np.concatenate([np.abs(into), np.ones((hidden, hidden))])
            self.layers.append(CfCCell(into.shape[0], hidden, mode=mode, layers=0, sparsity=sparsity))
            matrix = wiring.recurrent[layer.start : layer.stop]
        self._ends = np.cumsum([layer.stop - layer.start for layer in wiring.layers]).tolist()
        self._inputs, self._outputs = wiring.inputs, wiring.outputs

    def init_state(self, b: int) -> mx.array:
        """The state before the first input, for a batch of b: zeros, (b, units), float32."""
        return mx.zeros((b, self._ends[-1]))

    def __call__(
        self, x: mx.array, state: mx.array | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, mx.array]:
        """(b, t, inputs) and the state before it to (b, t, outputs) and the state after it; see :class:`LiquidCell`.

        dt may be (b, t, units) besides: seconds that differ from unit to unit, in the order of the state.
        """
        y, state, _ = self.traced(x, state, dt=dt, mask=mask)
        return y, state

    def traced(
        self, x: mx.array, state: mx.array | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, mx.array, mx.array]:
        """As calling, with the heads' time constants tau (b, t, units), seconds, in the order of the state, beside."""
        x = checked_input("WiredCfCCell", x, self._inputs, mask, dt)
        state = self.init_state(x.shape[0]) if state is None else state
        if state.shape != (x.shape[0], self._ends[-1]):
            raise ValueError(f"WiredCfCCell: state has shape {state.shape}, expected {(x.shape[0], self._ends[-1])}.")
        steps = time_steps(dt, *x.shape[:2], units=self._ends[-1], op="WiredCfCCell")
        each = mx.split(steps, self._ends[:-1], axis=-1) if steps.shape[2] > 1 else [steps] * len(self.layers)
        states, taus, y = [], [], x
        for cell, h, its in zip(self.layers, mx.split(state, self._ends[:-1], axis=-1), each, strict=True):
            y, last, tau = cell.traced(y, h, dt=Steps(its), mask=mask)
            states.append(last)
            taus.append(tau)
        return y[..., : self._outputs], mx.concatenate(states, -1), mx.concatenate(taus, -1)


def _xavier(rows: int, columns: int) -> mx.array:
    return mx.random.uniform(-1, 1, (rows, columns)) * (6 / (rows + columns)) ** 0.5


def _finite_tau(decay: mx.array) -> mx.array:
    return 1 / (decay + 1e-6)
