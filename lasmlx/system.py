"""What this machine runs lasmlx with, and what is slow about it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lasmlx._blas import BLAS

SLOW_GFLOPS = 30.0


@dataclass(frozen=True)
class System:
    """A description of the machine, the libraries and the ops' implementations."""

    machine: str
    device: str
    threads: int
    instruction_set: str
    blas: str
    gflops: float  # measured, float32, 1024^3
    versions: dict[str, str]
    ops: dict[str, str]  # what impl="auto" runs
    advice: list[str] = field(default_factory=list)  # one line a thing that is slow, and its remedy


def describe() -> System:
    """Look at this machine; takes a fraction of a second, most of it one matrix product."""
    import mlx.core as mx

    from lasmlx.ops import dispatch, native

    gpu = mx.default_device() != mx.Device(mx.cpu)
    gflops = _measure_gflops()
    advice = []
    if not gpu and gflops < SLOW_GFLOPS:
        advice.append(f"matrix products run at {gflops:.0f} GFLOP/s. {BLAS.advice or 'Is the machine busy?'}")
    elif BLAS.advice and not gpu:
        advice.append(BLAS.advice)
    if native.module is None:
        advice.append(f"the compiled ops are absent: {native.absent}")
    elif os.environ.get("LASMLX_ISA"):
        advice.append(f"LASMLX_ISA={os.environ['LASMLX_ISA']} chooses the instruction set: unset it for the best.")
    kernels = dict.fromkeys(("selective_scan", "causal_conv1d", "lif_scan", "liquid_scan", "ltc_scan"), True)
    kernels |= dict.fromkeys(("rms_norm", "time_step", "cross_entropy", "adamw"), False)
    ops: dict[str, str] = {op: dispatch.choose(op, "auto", kernel=kernel) for op, kernel in kernels.items()}
    return System(
        machine=f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        device=("GPU (Metal)" if mx.metal.is_available() else "GPU (CUDA)") if gpu else "CPU",
        threads=native.module.threads() if native.module else 1,
        instruction_set=native.module.isa() if native.module else "none",
        blas=BLAS.name,
        gflops=gflops,
        versions={"python": platform.python_version()}
        | {name: package_version(name) for name in ("lasmlx", "mlx", "numpy")},
        ops=ops,
        advice=advice,
    )


def _measure_gflops(size: int = 1024) -> float:
    import mlx.core as mx

    a = mx.random.normal((size, size))
    mx.eval(a @ a)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        mx.eval(a @ a)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def package_version(package: str) -> str:
    """Of an installed package; ``(source)`` where there is no installation to ask."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "(source)"


def processor() -> str:
    """The processor's name, as the operating system tells it."""
    if sys.platform == "darwin":
        return output_of("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def output_of(*command: str) -> str:
    """What a command prints, or nothing where it is absent or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
