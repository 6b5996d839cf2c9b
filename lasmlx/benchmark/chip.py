"""What line rate the emulated chip sustains, a byte at a time, and what several streams reach together."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lasmlx.benchmark.latency import BAUDS
from lasmlx.benchmark.parity import ParityError
from lasmlx.benchmark.records import Row, Stage
from lasmlx.benchmark.step import TEXT
from lasmlx.benchmark.timer import measure, measure_together
from lasmlx.benchmark.training import new_model
from lasmlx.chip import ChipModel, Emulator, Options, feed_many, quantize
from lasmlx.chip.tools import compiler
from lasmlx.chip.twin import trace
from lasmlx.stream import NativeModel
from lasmlx.stream.pace import BITS_PER_BYTE

STREAMS = 8
PIECE = 2000  # bytes of a turn
WAYS = {
    "chip, int8": Options(),
    "chip, int8, 16-bit states": Options(state_bits=16),
    "chip, int8, 16-bit states, stochastic": Options(state_bits=16, rounding="stochastic"),
    "chip, q16": Options(system="q16"),
}


@dataclass(frozen=True)
class ChipRow(Row):
    """One preset through one step; 8N1, ten bits a byte."""

    preset: str
    impl: str
    parameters: int
    p50_us: float
    p99_us: float
    sustained_baud: float  # ten bits over the mean time of a byte
    margin: dict[str, float]  # baud -> the line's time for a byte over p99_us
    streams: float  # bytes a second of eight streams on all cores over those of one stream; 0: not measured


@dataclass(frozen=True)
class KernelRow(Row):
    """A scan kernel of somebody else's, against a whole one-layer model here."""

    impl: str
    us: float  # a byte


def measure_chip(preset: str, config: Any, *, count: int = 4096) -> Iterator[ChipRow | Stage]:
    """Every step on a fresh model of a preset, each byte timed inside, sampling included.

    Raises:
        ParityError: the emulator's logits are not those of the NumPy twin.
    """
    model, text = new_model(config), TEXT.tobytes()
    windows = np.random.default_rng(0).integers(0, 256, (8, 64)).astype(np.uint8)
    sessions: dict[str, Any] = {}
    for name, options in WAYS.items():
        yield Stage(f"{preset}: {name}, checking parity")
        chip = quantize(model, windows, options)
        emulator = Emulator(chip)
        _check(f"{preset}, {name}", chip, emulator)
        sessions[name] = emulator
    for name, weights in (("native step, int8", "int8"), ("native step, float32", "float32")):
        sessions[name] = NativeModel.from_model(model, weights)  # type: ignore[arg-type]
    for name, source in sessions.items():
        yield Stage(f"{preset}: {name}, {count} bytes")
        session = source.session(0)
        session.feed(text)
        session.generate(min(count, 256))
        us = session.generate(count)[1] / 1e3
        p99 = float(np.quantile(us, 0.99))
        yield ChipRow(
            preset=preset,
            impl=name,
            parameters=model.size,
            p50_us=float(np.median(us)),
            p99_us=p99,
            sustained_baud=BITS_PER_BYTE * 1e6 / float(us.mean()),
            margin={f"{baud:g}": BITS_PER_BYTE / baud * 1e6 / p99 for baud in BAUDS},
            streams=_streams(source) if isinstance(source, Emulator) else 0.0,
        )


def _check(what: str, chip: ChipModel, emulator: Emulator) -> None:
    data = TEXT.tobytes()[:32]
    if (emulator.session().trace(data) != trace(chip, data)).any():
        raise ParityError(f"{what}: the emulator's logits are not those of the NumPy twin.")


def _streams(emulator: Emulator) -> float:
    one, many = emulator.session(), [emulator.session() for _ in range(STREAMS)]
    data = bytes(PIECE)

    def alone() -> None:
        one.feed(data)

    def together() -> None:
        feed_many(many, [data] * STREAMS)

    times = measure_together({"one": alone, "many": together}, repeats=10)
    return STREAMS * times["one"].median / times["many"].median


def measure_kernel(source: Path, flags: Sequence[str]) -> Iterator[KernelRow | Stage]:
    """``ssm_scan_fixed8`` of a C++ file, at 128 channels and 16 states, beside a whole layer of that size here.

    Raises:
        ValueError: the file has no such function, or does not compile.
    """
    text = source.read_text()
    if "ssm_scan_fixed8" not in text:
        raise ValueError(f"{source} has no ssm_scan_fixed8.")
    for name, size in (("D_INNER", 128), ("D_STATE", 16), ("SEQ_LEN", 64)):
        text = re.sub(rf"constexpr int {name} = \d+", f"constexpr int {name} = {size}", text)
    yield Stage(f"compiling {source}")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kernel.cpp").write_text(text)
        (Path(folder) / "main.cpp").write_text(_KERNEL_MAIN)
        for chosen in flags:
            command = [*compiler(), "-std=c++17", *chosen.split(), "main.cpp", "-o", "kernel"]
            built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if built.returncode:
                raise ValueError(f"{source} does not compile: {built.stderr[:500]}")
            out = subprocess.run([f"{folder}/kernel"], capture_output=True, text=True, check=True).stdout
            yield KernelRow(f"{source.name}, scan alone, {chosen}", float(out))
    from lasmlx.chip import random_chip

    sizes = {"d": 64, "e": 128, "n": 16, "k": 4, "rank": 4, "substeps": 1, "decay": "table"}
    for layers in (1, 2):
        chip = random_chip(0, layers=layers, state_bits=16, rounding="nearest", **sizes)
        session = Emulator(chip).session()
        feed = partial(session.feed, bytes(PIECE))
        time = measure(feed, repeats=50)
        if layers == 1:
            alone = min(session.scan_seconds(PIECE) for _ in range(50))
            yield KernelRow("this emulator, scan alone", alone * 1e6)
        yield KernelRow(f"this emulator, a whole model of {layers} such layers", time.quantile(0.0) / PIECE * 1e6)


_KERNEL_MAIN = r"""
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include "kernel.cpp"
static fixed8_t x[SEQ_LEN][D_INNER], dt[SEQ_LEN][D_INNER], y[SEQ_LEN][D_INNER];
static fixed8_t B[SEQ_LEN][D_STATE], C[SEQ_LEN][D_STATE], A[D_INNER][D_STATE], skip[D_INNER];
template <class T>
void fill(T& values, int low, int high) {
  for (size_t i = 0; i < sizeof values; i++) ((fixed8_t*)&values)[i] = fixed8_t(low + std::rand() % (high - low));
}
int main() {
  fill(x, -64, 64), fill(dt, 1, 13), fill(B, -40, 40), fill(C, -40, 40), fill(A, -13, -1), fill(skip, 60, 68);
  double best = 1e9;
  long sum = 0;
  for (int round = 0; round < 50; round++) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 20; i++) ssm_scan_fixed8(x, dt, B, C, A, skip, y), sum += y[3][5], x[0][0]++;
    const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count() / 20 / SEQ_LEN);
  }
  std::printf("%g\n", sum == 12345 ? 0 : best);
}
"""
