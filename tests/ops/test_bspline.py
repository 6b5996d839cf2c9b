"""The layer of splines: kernels against the definition, both against pykan, the functions against scipy; errors."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.ops import ImplError, bspline_basis, bspline_linear, bspline_metal
from lasmlx.ops.bspline_metal import FULL, LEAST_ROWS, THREADS, spans, tile

FIXTURES = np.load(Path(__file__).parent / "fixtures" / "pykan.npz")
# rows, inputs, outputs, grid, degree: tiles of 128 rows, blocks of 1, 2 and 4 vectors of outputs, parts of rows; fewer
# functions than the degree has; more than a thread of a GPU takes
SIZES = [
    (1, 1, 1, 1, 3),
    (37, 5, 3, 5, 3),
    (150, 11, 70, 5, 3),
    (17, 9, 130, 7, 5),
    (67, 2, 33, 40, 1),
    (33, 3, 17, 3, 4),
    (300, 2, 40, 3, 2),
    (130, 3, 19, 4, 0),
    (21, 3, 5, -1, 3),
]


def fixture(prefix: str) -> dict[str, mx.array]:
    return {
        name.removeprefix(prefix): mx.array(FIXTURES[name].astype(np.float32))
        for name in FIXTURES
        if name.startswith(prefix)
    }


def exact_basis(x: Any, t: Any, degree: int) -> Any:
    x = x[..., None]
    B = ((x.real >= t[:, :-1].real) & (x.real < t[:, 1:].real)) * 1.0
    for p in range(1, degree + 1):
        rise = (x - t[:, : -p - 1]) / (t[:, p:-1] - t[:, : -p - 1])
        fall = (t[:, p + 1 :] - x) / (t[:, p + 1 :] - t[:, 1:-p])
        B = rise * B[..., :-1] + fall * B[..., 1:]
    return B


def exact(x: Any, C: Any, knots: Any, degree: int, W: Any = None) -> tuple[Any]:
    y = np.einsum("...ik,ikj->...j", exact_basis(x, knots, degree), C)
    return (y if W is None else y + x / (1 + np.exp(-x)) @ W.T,)


def run(x: mx.array, C: mx.array, W: Any = None, **options: Any) -> mx.array:
    return bspline_linear(x, C, W, **options)


def make(case: Any, rows: int, d: int, out: int, grid: int, degree: int, base: bool = True) -> Any:
    """Uneven knots; about one point in six is beyond the first or the last, some are on knots."""
    random = np.random.default_rng([rows, d, out, grid + degree, degree])
    knots = np.cumsum(random.uniform(0.3, 0.9, (d, grid + 2 * degree + 1)), 1).astype(np.float32)
    knots -= knots.mean(1, keepdims=True)
    x = random.uniform(1.2 * knots[:, :1], 1.2 * knots[:, -1:], (d, rows)).T.astype(np.float32)
    x[: rows // 8] = knots[:, random.integers(0, knots.shape[1], rows // 8)].T
    arrays = {"x": mx.array(x), "C": mx.array(random.standard_normal((d, grid + degree, out)).astype(np.float32))}
    if base:
        arrays["W"] = mx.array(random.standard_normal((out, d)).astype(np.float32))
    options = {"knots": mx.array(knots), "degree": degree}
    return replace(case("rms_norm"), op=run, exact=exact, arrays=arrays, options=options)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("base", [True, False])
def test_kernels_agree_with_the_reference(
    kernel: str, case: Any, agree: Any, sizes: tuple[int, ...], base: bool
) -> None:
    agree(make(case, *sizes, base=base))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_kernels_agree_in_half_precision(kernel: str, case: Any, agree: Any, dtype: str) -> None:
    agree(make(case, 37, 5, 19, 5, 3), dtype)


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
@pytest.mark.parametrize("sizes", [(37, 9, 35, 5, 3), (33, 1, 1, 2, 0), (70, 17, 130, 2, 1), (9, 3, 3, 12, 5)], ids=str)
@pytest.mark.parametrize("base", [True, False])
def test_more_rows_and_outputs_a_thread(kernel: str, case: Any, agree: Any, sizes: tuple[int, ...], base: bool) -> None:
    with patch.object(bspline_metal, "FULL", 1):
        agree(make(case, *sizes, base=base))


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
def test_weights_and_knots_of_another_type_than_x(kernel: str, case: Any, close: Any) -> None:
    example = make(case, 20, 3, 5, 5, 3)
    changed = {"x": example.arrays["x"].astype(mx.bfloat16), "C": example.arrays["C"].astype(mx.float16)}
    options = example.options | {"knots": example.options["knots"].astype(mx.float16)}
    mixed = replace(example, arrays=example.arrays | changed, options=options)
    close("y", mixed()[0], mixed("reference")[0], 1e-2)
    expected = mixed.gradients("reference")
    for name, gradient in mixed.gradients().items():
        close(name, gradient, expected[name], 1e-2)


@pytest.mark.parametrize("sizes", SIZES[1:], ids=str)
@pytest.mark.parametrize("impl", ["reference", "cpu"])
def test_agrees_with_float64_definition(case: Any, close: Any, slopes: Any, impl: str, sizes: tuple[int, ...]) -> None:
    example = replace(make(case, *sizes), kernel=impl)
    close("y", example()[0], example.exact_outputs()[0], 2e-6)
    slopes(example)


@pytest.mark.parametrize("degree", range(6))
def test_basis_agrees_with_scipy(degree: int) -> None:
    known = fixture(f"scipy/{degree}/")
    B = bspline_basis(known["x"], known["knots"], degree)
    assert mx.abs(B - known["B"]).max().item() < 1e-6
    points = known["x"][:, 0]
    inside = mx.logical_and(points >= known["knots"][0, degree], points < known["knots"][0, -1 - degree])
    np.testing.assert_allclose(np.array(B.sum(-1)[:, 0])[np.array(inside)], 1, atol=1e-6)


@pytest.mark.parametrize("degree", range(6))
def test_kernel_of_each_function_agrees_with_scipy(kernel: str, degree: int) -> None:
    known = fixture(f"scipy/{degree}/")
    each = mx.eye(known["B"].shape[-1])[None]
    B = bspline_linear(known["x"], each, None, known["knots"], degree=degree, impl=kernel)  # type: ignore
    assert mx.abs(B - known["B"][:, 0]).max().item() < 1e-6


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
@pytest.mark.parametrize("impl", ["reference", "cpu"])
def test_agrees_with_pykan(close: Any, impl: Any, degree: int) -> None:
    known = fixture(f"{degree}/")
    args = (known["x"], known["C"], known["W"])

    def y(x: mx.array, C: mx.array, W: mx.array) -> mx.array:
        return bspline_linear(x, C, W, known["knots"], degree=degree, impl=impl)

    close("y", y(*args), known["y"], 1e-5)
    gradients = mx.grad(lambda *a: (y(*a) * known["gy"]).sum(), (0, 1, 2))(*args)
    for name, gradient in zip(("x", "C", "W"), gradients, strict=True):
        close(f"d{name}", gradient, known[f"grad_{name}"], 1e-5)


@pytest.mark.parametrize("kernel", ["cpu", "metal"], indirect=True)
@pytest.mark.parametrize("impl", ["reference", "kernel"], indirect=True)
def test_any_leading_axes(case: Any, close: Any, impl: str) -> None:
    example = make(case, 24, 5, 3, 5, 3)
    y = example(impl)[0]
    for shape in ((2, 3, 4, 5), (24, 1, 5)):
        split = example(impl, x=example.arrays["x"].reshape(shape))[0]
        assert split.shape == (*shape[:-1], 3)
        close("y", split.reshape(24, 3), y, 1e-7)
    close("y", example(impl, x=example.arrays["x"][7])[0], y[7], 1e-6)


@pytest.mark.parametrize("kernel", ["cpu", "metal"], indirect=True)
@pytest.mark.parametrize("impl", ["reference", "kernel"], indirect=True)
def test_what_is_beyond_the_knots_and_what_is_not_finite(case: Any, impl: str) -> None:
    example = make(case, 6, 2, 5, 5, 3, base=False)
    first, last = example.options["knots"][:, 0], example.options["knots"][:, -1]
    assert not example(impl, x=mx.stack([first - 1, last, last + 9]))[0].any().item()
    y = example(impl, x=mx.array([[0, 0.1], [mx.nan, 0], [0, mx.inf], [0.1, 0]]))[0]
    assert mx.isnan(y).all(1).tolist() == [False, True, True, False]


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
@pytest.mark.parametrize(("grid", "degree"), [(5, 3), (4, 0), (20, 2)])
@pytest.mark.parametrize("base", [True, False])
def test_gradients_of_what_is_not_finite(kernel: str, case: Any, grid: int, degree: int, base: bool) -> None:
    example = make(case, 7, 4, 3, grid, degree, base=base)
    x = np.array(example.arrays["x"])
    x[0, 1], x[2, 2], x[3, 0] = np.nan, np.inf, -np.inf
    example = replace(example, arrays=example.arrays | {"x": mx.array(x)})
    expected = example.gradients("reference")
    for name, gradient in example.gradients().items():
        np.testing.assert_allclose(np.array(gradient), np.array(expected[name]), rtol=1e-4, atol=1e-5, err_msg=name)
    assert np.isnan(np.array(expected["C"])).sum() == 3 * 3 * (grid + degree)


def test_strided_inputs_streams_and_transformations(case: Any, close: Any) -> None:
    example = make(case, 37, 5, 19, 5, 3)
    y, gradients = example()[0], example.gradients()
    for name, a in example.arrays.items():
        close(name, example(**{name: mx.contiguous(a.swapaxes(0, -1)).swapaxes(0, -1)})[0], y, 1e-7)
    several = mx.stack([example.arrays["x"], -example.arrays["x"]])
    mapped = mx.vmap(lambda x: example(x=x)[0])(several)
    close("mapped", mapped, mx.stack([y, example(x=several[1])[0]]), 1e-7)
    compiled = mx.compile(lambda C: mx.grad(lambda c: example.loss(C=c))(C))(example.arrays["C"])
    close("compiled", compiled, gradients["C"], 1e-7)
    knots = mx.grad(lambda t: run(**example.arrays, knots=t, impl="cpu").sum())(example.options["knots"])
    assert not knots.any().item()


@pytest.mark.parametrize(("kernel", "rows"), [("cpu", 1000), ("metal", 200)], indirect=["kernel"])
def test_gradient_is_the_same_each_time(kernel: str, case: Any, rows: int) -> None:
    example = make(case, rows, 2, 40, 5, 3)
    first = example.gradients()
    for _ in range(5):
        for name, gradient in example.gradients().items():
            assert mx.array_equal(gradient, first[name]), name


def test_memory_does_not_hold_the_functions(case: Any, peak_bytes: Any) -> None:
    example = make(case, 512, 32, 32, 29, 3)

    def peak(impl: str) -> int:
        return int(peak_bytes(lambda arrays: replace(example, arrays=arrays).gradients(impl), example))

    functions = 512 * 32 * 32 * 4
    assert peak("cpu") < functions / 2 < functions < peak("reference")


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
def test_launches_do_not_hold_the_functions(kernel: str, case: Any) -> None:
    example, sizes = make(case, 128, 8, 8, 29, 3), {}

    def recorded(op: str, name: str, backend: Any) -> Any:
        def run(**call: Any) -> list[mx.array]:
            sizes[name] = [int(np.prod(shape)) for shape in call["output_shapes"]]
            return launch(op, name, backend)(**call)

        return run

    launch = bspline_metal.kernel
    with patch.object(bspline_metal, "kernel", recorded):
        example.gradients()
    assert sizes == {"forward": [128 * 8], "backward_x": [128 * 8], "backward_C": [2 * 8 * 33 * 8]}


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
def test_auto_takes_the_kernel_on_a_gpu(kernel: str, case: Any, close: Any) -> None:
    example = make(case, 3, 2, 2, 5, 3)
    with (
        patch.object(mx, "default_device", lambda: mx.Device(mx.gpu)),
        patch.object(bspline_metal, "bspline_linear", lambda *_: "taken"),
    ):
        assert example("auto") == ("taken",)


@pytest.mark.parametrize(
    ("rows", "out", "expected"),
    [
        (1, 256, (1, 1)),
        (2047, 128, (4, 4)),
        (2016, 128, (1, 1)),
        (16384, 3, (4, 1)),
        (1024, 256, (4, 4)),
        (512, 40, (1, 1)),
    ],
)
def test_a_thread_has_more_where_the_gpu_is_full(rows: int, out: int, expected: tuple[int, int]) -> None:
    assert tile(rows, out) == expected


@pytest.mark.parametrize("rows", [1, 127, 128, 300, 16384])
@pytest.mark.parametrize("groups", [1, 3, 32, 64, 1000])
def test_partial_sums_fill_the_gpu_and_no_more(rows: int, groups: int) -> None:
    parts = spans(rows, groups)
    assert parts == 1 or (parts * groups <= FULL // THREADS and parts * LEAST_ROWS <= rows)
    assert 2 * parts * groups > FULL // THREADS or 2 * parts * LEAST_ROWS > rows


@pytest.mark.skipif(mx.metal.is_available(), reason="there is a Metal device: the kernel runs")
def test_metal_is_refused_plainly(case: Any) -> None:
    with pytest.raises(ImplError, match=r'^bspline_linear: impl="metal" cannot run: no Metal device here\.'):
        make(case, 4, 3, 2, 5, 3)("metal")


def test_mistakes_are_named(case: Any) -> None:
    example = make(case, 4, 3, 2, 5, 3)
    with pytest.raises(ValueError, match=r"bspline_linear: C has shape \(3, 7, 2\), expected \(3, 8, out\): 12 knots"):
        example(C=mx.zeros((3, 7, 2)))
    with pytest.raises(ValueError, match=r"bspline_linear: W has shape \(3, 2\), expected \(2, 3\)\."):
        example(W=mx.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"bspline_linear: x has shape \(0, 3\), expected \(\.\.\., d\) and not empty"):
        example(x=mx.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"bspline_linear: knots has shape \(3, 12\), expected \(2, K \+ 4\)"):
        example(x=mx.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"bspline_basis: degree is 6, expected a whole number from 0 to 5"):
        bspline_basis(mx.zeros((4, 3)), mx.zeros((3, 12)), 6)
    with pytest.raises(ValueError, match=r"bspline_linear: C has dtype mlx\.core\.int8, expected float32, float16"):
        example(C=mx.zeros((3, 8, 2), dtype=mx.int8))
