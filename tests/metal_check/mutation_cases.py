"""What every mutant of a kernel must survive to count as unnoticed: outputs and gradients against the reference.

The shapes are odd, or on an edge: one segment of time (16 steps), one step more, three; a block of channels (32), one
more; one state, fewer than simdgroups, more; a chunk of time that is empty (129 steps in 4 chunks); more rows than
steps; more taps than a thread has steps (32). Of the spiking neurons: segments (16 elements) that are full or not; more
rows than a threadgroup has (8); neurons that rest from the first element on, or never. Of the CfC, the liquid and the
LTC scan: one unit; two simdgroups (33 units); more units, or inputs, than threads (256); a layer wider than the next;
batches that fill a tile of 1, 2 or 4 rows or do not; tanh where it is nearly its argument, softplus where it is nearly
the exponential. Of the plastic scan: segments (32 elements) and pieces of them (8) that are not full; rows that fill a
threadgroup and its turns or do not; one synapse, as many as lanes (32), more than threads. Of the layer of splines: x
on every knot and beyond; a tile of rows and a chunk of inputs that are not full; two spans of rows (64); functions of
one input in two threads, or in ten, the last of which has silu only; fewer functions than the degree has; an x that is
not finite.
"""

import math
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any, NamedTuple
from unittest.mock import patch

import mlx.core as mx
import numpy as np

from lasmlx import ops
from lasmlx.ops import bspline_metal, ltc_scan_metal, plastic_metal
from lasmlx.ops.liquid_scan import BoundedTau, SoftTau
from lasmlx.ops.ltc_scan import Leak, Synapses

Arrays = dict[str, mx.array]
TOLERANCE = {mx.float32: 2e-6, mx.float16: 4e-3, mx.bfloat16: 4e-2}  # ten times what the kernels reach
CANCELS = {"d A": 5.0, "d rate": 5.0}  # terms of opposite sign: this much more


class Case(NamedTuple):
    """A call of the op whose kernels are in ``metal/<op>.metal``: its arrays and its other keywords."""

    op: str
    shape: tuple[int, ...]
    options: dict[str, Any]
    without: tuple[str, ...] = ()
    dtype: mx.Dtype = mx.float32
    full: int = ltc_scan_metal.FULL  # threads that fill a GPU: where few do, a simdgroup or a threadgroup has more rows

    def __str__(self) -> str:
        return f"{self.op} {self.shape} {self.options} without {self.without} {self.dtype}"


CASES = [
    Case("selective_scan", (2, 17, 33, 3), {"substeps": 1}),
    Case("selective_scan", (1, 48, 5, 11), {"substeps": 4}),
    Case("selective_scan", (1, 69, 1, 2), {"substeps": math.inf}, ("z", "D")),
    Case("selective_scan", (2, 129, 2, 5), {"substeps": 3}),
    Case("selective_scan", (2, 16, 32, 1), {"substeps": 1}, ("z", "h0")),
    Case("selective_scan", (3, 2, 65, 3), {"substeps": math.inf}),
    Case("selective_scan", (1, 1, 3, 2), {"substeps": math.inf}, ("z", "h0")),
    Case("selective_scan", (1, 17, 5, 9), {"substeps": 2}, (), mx.float16),
    Case("causal_conv1d", (2, 69, 33, 4), {"activation": "silu"}),
    Case("causal_conv1d", (2, 33, 5, 1), {"activation": "silu"}),
    Case("causal_conv1d", (1, 7, 2, 1), {"activation": None}),
    Case("causal_conv1d", (2, 34, 32, 3), {"activation": None}, ("bias",)),
    Case("causal_conv1d", (3, 2, 3, 5), {"activation": "silu"}),
    Case("causal_conv1d", (1, 66, 2, 35), {"activation": "silu"}),
    Case("causal_conv1d", (2, 32, 2, 2), {"activation": None}, ("tail",), mx.float16),
    Case("lif_scan", (2, 35, 33), {"refractory": 2, "surrogate": "arctan"}),  # b, t, d
    Case("lif_scan", (9, 17, 3), {"reset": "hard", "refractory": 1, "surrogate": "triangular"}, ("kappa", "rho")),
    Case("lif_scan", (2, 16, 5), {"reset": "hard", "surrogate": "straight_through", "potential": False}, ("v0",)),
    Case("lif_scan", (1, 34, 2), {"surrogate": "fast_sigmoid"}, ("kappa", "rho", "v0"), mx.float16),
    Case("cfc_scan", (2, 3, 5, 7), {"gate": False, "each": True, "masked": True}),  # b, t, hidden, m or 0 without z
    Case("cfc_scan", (5, 3, 33, 6), {"gate": True, "each": True, "masked": True}),
    Case("cfc_scan", (3, 3, 6, 0), {"gate": True, "each": False, "masked": True}),
    Case("cfc_scan", (5, 3, 33, 0), {"gate": False, "each": True, "masked": False}),
    Case("cfc_scan", (1, 3, 3, 300), {"gate": True, "each": False, "masked": False}),
    Case("cfc_scan", (1, 2, 260, 3), {"gate": True, "each": True, "masked": True}),
    Case("cfc_scan", (1, 1, 1, 1), {"gate": True, "each": False, "masked": False}),
    Case("cfc_scan", (1, 1, 3, 0), {"gate": False, "each": False, "masked": False, "largest": 0.095}),
    Case("liquid_scan", (2, 3, 5, 7), {"solver": "midpoint", "substeps": 2}),  # b, t, hidden, m or 0 for a bounded tau
    Case("liquid_scan", (3, 3, 6, 0), {"solver": "fused", "substeps": 3}),
    Case("liquid_scan", (5, 3, 33, 6), {"solver": "euler", "substeps": 2}),
    Case("liquid_scan", (5, 3, 33, 0), {"solver": "midpoint", "substeps": 1}),
    Case("liquid_scan", (1, 3, 3, 300), {"solver": "fused", "substeps": 1}),
    Case("liquid_scan", (1, 2, 300, 0), {"solver": "euler", "substeps": 1}),
    Case("liquid_scan", (1, 1, 1, 0), {"solver": "euler", "substeps": 1}),
    Case("liquid_scan", (1, 1, 3, 0), {"solver": "euler", "substeps": 1, "largest": 0.095}),
    Case("liquid_scan", (1, 2, 2, 3), {"solver": "fused", "substeps": 1, "quick": 1e-4}),
    Case("ltc_scan", (2, 3, 7, 5), {"solver": "midpoint", "substeps": 2}, full=32),  # b, t, inputs, hidden
    Case("ltc_scan", (5, 3, 6, 33), {"solver": "fused", "substeps": 3}, full=1),
    Case("ltc_scan", (3, 3, 2, 33), {"solver": "euler", "substeps": 1}, full=1),
    Case("ltc_scan", (1, 1, 1, 1), {"solver": "euler", "substeps": 1}),
    Case("ltc_scan", (2, 3, 35, 3), {"solver": "fused", "substeps": 1}),
    Case("ltc_scan", (1, 2, 300, 3), {"solver": "fused", "substeps": 1}),
    Case("ltc_scan", (1, 2, 2, 300), {"solver": "euler", "substeps": 1}),
    Case("plastic", (2, 43, 2, 11, 33), {"rule": "delta"}, ("target",), full=1),  # b, t, g, m, n
    Case("plastic", (1, 34, 1, 24, 3), {"rule": "oja"}, ("key", "target"), full=512),
    Case("plastic", (2, 3, 2, 2, 70), {"rule": "hebb"}, ("key",)),
    Case("plastic", (1, 65, 1, 1, 1), {"rule": "delta"}, ("key",)),
    Case("plastic", (2, 32, 1, 1, 32), {"rule": "oja"}),
    Case("plastic", (1, 1, 1, 11, 2), {"rule": "hebb", "largest": 0.095}, ("key", "target")),
    Case("bspline", (37, 9, 130, 8, 3), {}, full=1),  # rows, d, out, functions, degree
    Case("bspline", (131, 2, 35, 5, 2), {}),
    Case("bspline", (33, 3, 5, 17, 5), {}, full=1),
    Case("bspline", (45, 2, 3, 41, 1), {}, ("W",)),
    Case("bspline", (5, 2, 3, 17, 2), {"ill": True}),
    Case("bspline", (9, 1, 2, 90, 1), {}),
    Case("bspline", (9, 33, 2, 4, 0), {}),
    Case("bspline", (9, 5, 3, 2, 3), {}, ("W",), full=1),
    Case("bspline", (12, 3, 4, 6, 4), {}, (), mx.float16),
]


def cases(op: str) -> list[Case]:
    return [case for case in CASES if case.op == op]


def disagreement(case: Case) -> str | None:
    """Run the case's kernels; which array is not the reference's, or None."""
    got = _results(case, "metal")
    for name, expected in _expected(case).items():
        finite = np.isfinite(expected)
        if got[name].shape != expected.shape or not np.array_equal(np.isfinite(got[name]), finite):
            return f"{name} of {case}: not finite"
        error = np.abs(got[name] - expected)[finite].max(initial=0.0)
        error /= max(np.abs(expected[finite]).max(initial=0.0), 1e-6)
        if error > TOLERANCE[case.dtype] * CANCELS.get(name, 1.0):
            return f"{name} of {case}: off by {error:.1e}"
    return None


@cache
def _expected_of(index: int) -> dict[str, np.ndarray]:
    return _results(CASES[index], "reference")


def _expected(case: Case) -> dict[str, np.ndarray]:
    return _expected_of(CASES.index(case))


def _results(case: Case, impl: str) -> dict[str, np.ndarray]:
    """Outputs ("y", "state") and gradients ("d x", ...) of a sum that weighs every element of both differently."""
    run = RUNS.get(case.op) or getattr(ops, case.op)
    arrays = {k: v.astype(case.dtype) for k, v in ARRAYS[case.op](*case.shape).items() if k not in case.without}

    def call(values: tuple[mx.array, ...]) -> tuple[mx.array, mx.array]:
        y, state = run(**dict(zip(arrays, values, strict=True)), **case.options, impl=impl)
        return y, state

    def loss(*values: mx.array) -> mx.array:
        y, state = (v.astype(mx.float32) * w for v, w in zip(call(values), weights, strict=True))
        return y.sum() + state.sum()

    with ExitStack() as stack:
        for module in (bspline_metal, ltc_scan_metal, plastic_metal):
            stack.enter_context(patch.object(module, "FULL", case.full))
        outputs = call(tuple(arrays.values()))
        weights = [mx.random.normal(v.shape, key=mx.random.key(i)) for i, v in enumerate(outputs)]
        gradients = mx.grad(loss, argnums=list(range(len(arrays))))(*arrays.values())
    names = ["y", "state", *(f"d {name}" for name in arrays)]
    return {n: np.array(v.astype(mx.float32)) for n, v in zip(names, [*outputs, *gradients], strict=True)}


def _scan_arrays(b: int, t: int, d: int, n: int) -> Arrays:
    """Rates and steps for both branches of every series, with states that last and states that do not."""
    random = np.random.default_rng(0)
    sizes = {"x": (b, t, d), "B": (b, t, n), "C": (b, t, n), "D": (d,), "z": (b, t, d), "h0": (b, d, n)}
    arrays = {name: random.standard_normal(size) for name, size in sizes.items()}
    arrays |= {"dt": random.uniform(0.01, 1.5, (b, t, d)), "A": -np.exp(random.uniform(-6.0, 1.8, (d, n)))}
    if t == 1:  # at the end of the series
        arrays |= {"dt": random.uniform(0.9, 0.999, (b, t, d)), "A": -np.ones((d, n))}
    return {name: mx.array(value.astype(np.float32)) for name, value in arrays.items()}


def _conv_arrays(b: int, t: int, d: int, k: int) -> Arrays:
    random = np.random.default_rng(1)
    sizes = {"x": (b, t, d), "weight": (d, k), "bias": (d,), "tail": (b, k - 1, d)}
    return {name: mx.array(random.standard_normal(size).astype(np.float32)) for name, size in sizes.items()}


def _lif_arrays(b: int, t: int, d: int) -> Arrays:
    """Half of the neurons have just fired; at rest all of them would reach their thresholds at once, and no more."""
    random = np.random.default_rng(5)
    fired = np.arange(b * d).reshape(b, d) % 2
    arrays = {"u": random.normal(0.3, 0.6, (b, t, d)), "beta": random.uniform(0.5, 0.99, d)}
    arrays |= {"theta": random.uniform(0.5, 1.5, d), "kappa": random.uniform(0.1, 0.3, d)}
    arrays |= {"rho": random.uniform(0.5, 0.99, d), "v0": random.standard_normal((b, d)), "a0": random.random((b, d))}
    arrays |= {"s0": fired, "rest0": 2 * fired}
    arrays["u"][:, 0] = arrays["theta"]
    return {name: mx.array(value.astype(np.float32)) for name, value in arrays.items()}


def _run_lif(
    u: mx.array,
    beta: mx.array,
    theta: mx.array,
    s0: mx.array,
    rest0: mx.array,
    a0: mx.array,
    kappa: mx.array | None = None,
    rho: mx.array | None = None,
    v0: mx.array | None = None,
    potential: bool = True,
    **options: Any,
) -> Any:
    """The op: spikes and potentials side by side, the state in one array. Without v0 the neurons are at rest."""
    state = None if v0 is None else ops.LIFState(v0, s0, rest0, a0)
    neurons = ops.Neurons(beta, theta, kappa, rho)
    s, v, after = ops.lif_scan(u, neurons, state, potential=potential, slope=4.0, **options)
    return s if v is None else mx.concatenate([s, v], -1), mx.stack(after)


def _cfc_arrays(b: int, t: int, hidden: int, m: int) -> Arrays:
    random = np.random.default_rng(5)
    inner = m or 4 * hidden
    sizes = {"u": (b, t, inner), "V": (inner, hidden), "h0": (b, hidden), "W": (4 * hidden, m), "b": (4 * hidden,)}
    arrays = {name: random.standard_normal(size) for name, size in sizes.items() if m or name not in ("W", "b")}
    arrays["V"] *= hidden**-0.5
    if m:
        arrays["W"] *= m**-0.5
    arrays["dt"] = random.uniform(0.05, 3, (b, t, hidden))
    return {name: mx.array(value.astype(np.float32)) for name, value in arrays.items()}


def _run_cfc(
    u: mx.array,
    V: mx.array,
    h0: mx.array,
    dt: mx.array,
    W: mx.array | None = None,
    b: mx.array | None = None,
    each: bool = False,
    masked: bool = False,
    largest: float = 0.0,
    **options: Any,
) -> Any:
    """The op; without ``each`` its clock is the first unit's; ``largest``, where given, is u's, and h0 is small."""
    if largest:
        u, h0 = u * (largest / mx.abs(u).max()), h0 * 1e-3
    mask = mx.array(np.random.default_rng(6).uniform(size=u.shape[:2]) > 0.4) if masked else None
    return ops.cfc_scan(u, V, W, b, h0, dt if each else dt[..., 0], mask=mask, **options)


def _liquid_arrays(b: int, t: int, hidden: int, m: int) -> Arrays:
    random = np.random.default_rng(2)
    sizes = {"u": (b, t, hidden), "v": (b, t, m or hidden), "h0": (b, hidden), "V2": (hidden, m), "b2": (hidden,)}
    arrays = {name: random.standard_normal(size) for name, size in sizes.items() if m or name not in ("V2", "b2")}
    for name, rows in (("U", hidden), ("V", m or hidden)):
        arrays[name] = random.standard_normal((rows, hidden)) * hidden**-0.5
    arrays["dt"] = random.uniform(0.05, 0.3, (b, t))
    return {name: mx.array(value.astype(np.float32)) for name, value in arrays.items()}


def _run_liquid(
    u: mx.array,
    U: mx.array,
    v: mx.array,
    V: mx.array,
    h0: mx.array,
    dt: mx.array,
    V2: mx.array | None = None,
    b2: mx.array | None = None,
    largest: float = 0.0,
    quick: float = 1.0,
    **options: Any,
) -> Any:
    """The op; ``largest``, where given, is that of u, and h0 is next to nothing; ``quick`` makes a soft tau small."""
    if largest:
        u, h0 = u * (largest / mx.abs(u).max()), h0 * 1e-3
    tau = (
        BoundedTau(v, V, 0.2, 2.0) if V2 is None or b2 is None else SoftTau(v, V, V2, b2 + math.log(quick), 0.2 * quick)
    )
    return ops.liquid_scan(u, U, tau, h0, dt * quick, **options)


def _ltc_arrays(b: int, t: int, inputs: int, hidden: int) -> Arrays:
    random = np.random.default_rng(3)
    ranges = {"w": (0.001, 1), "mu": (0.3, 0.8), "sigma": (3, 8), "erev": (-1, 1)}
    arrays = {f"in_{name}": random.uniform(*ends, (inputs, hidden)) for name, ends in ranges.items()}
    arrays |= {name: random.uniform(*ends, (hidden, hidden)) for name, ends in ranges.items()}
    leak = {"g": (0.1, 1), "v": (-0.2, 0.2), "cm": (0.4, 0.6)}
    arrays |= {name: random.uniform(*ends, hidden) for name, ends in leak.items()}
    arrays |= {"x": random.uniform(-1, 1, (b, t, inputs)), "h0": random.uniform(-1, 1, (b, hidden))}
    arrays["dt"] = random.uniform(0.5, 1, (b, t)) / (5 + (inputs + hidden) / 4)  # many synapses make a neuron fast
    return {name: mx.array(value.astype(np.float32)) for name, value in arrays.items()}


def _run_ltc(x: mx.array, h0: mx.array, dt: mx.array, **rest: Any) -> Any:
    sensory, recurrent = (Synapses(*(rest.pop(k + n) for n in Synapses._fields)) for k in ("in_", ""))
    leak = Leak(*(rest.pop(name) for name in Leak._fields))
    return ops.ltc_scan(x, sensory, recurrent, leak, h0, dt, **rest)


def _plastic_arrays(b: int, t: int, g: int, m: int, n: int) -> Arrays:
    random = np.random.default_rng(4)
    sizes = {"u": (b, t, g, m), "x": (b, t, g, n), "alpha": (g, m, n), "H0": (b, g, m, n), "key": (b, t, g, n)}
    arrays = {name: random.standard_normal(size) for name, size in sizes.items()}
    arrays |= {"target": random.standard_normal(sizes["u"])}
    arrays |= {"rate": random.uniform(0.1, 0.5, (b, t, g)), "keep": random.uniform(0.7, 1, (b, t, g))}
    for name in ("x", "key"):
        arrays[name] /= np.linalg.norm(arrays[name], axis=-1, keepdims=True)
    return {name: mx.array(value.astype(np.float32)) for name, value in arrays.items()}


def _run_plastic(u: mx.array, H0: mx.array, largest: float = 0.0, **rest: Any) -> Any:
    """The op; ``largest``, where given, is that of u, and H0 is next to nothing."""
    if largest:
        u, H0 = u * (largest / mx.abs(u).max()), H0 * 1e-3
    return ops.plastic_scan(u, H0=H0, **rest)


def _bspline_arrays(rows: int, d: int, out: int, functions: int, degree: int) -> Arrays:
    """The first rows are on the knots, the next ones beyond either end."""
    random = np.random.default_rng(7)
    knots = np.cumsum(random.uniform(0.3, 0.9, (d, functions + degree + 1)), 1)
    knots -= knots.mean(1, keepdims=True)
    x = random.uniform(knots[:, 0], knots[:, -1], (rows, d))
    on = knots.T[: rows - 2]
    x[: len(on)] = on
    x[len(on) : len(on) + 2] = knots[:, 0] - 0.1, knots[:, -1] + 0.1
    arrays = {"x": x, "C": random.standard_normal((d, functions, out)), "W": random.standard_normal((out, d))}
    return {name: mx.array(value.astype(np.float32)) for name, value in (arrays | {"knots": knots}).items()}


def _run_bspline(
    x: mx.array, C: mx.array, knots: mx.array, W: mx.array | None = None, ill: bool = False, impl: Any = "auto"
) -> Any:
    """The op, which has no state: a zero stands for one; ``ill`` makes one x NaN."""
    degree = knots.shape[1] - C.shape[1] - 1
    if ill:
        x = x + mx.where(mx.arange(x.size).reshape(x.shape) == 3, mx.nan, 0.0)
    return ops.bspline_linear(x, C, W, knots, degree=degree, impl=impl), mx.zeros((1,))


ARRAYS: dict[str, Callable[..., Arrays]] = {
    "selective_scan": _scan_arrays,
    "causal_conv1d": _conv_arrays,
    "lif_scan": _lif_arrays,
    "cfc_scan": _cfc_arrays,
    "liquid_scan": _liquid_arrays,
    "ltc_scan": _ltc_arrays,
    "plastic": _plastic_arrays,
    "bspline": _bspline_arrays,
}
RUNS: dict[str, Callable[..., Any]] = {
    "lif_scan": _run_lif,
    "cfc_scan": _run_cfc,
    "liquid_scan": _run_liquid,
    "ltc_scan": _run_ltc,
    "plastic": _run_plastic,
    "bspline": _run_bspline,
}
