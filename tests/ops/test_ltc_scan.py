"""The LTC scan against its definition in float64: outputs and every gradient; bounds, masks, splits, named errors."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.ops import ltc_scan_metal, ode
from lasmlx.ops.adaptive import Adaptive
from lasmlx.ops.dispatch import ImplError
from lasmlx.ops.ltc_scan import Leak, Synapses, adaptive_ltc_scan, ltc_scan, tau_along

SIZES = [(1, 1, 1, 1), (2, 7, 3, 5), (3, 4, 6, 2), (5, 5, 5, 5)]  # b, t, inputs, hidden
SYNAPSES = ("w", "mu", "sigma", "erev")


def exact_currents(pre: Any, a: dict[str, Any], kind: str) -> tuple[Any, Any]:
    w, mu, sigma, erev = (a[f"{kind}_{name}"] for name in SYNAPSES)
    conductance = w / (1 + np.exp(-sigma * (pre[..., None] - mu)))
    return (conductance * erev).sum(1), conductance.sum(1)


def exact_scan(x: Any, h0: Any, dt: Any, solver: str = "fused", substeps: int = 6, **a: Any) -> tuple[Any, Any]:
    h, outputs = h0, []
    for i in range(x.shape[1]):
        d = dt[:, i, None] / substeps
        for _ in range(substeps):
            (of_x, G), (of_h, K) = exact_currents(x[:, i], a, "sensory"), exact_currents(h, a, "recurrent")
            drive, decay = (a["g"] * a["v"] + of_x + of_h) / a["cm"], (a["g"] + G + K) / a["cm"]
            h = (h + d * drive) / (1 + d * decay) if solver == "fused" else h + d * (drive - decay * h)
        outputs.append(h)
    return np.stack(outputs, 1), h


def network(a: dict[str, mx.array]) -> tuple[mx.array, Synapses, Synapses, Leak]:
    sensory, recurrent = (Synapses(*(a[f"{kind}_{name}"] for name in SYNAPSES)) for kind in ("sensory", "recurrent"))
    return a["x"], sensory, recurrent, Leak(a["g"], a["v"], a["cm"])


def flat_scan(
    impl: Any = "auto",
    solver: Any = "fused",
    substeps: int = 6,
    mask: Any = None,
    **a: mx.array,
) -> Any:
    """The op with every array an argument of its own."""
    return ltc_scan(*network(a), a["h0"], a["dt"], mask=mask, solver=solver, substeps=substeps, impl=impl)


def make(case: Any, b: int, t: int, inputs: int, hidden: int, **options: Any) -> Any:
    random = np.random.default_rng([b, t, inputs, hidden])

    def uniform(low: float, high: float, *shape: int) -> mx.array:
        return mx.array(random.uniform(low, high, shape).astype(np.float32))

    arrays = {"x": uniform(-1, 1, b, t, inputs), "h0": uniform(-1, 1, b, hidden), "dt": uniform(0.05, 1, b, t)}
    arrays |= {"g": uniform(0.1, 1, hidden), "v": uniform(-0.2, 0.2, hidden), "cm": uniform(0.4, 0.6, hidden)}
    for kind, pre in (("sensory", inputs), ("recurrent", hidden)):
        ranges = {"w": (0.001, 1), "mu": (0.3, 0.8), "sigma": (3, 8), "erev": (-1, 1)}
        arrays |= {f"{kind}_{name}": uniform(*ends, pre, hidden) for name, ends in ranges.items()}
    return replace(case("rms_norm"), op=flat_scan, exact=exact_scan, arrays=arrays, options=options)


SHAPES = [
    (1, 1, 1, 1),
    (2, 3, 5, 7),
    (5, 7, 6, 17),
    (9, 4, 16, 64),
    (3, 2, 1, 70),
    (1, 33, 3, 8),
]  # b, t, inputs, hidden


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize("solver", ode.KERNEL_SOLVERS)
@pytest.mark.parametrize("substeps", [1, 6])
def test_kernels_agree_with_the_reference(
    isa: str, case: Any, agree: Any, sizes: tuple[int, ...], solver: str, substeps: int
) -> None:
    example = make(case, *sizes, solver=solver, substeps=substeps)
    if solver != "fused":
        example.arrays["dt"] *= 0.02  # 70 synapses make a neuron fast, and an explicit step unstable
    agree(example, backward=1e-5)


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
@pytest.mark.parametrize("full", [ltc_scan_metal.FULL, 1])  # one row a tile; as many as there are, up to four
@pytest.mark.parametrize(
    ("sizes", "solver"), [((1, 1, 1, 1), "euler"), ((2, 3, 7, 5), "midpoint"), ((5, 2, 6, 33), "fused")]
)
def test_metal_agrees_with_the_reference(
    monkeypatch: pytest.MonkeyPatch, kernel: str, case: Any, agree: Any, full: int, sizes: tuple[int, ...], solver: str
) -> None:
    monkeypatch.setattr(ltc_scan_metal, "FULL", full)
    example = make(case, *sizes, solver=solver, substeps=2)
    example.arrays["dt"] *= 0.1
    agree(example, backward=1e-5)


@pytest.mark.parametrize(
    ("hidden", "solver", "takes"), [(2047, "fused", True), (2048, "fused", False), (8, "exponential", False)]
)
def test_what_the_metal_kernel_takes(hidden: int, solver: str, takes: bool) -> None:
    assert ltc_scan_metal.takes(hidden, 4, solver) is takes


def test_rows_a_threadgroup() -> None:
    assert [ltc_scan_metal.rows_a_tile(b, 64, 8) for b in (1, 256, 512, 1024)] == [1, 1, 2, 4]
    assert ltc_scan_metal.rows_a_tile(4096, 1024, 8) == 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_kernels_agree_in_half_precision(isa: str, case: Any, agree: Any, dtype: str) -> None:
    agree(make(case, 3, 5, 4, 9), dtype, backward=2e-2)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("options", [{}, {"substeps": 1}, {"solver": "euler", "substeps": 3}], ids=str)
def test_agrees_with_float64_definition(
    case: Any, close: Any, slopes: Any, sizes: tuple[int, ...], options: dict[str, Any]
) -> None:
    example = make(case, *sizes, **options)
    for actual, expected in zip(example("reference"), example.exact_outputs(), strict=True):
        close("output", actual, expected, 2e-6)
    for chosen in ("reference", "cpu"):
        slopes(replace(example, kernel=chosen))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_in_and_out(case: Any, close: Any, dtype: str) -> None:
    example = make(case, 2, 7, 3, 5)
    h, last = example.cast(dtype)("reference")
    assert (str(h.dtype).split(".")[-1], last.dtype) == (dtype, mx.float32)
    close("h", h.astype(mx.float32), np.array(example("reference")[0]), 3e-2)


@pytest.mark.parametrize("solver", ["fused", "exponential"])
@pytest.mark.parametrize("dt", [1e-4, 0.1, 1e3])
def test_stays_between_the_potentials(case: Any, solver: str, dt: float) -> None:
    """Every step is towards a mean of the leak's and the synapses' potentials: Hasani et al. 2021, theorem 2."""
    example = make(case, 2, 30, 3, 5, solver=solver)
    h, _ = example("reference", dt=mx.full((2, 30), dt))
    assert mx.isfinite(h).all().item() and mx.abs(h).max().item() <= 1 + 1e-5


def test_absent_synapses_do_nothing(case: Any) -> None:
    example = make(case, 2, 5, 3, 4)
    present = mx.array(np.random.default_rng(0).integers(0, 2, (4, 4)))
    a = example.arrays | {"recurrent_w": example.arrays["recurrent_w"] * present}
    other = a | {"recurrent_erev": mx.where(present, a["recurrent_erev"], 99.0)}
    assert mx.array_equal(flat_scan(**a)[0], flat_scan(**other)[0])


def test_alone_a_neuron_relaxes_to_its_leak() -> None:
    none = Synapses(*(mx.zeros((1, 1)) for _ in SYNAPSES))
    leak = Leak(mx.array([0.5]), mx.array([0.8]), mx.array([0.25]))  # tau = cm / g = 0.5 s
    h, _ = ltc_scan(mx.zeros((1, 20, 1)), none, none, leak, dt=0.1, solver="exponential", substeps=1)
    np.testing.assert_allclose(np.array(h[0, :, 0]), 0.8 * (1 - np.exp(-0.1 * np.arange(1, 21) / 0.5)), rtol=1e-5)


def test_masked_elements_are_not_there(case: Any) -> None:
    example = make(case, 2, 7, 3, 5)
    keep = mx.array([0, 2, 3, 6])
    mask = mx.array([[i in (0, 2, 3, 6) for i in range(7)]] * 2)
    h, last = flat_scan(**example.arrays, mask=mask)
    expected, end = example("auto", **{name: example.arrays[name][:, keep] for name in ("x", "dt")})
    assert mx.array_equal(h[:, keep], expected) and mx.array_equal(last, end)
    assert mx.array_equal(h[:, 1], h[:, 0]) and mx.array_equal(h[:, 5], h[:, 3])


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 11), max_size=4, unique=True))
def test_one_pass_equals_any_split(cuts: list[int]) -> None:
    keys = mx.random.split(mx.random.key(0), 9)
    synapses = [Synapses(*(mx.random.uniform(0, 1, (3, 3), key=k) for k in keys[i : i + 4])) for i in (0, 4)]
    leak = Leak(mx.ones(3), mx.zeros(3), mx.full((3,), 0.5))
    x, dt = mx.random.normal((2, 12, 3), key=keys[8]), mx.random.uniform(0, 1, (2, 12), key=keys[7])
    whole, last = ltc_scan(x, *synapses, leak, None, dt)
    h, pieces = None, []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 12], strict=True):
        y, h = ltc_scan(x[:, start:stop], *synapses, leak, h, dt[:, start:stop])
        pieces.append(y)
    assert mx.array_equal(mx.concatenate(pieces, 1), whole) and mx.array_equal(h, last)


def test_tau_along_is_capacitance_over_conductance(case: Any) -> None:
    example = make(case, 2, 4, 3, 5)
    a = {name: np.array(v, dtype=np.float64) for name, v in example.arrays.items()}
    h, _ = example("reference")
    tau = np.array(tau_along(*network(example.arrays), h, example.arrays["h0"]))
    earlier = np.concatenate([a["h0"][:, None], np.array(h)[:, :-1]], 1)
    for i in range(4):
        G, K = exact_currents(a["x"][:, i], a, "sensory")[1], exact_currents(earlier[:, i], a, "recurrent")[1]
        np.testing.assert_allclose(tau[:, i], a["cm"] / (a["g"] + G + K), rtol=1e-5)


def test_adaptive_agrees_with_many_small_steps(case: Any) -> None:
    example = make(case, 2, 5, 3, 4, solver="rk4", substeps=200)
    expected, _ = example("reference")
    h, last, steps = adaptive_ltc_scan(
        *network(example.arrays), example.arrays["h0"], example.arrays["dt"], adaptive=Adaptive(rtol=1e-4, atol=1e-5)
    )
    np.testing.assert_allclose(np.array(h), np.array(expected), atol=5e-4)
    assert mx.array_equal(last, h[:, -1]) and steps.min().item() >= 1


@pytest.mark.skipif(mx.metal.is_available(), reason="there is a Metal device")
@pytest.mark.parametrize("impl", ["metal", "best"])
def test_other_implementations_are_refused_plainly(case: Any, impl: Any) -> None:
    with pytest.raises(ImplError, match=r"^ltc_scan: impl"):
        ltc_scan(*network(make(case, 2, 3, 4, 5).arrays), impl=impl)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": (4, 3)}, r"x has shape \(4, 3\), expected \(b, t, inputs\) with every size at least 1\."),
        ({"cm": (5, 1)}, r"leak\.cm has shape \(5, 1\), expected \(hidden,\)\."),
        ({"g": (4,)}, r"leak\.g has shape \(4,\), expected \(5,\)\."),
        ({"h0": (2, 4)}, r"h0 has shape \(2, 4\), expected \(2, 5\)\."),
        ({"sensory_mu": (5, 4)}, r"sensory\.mu has shape \(5, 4\), expected \(4, 5\)\."),
        ({"recurrent_erev": (5, 4)}, r"recurrent\.erev has shape \(5, 4\), expected \(5, 5\)\."),
        ({"dt": (2, 2)}, r"dt has shape \(2, 2\), expected a number, \(3,\), \(2, 3\) or \(2, 3, 1\)\."),
    ],
)
def test_wrong_shapes_are_named(case: Any, changed: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match="^ltc_scan: " + message):
        make(case, 2, 3, 4, 5)("reference", **{name: mx.zeros(shape) for name, shape in changed.items()})


@pytest.mark.parametrize(("name", "shown"), [("x", "x"), ("h0", "h0"), ("v", r"leak\.v"), ("sensory_w", r"sensory\.w")])
def test_wrong_dtypes_are_named(case: Any, name: str, shown: str) -> None:
    example = make(case, 2, 3, 4, 5)
    with pytest.raises(ValueError, match=rf"^ltc_scan: {shown} has dtype mlx\.core\.int32, expected float32"):
        example("reference", **{name: example.arrays[name].astype(mx.int32)})


def test_memory_of_a_long_sequence_is_that_of_its_states(case: Any, peak_bytes: Any) -> None:
    for t in (2048, 8192):
        example = make(case, 1, t, 4, 32, substeps=2)
        gradient = mx.grad(lambda arrays, example=example: example(**arrays)[0].sum())
        assert peak_bytes(gradient, example) < 4 * t * 32 * 4
