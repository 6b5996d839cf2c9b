"""The layer of splines: kernels against the definition, both against pykan, the functions against scipy; errors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.ops import ImplError, bspline_basis, bspline_linear

FIXTURES = np.load(Path(__file__).parent / "fixtures" / "pykan.npz")
# rows, inputs, outputs, grid, degree: tiles of 128 rows, blocks of 1, 2 and 4 vectors of outputs, parts of rows
SIZES = [
    (1, 1, 1, 1, 3),
    (37, 5, 3, 5, 3),
    (150, 11, 70, 5, 3),
    (17, 9, 130, 7, 5),
    (67, 2, 33, 40, 1),
    (33, 3, 17, 3, 4),
    (300, 2, 40, 3, 2),
    (130, 3, 19, 4, 0),
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
    random = np.random.default_rng([rows, d, out, grid, degree])
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
def test_kernels_agree_with_the_reference(isa: str, case: Any, agree: Any, sizes: tuple[int, ...], base: bool) -> None:
    agree(make(case, *sizes, base=base))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_kernels_agree_in_half_precision(isa: str, case: Any, agree: Any, dtype: str) -> None:
    agree(make(case, 37, 5, 19, 5, 3), dtype)


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
def test_kernel_of_each_function_agrees_with_scipy(isa: str, degree: int) -> None:
    known = fixture(f"scipy/{degree}/")
    each = mx.eye(known["B"].shape[-1])[None]
    B = bspline_linear(known["x"], each, None, known["knots"], degree=degree, impl="cpu")
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


@pytest.mark.parametrize("impl", ["reference", "cpu"])
def test_any_leading_axes(case: Any, close: Any, impl: str) -> None:
    example = make(case, 24, 5, 3, 5, 3)
    y = example(impl)[0]
    for shape in ((2, 3, 4, 5), (24, 1, 5)):
        split = example(impl, x=example.arrays["x"].reshape(shape))[0]
        assert split.shape == (*shape[:-1], 3)
        close("y", split.reshape(24, 3), y, 1e-7)
    close("y", example(impl, x=example.arrays["x"][7])[0], y[7], 1e-6)


@pytest.mark.parametrize("impl", ["reference", "cpu"])
def test_what_is_beyond_the_knots_and_what_is_not_finite(case: Any, impl: str) -> None:
    example = make(case, 6, 2, 5, 5, 3, base=False)
    first, last = example.options["knots"][:, 0], example.options["knots"][:, -1]
    assert not example(impl, x=mx.stack([first - 1, last, last + 9]))[0].any().item()
    y = example(impl, x=mx.array([[0, 0.1], [mx.nan, 0], [0, mx.inf], [0.1, 0]]))[0]
    assert mx.isnan(y).all(1).tolist() == [False, True, True, False]


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


def test_gradient_is_the_same_each_time(case: Any) -> None:
    example = make(case, 1000, 2, 40, 5, 3)
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


def test_mistakes_are_named(case: Any) -> None:
    example = make(case, 4, 3, 2, 5, 3)
    with pytest.raises(ImplError, match='bspline_linear: impl="metal" cannot run: no Metal kernel yet'):
        example("metal")
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
