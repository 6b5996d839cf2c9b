"""Which implementation runs, with and without the compiled primitives, and how many threads it takes."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess

import mlx.core as mx
import pytest

from lasmlx.ops import Impl, ImplError, native
from lasmlx.ops.dispatch import choose

Python = Callable[..., CompletedProcess[str]]

DIGEST = """
import hashlib, json
from lasmlx.ops import causal_conv1d, native, rms_norm, selective_scan
import mlx.core as mx
import numpy as np
r = np.random.default_rng(0)
f = lambda *s: mx.array(r.standard_normal(s).astype(np.float32))
v = [f(3, 70, 37), mx.abs(f(3, 70, 37)), -mx.abs(f(37, 5)), f(3, 70, 5), f(3, 70, 5), f(37), f(3, 70, 37), f(3, 37, 5)]
w = f(37, 4)
loss = lambda *v: sum(mx.square(a).sum() for a in selective_scan(*v, impl="cpu"))
conv = lambda x, w: causal_conv1d(x, w, activation="silu", impl="cpu")[0].sum()
out = [*selective_scan(*v, impl="cpu"), *mx.grad(loss, (0, 1, 5, 6, 7))(*v), *mx.grad(conv, (0, 1))(v[0], w)]
out.append(rms_norm(v[0], v[5], impl="cpu"))
digest = hashlib.sha256(b"".join(np.array(a).tobytes() for a in out)).hexdigest()
print(json.dumps({"threads": native.module.threads(), "isa": native.module.isa(), "digest": digest}))
"""

WITHOUT_NATIVE = """
import sys
sys.modules["lasmlx._ops"] = None
import lasmlx.ops as ops
import mlx.core as mx
from lasmlx.ops import native
assert native.module is None and "Reinstall lasmlx" in native.absent
x, bias = mx.zeros((2, 3)), mx.zeros(3)
print(ops.rms_norm(x, bias).tolist(), ops.softplus_time_step(x, bias).shape)
u, B = mx.ones((1, 2, 3)), mx.ones((1, 2, 1))
y, h = ops.selective_scan(u, u, -mx.ones((3, 1)), B, B)
assert mx.isfinite(y).all()
try:
    ops.rms_norm(x, bias, impl="cpu")
except ops.ImplError as error:
    print(error)
"""


def test_the_primitives_are_compiled_here() -> None:
    assert native.absent == ""


def test_unknown_impl_is_named() -> None:
    with pytest.raises(
        ImplError, match=r'rms_norm: impl is \'tpu\', expected "auto", "metal", "cuda", "cpu", "reference"\.'
    ):
        choose("rms_norm", "tpu")  # type: ignore[arg-type]


@pytest.mark.parametrize(("impl", "name"), [("metal", "Metal"), ("cuda", "CUDA")])
def test_a_kernel_without_its_device(impl: Impl, name: str) -> None:
    if getattr(mx, impl).is_available():
        assert choose("scan", impl, kernel=True) == impl
    else:
        with pytest.raises(
            ImplError, match=rf'scan: impl="{impl}" cannot run: no {name} device here\. Use impl="auto"'
        ):
            choose("scan", impl, kernel=True)


def test_an_op_without_a_kernel() -> None:
    with pytest.raises(ImplError, match='rms_norm: impl="metal" cannot run: no Metal kernel yet'):
        choose("rms_norm", "metal")


@pytest.mark.parametrize(
    ("metal", "cuda", "kernel", "on_gpu", "chosen"),
    [
        (True, False, True, None, "metal"),
        (False, True, True, None, "cuda"),
        (True, False, True, "cpu", "cpu"),  # what the kernel does not take
        (True, False, False, None, "reference"),
        (False, False, True, None, "reference"),
    ],
)
def test_auto_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, metal: bool, cuda: bool, kernel: bool, on_gpu: Impl | None, chosen: Impl
) -> None:
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu))
    monkeypatch.setattr(mx.metal, "is_available", lambda: metal)
    monkeypatch.setattr(mx.cuda, "is_available", lambda: cuda)
    assert choose("scan", "auto", kernel=kernel, on_gpu=on_gpu) == chosen


def test_auto_is_the_primitive_on_a_cpu() -> None:
    assert choose("scan", "auto") == "cpu"
    assert choose("scan", "reference") == "reference"


def test_one_thread_gives_the_same_bits(python: Python) -> None:
    many, one = (json.loads(python(DIGEST, LASMLX_THREADS=n, LASMLX_ISA="baseline").stdout) for n in ("4", "1"))
    assert (many["threads"], one["threads"]) == (4, 1)
    assert many["isa"] == one["isa"] == "baseline"
    assert many["digest"] == one["digest"]


def test_without_the_primitives_the_reference_runs(python: Python) -> None:
    output = python(WITHOUT_NATIVE).stdout
    assert "[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]] (2, 3)" in output
    assert 'rms_norm: impl="cpu" cannot run: ' in output
    assert "Reinstall lasmlx where a C++ compiler is at hand" in output
