"""Leaky integrate-and-fire neurons over a sequence."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import mlx.core as mx

from lasmlx.ops import lif_scan_metal, native
from lasmlx.ops.dispatch import Impl, check_floating, check_shape, choose
from lasmlx.ops.surrogate import Surrogate, check_surrogate, spike

Reset = Literal["soft", "hard"]


class Neurons(NamedTuple):
    """What d neurons are made of, (d,) each; without kappa and rho they do not adapt."""

    beta: mx.array  # what is left of a potential after one element, 0 .. 1
    theta: mx.array  # threshold
    kappa: mx.array | None = None  # by how much a past spike lifts the threshold
    rho: mx.array | None = None  # what is left of that after one element, 0 .. 1


class LIFState(NamedTuple):
    """Where the neurons of a batch are, (b, d) each, float32."""

    v: mx.array  # potential, before the reset that a spike asks for
    s: mx.array  # 1 where a neuron fired at the last element
    rest: mx.array  # elements it must still rest
    a: mx.array  # sum of its past spikes, fading by rho

    @classmethod
    def zeros(cls, b: int, d: int) -> LIFState:
        """At rest, nothing fired yet."""
        return cls(*(mx.zeros((b, d)) for _ in cls._fields))


class LIF(NamedTuple):
    """What a scan of neurons returns."""

    s: mx.array  # 1 where a neuron fires, else 0, (b, t, d)
    v: mx.array | None  # potentials before the reset, (b, t, d), if asked for
    state: LIFState


def lif_scan(
    u: mx.array,
    neurons: Neurons,
    state: LIFState | None = None,
    *,
    U: mx.array | None = None,
    reset: Reset = "soft",
    refractory: int = 0,
    surrogate: Surrogate = "fast_sigmoid",
    slope: float = 25.0,
    potential: bool = False,
    impl: Impl = "auto",
) -> LIF:
    """``v_t = beta v_{t-1} + u_t + U s_{t-1} - theta s_{t-1}``, ``s_t = 1 where v_t > theta + kappa a_t``.

    ``a_t = rho a_{t-1} + s_{t-1}``. A hard reset has ``beta (1 - s_{t-1}) v_{t-1}`` instead of subtracting theta. For
    ``refractory`` elements after its spike a neuron takes no input and does not fire.

    On the way back a step has the slope of :func:`lasmlx.ops.surrogate_slope` at ``v - theta - kappa a``; no gradient
    passes through the spike that resets, nor through the time of rest.

    Args:
        u: input, (b, t, d).
        neurons: (d,) each.
        state: where they are before the first element; at rest if absent.
        U: synapses between them, row i into neuron i, (d, d).
        reset: what is subtracted after a spike, theta or all.
        refractory: elements of rest.
        surrogate, slope: see :func:`lasmlx.ops.surrogate_slope`.
        potential: return v too.
        impl: see :func:`lasmlx.ops.dispatch.choose`.

    Returns:
        s and v in the dtype of u, and the state after the last element.

    Raises:
        ValueError: a shape, dtype or option is not as above; :class:`ImplError` for ``impl``.

    On a GPU neurons that hear each other run on the CPU.

    Kernels keep spikes, and potentials every few elements; those in between are computed again on the way back. They
    round every product and sum of a potential as the reference does, so that the same neurons fire.

    Error: kernels against the reference: spikes and potentials identical in float32 (where neurons hear each other, up
    to the order in which ``U s`` is summed), gradients 1e-5; both against snntorch: spikes identical, potentials 1e-6,
    gradients 1e-5 (``tests/ops/test_lif_scan.py``).

    Source: Eshraghian et al. 2023, Training spiking neural networks, eqs. 4 and 5; adaptation: Bellec et al. 2020,
    A solution to the learning dilemma, eqs. 6 to 9.
    """
    _check(u, neurons, state, U, reset, refractory, surrogate, slope)
    chosen = choose("lif_scan", impl, kernel=True, on_gpu=None if U is None else "cpu")
    if chosen == "reference":
        state = LIFState.zeros(u.shape[0], u.shape[2]) if state is None else state
        return reference(u, neurons, state, U, reset, refractory, surrogate, slope, potential)
    cells = mx.stack([x.astype(mx.float32) for x in neurons if x is not None])
    before = None if state is None else mx.stack([x.astype(mx.float32) for x in state], 1)  # (b, 4, d)
    hard = reset == "hard"
    if chosen == "metal" or chosen == "cuda":
        if U is not None:
            raise ValueError(f'lif_scan: U is given, the {chosen} kernel takes none. Use impl="auto" or impl="cpu".')
        s, after, *along = lif_scan_metal.lif_scan(
            u, cells, before, hard, refractory, surrogate, slope, potential, chosen
        )
    else:
        scan: Any = native.module.lif_scan
        s, after, *along = scan(u, cells, before, U, hard, refractory, surrogate, slope, potential)
    v = along[0].astype(u.dtype) if along else None
    return LIF(s.astype(u.dtype), v, LIFState(*mx.unstack(after, axis=1)))


def reference(
    u: mx.array,
    neurons: Neurons,
    state: LIFState,
    U: mx.array | None,
    reset: Reset,
    refractory: int,
    surrogate: Surrogate,
    slope: float,
    potential: bool,
) -> LIF:
    """The definition: a loop over time in float32. It keeps every potential."""
    uf, UT = u.astype(mx.float32), None if U is None else U.astype(mx.float32).T
    beta, theta = neurons.beta.astype(mx.float32), neurons.theta.astype(mx.float32)
    kappa, rho = (None if x is None else x.astype(mx.float32) for x in (neurons.kappa, neurons.rho))
    v, s, rest, a = (x.astype(mx.float32) for x in state)
    spikes, potentials = [], []
    for i in range(u.shape[1]):
        current = uf[:, i] if UT is None else uf[:, i] + s @ UT
        awake = (rest == 0).astype(mx.float32)
        fired = mx.stop_gradient(s)
        kept = v if reset == "soft" else (1 - fired) * v
        v = beta * kept + awake * current
        if reset == "soft":
            v = v - theta * fired
        over = v - theta
        if kappa is not None and rho is not None:
            a = rho * a + s
            over = over - kappa * a
        s = awake * spike(over, surrogate, slope)
        rest = mx.where(s > 0, float(refractory), mx.maximum(rest - 1, 0))
        spikes.append(s)
        potentials.append(v)
    after = LIFState(v, s, mx.stop_gradient(rest), a)
    along = mx.stack(potentials, 1).astype(u.dtype) if potential else None
    return LIF(mx.stack(spikes, 1).astype(u.dtype), along, after)


def _check(
    u: mx.array,
    neurons: Neurons,
    state: LIFState | None,
    U: mx.array | None,
    reset: str,
    refractory: int,
    surrogate: str,
    slope: float,
) -> None:
    op = "lif_scan"
    if u.ndim != 3 or 0 in u.shape:
        raise ValueError(f"{op}: u has shape {u.shape}, expected (b, t, d) with every size at least 1.")
    b, _, d = u.shape
    check_floating(op, u=u, U=U, **neurons._asdict(), **(state._asdict() if state else {}))
    for name, array in neurons._asdict().items():
        if array is not None:
            check_shape(op, name, array, (d,))
    if (neurons.kappa is None) != (neurons.rho is None):
        raise ValueError(f"{op}: one of kappa and rho is absent, expected both or neither.")
    for name, array in state._asdict().items() if state else ():
        check_shape(op, f"state.{name}", array, (b, d))
    if U is not None:
        check_shape(op, "U", U, (d, d))
    if reset not in get_args(Reset):
        raise ValueError(f"{op}: reset is {reset!r}, expected soft or hard.")
    if refractory < 0:
        raise ValueError(f"{op}: refractory is {refractory}, expected 0 elements or more.")
    check_surrogate(op, surrogate, slope)
