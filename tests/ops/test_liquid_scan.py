"""The liquid scan against its definition in float64: outputs and every gradient; time, masks, splits, named errors."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.ops import liquid_scan_metal, ode
from lasmlx.ops.adaptive import Adaptive
from lasmlx.ops.dispatch import ImplError
from lasmlx.ops.liquid_scan import BoundedTau, SoftTau, adaptive_liquid_scan, before, liquid_scan, tau_along

SOLVERS = ["euler", "midpoint", "rk4", "fused", "exponential"]
SIZES = [(1, 1, 1, 1), (2, 7, 5, 3), (3, 4, 2, 6), (5, 5, 5, 5)]  # b, t, hidden, m


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def exact_step(rate: Any, linear: Any, h: Any, d: Any, solver: str) -> Any:
    """One sub-step as the equation reads."""
    if solver == "euler":
        return h + d * rate(h)
    if solver == "midpoint":
        return h + d * rate(h + d / 2 * rate(h))
    if solver == "rk4":
        k1 = rate(h)
        k2 = rate(h + d / 2 * k1)
        k3 = rate(h + d / 2 * k2)
        k4 = rate(h + d * k3)
        return h + d / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    drive, decay = linear(h)
    if solver == "fused":
        return (h + d * drive) / (1 + d * decay)
    return drive / decay + (h - drive / decay) * np.exp(-d * decay)


def exact_scan(
    u: Any,
    U: Any,
    v: Any,
    V: Any,
    h0: Any,
    dt: Any,
    V2: Any = None,
    b2: Any = None,
    solver: str = "",
    substeps: int = 1,
) -> tuple[Any, Any]:
    h, outputs = h0, []
    for i in range(u.shape[1]):

        def linear(h: Any, i: int = i) -> tuple[Any, Any]:
            z = v[:, i] + h @ V.T
            tau = 0.2 + 1.8 * sigmoid(z) if V2 is None else 0.2 + np.log(1 + np.exp(np.tanh(z) @ V2.T + b2))
            return np.tanh(u[:, i] + h @ U.T) / tau, 1 / tau

        def rate(h: Any, linear: Any = linear) -> Any:
            drive, decay = linear(h)
            return drive - decay * h

        for _ in range(substeps):
            h = exact_step(rate, linear, h, dt[:, i, None] / substeps, solver)
        outputs.append(h)
    return np.stack(outputs, 1), h


def flat_scan(
    u: mx.array,
    U: mx.array,
    v: mx.array,
    V: mx.array,
    h0: mx.array,
    dt: mx.array,
    V2: mx.array | None = None,
    b2: mx.array | None = None,
    impl: Any = "auto",
    **options: Any,
) -> tuple[mx.array, mx.array]:
    """The op with every array an argument of its own."""
    tau = BoundedTau(v, V, 0.2, 2.0) if V2 is None or b2 is None else SoftTau(v, V, V2, b2, 0.2)
    return liquid_scan(u, U, tau, h0, dt, impl=impl, **options)


def make(case: Any, b: int, t: int, hidden: int, m: int = 0, **options: Any) -> Any:
    random = np.random.default_rng([b, t, hidden, m])

    def normal(*shape: int) -> mx.array:
        return mx.array(random.standard_normal(shape).astype(np.float32))

    arrays = {
        "u": normal(b, t, hidden),
        "U": normal(hidden, hidden) * hidden**-0.5,
        "v": normal(b, t, m or hidden),
        "V": normal(m or hidden, hidden) * hidden**-0.5,
        "h0": normal(b, hidden),
        "dt": mx.array(random.uniform(0.05, 0.3, (b, t)).astype(np.float32)),
    }
    if m:
        arrays |= {"V2": normal(hidden, m), "b2": normal(hidden)}
    options = {"solver": "euler", "substeps": 1} | options
    return replace(case("rms_norm"), op=flat_scan, exact=exact_scan, arrays=arrays, options=options)


SHAPES = [(1, 1, 1, 1), (2, 3, 5, 7), (5, 7, 17, 6), (9, 4, 64, 40), (3, 2, 70, 0), (1, 33, 8, 0)]  # b, t, hidden, m


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize("solver", ode.KERNEL_SOLVERS)
@pytest.mark.parametrize("substeps", [1, 3])
def test_kernels_agree_with_the_reference(
    isa: str, case: Any, agree: Any, sizes: tuple[int, ...], solver: str, substeps: int
) -> None:
    agree(make(case, *sizes, solver=solver, substeps=substeps), backward=1e-5)


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
@pytest.mark.parametrize(
    ("sizes", "solver"),
    [
        ((1, 1, 1, 0), "euler"),
        ((2, 3, 5, 7), "midpoint"),
        ((5, 3, 33, 6), "fused"),  # a tile that is not full, two simdgroups
        ((3, 3, 6, 0), "midpoint"),
        ((1, 2, 4, 70), "euler"),  # tau's layer wider than the rest
        ((1, 2, 300, 0), "fused"),  # more units than threads
    ],
)
def test_metal_agrees_with_the_reference(
    kernel: str, case: Any, agree: Any, sizes: tuple[int, ...], solver: str
) -> None:
    agree(make(case, *sizes, solver=solver, substeps=1 if sizes[2] > 99 else 2), backward=1e-5)


@pytest.mark.parametrize(
    ("hidden", "inner", "solver", "takes"),
    [
        *((4091, 0, "euler", True), (4092, 0, "euler", False), (8, 0, "rk4", False)),
        *((8, 8167, "fused", True), (8, 8168, "fused", False)),
    ],
)
def test_what_the_metal_kernel_takes(hidden: int, inner: int, solver: str, takes: bool) -> None:
    assert liquid_scan_metal.takes(hidden, inner, solver) is takes


def test_rows_a_threadgroup() -> None:
    assert [liquid_scan_metal.tile(b, 100) for b in (1, 2, 3, 4, 64)] == [1, 2, 4, 4, 4]
    largest = [max(h for h in range(5000) if liquid_scan_metal.rows_fit(rows, 2 * h + 8)) for rows in (1, 2, 4)]
    assert largest == [4091, 2043, 1019]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_kernels_agree_in_half_precision(isa: str, case: Any, agree: Any, dtype: str) -> None:
    agree(make(case, 3, 5, 9, 4), dtype)


def tau_of(example: Any) -> BoundedTau:
    return BoundedTau(example.arrays["v"], example.arrays["V"], 0.2, 2.0)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_agrees_with_float64_definition(
    case: Any, close: Any, slopes: Any, sizes: tuple[int, ...], soft: bool, solver: str
) -> None:
    example = make(case, *(sizes if soft else sizes[:3]), solver=solver, substeps=2)
    for actual, expected in zip(example("reference"), example.exact_outputs(), strict=True):
        close("output", actual, expected, 2e-6)
    for chosen in ("reference", "cpu") if solver in ode.KERNEL_SOLVERS else ("reference",):
        slopes(replace(example, kernel=chosen))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_in_and_out(case: Any, close: Any, dtype: str) -> None:
    example = make(case, 2, 7, 5)
    h, last = example.cast(dtype)("reference")
    assert (str(h.dtype).split(".")[-1], last.dtype) == (dtype, mx.float32)
    close("h", h.astype(mx.float32), np.array(example("reference")[0]), 3e-2)


def test_absent_state_is_zero_and_a_number_is_every_step(case: Any) -> None:
    example = make(case, 3, 4, 3)
    u, U = example.arrays["u"], example.arrays["U"]
    h, _ = liquid_scan(u, U, tau_of(example), dt=0.5)
    other, _ = liquid_scan(u, U, tau_of(example), mx.zeros((3, 3)), mx.full((3, 4, 1), 0.5))
    assert mx.array_equal(h, other)


def test_each_row_has_its_own_clock_where_all_sizes_are_equal(case: Any) -> None:
    example = make(case, 5, 5, 5)
    whole, _ = example("reference")
    for i in range(5):
        row = {name: v[i : i + 1] for name, v in example.arrays.items() if name in ("u", "v", "h0", "dt")}
        np.testing.assert_allclose(np.array(example("reference", **row)[0][0]), np.array(whole[i]), atol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_masked_elements_are_not_there(case: Any, solver: str) -> None:
    example = make(case, 2, 7, 5, solver=solver)
    keep = [0, 2, 3, 6]
    mask = mx.array([[i in keep for i in range(7)]] * 2)
    h, last = flat_scan(**example.arrays, **example.options, mask=mask)
    fewer = {name: v[:, mx.array(keep)] for name, v in example.arrays.items() if name in ("u", "v", "dt")}
    expected, end = example("auto", **fewer)
    assert mx.array_equal(h[:, mx.array(keep)], expected) and mx.array_equal(last, end)
    assert mx.array_equal(h[:, 1], h[:, 0]) and mx.array_equal(h[:, 5], h[:, 3])
    gradient = mx.grad(lambda u: flat_scan(**(example.arrays | {"u": u}), **example.options, mask=mask)[0].sum())
    assert mx.abs(gradient(example.arrays["u"])[:, mx.array([1, 4, 5])]).max().item() == 0


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 19), max_size=5, unique=True), solver=st.sampled_from(SOLVERS))
def test_one_pass_equals_any_split(cuts: list[int], solver: Any) -> None:
    b, t, hidden = 2, 20, 7
    u, v = (mx.random.normal((b, t, hidden), key=mx.random.key(i)) for i in range(2))
    U, V = (mx.random.normal((hidden, hidden), key=mx.random.key(i)) * 0.4 for i in range(2, 4))
    dt = mx.random.uniform(0.01, 0.3, (b, t), key=mx.random.key(4))
    whole, last = liquid_scan(u, U, BoundedTau(v, V, 0.2, 2.0), None, dt, solver=solver)
    h, pieces = None, []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), t], strict=True):
        now = slice(start, stop)
        y, h = liquid_scan(u[:, now], U, BoundedTau(v[:, now], V, 0.2, 2.0), h, dt[:, now], solver=solver)
        pieces.append(y)
    assert mx.array_equal(mx.concatenate(pieces, 1), whole) and mx.array_equal(h, last)


def test_tau_along_is_the_tau_at_the_start_of_each_element(case: Any) -> None:
    example = make(case, 2, 7, 5)
    a = {name: np.array(v, dtype=np.float64) for name, v in example.arrays.items()}
    h, _ = example("reference")
    earlier = np.concatenate([a["h0"][:, None], np.array(h)[:, :-1]], 1)
    tau = tau_along(tau_of(example), h, example.arrays["h0"])
    np.testing.assert_allclose(np.array(tau), 0.2 + 1.8 * sigmoid(a["v"] + earlier @ a["V"].T), rtol=1e-5)
    np.testing.assert_array_equal(before(h, None)[:, 0], np.zeros((2, 5)))


def test_an_input_held_forever_is_forgotten_at_the_rate_of_tau() -> None:
    """With U = V = 0 the equation is linear: h goes to tanh(u) with time constant tau."""
    u, v, none = mx.full((1, 50, 1), 0.7), mx.zeros((1, 50, 1)), mx.zeros((1, 1))
    h, _ = liquid_scan(u, none, BoundedTau(v, none, 0.5, 1.5), dt=0.1, solver="exponential")
    exact = np.tanh(0.7) * (1 - np.exp(-0.1 * np.arange(1, 51) / 1.0))
    np.testing.assert_allclose(np.array(h[0, :, 0]), exact, rtol=1e-5)


def test_adaptive_agrees_with_many_small_steps(case: Any) -> None:
    example = make(case, 2, 7, 5, solver="rk4", substeps=50)
    a, dt = example.arrays, 5 * example.arrays["dt"]
    expected, _ = example("reference", dt=dt)
    adaptive = Adaptive(rtol=1e-4, atol=1e-5)
    mask = mx.array([[True] * 6 + [False]] * 2)
    h, last, steps = adaptive_liquid_scan(a["u"], a["U"], tau_of(example), a["h0"], dt, mask=mask, adaptive=adaptive)
    np.testing.assert_allclose(np.array(h[:, :6]), np.array(expected[:, :6]), atol=5e-4)
    assert mx.array_equal(last, h[:, 5])
    assert steps[:, 6].tolist() == [0, 0] and steps[:, :6].min().item() >= 1


def test_compiles(case: Any) -> None:
    example = make(case, 1, 3, 2)
    a = example.arrays
    compiled = mx.compile(lambda arrays: flat_scan(**arrays, **example.options)[0])
    np.testing.assert_allclose(np.array(compiled(a)), np.array(example("reference")[0]), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(mx.metal.is_available(), reason="there is a Metal device")
@pytest.mark.parametrize("impl", ["metal", "best"])
def test_other_implementations_are_refused_plainly(case: Any, impl: Any) -> None:
    example = make(case, 2, 3, 4)
    with pytest.raises(ImplError, match=r"^liquid_scan: impl"):
        liquid_scan(example.arrays["u"], example.arrays["U"], tau_of(example), impl=impl)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"u": (4, 3)}, r"u has shape \(4, 3\), expected \(b, t, hidden\) with every size at least 1\."),
        ({"u": (2, 0, 3)}, r"u has shape \(2, 0, 3\), expected \(b, t, hidden\)"),
        ({"U": (3, 4)}, r"U has shape \(3, 4\), expected \(4, 4\)\."),
        ({"v": (2, 3, 5)}, r"tau\.v has shape \(2, 3, 5\), expected \(2, 3, 4\)\."),
        ({"V": (4, 5)}, r"tau\.V has shape \(4, 5\), expected \(4, 4\)\."),
        ({"h0": (4, 2)}, r"h0 has shape \(4, 2\), expected \(2, 4\)\."),
        ({"dt": (2,)}, r"dt has shape \(2,\), expected a number, \(3,\), \(2, 3\) or \(2, 3, 1\)\."),
    ],
)
def test_wrong_shapes_are_named(case: Any, changed: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match="^liquid_scan: " + message):
        make(case, 2, 3, 4)("reference", **{name: mx.zeros(shape) for name, shape in changed.items()})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"v": (3, 2, 5)}, r"tau\.v has shape \(3, 2, 5\), expected \(2, 3, m\)\."),
        ({"V": (4, 5)}, r"tau\.V has shape \(4, 5\), expected \(5, 4\)\."),
        ({"V2": (5, 4)}, r"tau\.V2 has shape \(5, 4\), expected \(4, 5\)\."),
        ({"b2": (5,)}, r"tau\.b2 has shape \(5,\), expected \(4,\)\."),
    ],
)
def test_wrong_shapes_of_a_soft_tau_are_named(case: Any, changed: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match="^liquid_scan: " + message):
        make(case, 2, 3, 4, 5)("reference", **{name: mx.zeros(shape) for name, shape in changed.items()})


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_wrong_bounds_are_named(case: Any, low: float, high: float) -> None:
    example = make(case, 2, 3, 4)
    tau = tau_of(example)._replace(low=low, high=high)
    with pytest.raises(ValueError, match=r"^liquid_scan: tau\.low is .* and tau\.high .*, expected 0 < low < high\."):
        liquid_scan(example.arrays["u"], example.arrays["U"], tau)


@pytest.mark.parametrize(("name", "shown"), [("u", "u"), ("U", "U"), ("h0", "h0"), ("V", r"tau\.V"), ("v", r"tau\.v")])
def test_wrong_dtypes_are_named(case: Any, name: str, shown: str) -> None:
    example = make(case, 2, 3, 4)
    with pytest.raises(ValueError, match=rf"^liquid_scan: {shown} has dtype mlx\.core\.int32, expected float32"):
        example("reference", **{name: example.arrays[name].astype(mx.int32)})


def test_wrong_solver_is_named(case: Any) -> None:
    with pytest.raises(ValueError, match=r"^liquid_scan: solver is 'heun', expected one of euler"):
        make(case, 2, 3, 4, solver="heun")("reference")


def test_memory_of_a_long_sequence_is_linear_in_it(case: Any, peak_bytes: Any) -> None:
    for t in (2048, 8192):  # h, and the gradients of u and v, which the caller asked for; that of h is a broadcast
        example = make(case, 1, t, 32, substeps=4)
        gradient = mx.grad(lambda arrays, example=example: example(**arrays)[0].sum())
        assert peak_bytes(gradient, example) < 4 * t * 32 * 4
