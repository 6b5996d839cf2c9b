"""The plastic scan and its rules: what they mean in closed form, kernels and chunks against the definition, memory."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.ops import plastic_scan
from lasmlx.ops.dispatch import ImplError
from lasmlx.ops.plastic import RULES, delta, hebb, oja
from lasmlx.ops.plastic_chunked import CHUNK, chunk_for

NAMES = ["hebb", "oja", "delta"]
CASES = [  # b, t, m, n, g; what is absent
    ((1, 1, 1, 1, 1), ()),
    ((2, 37, 5, 7, 3), ("target",)),
    ((3, 70, 17, 33, 1), ("key", "target")),
    ((1, 33, 40, 16, 2), ("key",)),
    ((9, 3, 6, 65, 2), ("H0", "target")),
    ((1, 2, 3, 1100, 1), ("key", "target")),
]


@pytest.mark.parametrize(("sizes", "without"), CASES, ids=str)
@pytest.mark.parametrize("rule", NAMES)
def test_kernels_agree_with_the_reference(
    isa: str, case: Any, agree: Any, sizes: tuple[int, ...], without: tuple[str, ...], rule: str
) -> None:
    agree(case("plastic_scan", *sizes, rule=rule, without=without), backward=1e-5)


@pytest.mark.parametrize(("sizes", "without"), CASES[:3], ids=str)
@pytest.mark.parametrize("rule", NAMES)
@pytest.mark.parametrize("each", [True, False])
def test_agrees_with_float64_definition(
    case: Any, close: Any, slopes: Any, sizes: tuple[int, ...], without: tuple[str, ...], rule: str, each: bool
) -> None:
    example = case("plastic_scan", *sizes, rule=rule, each=each, without=without)
    for impl in ("cpu", "reference"):
        for actual, expected in zip(example(impl), example.exact_outputs(), strict=True):
            close("output", actual, expected, 2e-6)
    slopes(example)


@pytest.mark.parametrize("rule", NAMES)
def test_reference_has_the_gradients_of_the_definition(case: Any, slopes: Any, rule: str) -> None:
    slopes(replace(case("plastic_scan", 2, 5, 3, 4, 2, rule=rule), kernel="reference"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("rule", NAMES)
def test_kernels_agree_in_half_precision(isa: str, case: Any, agree: Any, dtype: str, rule: str) -> None:
    example = case("plastic_scan", 2, 9, 5, 7, 2, rule=rule)
    agree(example, dtype)
    y, last = example.cast(dtype)()
    assert (str(y.dtype).split(".")[-1], last.dtype) == (dtype, mx.float32)


@pytest.mark.parametrize("impl", ["cpu", "reference"])
@pytest.mark.parametrize("rule", NAMES)
def test_what_is_absent(case: Any, impl: str, rule: str) -> None:
    a = case("plastic_scan", rule=rule).arrays
    core = {name: a[name] for name in ("u", "x", "alpha", "rate", "keep")}
    y, last = plastic_scan(**core, rule=rule, impl=impl)
    assert mx.array_equal(y, plastic_scan(**core, H0=mx.zeros(a["H0"].shape), rule=rule, impl=impl)[0])
    assert mx.array_equal(y, plastic_scan(**core, key=a["x"], rule=rule, impl=impl)[0])
    other, other_last = plastic_scan(**core, target=mx.tanh(y), rule=rule, impl=impl)
    np.testing.assert_allclose(np.array(other), np.array(y), atol=1e-5)
    np.testing.assert_allclose(np.array(other_last), np.array(last), atol=1e-5)


@pytest.mark.parametrize("rule", NAMES)
def test_heads_have_traces_of_their_own(case: Any, rule: str) -> None:
    example = case("plastic_scan", rule=rule)
    y, last = example()
    for head in range(3):
        at = {"alpha": 0, "H0": 1}  # else axis 2
        one = {name: mx.take(v, mx.array([head]), at.get(name, 2)) for name, v in example.arrays.items()}
        alone, alone_last = example(**one)
        assert mx.array_equal(alone[:, :, 0], y[:, :, head]) and mx.array_equal(alone_last[:, 0], last[:, head])


@pytest.mark.parametrize("sizes", [(2, 37, 7, 5, 3), (1, 70, 3, 9, 1), (3, 1, 4, 4, 2)], ids=str)
@pytest.mark.parametrize("chunk", [1, 5, 32, 64])
@pytest.mark.parametrize("rule", ["hebb", "delta"])
def test_chunks_agree_with_the_reference(case: Any, agree: Any, sizes: tuple[int, ...], chunk: int, rule: str) -> None:
    def chunked(impl: str, **arrays: Any) -> Any:
        return plastic_scan(**arrays, rule=rule, chunk=chunk if impl == "auto" else 0, impl=impl)

    example = case("plastic_scan", *sizes, rule=rule, each=False, without=() if chunk % 2 else ("key", "H0"))
    agree(replace(example, op=chunked, options={}, kernel="auto"), backward=1e-5)


def test_chunks_are_chosen_where_they_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = (1, 512, 1, 256), (1, 512, 8, 16)
    assert chunk_for("hebb", large, 256) == CHUNK and chunk_for("delta", large, 256) == 0
    assert chunk_for("hebb", small, 256) == 0 and chunk_for("hebb", (1, CHUNK - 1, 1, 256), 256) == 0
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu))
    assert chunk_for("delta", large, 64) == CHUNK and chunk_for("delta", small, 64) == 0


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 79), max_size=5, unique=True),
    rule=st.sampled_from(NAMES),
    impl=st.sampled_from(["cpu", "reference"]),
)
def test_one_pass_equals_any_split(cuts: list[int], rule: Any, impl: Any) -> None:
    b, t, g, m, n = 2, 80, 2, 5, 9
    u, x, alpha = (
        mx.random.normal(s, key=mx.random.key(i)) for i, s in enumerate([(b, t, g, m), (b, t, g, n), (g, m, n)])
    )
    rate = mx.random.uniform(0, 1, (b, t, g), key=mx.random.key(4))
    x, keep = x * n**-0.5, 1 - 0.4 * rate
    whole, last = plastic_scan(u, x, alpha, rate=rate, keep=keep, rule=rule, impl=impl)
    H, pieces = None, []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), t], strict=True):
        now = slice(start, stop)
        y, H = plastic_scan(u[:, now], x[:, now], alpha, H, rate=rate[:, now], keep=keep[:, now], rule=rule, impl=impl)
        pieces.append(y)
    assert mx.array_equal(mx.concatenate(pieces, 1), whole) and mx.array_equal(H, last)


@settings(max_examples=30, deadline=None)
@given(
    rule=st.sampled_from(NAMES),
    c=st.floats(0.02, 0.5),
    rate=st.floats(0.01, 1),
    same=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_traces_are_bounded(rule: Any, c: float, rate: float, same: bool, seed: int) -> None:
    """Even where the same is written again and again, as loud as may be."""
    b, t, m, n = 1, 200, 4, 3
    random = np.random.default_rng(seed)
    key, target = random.standard_normal((b, 1 if same else t, 1, n)), np.sign(random.standard_normal((b, t, 1, m)))
    key = np.broadcast_to(key / np.linalg.norm(key, axis=-1, keepdims=True), (b, t, 1, n))
    x, p, H0 = mx.array(key, mx.float32), mx.array(target[:, :1] if same else target, mx.float32), mx.ones((1, 1, m, n))
    rates = mx.full((b, t, 1), rate)
    options = {"rate": rates, "keep": 1 - c * rates, "rule": rule, "target": mx.broadcast_to(p, (b, t, 1, m))}
    _, last = plastic_scan(mx.zeros((b, t, 1, m)), x, mx.ones((1, m, n)), H0, **options)
    norm, bound = mx.linalg.norm(last).item(), max((m * n) ** 0.5, m**0.5 / c)
    assert norm <= bound * (1 + 1e-5)
    if rule == "hebb" and same and rate * c > 0.1:
        assert norm == pytest.approx(m**0.5 / c, rel=1e-3)  # and the bound is reached


def normal(seed: int, *shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


def test_hebb_is_a_fading_sum_of_what_fired_together() -> None:
    k, p, H = normal(0, 6, 4), normal(1, 6, 3), normal(2, 3, 4)
    expected = 0.9**6 * H + sum(0.5 * 0.9 ** (5 - i) * p[i, :, None] * k[i] for i in range(6))
    for i in range(6):
        H = hebb(H, k[i], p[i], mx.array(0.5), mx.array(0.9))
    np.testing.assert_allclose(np.array(H), np.array(expected), atol=1e-6)


def test_oja_turns_a_linear_unit_to_its_input_at_length_one() -> None:
    k, H, one = mx.array([1.2, -0.9, 0.4, 0.0]), mx.array([[0.1, -0.3, -0.2, 0.5]]), mx.array(1.0)
    for _ in range(400):
        H = oja(H, k, H @ k, mx.array(0.2), one)
    np.testing.assert_allclose(np.array(H[0]), np.array(k / mx.linalg.norm(k)), atol=1e-5)
    still = oja(H, k, H @ k, mx.array(0.2), one)
    np.testing.assert_allclose(np.array(still), np.array(H), atol=1e-6)


def test_delta_stores_its_target_and_overwrites_it() -> None:
    one = mx.array(1.0)
    keys = mx.array(np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0].astype(np.float32))
    H, first, second, other = normal(3, 3, 4), normal(4, 3), normal(5, 3), normal(6, 3)
    H = delta(H, keys[0], first, one, one)
    np.testing.assert_allclose(np.array(H @ keys[0]), np.array(first), atol=1e-6)
    H = delta(delta(H, keys[1], other, one, one), keys[0], second, one, one)
    np.testing.assert_allclose(np.array(H @ keys[0]), np.array(second), atol=1e-6)
    np.testing.assert_allclose(np.array(H @ keys[1]), np.array(other), atol=1e-6)
    faded = delta(H, keys[0], first, one, mx.array(0.5))
    np.testing.assert_allclose(np.array(faded @ keys[0]), np.array(first), atol=1e-6)
    np.testing.assert_allclose(np.array(faded @ keys[1]), np.array(other) / 2, atol=1e-6)
    np.testing.assert_allclose(
        np.array(hebb(H, keys[0], first, one, one) @ keys[0]), np.array(first + second), atol=1e-6
    )


@pytest.mark.parametrize("rule", NAMES)
@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_nothing_changes_at_rate_0_and_keep_1(case: Any, rule: str, impl: str) -> None:
    a = case("plastic_scan").arrays
    still = a | {"rate": mx.zeros(a["rate"].shape), "keep": mx.ones(a["keep"].shape)}
    y, last = plastic_scan(**still, rule=rule, impl=impl)
    assert mx.array_equal(last, a["H0"])
    expected = a["u"] + ((a["alpha"] * a["H0"])[:, None] * a["x"][..., None, :]).sum(-1)
    np.testing.assert_allclose(np.array(y), np.array(expected), atol=1e-5)


def test_rules_go_by_their_names() -> None:
    assert [rule.__name__ for rule in RULES.values()] == list(RULES) == NAMES


@pytest.mark.parametrize("without", [(), ("key", "target")])
def test_a_long_sequence_keeps_few_traces(case: Any, peak_bytes: Any, without: tuple[str, ...]) -> None:
    b, t, m, n = 2, 512, 128, 128
    example = case("plastic_scan", b, t, m, n, 1, without=without)
    trace = b * m * n * 4
    assert peak_bytes(lambda a: example(**a), example) < 22 * trace  # 15 between segments, the first, the last, y
    gradient = mx.grad(lambda a: sum(out.sum() for out in example(**a)))
    assert peak_bytes(gradient, example) < t * trace / 10


def test_a_short_piece_keeps_none(case: Any, peak_bytes: Any) -> None:
    example = case("plastic_scan", 1, 32, 128, 128, 1)
    assert peak_bytes(lambda a: example(**a), example) < 1.6 * 128 * 128 * 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"u": (2, 3, 4)}, r"u has shape \(2, 3, 4\), expected \(b, t, g, m\) and not empty\."),
        ({"u": (2, 0, 2, 4)}, r"u has shape \(2, 0, 2, 4\), expected \(b, t, g, m\) and not empty\."),
        ({"x": (2, 3, 1, 5)}, r"x has shape \(2, 3, 1, 5\), expected \(2, 3, 2, 'n'\)\."),
        ({"x": (2, 3, 2, 0)}, r"x has shape \(2, 3, 2, 0\), expected \(2, 3, 2, 'n'\)\."),
        ({"alpha": (2, 4, 2)}, r"alpha has shape \(2, 4, 2\), expected \(2, 4, 5\) or \(2, 4, 1\)\."),
        ({"H0": (2, 4, 5)}, r"H0 has shape \(2, 4, 5\), expected \(2, 2, 4, 5\)\."),
        ({"rate": (2, 3)}, r"rate has shape \(2, 3\), expected \(2, 3, 2\)\."),
        ({"keep": (2, 3, 1)}, r"keep has shape \(2, 3, 1\), expected \(2, 3, 2\)\."),
        ({"key": (2, 3, 2, 4)}, r"key has shape \(2, 3, 2, 4\), expected \(2, 3, 2, 5\)\."),
        ({"target": (2, 3, 2, 5)}, r"target has shape \(2, 3, 2, 5\), expected \(2, 3, 2, 4\)\."),
    ],
)
def test_wrong_shapes_are_named(case: Any, changed: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match="^plastic_scan: " + message):
        case("plastic_scan", 2, 3, 4, 5, 2)(**{name: mx.zeros(shape) for name, shape in changed.items()})


@pytest.mark.parametrize("name", ["u", "x", "alpha", "H0", "rate", "keep", "key", "target"])
def test_wrong_dtypes_are_named(case: Any, name: str) -> None:
    example = case("plastic_scan", 2, 3, 4, 5, 2, without=())
    with pytest.raises(ValueError, match=rf"^plastic_scan: {name} has dtype mlx\.core\.int32, expected float32"):
        example(**{name: example.arrays[name].astype(mx.int32)})


def test_a_wrong_rule_is_named(case: Any) -> None:
    with pytest.raises(ValueError, match=r"^plastic_scan: rule is 'bcm', expected one of hebb, oja, delta\."):
        case("plastic_scan", rule="bcm")()


@pytest.mark.parametrize(
    ("options", "chunk"),
    [
        ({"each": False, "without": ()}, -1),
        ({"each": True, "without": ()}, 8),
        ({"each": False, "rule": "oja", "without": ()}, 8),
        ({"each": False}, 8),
    ],
)
def test_a_wrong_chunk_is_named(case: Any, options: dict[str, Any], chunk: int) -> None:
    message = rf"^plastic_scan: chunk is {chunk}, expected 0, or more for hebb or delta with a target and alpha"
    with pytest.raises(ValueError, match=message):
        case("plastic_scan", chunk=chunk, **options)()


def test_an_unknown_implementation_is_refused_plainly(case: Any) -> None:
    with pytest.raises(ImplError, match=r"^plastic_scan: impl is 'best'"):
        case("plastic_scan")("best")
