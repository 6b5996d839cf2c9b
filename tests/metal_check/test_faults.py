"""Seeded faults: one small wrong kernel for each thing that can go wrong; each must be caught and named."""

from typing import Any, NamedTuple

import mlx.core as mx
import pytest

import metal_check


class Seed(NamedTuple):
    name: str
    kind: str
    message: str  # a part of the report
    source: str
    header: str = ""
    threads: int = 64
    group: int = 64
    options: dict[str, Any] = {}  # noqa: RUF012  # never changed
    settings: dict[str, Any] = {}  # noqa: RUF012


I = "uint i = thread_position_in_grid.x;\n"  # noqa: E741
GROUP = "uint i = thread_position_in_grid.x; uint t = thread_index_in_threadgroup; threadgroup float b[64];\n"
ATOMIC = {"atomic_outputs": True, "init_value": 0.0}

SEEDS = [
    # races
    Seed("no_barrier", "race", "no_barrier.metal:3: race: ", GROUP + "b[t] = x[i];\ny[i] = t == 0 ? b[t] : b[t - 1];"),
    Seed(
        "wrong_flag",
        "race",
        "unordered with a",
        GROUP + "b[t] = x[i]; threadgroup_barrier(mem_flags::mem_device);\ny[i] = t == 0 ? b[t] : b[t - 1];",
    ),
    Seed(
        "none_flag",
        "race",
        "unordered with a",
        GROUP + "b[t] = x[i]; threadgroup_barrier(mem_flags::mem_none);\ny[i] = t == 0 ? b[t] : b[t - 1];",
    ),
    Seed(
        "simdgroup_barrier_for_threadgroup",
        "race",
        "unordered with a",
        GROUP + "b[t] = x[i]; simdgroup_barrier(mem_flags::mem_threadgroup);\ny[i] = b[(t + 63) % 64];",
        settings={"order": "reverse"},
    ),
    Seed("no_simdgroup_barrier", "race", "unordered with a", GROUP + "b[t] = x[i];\ny[i] = b[t & ~31u];"),
    Seed(
        "overwrite_before_read",
        "race",
        "unordered with a",
        GROUP + "b[t] = x[i]; threadgroup_barrier(mem_flags::mem_threadgroup);\ny[i] = b[t ^ 1]; b[t] = 0.0f;",
    ),
    Seed(
        "reuse_in_loop",
        "race",
        "unordered with a",
        GROUP + "float s = 0.0f; for (int k = 0; k < 3; k++) {\nb[t] = x[i] + k;\n"
        "threadgroup_barrier(mem_flags::mem_threadgroup); s += b[63 - t]; }\ny[i] = s;",
    ),
    Seed("two_writers", "race", "write of y[0]", I + "y[i] = x[i]; y[0] = 1.0f;"),
    Seed("across_threadgroups", "race", "threadgroup 1", I + "y[i] = x[i]; if (i == 32) { y[0] = 1.0f; }", group=32),
    Seed(
        "across_threadgroups_read",
        "race",
        "threadgroup 1",
        I + "y[i] = x[i]; threadgroup_barrier(mem_flags::mem_device); if (i == 32) { y[i] = y[0]; }",
        group=32,
    ),
    Seed(
        "atomic_and_plain",
        "race",
        "unordered with a",
        I + "atomic_fetch_add_explicit(&y[i / 2], x[i], memory_order_relaxed);\n((device float*)y)[i / 2] = 1.0f;",
        options=ATOMIC,
    ),
    # divergence
    Seed(
        "barrier_in_branch",
        "divergence",
        "threadgroup_barrier in line 2",
        I + "if (i < 32) { threadgroup_barrier(mem_flags::mem_threadgroup); }\ny[i] = x[i];",
    ),
    Seed(
        "return_before_barrier",
        "divergence",
        "the end",
        I + "y[i] = x[i]; if (i > 40) { return; }\nthreadgroup_barrier(mem_flags::mem_threadgroup);",
    ),
    Seed(
        "two_barriers",
        "divergence",
        "threadgroup_barrier in line 2",
        I + "if (i < 32) { threadgroup_barrier(mem_flags::mem_none);\n} else {\n"
        "threadgroup_barrier(mem_flags::mem_none); }\ny[i] = x[i];",
    ),
    Seed(
        "simd_op_in_branch",
        "divergence",
        "a simd operation in line 3",
        I + "float v = x[i]; if (thread_index_in_simdgroup < 7) {\nv = simd_sum(v); threadgroup_barrier("
        "mem_flags::mem_none); } else {\nv = simd_max(v); }\ny[i] = v;",
    ),
    Seed(
        "simd_op_after_return",
        "divergence",
        "have returned",
        I + "y[i] = 0.0f; if (i % 32 > 20) { return; }\ny[i] = simd_sum(x[i]);",
    ),
    Seed(
        "simd_op_against_barrier",
        "divergence",
        "threads wait in different places",
        I + "if (i % 2 == 0) { simdgroup_barrier(mem_flags::mem_none); } else { y[i] = simd_sum(1.0f); }\ny[i] = 1.0f;",
    ),
    # bounds
    Seed("read_past_end", "out of bounds", "read of 4 bytes at x[64] (valid 0..63)", I + "y[i] = x[i + 1];"),
    Seed("read_before_begin", "out of bounds", "x[-1]", I + "y[i] = x[int(i) - 1];"),
    Seed("write_past_end", "out of bounds", "write of 4 bytes at y[64]", I + "y[i] = x[i]; y[i + 1] = x[i];"),
    Seed("grid_without_guard", "out of bounds", "write of 4 bytes at y[64]", I + "y[2 * i] = x[i];"),
    Seed(
        "threadgroup_past_end",
        "out of bounds",
        "threadgroup b[64]",
        GROUP + "uint k = t + uint(x[1]); auto p = &b[0]; p[k] = x[i]; y[i] = 0.0f;",
    ),
    Seed(
        "array_index",
        "undefined behaviour",
        "array index out of bounds",
        I + "float a[4] = {1.0f, 2.0f, 3.0f, 4.0f}; y[i] = a[int(x[i])];",
    ),
    Seed(
        "wide_read", "out of bounds", "read of 16 bytes", I + "y[i] = ((const device float4*)(x + (i / 4) * 4))[1].x;"
    ),
    # memory never written
    Seed(
        "unwritten_output",
        "unwritten output",
        "32 of 64 elements of y never written, first y[32]",
        I + "if (i < 32) { y[i] = x[i]; }",
    ),
    Seed("accumulate_into_output", "uninitialised", "read of unwritten y[", I + "y[i] += x[i];"),
    Seed("unwritten_threadgroup", "uninitialised", "read of unwritten threadgroup b[", GROUP + "y[i] = b[t] + x[i];"),
    Seed(
        "half_filled_threadgroup",
        "uninitialised",
        "threadgroup b[32]",
        GROUP + "if (t < 32) { b[t] = x[i]; } threadgroup_barrier(mem_flags::mem_threadgroup);\ny[i] = b[t];",
    ),
    Seed(
        "memory_kept_between_groups",
        "uninitialised",
        "threadgroup 1",
        GROUP + "if (i < 32) { b[t] = x[i]; }\ny[i] = b[t];",
        group=32,
    ),
    Seed("unset_variable", "refused", "uninitialized", I + "float v; y[i] = v + x[i];"),
    # what may not be written, or not so
    Seed("write_to_input", "write to an input", "x by thread", I + "((device float*)x)[i] = 1.0f; y[i] = 0.0f;"),
    Seed("const_input", "refused", "error", I + "x[i] = 1.0f; y[i] = 0.0f;"),
    Seed(
        "misaligned_vector",
        "misaligned",
        "16-byte access to x",
        I + "y[i] = ((const device float4*)x)[i / 4].x;",
        settings={"offset": 1},
    ),
    Seed(
        "misaligned_threadgroup",
        "misaligned",
        "8-byte access to threadgroup b",
        GROUP + "b[t] = x[i]; threadgroup_barrier(mem_flags::mem_threadgroup);\n"
        "y[i] = ((threadgroup float2*)(b + 1))[t / 4].x;",
    ),
    Seed(
        "misaligned_pairs",
        "misaligned",
        "'const device float2' (vector of 2 'float' values) needs 8-byte alignment, access to x",
        I + "const device float2* p = (const device float2*)(x + 1);\nfloat2 v = p[i / 4]; y[i] = v.x + v.y;",
    ),
    Seed("misaligned_float", "misaligned", "x", I + "y[i] = *(const device float*)((const device char*)(x + i) + 1);"),
    # lanes
    Seed("lane_out_of_range", "lane", "read from lane 32", I + "y[i] = simd_shuffle(x[i], ushort(32));"),
    Seed("lane_inactive", "lane", "read from lane 31", I + "y[i] = simd_broadcast(x[i], 31);", threads=40, group=40),
    Seed("lane_past_partial_group", "lane", "read from lane 8", I + "y[i] = simd_shuffle_down(x[i], 1);", threads=40),
    # ends and limits
    Seed(
        "endless_loop",
        "endless loop",
        "limit of",
        I + "volatile int k = 0; while (k < 2) { k = 1; }\ny[i] = x[i];",
        settings={"max_accesses": 100_000},
    ),
    Seed(
        "endless_memory_loop",
        "endless loop",
        "limit of",
        I + "y[i] = 0.0f; while (y[i] < 1.0f) { y[i] = x[i] * 0.0f; }",
        settings={"max_accesses": 100_000},
    ),
    Seed(
        "threadgroup_memory",
        "threadgroup memory",
        "Metal has 32768",
        I + "threadgroup float big[8200];\nbig[i] = x[i]; y[i] = big[i];",
    ),
    Seed(
        "threadgroup_memory_in_two",
        "threadgroup memory",
        "Metal has 32768",
        I + "threadgroup float a[4100];\nthreadgroup float b[4100];\na[i] = x[i]; b[i] = a[i]; y[i] = b[i];",
    ),
    Seed("too_many_threads", "limit", "more than 1024 threads", I + "y[i] = x[i];", threads=2048, group=1025),
    # integers
    Seed("overflow_in_sum", "undefined behaviour", "signed overflow in +", I + "y[i] = int(x[i]) + 2147483647;"),
    Seed("overflow", "undefined behaviour", "signed overflow in *", I + "int k = int(x[i]) + 65536; y[i] = k * k;"),
    Seed("division_by_zero", "undefined behaviour", "division by zero", I + "y[i] = 7 / int(x[i]);"),
    Seed("float_to_int", "undefined behaviour", "float outside the range", I + "y[i] = int(x[i] * 1e9f);"),
    Seed("shift", "undefined behaviour", "shift by 40, the value has 32", I + "y[i] = float(1 << (int(x[i]) + 40));"),
    Seed("shift_constant", "refused", "shift by 40, the value has 32 bits", I + "y[i] = float(uint(x[i]) >> 40);"),
    Seed("shift_negative", "undefined behaviour", "shift by -1", I + "y[i] = float(7u >> (int(x[i]) - 1));"),
    Seed("shift_long", "undefined behaviour", "the value has 64 bits", I + "y[i] = float(1l << (ulong(x[i]) + 1));"),
    # what Apple's compiler refuses
    Seed("space_mismatch", "refused", "error", GROUP + "device float* p = b; b[t] = x[i]; y[i] = p[t];"),
    Seed("no_space", "refused", "no address space", I + "float v = x[i]; float* p = &v; y[i] = *p;"),
    Seed(
        "no_space_parameter",
        "refused",
        "no address space",
        I + "float v = x[i]; y[i] = twice(&v);",
        "float twice(float* p) { return 2.0f * *p; }",
    ),
    Seed("unknown_builtin", "refused", "no_such_function", I + "y[i] = no_such_function(x[i]);"),
    Seed("c_library", "refused", "expf", I + "y[i] = expf(x[i]);"),
    Seed("cuda_word", "refused", "CUDA", I + "y[i] = x[i]; __syncthreads();"),
    Seed("unknown_attribute", "refused", "thread_position", I + "y[i] = x[i] + thread_position_in_simdgroup;"),
    Seed("float_to_bfloat", "refused", "no implicit conversion to bfloat", I + "bfloat v = x[i]; y[i] = float(v);"),
    Seed("lambda", "refused", "lambda", I + "auto f = [](float v) { return 2.0f * v; }; y[i] = f(x[i]);"),
    Seed("double", "refused", "double", I + "double v = x[i]; y[i] = v;"),
    Seed("non_ascii", "refused", "non-ASCII", I + "y[i] = x[i];  // \u03b1"),
    Seed("long_long", "refused", "long long", I + "long long k = i; y[i] = k;"),
    Seed("goto", "refused", "goto", I + "goto end; end: y[i] = x[i];"),
    Seed("new", "refused", "error", I + "float* p = new float[2]; y[i] = p[0];"),
    Seed("function_pointer", "refused", "error", I + "y[i] = x[i]; float (*f)(float) = 0;"),
    Seed("global_variable", "refused", "constant address space", I + "y[i] = x[i] + level;", "float level = 1.0f;\n"),
    Seed(
        "nested_threadgroup",
        "refused",
        "kernel scope",
        I + "if (i < 64) {\nthreadgroup float b[4];\nb[0] = 1.0f; }\ny[i] = x[i];",
    ),
    Seed("threadgroup_in_header", "refused", "outside the kernel", I + "y[i] = x[i];", "threadgroup float b[4];\n"),
    Seed(
        "threadgroup_float_atomic",
        "refused",
        "error",
        I + "threadgroup atomic<float> s;\natomic_fetch_add_explicit(&s, x[i], memory_order_relaxed); y[i] = 0.0f;",
    ),
    Seed("simd_of_long", "refused", "no simd function", I + "long v = i; y[i] = float(simd_broadcast(v, 0));"),
    Seed("virtual", "refused", "error", I + "y[i] = x[i];", "struct S { virtual void f(); };\n"),
    Seed("syntax", "refused", "syntax.metal:2", I + "y[i] = x[i]"),
]


def run(seed: Seed) -> None:
    options = dict(seed.options)
    value = options.pop("init_value", None)
    kernel = metal_check.Kernel(seed.name, ["x"], ["y"], seed.source, seed.header, **options)
    with metal_check.settings(**seed.settings):
        kernel(
            inputs=[mx.arange(seed.threads).astype(mx.float32)],
            output_shapes=[(seed.threads,)],
            output_dtypes=[mx.float32],
            grid=(seed.threads, 1, 1),
            threadgroup=(seed.group, 1, 1),
            init_value=value,
        )


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_caught(seed: Seed) -> None:
    with pytest.raises(metal_check.Fault) as caught:
        run(seed)
    assert seed.message in str(caught.value)
    assert f" {seed.kind}: " in str(caught.value)
    assert str(caught.value).startswith(f"kernel {seed.name}: ")


def test_where() -> None:
    source = I + "float v = x[i];\ny[i] = i == 40 ? x[int(v) + 24] : v;"
    with pytest.raises(
        metal_check.Fault, match=r"past\.metal:3: .* thread 40 \(lane 8 of simdgroup 1, threadgroup 0\)"
    ):
        run(Seed("past", "", "", source))


def test_empty_grid() -> None:
    with pytest.raises(metal_check.Fault, match="every size must be at least 1"):
        run(Seed("empty", "", "", I + "y[i] = x[i];", threads=0))


def test_too_many_buffers() -> None:
    names = [f"a{i}" for i in range(31)]
    kernel = metal_check.Kernel("many", names, ["y"], I + "y[i] = " + " + ".join(f"{n}[i]" for n in names) + ";")
    with pytest.raises(metal_check.Fault, match="32 buffers, Metal has 31"):
        kernel(
            inputs=[mx.ones(8)] * 31,
            output_shapes=[(8,)],
            output_dtypes=[mx.float32],
            grid=(8, 1, 1),
            threadgroup=(8, 1, 1),
        )


def test_small_input_is_constant() -> None:
    """Below eight elements MLX passes an input as ``constant``: a pointer that says ``device`` no longer compiles."""
    kernel = metal_check.Kernel("small", ["x"], ["y"], I + "const device float* p = x; y[i] = p[i];")
    call: dict[str, Any] = {"output_dtypes": [mx.float32], "threadgroup": (8, 1, 1)}
    kernel(inputs=[mx.ones(8)], output_shapes=[(8,)], grid=(8, 1, 1), **call)
    with pytest.raises(metal_check.Fault, match="__constant float"):
        kernel(inputs=[mx.ones(7)], output_shapes=[(7,)], grid=(7, 1, 1), **call)
