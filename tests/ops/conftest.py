"""What the tests of the ops share: tolerances, one example of every op with its definition in NumPy, comparisons."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from lasmlx import ops
from lasmlx.ops import native

Arrays = dict[str, mx.array]
Exact = NDArray[Any]  # float64, or complex128 when a derivative is wanted

TOLERANCE = {"float32": 2e-6, "float16": 1e-3, "bfloat16": 1e-2}  # of the largest value; half types: one last bit
GRADIENT_TOLERANCE = {"float32": 4e-6, "float16": 2e-3, "bfloat16": 1e-2}
DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}
ISAS = native.module.isas() if native.module else []
NEEDS_GPU = "MLX traces a Metal kernel only where it can run it: run pytest on a Mac"

sys.path.insert(0, str(Path(__file__).parent.parent))  # for metal_check


def silu(x: Exact) -> Exact:
    return x / (1 + np.exp(-x))


def scan_exact(
    x: Exact, dt: Exact, A: Exact, B: Exact, C: Exact, D: Any = None, z: Any = None, h0: Any = None, substeps: float = 1
) -> tuple[Exact, Exact]:
    """A loop over time and sub-steps, as the equation reads; ``math.inf`` is zero-order hold."""
    b, t, d = x.shape
    h = np.zeros((b, d, A.shape[1])) if h0 is None else h0
    outputs = []
    for i in range(t):
        step, u = dt[:, i, :, None], B[:, i, None, :] * x[:, i, :, None]
        if math.isinf(substeps):
            h = np.exp(step * A) * h + np.expm1(step * A) / A * u
        else:
            for _ in range(int(substeps)):
                h = np.exp(step / substeps * A) * h + step / substeps * u
        outputs.append((h * C[:, i, None, :]).sum(-1))
    y = np.stack(outputs, 1)
    y = y if D is None else y + D * x
    return (y if z is None else y * silu(z)), h


def plastic_exact(
    u: Exact,
    x: Exact,
    alpha: Exact,
    rate: Exact,
    keep: Exact,
    H0: Any = None,
    key: Any = None,
    target: Any = None,
    rule: str = "hebb",
    chunk: int | None = None,
) -> tuple[Exact, Exact]:
    """A loop over time, row by row of the trace as the equations read; ``chunk`` changes nothing."""
    b, t, g, m = u.shape
    H = np.zeros((b, g, m, x.shape[3])) if H0 is None else H0
    key, outputs = x if key is None else key, []
    for i in range(t):
        y = u[:, i] + np.einsum("bgmn,bgn->bgm", alpha * H, x[:, i])
        p = np.tanh(y) if target is None else target[:, i]
        H = rule_exact(rule, H, key[:, i], p, rate[:, i], keep[:, i])
        outputs.append(y)
    return np.stack(outputs, 1), H


def rule_exact(rule: str, H: Exact, k: Exact, p: Exact, rate: Exact, keep: Exact) -> Exact:
    """H (..., m, n) after the rule with k (..., n), p (..., m), rate and keep (...)."""
    k, p, rate, keep = k[..., None, :], p[..., None], rate[..., None, None], keep[..., None, None]
    if rule == "hebb":
        return keep * H + rate * p * k
    if rule == "oja":
        return keep * H + rate * p * (k - p * H)
    return keep * H + rate * (p - keep * (H * k).sum(-1, keepdims=True)) * k


def conv_exact(
    x: Exact, weight: Exact, bias: Any = None, tail: Any = None, activation: str | None = None
) -> tuple[Exact, Exact]:
    b, t, d = x.shape
    k = weight.shape[1]
    whole = np.concatenate([np.zeros((b, k - 1, d)) if tail is None else tail, x], axis=1)
    y = np.stack([(whole[:, i : i + k] * weight.T).sum(1) for i in range(t)], axis=1)
    y = y if bias is None else y + bias
    return (silu(y) if activation == "silu" else y), whole[:, t:]


def cross_entropy_exact(logits: Exact, targets: NDArray[np.int64]) -> tuple[Exact]:
    most = logits.real.max(-1, keepdims=True)
    total = np.log(np.exp(logits - most).sum(-1)) + most[..., 0]
    return (total - np.take_along_axis(logits, targets[..., None], -1)[..., 0],)


def rms_norm_exact(x: Exact, weight: Exact, eps: float = 1e-5) -> tuple[Exact]:
    return (weight * x / np.sqrt((x * x).mean(-1, keepdims=True) + eps),)


def bounded_exact(x: Exact, bias: Exact, dt_min: float, dt_max: float) -> tuple[Exact]:
    return (dt_min + (dt_max - dt_min) / (1 + np.exp(-x - bias)),)


def softplus_exact(x: Exact, bias: Exact) -> tuple[Exact]:
    return (np.log1p(np.exp(x + bias)),)


@dataclass(frozen=True)
class Case:
    """An op, arrays to differentiate by name, everything else, the op's definition in NumPy, the kernel to test."""

    op: Callable[..., Any]
    exact: Callable[..., tuple[Exact, ...]]
    arrays: Arrays
    options: dict[str, Any] = field(default_factory=dict)
    kernel: str = "cpu"

    def __call__(self, impl: str = "", **changed: mx.array) -> tuple[mx.array, ...]:
        outputs = self.op(**(self.arrays | changed), **self.options, impl=impl or self.kernel)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def loss(self, impl: str = "", **changed: mx.array) -> mx.array:
        """Every output against weights that differ from element to element."""
        outputs = self(impl, **changed)
        return sum((v.astype(mx.float32) * mx.array(weights_for(v.shape))).sum() for v in outputs)

    def gradients(self, impl: str = "", names: tuple[str, ...] = ()) -> Arrays:
        names = names or tuple(self.arrays)
        chosen = {name: self.arrays[name] for name in names}
        return mx.grad(lambda some: self.loss(impl, **some))(chosen)

    def cast(self, dtype: str) -> Case:
        return replace(self, arrays={name: v.astype(DTYPES[dtype]) for name, v in self.arrays.items()})

    def exact_outputs(self) -> tuple[Exact, ...]:
        return self.exact(**{name: to_numpy(v) for name, v in self.arrays.items()}, **self._exact_options())

    def exact_slope(self, name: str, direction: Exact) -> float:
        """The slope of ``loss`` along a direction, by a finite difference in the complex plane: no cancellation."""
        arrays: dict[str, Exact] = {key: to_numpy(v) for key, v in self.arrays.items()}
        arrays[name] = arrays[name] + 1e-30j * direction
        outputs = self.exact(**arrays, **self._exact_options())
        return float(sum((np.imag(v) * weights_for(v.shape)).sum() for v in outputs) / 1e-30)

    def _exact_options(self) -> dict[str, Any]:
        return {key: np.array(v) if isinstance(v, mx.array) else v for key, v in self.options.items()}


def weights_for(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.cos(1 + np.arange(math.prod(shape))).reshape(shape).astype(np.float32)


def to_numpy(array: mx.array) -> NDArray[np.float64]:
    return np.array(array.astype(mx.float32), dtype=np.float64)


def normal(random: np.random.Generator, *shape: int) -> mx.array:
    return mx.array(random.standard_normal(shape).astype(np.float32))


def make_scan(
    b: int = 2,
    t: int = 37,
    d: int = 19,
    n: int = 5,
    *,
    substeps: float = 1,
    without: tuple[str, ...] = (),
    dt: tuple[float, float] = (0.02, 0.5),
) -> Case:
    random = np.random.default_rng([b, t, d, n])
    arrays = {
        "x": normal(random, b, t, d),
        "dt": mx.array(random.uniform(*dt, (b, t, d)).astype(np.float32)),
        "A": mx.array(-random.uniform(0.3, 6, (d, n)).astype(np.float32)),
        "B": normal(random, b, t, n),
        "C": normal(random, b, t, n),
        "D": normal(random, d),
        "z": normal(random, b, t, d),
        "h0": normal(random, b, d, n),
    }
    arrays = {name: v for name, v in arrays.items() if name not in without}
    return Case(ops.selective_scan, scan_exact, arrays, {"substeps": substeps})


def make_conv(
    b: int = 2, t: int = 37, d: int = 19, k: int = 4, *, activation: str | None = "silu", without: tuple[str, ...] = ()
) -> Case:
    random = np.random.default_rng([b, t, d, k])
    arrays = {
        "x": normal(random, b, t, d),
        "weight": normal(random, d, k) * k**-0.5,
        "bias": normal(random, d),
        "tail": normal(random, b, k - 1, d),
    }
    arrays = {name: v for name, v in arrays.items() if name not in without}
    return Case(ops.causal_conv1d, conv_exact, arrays, {"activation": activation})


def make_plastic(
    b: int = 2,
    t: int = 37,
    m: int = 7,
    n: int = 5,
    g: int = 3,
    *,
    rule: str = "delta",
    each: bool = True,
    without: tuple[str, ...] = ("target",),
    chunk: int | None = None,
) -> Case:
    """``each``: whether each synapse has an alpha of its own, or each output."""
    random = np.random.default_rng([b, t, m, n, g])
    rate = random.uniform(0, 1, (b, t, g)).astype(np.float32)
    arrays = {
        "u": normal(random, b, t, g, m) * 0.5,
        "x": normal(random, b, t, g, n) * n**-0.5,
        "alpha": normal(random, g, m, n if each else 1),
        "H0": normal(random, b, g, m, n) * 0.3,
        "rate": mx.array(rate),
        "keep": 1 - 0.3 * mx.array(rate),
        "key": normal(random, b, t, g, n) * n**-0.5,
        "target": mx.tanh(normal(random, b, t, g, m)),
    }
    arrays = {name: v for name, v in arrays.items() if name not in without}
    return Case(ops.plastic_scan, plastic_exact, arrays, {"rule": rule, "chunk": chunk})


def make_bounded(*shape: int, dt_min: float = 0.01, dt_max: float = 0.5, scale: float = 1) -> Case:
    random = np.random.default_rng([*shape])
    arrays = {"x": scale * normal(random, *shape), "bias": normal(random, shape[-1])}
    return Case(ops.bounded_time_step, bounded_exact, arrays, {"dt_min": dt_min, "dt_max": dt_max})


def make_softplus(*shape: int, scale: float = 1) -> Case:
    random = np.random.default_rng([*shape])
    arrays = {"x": scale * normal(random, *shape), "bias": normal(random, shape[-1])}
    return Case(ops.softplus_time_step, softplus_exact, arrays)


def make_rms_norm(*shape: int) -> Case:
    random = np.random.default_rng([*shape])
    return Case(
        ops.rms_norm, rms_norm_exact, {"x": normal(random, *shape), "weight": normal(random, shape[-1])}, {"eps": 1e-5}
    )


def make_cross_entropy(*shape: int, scale: float = 1) -> Case:
    random = np.random.default_rng([*shape])
    targets = mx.array(random.integers(0, shape[-1], shape[:-1]))
    return Case(
        ops.cross_entropy, cross_entropy_exact, {"logits": scale * normal(random, *shape)}, {"targets": targets}
    )


MAKERS: dict[str, Callable[..., Case]] = {
    "selective_scan": make_scan,
    "causal_conv1d": make_conv,
    "plastic_scan": make_plastic,
    "bounded_time_step": make_bounded,
    "softplus_time_step": make_softplus,
    "rms_norm": make_rms_norm,
    "cross_entropy": make_cross_entropy,
}
SEQUENCE_OPS = ("selective_scan", "causal_conv1d", "plastic_scan")


def make_case(op: str, *sizes: int, **options: Any) -> Case:
    """An example of an op by its name; without sizes, one that is odd in every size."""
    return MAKERS[op](*(sizes or (() if op in SEQUENCE_OPS else (2, 19, 13))), **options)


def check_close(name: str, actual: mx.array, expected: mx.array | Exact, tolerance: float, floor: float = 0.1) -> None:
    """Same shape (and dtype, of arrays), finite, and no further apart than a share of the largest value."""
    if isinstance(expected, mx.array):
        assert actual.dtype == expected.dtype, name
        expected = to_numpy(expected)
    assert actual.shape == expected.shape, name
    values = to_numpy(actual)
    assert np.isfinite(values).all(), f"{name} is not finite"
    if not values.size:
        return
    error, scale = np.abs(values - expected).max(), max(np.abs(expected).max(), floor)
    assert error <= tolerance * scale, f"{name}: off by {error / scale:.2e} of {scale:.3g}, allowed {tolerance:.0e}"


def check_slopes(case: Case, tolerance: float = 1e-5) -> None:
    """Every gradient of the kernel along random directions against finite differences of the definition."""
    random = np.random.default_rng(5)
    for name, gradient in case.gradients().items():
        for _ in range(3):
            direction = random.standard_normal(gradient.shape)
            slope = (to_numpy(gradient) * direction).sum()
            scale = max(1.0, float(np.linalg.norm(to_numpy(gradient))))
            assert abs(slope - case.exact_slope(name, direction)) <= tolerance * scale, name


@pytest.fixture(autouse=True)
def cpu() -> Iterator[None]:
    """The tests of the CPU primitives run on the CPU on every machine."""
    before = mx.default_device()
    mx.set_default_device(mx.cpu)
    yield
    mx.set_default_device(before)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest, isa_setter: Callable[[str], None]) -> str:
    """Each instruction set that this processor runs."""
    isa_setter(request.param)
    return request.param


@pytest.fixture(params=[*ISAS, "metal"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The kernels of an op, as ``impl`` names them: on the CPU with each instruction set, and Metal's.

    Metal's runs on the GPU of a Mac; elsewhere the checker of kernels runs it, or the test is skipped with the line
    that installs a compiler for it. A parameter "cpu" is the CPU's with its best instruction set.
    """
    if request.param == "metal":
        with metal_kernels(monkeypatch):
            yield "metal"
    elif request.param == "cpu":
        yield "cpu"
    else:
        request.getfixturevalue("isa_setter")(request.param)
        yield "cpu"


@pytest.fixture
def impl(request: pytest.FixtureRequest, kernel: str) -> str:
    """By indirect parameter: "kernel" for each of them in turn, "reference" for that."""
    return kernel if request.param == "kernel" else "reference"


@pytest.fixture
def isa_setter() -> Iterator[Callable[[str], None]]:
    before = native.module.isa()
    yield native.module.set_isa
    native.module.set_isa(before)


@contextmanager
def metal_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Metal device, real or checked."""
    if mx.metal.is_available():
        mx.set_default_device(mx.gpu)
        yield
        return
    import metal_check

    try:
        metal_check.find_compiler()
    except metal_check.NoCompiler as error:
        pytest.skip(str(error))
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    with metal_check.install(order="random", offset=1):
        yield


@pytest.fixture
def traceable(kernel: str) -> str:
    """As ``kernel``, for tests under ``mx.compile``, ``mx.vmap`` and the like."""
    if kernel == "metal" and mx.default_device() == mx.Device(mx.cpu):
        pytest.skip(NEEDS_GPU)
    return kernel


@pytest.fixture
def unfused() -> Iterator[None]:
    """``mx.compile`` without its run-time C++ compiler, which takes seconds."""
    native.module.set_compile_fusion(False)
    yield
    native.module.set_compile_fusion(True)


@pytest.fixture
def scan_module() -> ModuleType:
    """The module: the attribute ``lasmlx.ops.selective_scan`` is the function."""
    return importlib.import_module("lasmlx.ops.selective_scan")


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Callable[..., Case]:
    """``case(op, *sizes, **options)``; the kernel is the CPU's unless the test asks for ``kernel``."""
    chosen = request.getfixturevalue("kernel") if "kernel" in request.fixturenames else "cpu"
    return lambda op, *sizes, **options: replace(make_case(op, *sizes, **options), kernel=chosen)


@pytest.fixture
def peak_bytes() -> Callable[[Callable[[Arrays], Any], Case], int]:
    """``peak_bytes(f, example)``: what ``f(example.arrays)`` allocates beyond its inputs, at most at a time."""

    def measure(f: Callable[[Arrays], Any], example: Case) -> int:
        mx.eval(example.arrays)
        mx.eval(f(example.arrays))  # one-time allocations
        mx.clear_cache()
        active = mx.get_active_memory()
        mx.reset_peak_memory()
        mx.eval(f(example.arrays))
        return int(mx.get_peak_memory() - active)

    return measure


@pytest.fixture
def close() -> Callable[..., None]:
    return check_close


@pytest.fixture
def slopes() -> Callable[..., None]:
    return check_slopes


@pytest.fixture
def agree() -> Callable[..., None]:
    """The kernel against the reference: outputs and every gradient by name."""

    def check(
        example: Case, dtype: str = "float32", *, forward: float | None = None, backward: float | None = None
    ) -> None:
        example = example.cast(dtype)
        for i, (actual, expected) in enumerate(zip(example(), example("reference"), strict=True)):
            check_close(f"output {i}", actual, expected, forward or TOLERANCE[dtype])
        expected_gradients = example.gradients("reference")
        for name, gradient in example.gradients().items():
            check_close(f"d{name}", gradient, expected_gradients[name], backward or GRADIENT_TOLERANCE[dtype])

    return check
