"""The plastic liquid scan against its definition in float64: outputs, every gradient; lag, heads, splits, memory."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.ops import ode
from lasmlx.ops.adaptive import Adaptive
from lasmlx.ops.dispatch import ImplError
from lasmlx.ops.liquid_scan import BoundedTau, SoftTau, liquid_scan
from lasmlx.ops.plastic_liquid import Plasticity, adaptive_plastic_liquid_scan, plastic_liquid_scan

RULES = ["hebb", "oja", "delta"]


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def exact_step(field: Any, h: Any, d: Any, solver: str) -> Any:
    """One sub-step as the equation reads."""
    drive, decay = field(h)
    if solver == "euler":
        return h + d * (drive - decay * h)
    if solver == "midpoint":
        middle = h + d / 2 * (drive - decay * h)
        drive, decay = field(middle)
        return h + d * (drive - decay * middle)
    return (h + d * drive) / (1 + d * decay)


def exact_write(rule: str, H: Any, k: Any, p: Any, rate: Any, keep: Any) -> Any:
    """One synapse after another: H[b, head, output, input]."""
    new = np.zeros(H.shape, np.result_type(H, k, p, rate, keep))
    for at in np.ndindex(H.shape):
        b, head, i, j = at
        pre, post, r, c = k[b, head, j], p[b, head, i], rate[b], keep[b]
        if rule == "hebb":
            new[at] = c * H[at] + r * post * pre
        elif rule == "oja":
            new[at] = c * H[at] + r * post * (pre - post * H[at])
        else:
            new[at] = c * H[at] + r * (post - c * (H[b, head, i] * k[b, head]).sum()) * pre
    return new


def exact_scan(
    u: Any,
    U: Any,
    v: Any,
    V: Any,
    h0: Any,
    H0: Any,
    k0: Any,
    dt: Any,
    x: Any,
    alpha: Any,
    rate: Any,
    keep: Any,
    V2: Any = None,
    b2: Any = None,
    rule: str = "hebb",
    lag: int = 0,
    solver: str = "",
    substeps: int = 1,
) -> tuple[Any, Any, Any]:
    (b, t, hidden), (g, m, _) = u.shape, alpha.shape
    h, H, earlier, outputs = h0, H0, k0, []
    for i in range(t):
        k = np.concatenate([x[:, i].reshape(b, g, -1), h.reshape(b, g, m) / np.sqrt(2 * m)], -1)
        read = np.einsum("gmn,bgmn,bgn->bgm", alpha, H, k).reshape(b, hidden)

        def field(h: Any, i: int = i, read: Any = read) -> tuple[Any, Any]:
            z = v[:, i] + h @ V.T
            tau = 0.2 + 1.8 * sigmoid(z) if V2 is None else 0.2 + np.log(1 + np.exp(np.tanh(z) @ V2.T + b2))
            return np.tanh(u[:, i] + read + h @ U.T) / tau, 1 / tau

        for _ in range(substeps):
            h = exact_step(field, h, dt[:, i, None] / substeps, solver)
        H = exact_write(rule, H, earlier if lag else k, h.reshape(b, g, m), rate[:, i], keep[:, i])
        earlier = k
        outputs.append(h)
    return np.stack(outputs, 1), h, H


def flat_scan(
    u: mx.array,
    U: mx.array,
    v: mx.array,
    V: mx.array,
    h0: mx.array | None,
    H0: mx.array | None,
    k0: mx.array | None,
    dt: mx.array,
    x: mx.array,
    alpha: mx.array,
    rate: mx.array,
    keep: mx.array,
    V2: mx.array | None = None,
    b2: mx.array | None = None,
    rule: Any = "hebb",
    lag: int = 0,
    **options: Any,
) -> tuple[mx.array, mx.array, mx.array]:
    """The op with every array an argument of its own."""
    tau = BoundedTau(v, V, 0.2, 2.0) if V2 is None or b2 is None else SoftTau(v, V, V2, b2, 0.2)
    plasticity = Plasticity(x, alpha, rate, keep, rule, lag)
    return plastic_liquid_scan(u, U, tau, plasticity, h0, H0, k0, dt, **options)


def make(case: Any, b: int, t: int, hidden: int, inputs: int, g: int = 1, inner: int = 0, **options: Any) -> Any:
    """``inner``: the units of a soft tau's hidden layer, or 0 for a bounded tau."""
    random = np.random.default_rng([b, t, hidden, inputs, g, inner])
    m, n = hidden // g, (inputs + hidden) // g

    def normal(*shape: int) -> mx.array:
        return mx.array(random.standard_normal(shape).astype(np.float32))

    rate = mx.array(random.uniform(0, 0.8, (b, t)).astype(np.float32))
    arrays = {
        "u": normal(b, t, hidden),
        "U": normal(hidden, hidden) * hidden**-0.5,
        "v": normal(b, t, inner or hidden),
        "V": normal(inner or hidden, hidden) * hidden**-0.5,
        "h0": normal(b, hidden) * 0.5,
        "H0": normal(b, g, m, n) * 0.3,
        "k0": normal(b, g, n) * n**-0.5,
        "dt": mx.array(random.uniform(0.05, 0.3, (b, t)).astype(np.float32)),
        "x": normal(b, t, inputs) * (g / (2 * inputs)) ** 0.5,
        "alpha": normal(g, m, n) * 0.5,
        "rate": rate,
        "keep": 1 - 0.3 * rate,
    }
    if inner:
        arrays |= {"V2": normal(hidden, inner), "b2": normal(hidden)}
    options = {"rule": "hebb", "lag": 1, "solver": "euler", "substeps": 1} | options
    return replace(case("rms_norm"), op=flat_scan, exact=exact_scan, arrays=arrays, options=options)


SHAPES = [(1, 1, 1, 1), (5, 18, 6, 9, 3, 4), (2, 33, 17, 5), (9, 2, 20, 4, 2, 7), (3, 17, 34, 70)]


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("solver", "substeps", "rule", "lag"),
    [("midpoint", 3, "hebb", 0), ("fused", 1, "oja", 1), ("euler", 1, "delta", 0), ("midpoint", 1, "delta", 1)],
)
def test_kernels_agree_with_the_reference(
    isa: str, case: Any, agree: Any, sizes: tuple[int, ...], solver: str, substeps: int, rule: str, lag: int
) -> None:
    agree(make(case, *sizes, solver=solver, substeps=substeps, rule=rule, lag=lag), backward=1e-5)


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("solver", "inner"), [("euler", 3), ("midpoint", 0), ("fused", 3)])
def test_agrees_with_float64_definition(
    case: Any, close: Any, slopes: Any, rule: str, lag: int, solver: str, inner: int
) -> None:
    example = make(case, 2, 5, 4, 6, 2, inner, solver=solver, substeps=2, rule=rule, lag=lag)
    for impl in ("cpu", "reference"):
        for actual, expected in zip(example(impl), example.exact_outputs(), strict=True):
            close("output", actual, expected, 2e-6)
    slopes(example)


@pytest.mark.parametrize("rule", RULES)
def test_reference_has_the_gradients_of_the_definition(case: Any, slopes: Any, rule: str) -> None:
    slopes(replace(make(case, 2, 3, 4, 2, 2, rule=rule, solver="midpoint"), kernel="reference"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_kernels_agree_in_half_precision(isa: str, case: Any, agree: Any, dtype: str) -> None:
    example = make(case, 3, 5, 8, 4, 2, 3, rule="delta")
    agree(example, dtype)
    h, last, H = example.cast(dtype)()
    assert (str(h.dtype).split(".")[-1], last.dtype, H.dtype) == (dtype, mx.float32, mx.float32)


@pytest.mark.parametrize("impl", ["cpu", "reference"])
@pytest.mark.parametrize("lag", [0, 1])
def test_absent_states_are_zero(case: Any, impl: str, lag: int) -> None:
    example = make(case, 2, 4, 6, 4, 2, rule="delta", lag=lag)
    zero = {name: mx.zeros(example.arrays[name].shape) for name in ("h0", "H0", "k0")}
    absent = flat_scan(**(example.arrays | dict.fromkeys(zero)), **example.options, impl=impl)
    for actual, expected in zip(absent, example(impl, **zero), strict=True):
        assert mx.array_equal(actual, expected)


@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_the_key_before_matters_with_a_lag_only(case: Any, impl: str) -> None:
    for lag in (0, 1):
        example = make(case, 2, 4, 6, 4, 2, lag=lag)
        changed = example(impl, k0=example.arrays["k0"] + 1)
        assert mx.array_equal(changed[2], example(impl)[2]).item() is (lag == 0)


@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_a_trace_recalls_what_followed_a_key(impl: Any) -> None:
    """With delta at rate 1 the trace takes the key of the first element to the state after the second."""
    units, dt = 3, 40.0  # long enough for h to settle at tanh(u)
    x = mx.array([[[1.0, 0.0], [0.0, 1.0]]])
    u = mx.array([[[0.3, -0.2, 0.9], [-1.0, 0.4, 0.1]]])
    none, ones = mx.zeros((units, units)), mx.ones((1, 2))
    still = BoundedTau(mx.zeros((1, 2, units)), none, 0.5, 1.5)
    plasticity = Plasticity(x, mx.zeros((1, units, 2 + units)), ones, ones, "delta", 1)
    h, _, H = plastic_liquid_scan(u, none, still, plasticity, dt=dt, solver="fused", substeps=40, impl=impl)
    np.testing.assert_allclose(np.array(h), np.tanh(np.array(u)), atol=1e-3)
    np.testing.assert_allclose(np.array(H[0, 0] @ mx.array([1.0, 0, 0, 0, 0])), np.array(h[0, 1]), atol=1e-6)


@pytest.mark.parametrize("solver", ["euler", "midpoint", "fused", "rk4", "exponential"])
def test_without_plasticity_it_is_the_liquid_scan(case: Any, solver: Any) -> None:
    example = make(case, 5, 19, 6, 4, 2, solver=solver, substeps=2)
    a = example.arrays
    for changed in ({"alpha": mx.zeros(a["alpha"].shape)}, {"H0": mx.zeros(a["H0"].shape), "rate": 0 * a["rate"]}):
        h, last, _ = example("auto", **changed)
        tau = BoundedTau(a["v"], a["V"], 0.2, 2.0)
        expected, end = liquid_scan(a["u"], a["U"], tau, a["h0"], a["dt"], solver=solver, substeps=2)
        assert mx.array_equal(h, expected) and mx.array_equal(last, end)


@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_nothing_happens_where_no_time_passes(case: Any, impl: str) -> None:
    example = make(case, 2, 6, 4, 4, 2, lag=0, rule="delta")
    a, rest = example.arrays, mx.array([[False, True, True, False, True, False]] * 2)
    still = {
        "dt": mx.where(rest, 0, a["dt"]),
        "rate": mx.where(rest, 0, a["rate"]),
        "keep": mx.where(rest, 1, a["keep"]),
    }
    h, last, H = example(impl, **still)
    there = mx.array([0, 3, 5])
    fewer = {name: a[name][:, there] for name in ("u", "v", "dt", "x", "rate", "keep")}
    expected, _, H_end = example(impl, **fewer)
    np.testing.assert_allclose(np.array(h[:, there]), np.array(expected), atol=1e-6)
    np.testing.assert_allclose(np.array(H), np.array(H_end), atol=1e-6)
    assert mx.array_equal(h[:, 2], h[:, 0]) and mx.array_equal(last, h[:, 5])


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 39), max_size=5, unique=True),
    rule=st.sampled_from(RULES),
    solver=st.sampled_from(["euler", "midpoint", "fused"]),
    impl=st.sampled_from(["cpu", "reference"]),
)
def test_one_pass_equals_any_split(cuts: list[int], rule: Any, solver: Any, impl: Any) -> None:
    b, t, hidden, inputs, g = 5, 40, 6, 4, 2
    u, v, x = (mx.random.normal((b, t, s), key=mx.random.key(i)) for i, s in enumerate([hidden, hidden, inputs]))
    U, V = (mx.random.normal((hidden, hidden), key=mx.random.key(i)) * 0.4 for i in range(3, 5))
    alpha = mx.random.normal((g, hidden // g, (hidden + inputs) // g), key=mx.random.key(5))
    rate, dt = (mx.random.uniform(0.01, 0.4, (b, t), key=mx.random.key(i)) for i in (6, 7))

    def scan(now: slice, h: Any = None, H: Any = None) -> Any:
        plasticity = Plasticity(x[:, now], alpha, rate[:, now], 1 - 0.4 * rate[:, now], rule)
        tau = BoundedTau(v[:, now], V, 0.2, 2.0)
        return plastic_liquid_scan(u[:, now], U, tau, plasticity, h, H, dt=dt[:, now], solver=solver, impl=impl)

    whole, last, trace = scan(slice(None))
    h, H, pieces = None, None, []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), t], strict=True):
        y, h, H = scan(slice(start, stop), h, H)
        pieces.append(y)
    assert mx.array_equal(mx.concatenate(pieces, 1), whole)
    assert mx.array_equal(h, last) and mx.array_equal(H, trace)


def test_a_split_with_a_lag_takes_the_last_key_along(case: Any) -> None:
    example = make(case, 2, 9, 6, 4, 2, rule="delta")
    a, names = example.arrays, ("u", "v", "dt", "x", "rate", "keep")
    h, _, H = example()
    first, h5, H5 = example(**{name: a[name][:, :5] for name in names})
    plasticity = Plasticity(*(a[name] for name in ("x", "alpha", "rate", "keep")))
    k5 = plasticity.keys(a["x"][:, 4], first[:, 3])
    rest, _, H9 = example(**{name: a[name][:, 5:] for name in names}, h0=h5, H0=H5, k0=k5)
    np.testing.assert_allclose(np.array(rest), np.array(h[:, 5:]), atol=1e-6)
    np.testing.assert_allclose(np.array(H9), np.array(H), atol=1e-6)


def test_adaptive_agrees_with_many_small_steps(case: Any) -> None:
    example = make(case, 2, 4, 4, 2, 2, solver="rk4", substeps=30, rule="oja")
    a = example.arrays
    expected, _, trace = example("reference")
    plasticity = Plasticity(a["x"], a["alpha"], a["rate"], a["keep"], "oja", 1)
    tau = BoundedTau(a["v"], a["V"], 0.2, 2.0)
    h, last, H, steps = adaptive_plastic_liquid_scan(
        a["u"], a["U"], tau, plasticity, a["h0"], a["H0"], a["k0"], a["dt"], adaptive=Adaptive(rtol=1e-4, atol=1e-5)
    )
    np.testing.assert_allclose(np.array(h), np.array(expected), atol=5e-4)
    np.testing.assert_allclose(np.array(H), np.array(trace), atol=5e-4)
    assert mx.array_equal(last, h[:, -1]) and steps.shape == (2, 4) and steps.min().item() >= 1


@pytest.mark.parametrize("name", ["u", "U", "v", "V", "h0", "H0", "k0", "dt", "x", "alpha", "rate", "keep"])
def test_vmap_over_each_input(case: Any, close: Any, name: str) -> None:
    example = make(case, 1, 18, 4, 2, 2, rule="delta")
    two = mx.stack([example.arrays[name], example.arrays[name] * 0.5])
    outputs = mx.vmap(lambda v: example(**{name: v}))(two)
    gradients = mx.vmap(mx.grad(lambda v: example.loss(**{name: v})))(two)
    for i in range(2):
        for actual, expected in zip(outputs, example(**{name: two[i]}), strict=True):
            close("output", actual[i], expected, 1e-6)
        close(f"d{name}", gradients[i], mx.grad(lambda v: example.loss(**{name: v}))(two[i]), 1e-6)


def test_compiles(unfused: None, case: Any, close: Any) -> None:
    example = make(case, 2, 20, 4, 2, 2, 3, rule="oja")
    step = mx.value_and_grad(lambda arrays: example.loss(**arrays))
    (loss, gradients), (compiled_loss, compiled) = step(example.arrays), mx.compile(step)(example.arrays)
    close("loss", compiled_loss, loss, 1e-6)
    for name, actual in compiled.items():
        close(f"d{name}", actual, gradients[name], 1e-6)


def test_strided_inputs(case: Any, close: Any) -> None:
    example = make(case, 2, 5, 6, 4, 2)
    gradients = example.gradients()
    for name, array in example.arrays.items():
        view = mx.contiguous(mx.swapaxes(array, -1, -2)).swapaxes(-1, -2)
        for actual, expected in zip(example(**{name: view}), example(), strict=True):
            assert mx.array_equal(actual, expected)
        close(f"d{name}", mx.grad(lambda v, name=name: example.loss(**{name: v}))(view), gradients[name], 1e-6)


def test_a_long_sequence_keeps_few_traces(case: Any, peak_bytes: Any) -> None:
    b, t, hidden, inputs = 2, 512, 64, 64
    example = make(case, b, t, hidden, inputs)
    traces = b * hidden * (hidden + inputs) * 4  # one of each element would be 512
    assert peak_bytes(lambda a: example(**a)[0], example) < 44 * traces
    gradient = mx.grad(lambda a: sum(out.sum() for out in example(**a)))
    assert peak_bytes(gradient, example) < 90 * traces


@pytest.mark.skipif(mx.metal.is_available(), reason="there is a Metal device")
@pytest.mark.parametrize("impl", ["metal", "best"])
def test_other_implementations_are_refused_plainly(case: Any, impl: Any) -> None:
    with pytest.raises(ImplError, match=r"^plastic_liquid_scan: impl"):
        make(case, 2, 3, 4, 2)(impl)


def test_a_solver_without_a_kernel_is_refused_plainly(case: Any) -> None:
    solvers = ", ".join(ode.KERNEL_SOLVERS)
    with pytest.raises(
        ImplError, match=rf'^plastic_liquid_scan: impl="cpu" cannot run: it solves by {solvers}, not rk4'
    ):
        make(case, 2, 3, 4, 2, solver="rk4")("cpu")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"u": (4, 3)}, r"u has shape \(4, 3\), expected \(b, t, hidden\) with every size at least 1\."),
        ({"U": (3, 4)}, r"U has shape \(3, 4\), expected \(4, 4\)\."),
        ({"v": (2, 3, 5)}, r"tau\.v has shape \(2, 3, 5\), expected \(2, 3, 4\)\."),
        ({"h0": (4, 2)}, r"h0 has shape \(4, 2\), expected \(2, 4\)\."),
        ({"dt": (2,)}, r"dt has shape \(2,\), expected a number, \(3,\), \(2, 3\) or \(2, 3, 1\)\."),
        ({"x": (2, 4, 6)}, r"x has shape \(2, 4, 6\), expected \(2, 3, 'inputs'\)\."),
        ({"x": (2, 3, 5)}, r"alpha has shape .*, expected \(g, m, n\), g a divisor of 4 units and 5 inputs\."),
        (
            {"alpha": (3, 2, 5)},
            r"alpha has shape \(3, 2, 5\), expected \(g, m, n\), g a divisor of 4 units and 6 inputs",
        ),
        ({"alpha": (2, 2, 4)}, r"alpha has shape \(2, 2, 4\), expected \(2, 2, 5\)\."),
        ({"alpha": (2, 5)}, r"alpha has shape \(2, 5\), expected \(g, m, n\), g a divisor"),
        ({"rate": (2, 3, 1)}, r"rate has shape \(2, 3, 1\), expected \(2, 3\)\."),
        ({"keep": (2,)}, r"keep has shape \(2,\), expected \(2, 3\)\."),
        ({"H0": (2, 2, 2, 4)}, r"H0 has shape \(2, 2, 2, 4\), expected \(2, 2, 2, 5\)\."),
        ({"k0": (2, 5)}, r"k0 has shape \(2, 5\), expected \(2, 2, 5\)\."),
    ],
)
def test_wrong_shapes_are_named(case: Any, changed: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match="^plastic_liquid_scan: " + message):
        make(case, 2, 3, 4, 6, 2)("auto", **{name: mx.zeros(shape) for name, shape in changed.items()})


@pytest.mark.parametrize("name", ["x", "alpha", "rate", "keep", "H0", "k0", "u"])
def test_wrong_dtypes_are_named(case: Any, name: str) -> None:
    example = make(case, 2, 3, 4, 6, 2)
    with pytest.raises(ValueError, match=rf"^plastic_liquid_scan: {name} has dtype mlx\.core\.int32, expected float32"):
        example("auto", **{name: example.arrays[name].astype(mx.int32)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "bcm"}, r"rule is 'bcm', expected one of hebb, oja, delta\."),
        ({"lag": 2}, r"lag is 2, expected 0 or 1\."),
        ({"solver": "heun"}, r"solver is 'heun', expected one of euler"),
        ({"substeps": 0}, r"substeps is 0, expected an integer >= 1\."),
    ],
)
def test_wrong_options_are_named(case: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="^plastic_liquid_scan: " + message):
        make(case, 2, 3, 4, 6, 2, **options)()
