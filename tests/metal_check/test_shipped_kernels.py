"""Kernels that others wrote: MLX's own, from the headers in its wheel, and those its documentation describes.

They compile and agree with MLX on the CPU; a harness that refuses or misreads right kernels fails here.
"""

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import pytest

import metal_check
from metal_check import Output, run_source

HEADERS = "mlx/backend/metal/kernels"


@pytest.fixture(autouse=True, params=["forward", "random"])
def order(request: pytest.FixtureRequest, compiler: None) -> Iterator[None]:
    with metal_check.settings(order=request.param):
        yield


def included(header: str) -> str:
    return f"#include <{HEADERS}/defines.h>\nusing namespace metal;\n#include <{HEADERS}/{header}.h>\n"


def ran(header: str, kernel: str, arguments: list[Any], grid: tuple[int, int, int], group: int) -> mx.array:
    """The output of a kernel of MLX's header, in threadgroups of ``group`` threads in a row."""
    return run_source(included(header), kernel, arguments, grid, (group, 1, 1))[0]


def test_arange() -> None:
    out = ran("arange", "arange<float>", [2.0, 0.5, Output((40,))], (40, 1, 1), 32)
    assert mx.array_equal(out, mx.arange(2.0, 22.0, 0.5))


@pytest.mark.parametrize("size", [1000, 37])
def test_softmax_of_a_row(size: int) -> None:
    x = mx.random.normal((3, size))
    threads = (size + 127) // 128 * 32
    arguments = [x, Output(x.shape), size]
    out = ran("softmax", "softmax_single_row<float, float, 4>", arguments, (3 * threads, 1, 1), threads)
    assert mx.allclose(out, mx.softmax(x, -1))


def test_softmax_in_a_loop() -> None:
    x = mx.random.normal((2, 5001))
    out = ran("softmax", "softmax_looped<float, float, 4>", [x, Output(x.shape), 5001], (2048, 1, 1), 1024)
    assert mx.allclose(out, mx.softmax(x, -1), atol=1e-7)


@pytest.mark.parametrize("kernel", ["logsumexp", "logsumexp_looped"])
def test_logsumexp(kernel: str) -> None:
    x = mx.random.normal((3, 4096))
    out = ran("logsumexp", f"{kernel}<float, float, 4>", [x, Output((3,)), 4096], (3072, 1, 1), 1024)
    assert mx.allclose(out, mx.logsumexp(x, -1))


def test_cross_entropy() -> None:
    x, targets = mx.random.normal((3, 4001)), mx.array([0, 4000, -2])
    arguments = [x, targets, Output((3,)), 4001]
    out = ran("cross_entropy", "cross_entropy<float, float, 4>", arguments, (3072, 1, 1), 1024)
    expected = mx.logsumexp(x, -1) - x[mx.arange(3), targets]
    assert mx.allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "inclusive", "reverse"), [("CumSum", True, False), ("CumSum", False, True), ("CumMax", True, False)]
)
def test_scan_of_rows(op: str, inclusive: bool, reverse: bool) -> None:
    x = mx.random.normal((2, 4096))
    kernel = f"contiguous_scan<float, float, {op}<float>, 4, {inclusive}, {reverse}>".lower().replace(op.lower(), op)
    out = ran("scan", kernel, [x, Output(x.shape), x.shape[1]], (1024, 2, 1), 1024)
    run = {"CumSum": mx.cumsum, "CumMax": mx.cummax}[op]
    assert mx.allclose(out, run(x, axis=1, inclusive=inclusive, reverse=reverse), atol=1e-4)


def test_scan_of_columns() -> None:
    """A threadgroup takes 32 columns; its threads are 32 rows of 8, each with 4 columns."""
    x = mx.random.normal((70, 64))
    kernel = "strided_scan<float, float, CumSum<float>, 4, true, false>"
    out = ran("scan", kernel, [x, Output(x.shape), 70, 64, 2], (256, 1, 2), 256)
    assert mx.allclose(out, mx.cumsum(x, axis=0), atol=1e-5)


def test_dot() -> None:
    """32 items a thread, 1024 threads a group."""
    n = 32 * 1024 + 37
    a, b = mx.random.normal((n,)), mx.random.normal((n,))
    out = ran("dot", "dot_product<float, 32, 1024, 32>", [a, b, Output((2,)), n], (2048, 1, 1), 1024)
    assert mx.allclose(out.sum(), (a * b).sum(), rtol=1e-4, atol=1e-2)


def test_searchsorted() -> None:
    a, v = mx.sort(mx.random.normal((100,))), mx.random.normal((33,))
    text = f"#include <{HEADERS}/sort.h>\n" + included("searchsorted")
    arguments: list[Any] = [a, v, Output((33,), mx.uint32), 100, 1]
    out = run_source(text, "searchsorted<float, false>", arguments, (33, 1, 1), (33, 1, 1))[0]
    assert mx.array_equal(out, (a[None] < v[:, None]).sum(1).astype(mx.uint32))


def test_attention_of_one_query() -> None:
    """Function constants are all false: no mask, no sinks; their buffers are bound and not read."""
    heads, length, size = 2, 45, 64
    q, k, v = (mx.random.normal((1, heads, n, size)) for n in (1, length, length))
    strides = [length * size, size, length * size, size]
    absent = [mx.zeros((1,), mx.bool_), mx.zeros((1,)), 0, 0, 0, mx.zeros((1,)), 1]
    arguments = [q, k, v, Output(q.shape), 1, length, *strides, size**-0.5, *absent]
    out = ran("sdpa_vector", "sdpa_vector<float, 64, 64>", arguments, (heads * 1024, 1, 1), 1024)
    assert mx.allclose(out, mx.fast.scaled_dot_product_attention(q, k, v, scale=size**-0.5), atol=1e-5)


GRID_SAMPLE = """
  uint e = thread_position_in_grid.x;
  int h = x_shape[1], w = x_shape[2], channels = x_shape[3], width = grid_shape[2], height = grid_shape[1];
  int c = int(e) % channels;
  int place = int(e) / channels;
  int image = place / (width * height);
  float px = (grid[2 * place] + 1.0f) * float(w) * 0.5f - 0.5f;
  float py = (grid[2 * place + 1] + 1.0f) * float(h) * 0.5f - 0.5f;
  int x0 = int(metal::floor(px)), y0 = int(metal::floor(py));
  float fx = px - float(x0), fy = py - float(y0);
  float sum = 0.0f, sum_x = 0.0f, sum_y = 0.0f;
  for (int k = 0; k < 4; k++) {
    int i = y0 + k / 2, j = x0 + k % 2;
    if (i < 0 || i >= h || j < 0 || j >= w) {
      continue;
    }
    float wy = k / 2 ? fy : 1.0f - fy, wx = k % 2 ? fx : 1.0f - fx;
    int at = ((image * h + i) * w + j) * channels + c;
    BODY
  }
"""
FORWARD = GRID_SAMPLE.replace("BODY", "sum += wy * wx * x[at];") + "out[e] = sum + 0.0f * (sum_x + sum_y);"
BACKWARD = (
    GRID_SAMPLE.replace(
        "BODY",
        "atomic_fetch_add_explicit(&dx[at], wy * wx * cotangent[e], memory_order_relaxed);"
        "sum_x += wy * (k % 2 ? 1.0f : -1.0f) * x[at]; sum_y += wx * (k / 2 ? 1.0f : -1.0f) * x[at];",
    )
    + "atomic_fetch_add_explicit(&dgrid[2 * place], sum_x * cotangent[e] * float(w) * 0.5f, memory_order_relaxed);"
    + "atomic_fetch_add_explicit(&dgrid[2 * place + 1], sum_y * cotangent[e] * float(h) * 0.5f, memory_order_relaxed);"
)


def sampled(x: mx.array, grid: mx.array) -> mx.array:
    """Bilinear samples of x (b, h, w, c) at grid (b, p, q, 2) in -1..1, zero outside: plain MLX."""
    _, h, w, _ = x.shape
    px, py = (grid[..., 0] + 1) * w / 2 - 0.5, (grid[..., 1] + 1) * h / 2 - 0.5
    rows, columns = mx.arange(h).astype(mx.float32), mx.arange(w).astype(mx.float32)
    weight_y = mx.maximum(1 - mx.abs(py[..., None] - rows), 0)  # (b, p, q, h)
    weight_x = mx.maximum(1 - mx.abs(px[..., None] - columns), 0)
    return mx.einsum("bpqh,bpqw,bhwc->bpqc", weight_y, weight_x, x)


def test_grid_sample_and_its_gradient() -> None:
    x, grid = mx.random.normal((2, 5, 7, 3)), mx.random.uniform(-1.3, 1.3, (2, 4, 3, 2))
    weight = mx.random.normal((2, 4, 3, 3))
    launch: dict[str, Any] = {"grid": (weight.size, 1, 1), "threadgroup": (32, 1, 1)}
    forward = metal_check.Kernel("grid_sample", ["x", "grid"], ["out"], FORWARD)
    out = forward(inputs=[x, grid], output_shapes=[weight.shape], output_dtypes=[mx.float32], **launch)[0]
    assert mx.allclose(out, sampled(x, grid), atol=1e-5)
    names = ["x", "grid", "cotangent"]
    backward = metal_check.Kernel("grid_sample_vjp", names, ["dx", "dgrid"], BACKWARD, atomic_outputs=True)
    shapes: dict[str, Any] = {
        "output_shapes": [x.shape, grid.shape],
        "output_dtypes": [mx.float32] * 2,
        "init_value": 0.0,
    }
    got = backward(inputs=[x, grid, weight], **shapes, **launch)
    for one, other in zip(got, mx.vjp(sampled, [x, grid], [weight])[1], strict=True):
        assert mx.allclose(one, other, atol=1e-4)
