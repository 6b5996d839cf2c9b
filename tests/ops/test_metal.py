"""How GPU kernels are built and launched: the vmap rule, fewer threads where they do not fit, chunks, bytes moved."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from lasmlx.ops import metal, selective_scan, selective_scan_metal
from lasmlx.ops.selective_scan_metal import SEGMENT, chunks, traffic

TABLE = Path(__file__).parents[2] / "docs" / "metal.md"
SHAPES = [(8, 2048, 1536, 16), (8, 512, 256, 16), (1, 4096, 512, 16)]


class Recorder:
    """Stands in front of a kernel builder: what is launched, with how many bytes; refuses more threads than allowed."""

    def __init__(self, builder: Callable[..., Any], most_threads: int = 1024) -> None:
        self.builder, self.most_threads = builder, most_threads
        self.launches: list[tuple[str, int, int]] = []  # name, threads a group, bytes

    def __call__(self, **kernel: Any) -> Callable[..., list[mx.array]]:
        launch = self.builder(**kernel)

        def run(*, inputs: list[mx.array], **call: Any) -> list[mx.array]:
            threads = call["threadgroup"][0] * call["threadgroup"][1] * call["threadgroup"][2]
            if threads > self.most_threads:
                raise ValueError(
                    f"Thread group size ({threads}) is greater than  the maximum allowed threads per group."
                )
            outputs = launch(inputs=inputs, **call)
            moved = sum(v.nbytes for v in [*inputs, *outputs] if v.size > 1)
            self.launches.append((kernel["name"], threads, moved))
            return outputs

        return run


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Recorder]]:
    def start(**options: Any) -> Recorder:
        recorder = Recorder(mx.fast.metal_kernel, **options)
        monkeypatch.setattr(mx.fast, "metal_kernel", recorder)
        return recorder

    for cached in (metal._build, selective_scan_metal._scan):
        cached.cache_clear()
    yield start
    for cached in (metal._build, selective_scan_metal._scan):
        cached.cache_clear()


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
@pytest.mark.parametrize("most_threads", [32, 128])
def test_a_gpu_with_fewer_registers(kernel: str, recorder: Any, case: Any, agree: Any, most_threads: int) -> None:
    seen = recorder(most_threads=most_threads)
    agree(case("selective_scan", 1, 20, 33, 6))
    assert {threads for name, threads, _ in seen.launches if name.endswith("backward")} == {min(most_threads, 96)}


def test_other_errors_pass() -> None:
    def launch(size: int) -> list[mx.array]:
        raise ValueError("out of paper")

    with pytest.raises(ValueError, match="out of paper"):
        metal.widest([4, 2], launch)


def test_nothing_fits() -> None:
    def launch(size: int) -> list[mx.array]:
        raise ValueError(f"Thread group size ({size}) is greater")

    with pytest.raises(ValueError, match=r"Thread group size \(2\)"):
        metal.widest([4, 2], launch)


@pytest.mark.parametrize("axes", [(0, None), (1, 0), (None, -1)])
def test_vmap_of_a_launch(axes: tuple[int | None, int | None]) -> None:
    launch = metal._mapped(lambda arrays: [arrays[0] @ arrays[1], arrays[0] + 1])
    a, b = mx.random.normal((3, 3, 3)), mx.random.normal((3, 3, 3))
    a, b = (v if axis is not None else v[0] for v, axis in zip((a, b), axes, strict=True))
    product, more = mx.vmap(lambda a, b: launch(a, b), in_axes=axes)(a, b)
    assert mx.allclose(product, mx.vmap(lambda a, b: a @ b, in_axes=axes)(a, b), atol=1e-6).item()
    assert mx.allclose(more, mx.vmap(lambda a, b: a + 1, in_axes=axes)(a, b)).item()


@pytest.mark.parametrize(
    ("sizes", "pieces"),
    [
        ((8, 2048, 1536, 16), 1),  # the channels fill the GPU
        ((1, 4096, 512, 16), 8),
        ((1, 4096, 512, 64), 2),  # 64 states: two chunks fill the threadgroup's memory
        ((1, 63, 32, 16), 1),  # a chunk is two segments at least
        ((1, 64, 32, 16), 2),
        ((8, 512, 1024, 16), 2),
        ((8, 512, 1025, 16), 1),
    ],
)
def test_chunks(sizes: tuple[int, int, int, int], pieces: int) -> None:
    assert chunks(*sizes) == pieces
    _, t, _, n = sizes
    assert pieces == 1 or (t >= 2 * SEGMENT * pieces and 128 * pieces * (n + 1) <= 32768)


def test_more_states_than_a_kernel_takes(kernel: str, case: Any) -> None:
    if kernel == "metal":
        with pytest.raises(ValueError, match="selective_scan: A has 65 states, the metal kernel takes at most 64"):
            case("selective_scan", 1, 2, 3, 65)()
    example = case("selective_scan", 1, 2, 3, 65)
    assert example("auto")[0].shape == (1, 2, 3)


@pytest.mark.parametrize("kernel", ["metal"], indirect=True)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_bytes_are_those_of_the_formula(kernel: str, recorder: Any, case: Any, dtype: str) -> None:
    b, t, d, n = sizes = (2, 40, 64, 16)
    seen = recorder()
    item = 4 if dtype == "float32" else 2
    arrays = {
        key: v if key in ("A", "D", "h0") else v.astype(getattr(mx, dtype))
        for key, v in case("selective_scan", *sizes).arrays.items()
    }
    mx.grad(lambda x: sum(v.astype(mx.float32).sum() for v in selective_scan(x, **arrays, impl="metal")))(
        arrays.pop("x")
    )
    bytes_of = {name.rsplit("_", 1)[1]: moved for name, _, moved in seen.launches}
    expected = traffic(*sizes, item=item)
    assert bytes_of["forward"] == expected["forward"]
    partial = 2 * 2 * b * t * n * 4 + b * (d * n + d) * 4
    summed = 2 * b * t * n * item + (d * n + d) * 4  # what the sums over the partial gradients write
    again = 2 * b * t * d * item  # gy and z are read twice
    assert bytes_of["backward"] == expected["backward"] - partial - summed - again


@pytest.mark.parametrize("item", [4, 2])
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_the_table_of_bytes(sizes: tuple[int, int, int, int], item: int) -> None:
    row = re.search(
        rf"^\| {re.escape(str(sizes))}, {'float32' if item == 4 else 'bfloat16'} \| (.*) \|$", TABLE.read_text(), re.M
    )
    assert row, "docs/metal.md has no such row"
    bytes_of = traffic(*sizes, item=item)
    names = ("forward_least", "forward", "backward_least", "backward", "checkpoints")
    assert row[1].split(" | ") == [f"{bytes_of[name] / 1e6:.1f}" for name in names]


@pytest.mark.parametrize("item", [4, 2])
def test_the_forward_is_near_the_least(item: int) -> None:
    bytes_of = traffic(*SHAPES[0], item=item)
    assert bytes_of["forward"] <= 1.3 * bytes_of["forward_least"]
