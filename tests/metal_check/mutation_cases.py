"""What every mutant of a kernel must survive to count as unnoticed: outputs and gradients against the reference.

The shapes are odd, or on an edge: one segment of time (16 steps), one step more, three; a block of channels (32), one
more; one state, fewer than simdgroups, more; a chunk of time that is empty (129 steps in 4 chunks); more rows than
steps; more taps than a thread has steps (32).
"""

import math
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

Arrays = dict[str, mx.array]
TOLERANCE = {mx.float32: 2e-6, mx.float16: 4e-3, mx.bfloat16: 4e-2}  # ten times what the kernels reach
CANCELS = {"d A": 5.0}  # terms of opposite sign: this much more


class Case(NamedTuple):
    """A call of ``lasmlx.ops.<op>``: its arrays and its other keywords."""

    op: str
    shape: tuple[int, ...]
    options: dict[str, Any]
    without: tuple[str, ...] = ()
    dtype: mx.Dtype = mx.float32

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
]


def cases(op: str) -> list[Case]:
    return [case for case in CASES if case.op == op]


def disagreement(case: Case) -> str | None:
    """Run the case's kernels; which array is not the reference's, or None."""
    got = _results(case, "metal")
    for name, expected in _expected(case).items():
        if got[name].shape != expected.shape or not np.isfinite(got[name]).all():
            return f"{name} of {case}: not finite"
        error = np.abs(got[name] - expected).max(initial=0.0) / max(np.abs(expected).max(initial=0.0), 1e-6)
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
    run: Callable[..., Any] = getattr(import_module("lasmlx.ops"), case.op)
    arrays = {k: v.astype(case.dtype) for k, v in ARRAYS[case.op](*case.shape).items() if k not in case.without}

    def call(values: tuple[mx.array, ...]) -> tuple[mx.array, mx.array]:
        y, state = run(**dict(zip(arrays, values, strict=True)), **case.options, impl=impl)
        return y, state

    def loss(*values: mx.array) -> mx.array:
        y, state = (v.astype(mx.float32) * w for v, w in zip(call(values), weights, strict=True))
        return y.sum() + state.sum()

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


ARRAYS: dict[str, Callable[..., Arrays]] = {"selective_scan": _scan_arrays, "causal_conv1d": _conv_arrays}
