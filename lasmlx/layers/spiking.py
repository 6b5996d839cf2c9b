"""Neurons that speak in spikes, and what turns numbers into spikes."""

from __future__ import annotations

from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn

from lasmlx.layers.liquid import present, uniform
from lasmlx.layers.mamba import Mamba, MambaState
from lasmlx.ops import LIF, LIFState, Neurons, Reset, Surrogate, lif_scan, spike


class LIFCell(nn.Module):
    """``s, v = lif(W x + b + U s)``: leaky integrate-and-fire neurons; y = s, 1 where one fires.

    Decay, threshold and adaptation are learnt, one each a neuron. An element is a tick: how long it lasts is not looked
    at. What a mask leaves out is no input.

    Args:
        inputs, hidden: widths of x and y.
        beta: what is left of a potential after a tick, at the start. theta: the threshold, at the start.
        recurrent: with synapses U between the neurons.
        adaptive: a spike lifts its neuron's threshold for a while.
        reset, refractory, surrogate, slope: see :func:`lasmlx.ops.lif_scan`.

    Source: Neftci, Mostafa & Zenke 2019, Surrogate gradient learning, eqs. 1-5; adaptation: Bellec et al. 2018.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        *,
        beta: float = 0.9,
        theta: float = 1.0,
        recurrent: bool = False,
        adaptive: bool = False,
        reset: Reset = "soft",
        refractory: int = 0,
        surrogate: Surrogate = "fast_sigmoid",
        slope: float = 5.0,
    ) -> None:
        super().__init__()
        if not 0 < beta < 1 or theta <= 0:
            raise ValueError(f"LIFCell: beta is {beta} and theta {theta}, expected 0 < beta < 1 and theta > 0.")
        self.W = uniform(hidden, inputs)
        self.b = mx.zeros((hidden,))
        self.beta = _logits(mx.full((hidden,), beta))
        self.theta = mx.full((hidden,), theta)
        if recurrent:
            self.U = 0.1 * uniform(hidden, hidden)
        if adaptive:
            self.kappa = mx.full((hidden,), 0.1)
            self.rho = _logits(mx.full((hidden,), 0.95))
        self._options: dict[str, Any] = {
            "reset": reset,
            "refractory": refractory,
            "surrogate": surrogate,
            "slope": slope,
        }

    @property
    def neurons(self) -> Neurons:
        """What the neurons are made of, as the scan takes it."""
        beta, theta = mx.sigmoid(self.beta), mx.maximum(self.theta, 1e-3)
        if "kappa" not in self:
            return Neurons(beta, theta)
        return Neurons(beta, theta, mx.maximum(self.kappa, 0), mx.sigmoid(self.rho))

    def init_state(self, b: int) -> LIFState:
        """At rest, nothing fired yet, for a batch of b."""
        return LIFState.zeros(b, self.W.shape[0])

    def __call__(
        self, x: mx.array, state: LIFState | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, LIFState]:
        """(b, t, inputs) and the state before it to spikes (b, t, hidden) and the state after it."""
        out = self.fired(x, state, mask=mask)
        return out.s, out.state

    def fired(
        self, x: mx.array, state: LIFState | None = None, *, mask: mx.array | None = None, potential: bool = False
    ) -> LIF:
        """As calling, with the potentials (b, t, hidden) beside if asked for."""
        current = present(x @ self.W.T + self.b, mask)
        return lif_scan(
            current, self.neurons, state, U=self.U if "U" in self else None, potential=potential, **self._options
        )


class SpikingSSM(nn.Module):
    """``s = lif(mamba(x))``: a selective scan whose channels speak in spikes, with a rest after each.

    Args:
        mixer: what the neurons listen to.
        d: its width. options: of the neurons, see :class:`LIFCell`; they rest for two ticks unless these say otherwise.
    """

    def __init__(self, mixer: Mamba, d: int, **options: Any) -> None:
        super().__init__()
        self.mixer = mixer
        self.neurons = LIFCell(d, d, **{"refractory": 2} | options)

    def init_state(self, b: int) -> tuple[MambaState, LIFState]:
        """The states of the scan and of the neurons, for a batch of b."""
        return self.mixer.init_state(b), self.neurons.init_state(b)

    def __call__(
        self,
        x: mx.array,
        state: tuple[MambaState, LIFState] | None = None,
        *,
        dt: Any = 1.0,
        mask: mx.array | None = None,
    ) -> tuple[mx.array, tuple[MambaState, LIFState]]:
        """(b, t, d) and the state before it to spikes (b, t, d) and the state after it."""
        mixed, neurons = self.init_state(x.shape[0]) if state is None else state
        y, mixed = self.mixer(present(x, mask), mixed)
        s, neurons = self.neurons(y, neurons, mask=mask)
        return s, (mixed, neurons)


class RateEncoder(nn.Module):
    """Numbers from 0 to 1 as rates: each element lasts ``ticks`` ticks, in which x of them have a spike.

    Potentials add x a tick and a spike takes 1 away, so spikes come evenly, without chance.

    Args:
        channels: of x. ticks: an element.
    """

    def __init__(self, channels: int, ticks: int = 1) -> None:
        super().__init__()
        _check_ticks("RateEncoder", ticks)
        self._channels, self._ticks = channels, ticks

    def init_state(self, b: int) -> LIFState:
        """Potentials of 0, for a batch of b."""
        return LIFState.zeros(b, self._channels)

    def __call__(
        self, x: mx.array, state: LIFState | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, LIFState]:
        """(b, t, channels) to spikes (b, t ticks, channels)."""
        x = mx.repeat(mx.clip(present(x, mask), 0, 1), self._ticks, 1)
        whole = mx.ones((self._channels,))
        out = lif_scan(x, Neurons(whole, whole * (1 - 1e-6)), state, surrogate="straight_through")
        return out.s, out.state


class LatencyEncoder(nn.Module):
    """Numbers from 0 to 1 as moments: the larger, the earlier the one spike in an element's ticks; none for 0.

    ``tick = round((1 - x) (ticks - 1))``.

    Args:
        channels: of x. ticks: an element.

    Source: Thorpe 1990, Spike arrival times.
    """

    def __init__(self, channels: int, ticks: int) -> None:
        super().__init__()
        _check_ticks("LatencyEncoder", ticks)
        self._channels, self._ticks = channels, ticks

    def init_state(self, b: int) -> tuple[()]:
        """It keeps nothing."""
        return ()

    def __call__(
        self, x: mx.array, state: tuple[()] | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, tuple[()]]:
        """(b, t, channels) to spikes (b, t ticks, channels)."""
        b, t, channels = x.shape
        x = mx.clip(present(x, mask), 0, 1)
        when = mx.where(x > 0, mx.round((1 - x) * (self._ticks - 1)), -1.0)
        spikes = when[:, :, None] == mx.arange(self._ticks)[:, None]  # (b, t, ticks, channels)
        return spikes.astype(x.dtype).reshape(b, t * self._ticks, channels), ()


class DeltaEncoder(nn.Module):
    """A spike where a number has risen by more than a threshold since the last element, another where it has fallen so.

    Args:
        channels: of x; y has twice as many. theta: the threshold at the start; one is learnt for each channel.

    Source: Lichtsteiner, Posch & Delbruck 2008, for a pixel that reports changes; Eshraghian et al. 2023, section II.C.
    """

    def __init__(self, channels: int, theta: float = 0.1) -> None:
        super().__init__()
        self.theta = mx.full((channels,), theta)

    def init_state(self, b: int) -> mx.array:
        """The element before the first: zeros, (b, channels)."""
        return mx.zeros((b, self.theta.shape[0]))

    def __call__(
        self, x: mx.array, state: mx.array | None = None, *, dt: Any = 1.0, mask: mx.array | None = None
    ) -> tuple[mx.array, mx.array]:
        """(b, t, channels) and the last element before to spikes (b, t, 2 channels) and the last element."""
        x = present(x, mask)
        before = self.init_state(x.shape[0]) if state is None else state
        rise = x - mx.concatenate([before[:, None].astype(x.dtype), x[:, :-1]], 1)
        both = mx.concatenate([rise - self.theta, -rise - self.theta], -1)
        return spike(both, slope=5.0), x[:, -1]


class Activity(NamedTuple):
    """How much the neurons of a layer fire."""

    rate: mx.array  # spikes a neuron and tick, ()
    silent: mx.array  # share of the neurons that never fired, ()
    busy: mx.array  # share of those that fired at nearly every tick, ()


def activity(s: mx.array) -> Activity:
    """Of spikes (b, t, d), over the batch and time; nearly every is 99 of 100."""
    each = s.astype(mx.float32).mean((0, 1))
    return Activity(each.mean(), (each == 0).astype(mx.float32).mean(), (each > 0.99).astype(mx.float32).mean())


def _check_ticks(encoder: str, ticks: int) -> None:
    if ticks < 1:
        raise ValueError(f"{encoder}: ticks is {ticks}, expected at least 1.")


def _logits(p: mx.array) -> mx.array:
    return mx.log(p) - mx.log(1 - p)
