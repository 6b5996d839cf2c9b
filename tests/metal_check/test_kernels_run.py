"""Right kernels give the right numbers, whatever the order of threads; the drop-in carries gradients."""

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import metal_check


@pytest.fixture(autouse=True, params=["forward", "reverse", "random"])
def order(request: pytest.FixtureRequest, compiler: None) -> Iterator[str]:
    with metal_check.install(order=request.param):
        yield request.param


def one(name: str, source: str, *inputs: mx.array, header: str = "", **call: Any) -> mx.array:
    """One output, as many threads as the first input has elements, unless ``call`` says otherwise."""
    x = inputs[0]
    kernel: Any = mx.fast.metal_kernel(
        name=name, input_names=list("xyz"[: len(inputs)]), output_names=["out"], source=source, header=header
    )
    defaults: dict[str, Any] = {"output_shapes": [x.shape], "output_dtypes": [x.dtype], "template": [("T", x.dtype)]}
    defaults |= {"grid": (x.size, 1, 1), "threadgroup": (min(x.size, 256), 1, 1)}
    return kernel(inputs=list(inputs), **defaults | call)[0]


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16, mx.int32, mx.uint8])
@pytest.mark.parametrize("size", [1, 7, 67])
def test_copy(dtype: mx.Dtype, size: int) -> None:
    x = (mx.arange(size) % 50).astype(dtype)
    out = one("copy", "uint i = thread_position_in_grid.x; out[i] = T(x[i]);", x)
    assert out.dtype == dtype
    assert mx.array_equal(out, x)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_exp_in_every_type(dtype: mx.Dtype) -> None:
    source = "const uint i = thread_position_in_grid.x; out[i] = metal::exp(x[i]);"
    x = mx.linspace(-3, 3, 65).astype(dtype)
    tolerance = {mx.float32: 1e-6, mx.float16: 2e-3, mx.bfloat16: 1e-2}[dtype]
    assert mx.allclose(one("my_exp", source, x), mx.exp(x), rtol=tolerance)


def test_exp_of_a_strided_view() -> None:
    source = """
        const uint i = thread_position_in_grid.x;
        out[i] = metal::exp(x[elem_to_loc(i, x_shape, x_strides, x_ndim)]);
    """
    kernel: Any = mx.fast.metal_kernel("strided", ["x"], ["out"], source, ensure_row_contiguous=False)
    x = mx.random.normal((8, 10))[::2].T
    out = kernel(
        inputs=[x],
        template=[("T", mx.float32)],
        grid=(x.size, 1, 1),
        threadgroup=(16, 1, 1),
        output_shapes=[x.shape],
        output_dtypes=[x.dtype],
    )[0]
    assert mx.allclose(out, mx.exp(x))


def test_simd_sum() -> None:
    x = mx.arange(96).astype(mx.float32)
    out = one("simd_sum", "uint i = thread_position_in_grid.x; out[i] = simd_sum(x[i]);", x)
    assert mx.array_equal(out, mx.repeat(x.reshape(3, 32).sum(1), 32))


def test_threadgroup_tree() -> None:
    source = """
        threadgroup float part[64];
        uint t = thread_index_in_threadgroup;
        part[t] = x[thread_position_in_grid.x];
        for (uint half_size = 32; half_size > 0; half_size /= 2) {
          threadgroup_barrier(mem_flags::mem_threadgroup);
          if (t < half_size) {
            part[t] += part[t + half_size];
          }
        }
        if (t == 0) {
          out[threadgroup_position_in_grid.x] = part[0];
        }
    """
    x = mx.random.normal((256,))
    out = one("tree", source, x, output_shapes=[(4,)], threadgroup=(64, 1, 1))
    assert mx.allclose(out, x.reshape(4, 64).sum(1), atol=1e-5)


def test_shuffle_scan() -> None:
    source = """
        uint i = thread_position_in_grid.x;
        uint lane = thread_index_in_simdgroup;
        float v = x[i];
        for (ushort k = 1; k < 32; k *= 2) {
          const float before = simd_shuffle_up(v, k);
          v += lane >= k ? before : 0.0f;
        }
        out[i] = v;
    """
    x = mx.random.normal((128,))
    assert mx.allclose(one("scan", source, x), mx.cumsum(x.reshape(4, 32), 1).reshape(-1), atol=1e-5)


def test_shuffles_against_numpy() -> None:
    ops = ["simd_shuffle_up(v, 3)", "simd_shuffle_down(v, 3)", "simd_shuffle_rotate_up(v, 3)"]
    ops += ["simd_shuffle_rotate_down(v, 3)", "simd_shuffle_xor(v, 5)", "simd_prefix_exclusive_sum(v)", "simd_max(v)"]
    ops += ["simd_product(v - v + 2.0f)", "simd_broadcast_first(v)"]
    body = "".join(f"out[{n * 32} + i] = {op};\n" for n, op in enumerate(ops))
    x = np.arange(32, dtype=np.float32)
    out = one(
        "shuffles",
        "uint i = thread_index_in_simdgroup; float v = x[i];\n" + body,
        mx.array(x),
        output_shapes=[(len(ops), 32)],
    )
    up, down = np.concatenate([x[:3], x[:-3]]), np.concatenate([x[3:], x[-3:]])
    before = np.cumsum(x) - x
    expected = [up, down, np.roll(x, 3), np.roll(x, -3), x[np.arange(32) ^ 5], before]
    expected += [np.full(32, 31.0), np.full(32, 2.0**32), np.zeros(32)]
    np.testing.assert_array_equal(np.array(out), np.stack(expected))


def test_places_of_a_partial_grid() -> None:
    source = """
        uint3 p = thread_position_in_grid;
        uint i = (p.z * threads_per_grid.y + p.y) * threads_per_grid.x + p.x;
        uint3 group = threadgroup_position_in_grid * dispatch_threads_per_threadgroup;
        out[i] = all(group + thread_position_in_threadgroup == p) ? x[i] : -1.0f;
    """.replace(
        "all(group + thread_position_in_threadgroup == p)",
        "group.x + thread_position_in_threadgroup.x == p.x && group.y + thread_position_in_threadgroup.y == p.y",
    )
    x = mx.arange(70).astype(mx.float32)
    assert mx.array_equal(one("places", source, x, grid=(7, 5, 2), threadgroup=(4, 2, 1)), x)


def test_atomics() -> None:
    source = "uint i = thread_position_in_grid.x; atomic_fetch_add_explicit(&out[i % 4], x[i], memory_order_relaxed);"
    kernel: Any = mx.fast.metal_kernel("histogram", ["x"], ["out"], source, atomic_outputs=True)
    x = mx.arange(64).astype(mx.float32)
    out = kernel(
        inputs=[x],
        grid=(64, 1, 1),
        threadgroup=(32, 1, 1),
        output_shapes=[(4,)],
        output_dtypes=[mx.float32],
        init_value=0,
    )[0]
    assert mx.array_equal(out, x.reshape(16, 4).sum(0))


def test_perturbed_and_misplaced(order: str) -> None:
    source = "uint i = thread_position_in_grid.x; out[i] = metal::fast::exp(x[i]);"
    x = mx.linspace(-2, 2, 33)
    with metal_check.settings(fuzz=1.0, offset=1):
        out = one("fast_exp", source, x)
    assert mx.allclose(out, mx.exp(x), rtol=1e-6)
    assert not mx.array_equal(out, one("fast_exp", source, x))


@pytest.mark.parametrize("taps", [2, 4])
def test_neighbours_may_be_read_at_once(taps: int) -> None:
    """Compilers merge loads of neighbours; that needs no more alignment than one of them."""
    source = """
        uint i = thread_position_in_grid.x;
        float h[K];
        for (int j = 0; j < K; j++) {
          h[j] = x[K * i + j];
        }
        for (int j = 0; j < K; j++) {
          out[K * i + j] = h[j];
        }
    """
    x = mx.arange(16 * taps).astype(mx.float32)
    with metal_check.settings(offset=1):
        assert mx.array_equal(one("pairs", source, x, template=[("K", taps)], grid=(16, 1, 1)), x)


def test_shifts_within_the_width() -> None:
    source = "uint i = thread_position_in_grid.x; out[i] = (1 << x[i]) + int(1l << (x[i] / 2)) + (256 >> x[i]);"
    x = mx.arange(31)
    assert mx.array_equal(one("shifts", source, x), 2**x + 2 ** (x // 2) + 256 // 2**x)


def test_halves_round_as_in_numpy() -> None:
    source = "uint i = thread_position_in_grid.x; out[i] = half(x[i]); back[i] = float(half(x[i]));"
    random = np.random.default_rng(0)
    x = np.exp2(random.uniform(-27, 17, 512)).astype(np.float32) * random.choice([-1, 1], 512).astype(np.float32)
    x[:8] = [0.0, 65519.0, 65520.0, np.inf, 2.0**-25, 1.5 * 2.0**-24, 2.5 * 2.0**-24, 1 + 2.0**-11]
    kernel = metal_check.Kernel("halves", ["x"], ["out", "back"], source)
    shapes: dict[str, Any] = {"output_shapes": [x.shape] * 2, "output_dtypes": [mx.float16, mx.float32]}
    out, back = kernel(inputs=[mx.array(x)], grid=(512, 1, 1), threadgroup=(256, 1, 1), **shapes)
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    np.testing.assert_array_equal(np.array(out), expected)
    np.testing.assert_array_equal(np.array(back), expected.astype(np.float32))


def test_gradient_through_custom_function() -> None:
    forward = "uint i = thread_position_in_grid.x; out[i] = x[i] * x[i] * y[0];"
    backward = "uint i = thread_position_in_grid.x; out[i] = 2.0f * x[i] * y[0] * z[i];"

    @mx.custom_function
    def square(x: mx.array, scale: mx.array) -> mx.array:
        return one("square", forward, x, scale)

    @square.vjp
    def square_vjp(primals: tuple[mx.array, mx.array], cotangent: mx.array, output: mx.array) -> tuple[mx.array, ...]:
        x, scale = primals
        return one("square_backward", backward, x, scale, cotangent), (cotangent * x * x).sum(keepdims=True)

    x, w, scale = mx.random.normal((37,)), mx.random.normal((37,)), mx.array([3.0])

    def loss(x: mx.array, s: mx.array) -> mx.array:
        y: Any = square(x, s)
        return (y * w).sum()

    dx, dscale = mx.grad(loss, argnums=(0, 1))(x, scale)
    assert mx.allclose(dx, 6 * x * w, atol=1e-5)
    assert mx.allclose(dscale, (x * x * w).sum(keepdims=True), atol=1e-5)
