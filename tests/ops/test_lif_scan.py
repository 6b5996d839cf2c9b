"""The scan of spiking neurons: kernels against the definition, both against snntorch; splits, memory, errors."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.ops import ImplError, LIFState, Neurons, Surrogate, lif_scan

FIXTURES = np.load(Path(__file__).parent / "fixtures" / "snntorch.npz")
SURROGATES = get_args(Surrogate)
SIZES = [(1, 1, 1), (2, 37, 19), (3, 33, 7), (1, 64, 65), (4, 32, 32), (2, 70, 130)]  # b, t, d
KINDS: dict[str, dict[str, Any]] = {
    "soft": {},
    "hard": {"reset": "hard", "refractory": 1},
    "adapting": {"refractory": 3},
    "hard and adapting": {"reset": "hard"},
}


def flat_scan(
    u: mx.array,
    beta: mx.array,
    theta: mx.array,
    kappa: mx.array | None = None,
    rho: mx.array | None = None,
    U: mx.array | None = None,
    v0: mx.array | None = None,
    s0: mx.array | None = None,
    a0: mx.array | None = None,
    rest0: mx.array | None = None,
    impl: Any = "auto",
    **options: Any,
) -> tuple[mx.array, ...]:
    """The op with every array an argument of its own, and every array of its outputs one."""
    absent = mx.zeros((u.shape[0], u.shape[-1]))
    parts = (v0, s0, rest0, a0)
    state = None if v0 is None else LIFState(*(absent if x is None else x for x in parts))
    s, v, after = lif_scan(u, Neurons(beta, theta, kappa, rho), state, U=U, impl=impl, **options)
    return (s, *(() if v is None else (v,)), *after)


def make(
    case: Any,
    b: int,
    t: int,
    d: int,
    *,
    adapts: bool = False,
    recurrent: bool = False,
    state: bool = True,
    **options: Any,
) -> Any:
    """About one element in five is a spike. Synapses are multiples of 1/64: their sums are exact in any order."""
    random = np.random.default_rng([b, t, d])

    def array(values: Any) -> mx.array:
        return mx.array(np.asarray(values, dtype=np.float32))

    arrays = {
        "u": array(random.normal(0.3, 0.6, (b, t, d))),
        "beta": array(random.uniform(0.5, 0.99, d)),
        "theta": array(random.uniform(0.5, 1.5, d)),
    }
    if adapts:
        arrays |= {"kappa": array(random.uniform(0.01, 0.3, d)), "rho": array(random.uniform(0.5, 0.99, d))}
    if recurrent:
        arrays["U"] = array(np.round(random.normal(0, 0.5, (d, d)) * d**-0.5 * 64) / 64)
    if state:
        fired = random.integers(0, 2, (b, d))
        arrays |= {"v0": array(random.standard_normal((b, d))), "s0": array(fired), "a0": array(random.random((b, d)))}
        arrays["rest0"] = array(fired * random.integers(0, 4, (b, d)))
    options = {"potential": True, "slope": 4.0} | options
    return replace(case("rms_norm"), op=flat_scan, arrays=arrays, options=options)


def agree(example: Any, close: Any, tolerance: float = 1e-5) -> None:
    """Outputs bit by bit, potentials too: else a spike would differ one day. Gradients close."""
    for i, (one, other) in enumerate(zip(example(), example("reference"), strict=True)):
        assert mx.array_equal(one, other), i
    gradients, expected_gradients = example.gradients(), example.gradients("reference")
    for name, gradient in gradients.items():
        close(f"d {name}", gradient, expected_gradients[name], tolerance)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", [False, True])
def test_kernels_agree_with_the_reference(
    isa: str, case: Any, close: Any, sizes: tuple[int, ...], kind: str, state: bool
) -> None:
    agree(make(case, *sizes, adapts="adapting" in kind, state=state, **KINDS[kind]), close)


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
@pytest.mark.parametrize(
    ("sizes", "kind", "surrogate", "options"),
    [
        ((2, 33, 37), "adapting", "arctan", {}),  # three segments, two simdgroups
        ((9, 16, 3), "hard", "triangular", {}),  # one whole segment, rows for two threadgroups
        ((1, 40, 5), "soft", "fast_sigmoid", {"state": False, "potential": False}),
    ],
    ids=str,
)
def test_metal_agrees_with_the_reference(
    kernel: str, case: Any, close: Any, sizes: tuple[int, ...], kind: str, surrogate: str, options: dict[str, Any]
) -> None:
    agree(make(case, *sizes, adapts="adapting" in kind, surrogate=surrogate, **KINDS[kind], **options), close)


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
def test_metal_has_no_kernel_for_neurons_that_hear_each_other(kernel: str, case: Any) -> None:
    with pytest.raises(ValueError, match=r'^lif_scan: U is given, the metal kernel takes none\. Use impl="auto"'):
        make(case, 1, 2, 3, recurrent=True)()


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 37, 19), (5, 33, 8), (9, 34, 70)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_kernels_agree_where_neurons_hear_each_other(
    isa: str, case: Any, close: Any, sizes: tuple[int, ...], kind: str
) -> None:
    agree(make(case, *sizes, adapts="adapting" in kind, recurrent=True, **KINDS[kind]), close)


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("slope", [0.7, 25.0])
@pytest.mark.parametrize("recurrent", [False, True])
def test_surrogates(case: Any, close: Any, surrogate: str, slope: float, recurrent: bool) -> None:
    options = {"surrogate": surrogate, "slope": slope, "potential": False}
    agree(make(case, 2, 35, 9, recurrent=recurrent, state=False, **options), close)


@pytest.mark.parametrize(
    ("kernel", "recurrent", "dtype"),
    [
        *(("cpu", recurrent, dtype) for recurrent in (False, True) for dtype in ("float16", "bfloat16")),
        ("metal", False, "bfloat16"),
    ],
    indirect=["kernel"],
)
def test_half_precision(kernel: str, case: Any, close: Any, dtype: str, recurrent: bool) -> None:
    example = make(case, 2, 35, 11, adapts=True, recurrent=recurrent, refractory=1).cast(dtype)
    tolerance = {"float16": 2e-3, "bfloat16": 1e-2}[dtype]
    for i, (one, other) in enumerate(zip(example(), example("reference"), strict=True)):
        close(str(i), one, other, 0.0 if i == 0 else tolerance)
    expected = example.gradients("reference")
    for name, gradient in example.gradients().items():
        close(f"d {name}", gradient, expected[name], tolerance)


def test_the_examples_fire(case: Any) -> None:
    """They are neither silent nor always on."""
    for kind, options in KINDS.items():
        for recurrent in (False, True):
            s, *_ = make(case, 2, 70, 130, adapts="adapting" in kind, recurrent=recurrent, **options)()
            assert 0.05 < s.mean().item() < 0.5, (kind, recurrent)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("name", ["u", "beta", "theta", "kappa", "U", "v0"])
def test_strided_and_broadcast_inputs(case: Any, name: str, recurrent: bool) -> None:
    example = make(case, 3, 37, 32, adapts=True, recurrent=recurrent)
    if name not in example.arrays:
        return
    a = example.arrays[name]
    views = [mx.contiguous(a.T).T, a[::-1][::-1], mx.repeat(a, 2, -1)[..., ::2]]
    plain, gradients = example(), example.gradients()
    for view in views:
        changed = replace(example, arrays=example.arrays | {name: view})
        assert all(mx.array_equal(one, other) for one, other in zip(changed(), plain, strict=True))
        assert all(mx.array_equal(g, gradients[key]) for key, g in changed.gradients().items())


def test_an_input_that_is_the_same_for_all(case: Any, close: Any) -> None:
    example = make(case, 3, 37, 32)
    for shape in [(1, 37, 32), (3, 1, 32), (3, 37, 1), (1, 1, 1)]:
        values = mx.random.uniform(0.2, 1, shape, key=mx.random.key(0))
        spread = mx.broadcast_to(values, (3, 37, 32))
        agree(replace(example, arrays=example.arrays | {"u": spread}), close)


def test_gradients_that_are_the_same_for_all(case: Any, close: Any) -> None:
    example = make(case, 3, 37, 32)
    totals = [
        mx.grad(lambda a, impl=impl: example(impl, **a)[0].sum())(example.arrays) for impl in ("cpu", "reference")
    ]
    for name in example.arrays:
        close(name, totals[0][name], totals[1][name], 1e-5)


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 99), max_size=5, unique=True),
    recurrent=st.booleans(),
    reset=st.sampled_from(["soft", "hard"]),
    refractory=st.integers(0, 3),
    impl=st.sampled_from(["cpu", "cpu", "reference"]),
)
def test_one_pass_equals_any_split(cuts: list[int], recurrent: bool, reset: Any, refractory: int, impl: Any) -> None:
    b, t, d = 2, 100, 9
    u = mx.random.normal((b, t, d), key=mx.random.key(0)) + 0.4
    neurons = Neurons(mx.full(d, 0.9), mx.linspace(0.5, 1.5, d), mx.full(d, 0.1), mx.full(d, 0.8))
    options = {"U": mx.random.normal((d, d), key=mx.random.key(1)) / 3 if recurrent else None}
    options |= {"reset": reset, "refractory": refractory, "potential": True, "impl": impl}
    whole = lif_scan(u, neurons, **options)
    state, spikes, potentials = None, [], []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), t], strict=True):
        s, v, state = lif_scan(u[:, start:stop], neurons, state, **options)
        spikes.append(s)
        potentials.append(v)
    assert mx.array_equal(mx.concatenate(spikes, 1), whole.s)
    assert mx.array_equal(mx.concatenate(potentials, 1), whole.v)
    assert all(mx.array_equal(one, other) for one, other in zip(state, whole.state, strict=True))


@pytest.mark.parametrize("kernel", ["cpu", "metal"], indirect=True)
def test_a_potential_at_its_lifted_threshold_is_not_above_it(kernel: Any) -> None:
    """Whose products were fused with the sums they go into would be above it as often as not."""
    d = 200
    kappa, rho, a0 = (mx.random.uniform(0.1, 1, (d,), key=mx.random.key(i)) for i in range(3))
    zero = mx.zeros((1, d))
    state, lifted = LIFState(zero, zero, zero, a0[None]), kappa * (rho * a0)
    s, *_ = lif_scan(lifted[None, None], Neurons(zero[0], zero[0], kappa, rho), state, impl=kernel)
    assert s.sum().item() == 0
    s, *_ = lif_scan(lifted[None, None] * (1 + 2e-7), Neurons(zero[0], zero[0], kappa, rho), state, impl=kernel)
    assert s.sum().item() == d


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_who_still_rests_wakes_up_without_a_time_of_rest(case: Any, recurrent: bool, impl: str) -> None:
    example = make(case, 2, 5, 3, recurrent=recurrent, state=False)
    state = LIFState(*mx.zeros((2, 2, 3)), mx.full((2, 3), 3.0), mx.zeros((2, 3)))
    a = example.arrays | {"u": mx.full((2, 5, 3), 5.0)}
    s, _, after = lif_scan(a["u"], Neurons(a["beta"], a["theta"]), state, impl=impl)
    assert s[0, :, 0].tolist() == [0, 0, 0, 1, 1] and after.rest.sum().item() == 0


@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_a_neuron_by_hand(impl: Any) -> None:
    one = mx.ones(1)
    s, v, after = lif_scan(
        mx.array([1.0, 1.0, 1.0, 0.25, 0.0]).reshape(1, 5, 1), Neurons(one / 2, one), potential=True, impl=impl
    )
    assert v.flatten().tolist() == [1.0, 1.5, 0.75, 0.625, 0.3125]  # 1.5 / 2 + 1 - 1 after its spike
    assert s.flatten().tolist() == [0, 1, 0, 0, 0]  # at its threshold it does not fire
    assert after.v.item() == 0.3125
    s, v, _ = lif_scan(
        mx.array([2.0, 1.0, 1.0, 1.0]).reshape(1, 4, 1),
        Neurons(one / 2, one),
        reset="hard",
        refractory=2,
        potential=True,
        impl=impl,
    )
    assert v.flatten().tolist() == [2, 0, 0, 1] and s.flatten().tolist() == [1, 0, 0, 0]
    s, v, after = lif_scan(
        mx.array([3.0, 3.0, 3.0]).reshape(1, 3, 1),
        Neurons(one / 2, one, 2 * one, one / 2),
        potential=True,
        impl=impl,
    )
    assert v.flatten().tolist() == [3, 3.5, 3.75] and after.a.item() == 1.5  # thresholds 1, 3, 4
    assert s.flatten().tolist() == [1, 1, 0]


@pytest.mark.parametrize("surrogate", ["fast_sigmoid", "arctan", "straight_through"])
@pytest.mark.parametrize("kind", ["soft", "hard", "recurrent"])
@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_agrees_with_snntorch(surrogate: Any, kind: str, impl: Any) -> None:
    expected = {k.split("/")[1]: v for k, v in FIXTURES.items() if k.startswith(f"{surrogate}_{kind}/")}
    arrays = {name: mx.array(FIXTURES[name]) for name in ("u", "beta", "theta", "U")}
    slope = {"fast_sigmoid": 25.0, "arctan": 2.0}.get(surrogate, 1.0)

    def run(a: dict[str, mx.array]) -> Any:
        U, reset = (a["U"], "soft") if kind == "recurrent" else (None, kind)
        options: Any = {"U": U, "reset": reset, "surrogate": surrogate, "slope": slope, "potential": True}
        return lif_scan(a["u"], Neurons(a["beta"], a["theta"]), **options, impl=impl)

    def loss(a: dict[str, mx.array]) -> mx.array:
        s, v, _ = run(a)
        return (s * mx.array(FIXTURES["gs"])).sum() + (v * mx.array(FIXTURES["gv"])).sum()

    s, v, _ = run(arrays)
    assert np.array_equal(np.array(s), expected["s"]) and 0.1 < expected["s"].mean() < 0.4
    np.testing.assert_allclose(np.array(v), expected["v"], atol=1e-6)
    for name, gradient in mx.grad(loss)(arrays).items():
        if f"grad_{name}" in expected:
            wanted = expected[f"grad_{name}"]
            np.testing.assert_allclose(np.array(gradient), wanted, atol=1e-5 * np.abs(wanted).max(), err_msg=name)


@pytest.mark.parametrize("recurrent", [False, True])
def test_transformed(case: Any, close: Any, unfused: None, recurrent: bool) -> None:
    example = make(case, 3, 37, 9, adapts=True, recurrent=recurrent, refractory=1)
    for name, gradient in mx.compile(lambda a: replace(example, arrays=a).gradients())(example.arrays).items():
        close(name, gradient, example.gradients()[name], 1e-7)
    u = mx.stack([example.arrays["u"], example.arrays["u"][::-1]])
    mapped = mx.vmap(lambda x: example(u=x)[0])(u)
    assert all(mx.array_equal(mapped[i], example(u=u[i])[0]) for i in range(2))
    slopes = mx.vmap(lambda x: mx.grad(lambda y: example.loss(u=y))(x))(u)
    for i in range(2):
        close("mapped", slopes[i], mx.grad(lambda y: example.loss(u=y))(u[i]), 1e-7)


def test_gradients_are_the_same_bits_every_run(case: Any) -> None:
    for recurrent in (False, True):
        example = make(case, 7, 37, 70, recurrent=recurrent)
        first, again = example.gradients(), example.gradients()
        assert all(mx.array_equal(first[name], again[name]) for name in first)


def test_nan_stays_with_its_neuron(isa: str, case: Any) -> None:
    example = make(case, 2, 40, 37)
    u = example.arrays["u"]
    hurt = mx.where((mx.arange(40)[:, None] == 20) & (mx.arange(37) == 3), mx.nan, u)
    s, v, *_ = example(u=hurt)
    ill = np.isnan(np.array(v))
    assert ill[:, 20:, 3].all() and ill.sum() == 2 * 20
    assert not np.isnan(np.array(s)).any()


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16])
def test_a_training_step_keeps_spikes_only(case: Any, peak_bytes: Any, dtype: Any) -> None:
    """s, its gradient, that of u; no potentials."""
    b, t, d = 2, 1024, 64
    example = make(case, b, t, d, potential=False, state=False).cast(str(dtype).split(".")[-1])
    weights = mx.ones((b, t, d), dtype=dtype)
    mx.eval(weights)
    gradient = mx.grad(lambda a: (example(**a)[0] * weights).sum())
    size = b * t * d * dtype.size
    assert peak_bytes(lambda a: example(**a), example) < size * 1.1
    assert peak_bytes(gradient, example) < 3.3 * size


def test_synapses_cost_no_array_an_element(case: Any, peak_bytes: Any) -> None:
    b, t, d = 2, 512, 32
    example = make(case, b, t, d, potential=False, state=False, recurrent=True)
    gradient = mx.grad(lambda a: example(**a)[0].sum())
    assert peak_bytes(gradient, example) < 7 * b * t * d * 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"u": (4, 3)}, r"u has shape \(4, 3\), expected \(b, t, d\) with every size at least 1\."),
        ({"u": (2, 0, 3)}, r"u has shape \(2, 0, 3\), expected \(b, t, d\)"),
        ({"beta": (4,)}, r"beta has shape \(4,\), expected \(3,\)\."),
        ({"theta": (1, 3)}, r"theta has shape \(1, 3\), expected \(3,\)\."),
        ({"kappa": (2,)}, r"kappa has shape \(2,\), expected \(3,\)\."),
        ({"U": (3, 4)}, r"U has shape \(3, 4\), expected \(3, 3\)\."),
        ({"v0": (3, 2)}, r"state\.v has shape \(3, 2\), expected \(2, 3\)\."),
    ],
)
@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_wrong_shapes_are_named(case: Any, changed: dict[str, Any], message: str, impl: str) -> None:
    example = make(case, 2, 5, 3, adapts=True, recurrent=True)
    with pytest.raises(ValueError, match="^lif_scan: " + message):
        example(impl, **{name: mx.zeros(shape) for name, shape in changed.items()})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reset": "none"}, r"reset is 'none', expected soft or hard\."),
        ({"refractory": -1}, r"refractory is -1, expected 0 elements or more\."),
        ({"surrogate": "relu"}, r"surrogate is 'relu', expected one of fast_sigmoid, arctan"),
        ({"slope": 0.0}, r"slope is 0\.0, expected a number above 0\."),
        ({"kappa": mx.ones(3)}, r"one of kappa and rho is absent, expected both or neither\."),
    ],
)
def test_wrong_options_are_named(case: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="^lif_scan: " + message):
        make(case, 2, 5, 3, **options)()


@pytest.mark.parametrize("name", ["u", "beta", "U"])
def test_wrong_dtypes_are_named(case: Any, name: str) -> None:
    example = make(case, 2, 5, 3, recurrent=True)
    with pytest.raises(ValueError, match=rf"^lif_scan: {name} has dtype mlx\.core\.int32, expected float32"):
        example(**{name: example.arrays[name].astype(mx.int32)})


def test_an_unknown_implementation_is_refused_plainly(case: Any) -> None:
    with pytest.raises(ImplError, match=r"^lif_scan: impl is 'best'"):
        make(case, 2, 5, 3)("best")
