"""Every differentiable op through MLX's function transformations, on odd memory layouts, other streams, with NaN."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from lasmlx import ops
from lasmlx.ops import native

OPS = [
    *("selective_scan", "causal_conv1d", "plastic_scan"),
    *("bounded_time_step", "softplus_time_step", "rms_norm", "cross_entropy"),
]
SCAN_AND_CONV = OPS[:2]
SEQUENCE_OPS = OPS[:3]
INPUTS = [
    *(("selective_scan", name) for name in ("x", "dt", "A", "B", "C", "D", "z", "h0")),
    *(("causal_conv1d", name) for name in ("x", "weight", "bias", "tail")),
    *(("plastic_scan", name) for name in ("u", "x", "alpha", "H0", "rate", "keep", "key")),
    *(("bounded_time_step", name) for name in ("x", "bias")),
    *(("softplus_time_step", name) for name in ("x", "bias")),
    *(("rms_norm", name) for name in ("x", "weight")),
    ("cross_entropy", "logits"),
]


def kernels(op: str, cpu: list[str]) -> list[str]:
    return [*cpu, "metal"] if op in SCAN_AND_CONV else cpu


def each(names: str, rows: list[tuple[str, ...]], cpu: list[str]) -> pytest.MarkDecorator:
    """Parametrise by op, and perhaps input, and kernel: those of the CPU, and Metal's where the op has one."""
    values = [(*row, kernel) for row in rows for kernel in kernels(row[0], cpu)]
    return pytest.mark.parametrize((*names.split(), "kernel"), values, indirect=["kernel"])


each_input = each("op name", INPUTS, ["cpu"])
each_input_and_isa = each("op name", INPUTS, native.module.isas() if native.module else [])
each_op = each("op", [(op,) for op in OPS], ["cpu"])
each_sequence_op = each("op", [(op,) for op in SEQUENCE_OPS], ["cpu"])


def odd_layouts(a: mx.array) -> dict[str, mx.array]:
    """The same values as a strided view of something larger, transposed, and counted backwards."""
    layouts = {"split": mx.split(mx.concatenate([a * 0, a, a * 0], axis=-1), 3, axis=-1)[1], "reversed": a[::-1][::-1]}
    if a.ndim > 1:
        layouts["swapped"] = mx.contiguous(mx.swapaxes(a, -1, -2)).swapaxes(-1, -2)
        layouts["moved"] = mx.contiguous(mx.moveaxis(a, 0, -1)).moveaxis(-1, 0)
    return layouts


@each_input
def test_strided_inputs(kernel: str, case: Any, close: Any, op: str, name: str) -> None:
    example = case(op)
    plain, plain_gradients = example(), example.gradients()
    for layout, view in odd_layouts(example.arrays[name]).items():
        for actual, expected in zip(example(**{name: view}), plain, strict=True):
            close(layout, actual, expected, 1e-7)
        gradient = mx.grad(lambda v: example.loss(**{name: v}))(view)
        close(f"d{name} {layout}", gradient, plain_gradients[name], 1e-6)


@each_input
def test_broadcast_inputs(kernel: str, case: Any, close: Any, op: str, name: str) -> None:
    example = case(op)
    a = example.arrays[name]
    seen = mx.broadcast_to(a[..., :1], a.shape), mx.broadcast_to(a[:1], a.shape)
    for view in seen:
        changed = {name: mx.contiguous(view)}
        for actual, expected in zip(example(**{name: view}), example(**changed), strict=True):
            close("output", actual, expected, 1e-7)
        gradient, expected = (
            mx.grad(lambda v: example.loss(**{name: mx.broadcast_to(v, a.shape)}))(source)
            for source in (view, changed[name])
        )
        close(f"d{name}", gradient, expected, 1e-6)


@each_sequence_op
def test_broadcast_cotangent(kernel: str, case: Any, close: Any, op: str) -> None:
    example = case(op)

    def total(impl: str) -> dict[str, mx.array]:
        return mx.grad(lambda arrays: sum(out.sum() for out in example(impl, **arrays)))(example.arrays)

    actual, expected = total(""), total("reference")
    for name in example.arrays:
        close(f"d{name}", actual[name], expected[name], 4e-6)


@each_input
def test_gradient_of_one_argument(kernel: str, case: Any, close: Any, op: str, name: str) -> None:
    example = case(op)
    close(f"d{name}", example.gradients(names=(name,))[name], example.gradients()[name], 1e-7)


@each_input_and_isa
def test_nan_in_gives_nan_out(kernel: str, case: Any, op: str, name: str) -> None:
    example = case(op)
    a = example.arrays[name]
    poisoned = mx.where(mx.arange(a.size).reshape(a.shape) == a.size - 1, mx.array(float("nan")), a)
    assert mx.isnan(sum(out.sum() for out in example(**{name: poisoned}))).item()
    gradients = replace(example, arrays=example.arrays | {name: poisoned}).gradients()
    assert any(mx.isnan(gradient).any().item() for gradient in gradients.values())


@pytest.mark.parametrize("op", OPS)
def test_other_streams(case: Any, close: Any, op: str) -> None:
    example = case(op)
    expected, expected_gradients = example(), example.gradients()
    mx.eval(expected, expected_gradients)
    with mx.stream(mx.new_stream(mx.cpu)):
        actual, gradients = example(), example.gradients()
        mx.eval(actual, gradients)
    for a, e in zip(actual, expected, strict=True):
        assert mx.array_equal(a, e)
    for name, gradient in gradients.items():
        close(f"d{name}", gradient, expected_gradients[name], 1e-7)


@each_op
def test_compile(traceable: str, unfused: None, case: Any, close: Any, op: str) -> None:
    example = case(op)
    step = mx.value_and_grad(lambda arrays: example.loss(**arrays))
    compiled = mx.compile(step)
    for factor in (1, 0.5):
        arrays = {name: v * factor for name, v in example.arrays.items()}
        (loss, gradients), (compiled_loss, compiled_gradients) = step(arrays), compiled(arrays)
        close("loss", compiled_loss, loss, 1e-6)
        for name, actual in compiled_gradients.items():
            close(f"d{name}", actual, gradients[name], 1e-6)


@pytest.mark.parametrize("op", SEQUENCE_OPS)
def test_shapeless_compile(unfused: None, case: Any, close: Any, op: str) -> None:
    options = case(op).options

    def loss(arrays: dict[str, mx.array], impl: str = "cpu") -> mx.array:
        return sum(mx.square(out).sum() for out in getattr(ops, op)(**arrays, **options, impl=impl))

    step = mx.compile(mx.grad(loss), shapeless=True)
    for b, t in ((1, 40), (2, 3), (3, 71)):
        arrays = case(op, b, t, 9, 4).arrays
        gradients, expected = step(arrays), mx.grad(loss)(arrays, "reference")
        for name, actual in gradients.items():
            close(f"d{name}", actual, expected[name], 4e-6)


@each_input
@pytest.mark.parametrize("axis", [0, -1])
def test_vmap_over_each_input(traceable: str, case: Any, close: Any, op: str, name: str, axis: int) -> None:
    sizes = (1, 7, 9, 3) if op in SEQUENCE_OPS else (3, 9)
    example = case(op, *sizes)
    a = example.arrays[name]
    three = [a, a * 0.5, a * 1.5]
    stacked = mx.stack(three, axis)
    outputs = mx.vmap(lambda v: example(**{name: v}), in_axes=axis)(stacked)
    gradients = mx.vmap(mx.grad(lambda v: example.loss(**{name: v})), in_axes=axis)(stacked)
    for i, one in enumerate(three):
        for actual, expected in zip(outputs, example(**{name: one}), strict=True):
            close("output", actual[i], expected, 1e-6)
        close(f"d{name}", gradients[i], mx.grad(lambda v: example.loss(**{name: v}))(one), 1e-6)


@pytest.mark.parametrize("kernel", ["cpu", "metal"], indirect=True)
def test_vmap_over_all_inputs(traceable: str, case: Any, close: Any) -> None:
    example = case("selective_scan", 1, 34, 9, 3)
    names = tuple(example.arrays)
    grad = mx.grad(lambda *v: example.loss(**dict(zip(names, v, strict=True))), range(len(names)))
    two = [mx.stack([a, a * 0.7]) for a in example.arrays.values()]
    mapped = mx.vmap(grad)(*two)
    for i in range(2):
        for name, actual, expected in zip(names, mapped, grad(*(a[i] for a in two)), strict=True):
            close(f"d{name}", actual[i], expected, 1e-6)


@each_op
def test_checkpoint(traceable: str, case: Any, close: Any, op: str) -> None:
    example = case(op)
    expected = example.gradients()
    gradients = mx.grad(mx.checkpoint(lambda arrays: example.loss(**arrays)))(example.arrays)
    for name, actual in gradients.items():
        close(f"d{name}", actual, expected[name], 1e-6)


@pytest.mark.parametrize("op", OPS)
def test_auto_is_the_kernel_on_a_cpu(case: Any, op: str) -> None:
    example = case(op)
    for actual, expected in zip(example("auto"), example("cpu"), strict=True):
        assert mx.array_equal(actual, expected)


def test_many_evaluations_in_one_graph(case: Any, close: Any) -> None:
    example = case("selective_scan", 1, 8, 5, 2)
    h, _ = example.arrays["h0"], mx.eval(example.arrays)
    for _ in range(50):
        _, h = ops.selective_scan(*(example.arrays[v] for v in ("x", "dt", "A", "B", "C")), h0=h, impl="cpu")
    expected = example.arrays["h0"]
    for _ in range(50):
        _, expected = ops.selective_scan(
            *(example.arrays[v] for v in ("x", "dt", "A", "B", "C")), h0=expected, impl="cpu"
        )
        mx.eval(expected)
    close("h", h, expected, 1e-7)


def test_unknown_instruction_set_is_named() -> None:
    with pytest.raises(ValueError, match="isa: got 'mmx', this processor runs baseline"):
        native.module.set_isa("mmx")
