"""The closed-form scan against its definition in float64: outputs and every gradient; clocks, masks, splits, errors."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.ops import cfc_scan_metal
from lasmlx.ops.cfc_scan import cfc_scan, rate_along
from lasmlx.ops.dispatch import ImplError


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def exact_scan(
    u: Any, V: Any, h0: Any, dt: Any, W: Any = None, b: Any = None, gate: bool = True, mask: Any = None
) -> tuple[Any, Any]:
    h, outputs = h0, []
    for i in range(u.shape[1]):
        z = u[:, i] + h @ V.T
        heads = z if W is None else 1.7159 * np.tanh(0.666 * z) @ W.T + b
        f, g, a, c = np.split(heads, 4, axis=-1)
        s = sigmoid(a * (dt[:, i, None] if dt.ndim == 2 else dt[:, i]) + c)
        new = np.tanh(f) * ((1 - s) if gate else 1) + s * np.tanh(g)
        h = new if mask is None else np.where(mask[:, i, None], new, h)
        outputs.append(h)
    return np.stack(outputs, 1), h


def make(case: Any, b: int, t: int, hidden: int, m: int = 0, *, each: bool = False, **options: Any) -> Any:
    """``m`` = 0: without W; ``each``: a dt for each unit."""
    random = np.random.default_rng([b, t, hidden, m])

    def normal(*shape: int) -> mx.array:
        return mx.array(random.standard_normal(shape).astype(np.float32))

    arrays = {
        "u": normal(b, t, m or 4 * hidden),
        "V": normal(m or 4 * hidden, hidden) * hidden**-0.5,
        "h0": normal(b, hidden),
        "dt": mx.array(random.uniform(0.05, 3, (b, t, hidden) if each else (b, t)).astype(np.float32)),
    }
    if m:
        arrays |= {"W": normal(4 * hidden, m) * m**-0.5, "b": normal(4 * hidden)}
    return replace(case("rms_norm"), op=run, exact=exact_scan, arrays=arrays, options=options)


def run(u: mx.array, V: mx.array, W: Any = None, b: Any = None, **rest: Any) -> tuple[mx.array, mx.array]:
    return cfc_scan(u, V, W, b, **rest)


def some(b: int, t: int) -> mx.array:
    """A mask with gaps, and an end, that differ from row to row."""
    return mx.array(np.random.default_rng(t).uniform(size=(b, t)) > 0.4)


# b, t, hidden, m: a segment is 64 elements of one row, 16 of four; tiles of 4, 2 and 1 rows
SHAPES = [(1, 1, 1, 1), (2, 3, 5, 7), (3, 67, 6, 17), (15, 18, 16, 3), (2, 33, 70, 0), (9, 4, 33, 64), (1, 65, 3, 0)]


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize(("gate", "masked"), [(True, False), (False, False), (True, True)])
def test_kernels_agree_with_the_reference(
    isa: str, case: Any, agree: Any, sizes: tuple[int, ...], each: bool, gate: bool, masked: bool
) -> None:
    example = make(case, *sizes, each=each, gate=gate, mask=some(*sizes[:2]) if masked else None)
    agree(example, backward=1e-5)


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ((2, 3, 5, 7), {"gate": False, "each": True}),
        ((5, 3, 33, 6), {"each": True}),  # a tile that is not full, two simdgroups
        ((3, 3, 33, 0), {}),
        ((1, 2, 4, 70), {}),  # z wider than the rest
        ((1, 2, 260, 3), {}),  # more units than threads
    ],
    ids=str,
)
def test_metal_agrees_with_the_reference(
    kernel: str, case: Any, agree: Any, sizes: tuple[int, ...], options: dict[str, Any]
) -> None:
    agree(make(case, *sizes, **options, mask=None if sizes[0] == 1 else some(*sizes[:2])), backward=1e-5)


@pytest.mark.parametrize(
    ("hidden", "m", "takes"), [(1638, 0, True), (1639, 0, False), (8, 8151, True), (8, 8152, False)]
)
def test_what_the_metal_kernel_takes(hidden: int, m: int, takes: bool) -> None:
    assert cfc_scan_metal.takes(hidden, m) is takes


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("m", [4, 0])
def test_kernels_agree_in_half_precision(isa: str, case: Any, agree: Any, dtype: str, m: int) -> None:
    agree(make(case, 3, 5, 9, m, each=True), dtype)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 7, 5, 3), (3, 4, 2, 0), (5, 5, 5, 5)], ids=str)
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("gate", [True, False])
def test_agrees_with_float64_definition(
    case: Any, close: Any, slopes: Any, sizes: tuple[int, ...], each: bool, gate: bool
) -> None:
    example = make(case, *sizes, each=each, gate=gate, mask=None if sizes[0] == 1 else some(*sizes[:2]))
    for actual, expected in zip(example("reference"), example.exact_outputs(), strict=True):
        close("output", actual, expected, 2e-6)
    for chosen in ("reference", "cpu"):
        slopes(replace(example, kernel=chosen))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_in_and_out(case: Any, close: Any, dtype: str) -> None:
    example = make(case, 2, 7, 5, 4)
    for impl in ("reference", "cpu"):
        h, last = example.cast(dtype)(impl)
        assert (str(h.dtype).split(".")[-1], last.dtype) == (dtype, mx.float32)
        close("h", h.astype(mx.float32), np.array(example(impl)[0]), 3e-2)


@pytest.mark.parametrize("impl", ["reference", "cpu"])
def test_absent_state_is_zero_and_a_number_is_every_step(case: Any, impl: str) -> None:
    arrays = make(case, 3, 4, 3, 5).arrays
    u, V, W, b = (arrays[name] for name in ("u", "V", "W", "b"))
    h, _ = cfc_scan(u, V, W, b, dt=0.5, impl=impl)
    for dt in (mx.full((4,), 0.5), mx.full((3, 4), 0.5), mx.full((3, 4, 1), 0.5), mx.full((3, 4, 3), 0.5)):
        assert mx.array_equal(h, cfc_scan(u, V, W, b, mx.zeros((3, 3)), dt, impl=impl)[0])


def test_one_clock_is_the_same_clock_for_every_unit(case: Any, close: Any) -> None:
    example = make(case, 2, 5, 3, 4)
    dt = example.arrays["dt"]
    each = mx.broadcast_to(dt[..., None], (2, 5, 3))
    gradient = mx.grad(lambda v: example.loss(dt=v))(each)
    assert gradient.shape == (2, 5, 3)
    close("dt", gradient.sum(-1), example.gradients()["dt"], 1e-6)


@pytest.mark.parametrize("impl", ["reference", "cpu"])
def test_units_have_clocks_of_their_own(case: Any, impl: str) -> None:
    """With V = 0 no unit hears another: each is what it would be if its clock were everyone's."""
    example = make(case, 2, 5, 3, 4, each=True)
    arrays = example.arrays | {"V": mx.zeros((4, 3))}
    h, _ = run(**arrays, impl=impl)
    for j in range(3):
        alone, _ = run(**(arrays | {"dt": arrays["dt"][..., j]}), impl=impl)
        np.testing.assert_allclose(np.array(h[..., j]), np.array(alone[..., j]), atol=1e-6)


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("m", [3, 0])
def test_masked_elements_are_not_there(case: Any, impl: str, m: int) -> None:
    example = make(case, 2, 7, 5, m)
    keep = [0, 2, 3, 6]
    mask = mx.array([[i in keep for i in range(7)]] * 2)
    h, last = run(**example.arrays, mask=mask, impl=impl)
    fewer = {name: example.arrays[name][:, mx.array(keep)] for name in ("u", "dt")}
    expected, end = example(impl, **fewer)
    assert mx.array_equal(h[:, mx.array(keep)], expected) and mx.array_equal(last, end)
    assert mx.array_equal(h[:, 1], h[:, 0]) and mx.array_equal(h[:, 5], h[:, 3])
    for name in ("u", "dt"):
        one = mx.grad(lambda v, name=name: run(**(example.arrays | {name: v}), mask=mask, impl=impl)[0].sum())
        assert mx.abs(one(example.arrays[name])[:, mx.array([1, 4, 5])]).max().item() == 0


def test_no_time_still_moves_the_state(case: Any) -> None:
    """sigmoid(c) mixes at dt = 0: a mask is something else."""
    example = make(case, 1, 1, 3, 4)
    h, _ = example("cpu", dt=mx.zeros((1, 1)))
    assert mx.abs(h[:, 0] - example.arrays["h0"]).min().item() > 1e-3


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 39), max_size=5, unique=True), impl=st.sampled_from(["cpu", "reference"]))
def test_one_pass_equals_any_split(cuts: list[int], impl: Any) -> None:
    b, t, hidden, m = 5, 40, 7, 6
    u, V, W = (mx.random.normal(shape, key=mx.random.key(3)) for shape in ((b, t, m), (m, hidden), (4 * hidden, m)))
    dt = mx.random.uniform(0.01, 3, (b, t, hidden), key=mx.random.key(4))
    mask, bias = some(b, t), mx.ones((4 * hidden,))
    whole, last = cfc_scan(u, V, W, bias, None, dt, mask=mask, impl=impl)
    h, pieces = None, []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), t], strict=True):
        now = slice(start, stop)
        y, h = cfc_scan(u[:, now], V, W, bias, h, dt[:, now], mask=mask[:, now], impl=impl)
        pieces.append(y)
    assert mx.array_equal(mx.concatenate(pieces, 1), whole) and mx.array_equal(h, last)


@pytest.mark.parametrize("m", [6, 0])
def test_rate_along_is_what_opens_the_gate(case: Any, m: int) -> None:
    example = make(case, 2, 7, 5, m)
    a = {name: np.array(v, dtype=np.float64) for name, v in example.arrays.items()}
    h, _ = example("reference")
    earlier = np.concatenate([a["h0"][:, None], np.array(h)[:, :-1]], 1)
    z = a["u"] + earlier @ a["V"].T
    heads = 1.7159 * np.tanh(0.666 * z) @ a["W"].T + a["b"] if m else z
    names = example.arrays
    rate = rate_along(names["u"], names["V"], names.get("W"), names.get("b"), h, names["h0"])
    np.testing.assert_allclose(np.array(rate), heads[..., 10:15], atol=1e-5)


def layouts(a: mx.array) -> dict[str, mx.array]:
    """The same values as a view of something larger, transposed, and counted backwards."""
    views = {"split": mx.split(mx.concatenate([a * 0, a, a * 0], axis=-1), 3, axis=-1)[1], "reversed": a[::-1][::-1]}
    return views | {"moved": mx.contiguous(mx.moveaxis(a, 0, -1)).moveaxis(-1, 0)}


@pytest.mark.parametrize("name", ["u", "V", "W", "b", "h0", "dt"])
def test_strided_inputs(case: Any, close: Any, name: str) -> None:
    example = make(case, 3, 7, 5, 4, each=True, mask=some(3, 14)[:, ::2])
    plain, gradients = example(), example.gradients()
    for layout, view in layouts(example.arrays[name]).items():
        close(layout, example(**{name: view})[0], plain[0], 1e-7)
        gradient = mx.grad(lambda v: example.loss(**{name: v}))(view)
        close(f"d{name} {layout}", gradient, gradients[name], 1e-6)


def test_broadcast_cotangent(case: Any, close: Any) -> None:
    example = make(case, 5, 19, 5, 4)
    actual, expected = (
        mx.grad(lambda arrays, impl=impl: sum(out.sum() for out in example(impl, **arrays)))(example.arrays)
        for impl in ("cpu", "reference")
    )
    for name in example.arrays:
        close(f"d{name}", actual[name], expected[name], 1e-5)


@pytest.mark.parametrize("name", ["u", "V", "W", "b", "h0", "dt"])
def test_vmap_over_each_input(case: Any, close: Any, name: str) -> None:
    example = make(case, 1, 7, 5, 3, mask=some(1, 7))
    a = example.arrays[name]
    three = [a, a * 0.5, a * 1.5]
    outputs = mx.vmap(lambda v: example(**{name: v}))(mx.stack(three))
    gradients = mx.vmap(mx.grad(lambda v: example.loss(**{name: v})))(mx.stack(three))
    for i, one in enumerate(three):
        close("output", outputs[0][i], example(**{name: one})[0], 1e-6)
        close(f"d{name}", gradients[i], mx.grad(lambda v: example.loss(**{name: v}))(one), 1e-6)


@pytest.mark.parametrize("m", [3, 0])
def test_compile_and_checkpoint(unfused: None, case: Any, close: Any, m: int) -> None:
    example = make(case, 2, 7, 5, m, mask=some(2, 7))
    gradient = mx.grad(lambda arrays: example.loss(**arrays))
    compiled, again = mx.compile(gradient), mx.grad(mx.checkpoint(lambda arrays: example.loss(**arrays)))
    for factor in (1, 0.5):
        arrays = {name: v * factor for name, v in example.arrays.items()}
        expected, actual, saved = gradient(arrays), compiled(arrays), again(arrays)
        for name, value in expected.items():
            close(f"d{name}", actual[name], value, 1e-6)
            close(f"d{name}", saved[name], value, 1e-6)


def test_a_mask_made_of_what_is_differentiated(case: Any, close: Any) -> None:
    example = make(case, 2, 7, 5, 3)

    def loss(u: mx.array, impl: str) -> mx.array:
        return example.op(**(example.arrays | {"u": u}), mask=u[..., 0] > 0, impl=impl)[0].sum()

    actual, expected = (mx.grad(loss)(example.arrays["u"], impl) for impl in ("cpu", "reference"))
    close("du", actual, expected, 1e-5)


@pytest.mark.parametrize("name", ["u", "V", "W", "b", "h0"])
def test_nan_in_gives_nan_out(isa: str, case: Any, name: str) -> None:
    example = make(case, 2, 3, 5, 4)
    a = example.arrays[name]
    poisoned = mx.where(mx.arange(a.size).reshape(a.shape) == a.size - 1, mx.array(float("nan")), a)
    assert mx.isnan(example(**{name: poisoned})[0]).any().item()


def test_memory_of_a_long_sequence_is_linear_in_it(case: Any, peak_bytes: Any) -> None:
    for t in (2048, 8192):  # h, and the gradient of u, which the caller asked for; that of h is a broadcast
        example = make(case, 1, t, 32, 32)
        gradient = mx.grad(lambda arrays, example=example: example(**arrays)[0].sum())
        assert peak_bytes(gradient, example) < 3 * t * 32 * 4


@pytest.mark.skipif(mx.metal.is_available(), reason="there is a Metal device")
@pytest.mark.parametrize("impl", ["metal", "best"])
def test_other_implementations_are_refused_plainly(case: Any, impl: Any) -> None:
    with pytest.raises(ImplError, match=r"^cfc_scan: impl"):
        make(case, 2, 3, 4, 5)(impl)


@pytest.mark.parametrize(
    ("m", "changed", "message"),
    [
        (5, {"u": (4, 3)}, r"u has shape \(4, 3\), expected \(b, t, m\) with every size at least 1\."),
        (5, {"u": (2, 0, 5)}, r"u has shape \(2, 0, 5\), expected \(b, t, m\)"),
        (5, {"V": (4, 5)}, r"V has shape \(4, 5\), expected \(5, hidden\)\."),
        (5, {"W": (5, 16)}, r"W has shape \(5, 16\), expected \(16, 5\)\."),
        (5, {"b": (4,)}, r"b has shape \(4,\), expected \(16,\)\."),
        (5, {"h0": (4, 2)}, r"h0 has shape \(4, 2\), expected \(2, 4\)\."),
        (5, {"dt": (2,)}, r"dt has shape \(2,\), expected a number, \(3,\), \(2, 3\) or \(2, 3, 1\) or \(2, 3, 4\)\."),
        (0, {"V": (16, 5)}, r"V has shape \(16, 5\), expected \(16, 4\) without W: m is 4 hidden\."),
    ],
)
def test_wrong_shapes_are_named(case: Any, m: int, changed: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match="^cfc_scan: " + message):
        make(case, 2, 3, 4, m)("reference", **{name: mx.zeros(shape) for name, shape in changed.items()})


def test_wrong_values_are_named(case: Any) -> None:
    arrays = make(case, 2, 3, 4, 5).arrays
    backwards = mx.where(mx.arange(24).reshape(2, 3, 4) == 23, -1.0, 1.0)
    with pytest.raises(ValueError, match=r"^cfc_scan: dt is -1\.0 at \(1, 2, 3\), expected finite and >= 0\."):
        run(**(arrays | {"dt": backwards}))
    with pytest.raises(ValueError, match=r"^cfc_scan: b is absent, expected W and b, or neither\."):
        run(**(arrays | {"b": None}))
    with pytest.raises(ValueError, match=r"^cfc_scan: mask has shape \(2, 4\)"):
        run(**arrays, mask=some(2, 4))


@pytest.mark.parametrize("name", ["u", "V", "W", "b", "h0"])
def test_wrong_dtypes_are_named(case: Any, name: str) -> None:
    example = make(case, 2, 3, 4, 5)
    with pytest.raises(ValueError, match=rf"^cfc_scan: {name} has dtype mlx\.core\.int32, expected float32"):
        example("reference", **{name: example.arrays[name].astype(mx.int32)})
