"""How spikes, liquid cells and selective scans talk to each other."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import mlx.core as mx
import mlx.nn as nn

from lasmlx.layers.attention import Attention, AttentionState
from lasmlx.ops import causal_conv1d, selective_scan


class Adapter(Protocol):
    """From spikes, or potentials, to what a scan reads."""

    asks_potential: bool

    def init_state(self, b: int) -> Any:
        """The state before the first tick, for a batch of b."""

    def __call__(self, s: mx.array, v: mx.array | None, state: Any) -> tuple[mx.array, Any]:
        """Spikes and, where asked for, potentials (b, t, d) to (b, t, d), and the state after them."""


class RateAdapter(nn.Module):
    """``y_t = W mean(s_{t-w+1} .. s_t)``: spikes as the rate over a window.

    Args:
        d: width. window: w, ticks.
    """

    asks_potential = False

    def __init__(self, d: int, window: int) -> None:
        super().__init__()
        if window < 1:
            raise ValueError(f"RateAdapter: window is {window}, expected at least 1 tick.")
        self.linear = nn.Linear(d, d)
        self._window = window

    def init_state(self, b: int) -> mx.array:
        """The spikes before the first: none, (b, w - 1, d)."""
        return mx.zeros((b, self._window - 1, self.linear.weight.shape[0]))

    def __call__(self, s: mx.array, v: mx.array | None, state: mx.array) -> tuple[mx.array, mx.array]:
        """Spikes (b, t, d) and those before to (b, t, d) and the last spikes."""
        weight = mx.full((s.shape[2], self._window), 1 / self._window)
        rate, state = causal_conv1d(s, weight, None, state)
        return self.linear(rate), state


class TemporalAdapter(nn.Module):
    """``y_t = W sum_i s_{t-i} exp(-i / tau)``: spikes as what is left of them; a tau is learnt for each channel.

    Args:
        d: width. tau: at the start, ticks.
    """

    asks_potential = False

    def __init__(self, d: int, tau: float) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"TemporalAdapter: tau is {tau}, expected ticks above 0.")
        self.linear = nn.Linear(d, d)
        self.log_tau = mx.full((d,), math.log(tau))
        # A spike leaves 1 + exp(-1 / tau) + ... = about tau behind: without this the sum of many would be as large.
        self._scale = tau**-0.5

    def init_state(self, b: int) -> mx.array:
        """What is left of the spikes before the first: nothing, (b, d, 1)."""
        return mx.zeros((b, self.log_tau.shape[0], 1))

    def __call__(self, s: mx.array, v: mx.array | None, state: mx.array) -> tuple[mx.array, mx.array]:
        """Spikes (b, t, d) and what is left of those before to (b, t, d) and what is left after."""
        b, t, d = s.shape
        one = mx.ones((1, 1, 1), s.dtype)
        ticks, gains = mx.broadcast_to(one, (b, t, d)), mx.broadcast_to(one, (b, t, 1))
        left, state = selective_scan(s, ticks, -mx.exp(-self.log_tau)[:, None], gains, gains, h0=state)
        return self.linear(left * self._scale), state


class PotentialAdapter(nn.Module):
    """``y_t = W v_t``: the potentials themselves."""

    asks_potential = True

    def __init__(self, d: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d, d)

    def init_state(self, b: int) -> tuple[()]:
        """It keeps nothing."""
        return ()

    def __call__(self, s: mx.array, v: mx.array | None, state: tuple[()]) -> tuple[mx.array, tuple[()]]:
        """Potentials (b, t, d) to (b, t, d)."""
        if v is None:
            raise ValueError("PotentialAdapter: v is absent, expected potentials (b, t, d).")
        return self.linear(v), state


class StateExchange(nn.Module):
    """What a liquid cell tells a scan, and what that tells the cell.

    ``B + dB, C + dC`` with ``dB, dC = W liquid``; ``tau = tau_base (0.5 + sigmoid(V mamba))``. Both start at nothing:
    dB = dC = 0, tau = tau_base.

    Args:
        d: width of both. n: states of the scan. units: time constants; 1 for a common factor.
    """

    def __init__(self, d: int, n: int, units: int) -> None:
        super().__init__()
        self.matrices = nn.Linear(d, 2 * n, bias=False)
        self.tau = nn.Linear(d, units)
        for linear in (self.matrices, self.tau):
            linear.weight = mx.zeros_like(linear.weight)
        self.tau.bias = mx.zeros_like(self.tau.bias)

    def to_matrices(self, liquid: mx.array) -> mx.array:
        """(b, t, d) to dB and dC side by side, (b, t, 2 n)."""
        told: mx.array = self.matrices(liquid)
        return told

    def to_tau(self, mamba: mx.array) -> mx.array:
        """(b, t, d) to the factor of tau, (b, t, units), float32, 0.5 to 1.5."""
        return 0.5 + mx.sigmoid(self.tau(mamba).astype(mx.float32))


class CrossAttention(nn.Module):
    """``liquid + attention(liquid, mamba)`` and the reverse: each asks the other, within a window of the past.

    Args:
        d, heads, window: see :class:`Attention`.
    """

    def __init__(self, d: int, heads: int, window: int) -> None:
        super().__init__()
        self.of_liquid = Attention(d, heads, window)
        self.of_mamba = Attention(d, heads, window)

    def init_state(self, b: int) -> tuple[AttentionState, AttentionState]:
        """Nothing to attend to yet, for a batch of b."""
        return self.of_liquid.init_state(b), self.of_mamba.init_state(b)

    def __call__(
        self,
        liquid: mx.array,
        mamba: mx.array,
        state: tuple[AttentionState, AttentionState],
        mask: mx.array | None = None,
    ) -> tuple[mx.array, mx.array, tuple[AttentionState, AttentionState]]:
        """(b, t, d) twice and the state before to the same after."""
        from_mamba, first = self.of_liquid(liquid, state[0], context=mamba, mask=mask)
        from_liquid, second = self.of_mamba(mamba, state[1], context=liquid, mask=mask)
        return liquid + from_mamba, mamba + from_liquid, (first, second)


class Gated(NamedTuple):
    """What a gate let through, and how it was set."""

    y: mx.array  # (b, t, d)
    share: mx.array  # of the liquid path, (b, t, heads); the rest is the scan's


class AdaptiveGate(nn.Module):
    """``y = g liquid + (1 - g) mamba``, ``g = sigmoid(W [liquid, mamba] / T)``, one g a head; T is learnt.

    Args:
        d: width, a multiple of heads. heads: groups of channels with a gate of their own.
        temperature: T at the start: the higher, the more evenly both are mixed.
    """

    def __init__(self, d: int, heads: int, temperature: float = 1.0) -> None:
        super().__init__()
        if d % heads or temperature <= 0:
            raise ValueError(
                f"AdaptiveGate: d is {d}, heads {heads}, temperature {temperature}; expected a multiple and T > 0."
            )
        self.linear = nn.Linear(2 * d, heads)
        self.log_temperature = mx.array([math.log(temperature)])

    def __call__(self, liquid: mx.array, mamba: mx.array) -> Gated:
        """(b, t, d) twice to one."""
        asked = self.linear(mx.concatenate([liquid, mamba], -1))  # (b, t, heads)
        share = mx.sigmoid(asked / mx.exp(self.log_temperature).astype(asked.dtype))
        heads = (*share.shape, liquid.shape[-1] // share.shape[-1])
        difference = (liquid - mamba).reshape(heads)
        return Gated(mamba + (share[..., None] * difference).reshape(mamba.shape), share)
