"""The RTL gives the integers of the twin: every logit of every byte, in the cycles it says."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lasmlx.chip import tools
from lasmlx.chip.chip_model import ChipModel
from lasmlx.chip.random_chip import random_chip
from lasmlx.chip.rtl.plan import Kind, Plan
from lasmlx.chip.rtl.simulate import simulate
from lasmlx.chip.rtl.uart import SerialChip, divisor_of
from lasmlx.chip.rtl.verilog import export_verilog
from lasmlx.chip.rtl.xorshift import moves
from lasmlx.chip.synth import STANDARD_BAUDS, SynthesisReport, _refuse_overflow, synthesise
from lasmlx.chip.twin import init_state, step, xorshift

BYTES = 12
TINY: dict[str, Any] = {"d": 3, "layers": 1, "e": 2, "n": 2, "k": 2, "rank": 1}

# seed, MAC width, scan lanes, settings; what is left out is drawn
CHIPS = {
    "table": (
        11, 5, 2, {"layers": 2, "d": 13, "e": 7, "n": 5, "k": 3, "decay": "table", "substeps": 1, "state_bits": 31},
    ),
    "euler-substeps-stochastic": (
        12, 3, 2, {"layers": 2, "d": 5, "e": 11, "n": 6, "k": 1, "decay": "euler", "substeps": 3, "state_bits": 7,
                   "rounding": "stochastic"},
    ),
    "table-substeps-nearest": (
        13, 16, 1, {"layers": 1, "d": 9, "e": 17, "n": 3, "k": 6, "decay": "table", "substeps": 2, "state_bits": 16,
                    "rounding": "nearest", "rank": 5},
    ),
    "ones": (
        14, 2, 4, {"layers": 3, "d": 1, "e": 1, "n": 1, "k": 1, "rank": 1, "state_bits": 24, "decay": "table",
                   "substeps": 1, "rounding": "nearest"},
    ),
}  # fmt: skip


def twin_of(chip: ChipModel, data: list[int]) -> np.ndarray[Any, Any]:
    rows, state = [], init_state(chip)
    for byte in data:
        logits, state = step(chip, state, byte)
        rows.append(logits)
    return np.array(rows)


@pytest.mark.parametrize("name", CHIPS)
def test_every_logit_is_the_twins(name: str) -> None:
    seed, macs, lanes, settings = CHIPS[name]
    chip = random_chip(seed, system="int8", **settings)
    data = np.random.default_rng(seed).integers(0, 256, BYTES).tolist()
    got, expected = simulate(chip, data, macs=macs, lanes=lanes), twin_of(chip, data)
    assert len(np.unique(expected)) > 100
    np.testing.assert_array_equal(got.logits, expected)
    np.testing.assert_array_equal(got.best, expected.argmax(1))
    assert set(got.cycles.tolist()) == {Plan(chip, macs, lanes).cycles()}


def test_the_serial_chip_answers_each_byte() -> None:
    from amaranth.sim import Simulator

    chip = random_chip(15, system="int8", substeps=1, **TINY)
    divisor = divisor_of(1e6, 10_000)
    top = SerialChip(chip, macs=4, clock_hz=1e6, baud=10_000)
    assert Plan(chip, 4).cycles() < 10 * divisor
    data = [0, 255, 77, 76]
    received: list[int] = []

    async def send(ctx: Any) -> None:
        await ctx.tick().repeat(3)
        for byte in data:
            for bit in [0, *(byte >> i & 1 for i in range(8)), 1]:
                ctx.set(top.rx, bit)
                await ctx.tick().repeat(divisor)

    async def receive(ctx: Any) -> None:
        while len(received) < len(data):
            while ctx.get(top.tx):
                await ctx.tick()
            await ctx.tick().repeat(divisor // 2)
            byte = 0
            for i in range(8):
                await ctx.tick().repeat(divisor)
                byte |= ctx.get(top.tx) << i
            await ctx.tick().repeat(divisor)
            assert ctx.get(top.tx) == 1
            received.append(byte)
        assert ctx.get(top.overrun) == 0

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send, background=True)
    simulator.add_testbench(receive)
    simulator.run_until(0.01)
    assert received == twin_of(chip, data).argmax(1).tolist()


def test_moves_of_the_generator_compose() -> None:
    x = np.array([1, 0x80000000, 0xDEADBEEF], np.uint32)
    matrix, moved = moves(37), x
    for _ in range(37):
        moved = xorshift(moved)
    by_matrix = [sum(((row & int(v)).bit_count() & 1) << bit for bit, row in enumerate(matrix)) for v in x]
    assert by_matrix == moved.tolist()


def test_the_tapes_hold_every_weight_once() -> None:
    chip = random_chip(16, system="int8")
    plan = Plan(chip, macs=6, lanes=2)
    jobs = [plan.job(i, kind) for i in range(chip.config.layers) for kind in (Kind.X, Kind.LOW, Kind.DT, Kind.OUT)]
    jobs.append(plan.job(0, Kind.HEAD))
    assert len(plan.weights()) == sum(job.blocks * job.columns for job in jobs)
    total = sum(byte - 256 if byte > 127 else byte for word in plan.weights() for byte in word.to_bytes(6, "little"))
    assert total == sum(int(job.weight.sum()) for job in jobs)
    assert len(plan.scales()) == sum(v.size for name, v in chip.arrays.items() if name.endswith(".shift"))


def test_an_export_is_whole_and_overwrites_nothing(tmp_path: Path) -> None:
    chip = random_chip(15, system="int8", **TINY)
    paths = export_verilog(chip, tmp_path / "out", macs=2, clock_hz=12e6, baud=9600, vectors=3)
    assert sorted(paths) == ["Makefile", "bench.cpp", "core.v", "serial_chip.v", "vectors.txt"]
    assert "module core(" in paths["core.v"].read_text()
    assert "module serial_chip(" in paths["serial_chip.v"].read_text()
    first, *lines = paths["vectors.txt"].read_text().splitlines()
    rows = [list(map(int, line.split())) for line in lines]
    assert int(first) == Plan(chip, 2).cycles()
    np.testing.assert_array_equal([row[1:] for row in rows], twin_of(chip, [row[0] for row in rows]))
    with pytest.raises(ValueError, match="out is not an empty folder"):
        export_verilog(chip, tmp_path / "out", macs=2)
    paths["vectors.txt"].write_text("")
    export_verilog(chip, tmp_path / "out", macs=2, vectors=1, force=True)
    assert len(paths["vectors.txt"].read_text().splitlines()) == 2


@pytest.mark.skipif(shutil.which("verilator") is None, reason="Verilator is not installed: apt install verilator")
def test_the_exported_bench_passes_and_can_fail(tmp_path: Path) -> None:
    chip = random_chip(17, system="int8", substeps=1, rounding="nearest", **TINY)
    paths = export_verilog(chip, tmp_path, macs=2, vectors=5)
    out = subprocess.run(
        ["make", "verilate", "OPT_GLOBAL=-O0", "OPT_FAST=-O0"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert f"5 bytes, {Plan(chip, 2).cycles()} cycles each, 0 mismatches" in out
    words = paths["vectors.txt"].read_text().split()
    words[40] = str(int(words[40]) + 1)
    paths["vectors.txt"].write_text(" ".join(words))
    result = subprocess.run(["build/bench"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "1 mismatches" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"macs": 0}, "macs is 0"),
        ({"lanes": 3}, "lanes is 3, expected a power of two"),
        ({"lanes": 0}, "lanes is 0"),
    ],
)
def test_refuses_widths_that_cannot_be(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(random_chip(1, system="int8"), b"a", **arguments)


def test_refuses_what_has_no_rtl(tmp_path: Path) -> None:
    chip = random_chip(1, system="q16")
    for refused in (
        lambda: simulate(chip, b"a"),
        lambda: export_verilog(chip, tmp_path),
        lambda: synthesise(chip),
    ):
        with pytest.raises(ValueError, match="system is 'q16', expected 'int8'"):
            refused()


def test_refuses_a_target_a_device_a_folder_and_a_baud(tmp_path: Path) -> None:
    chip = random_chip(1, system="int8")
    with pytest.raises(ValueError, match="target is 'vu9p', expected ecp5 or ice40"):
        synthesise(chip, "vu9p")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="device is '85k', expected one of up5k, hx8k"):
        synthesise(chip, "ice40", device="85k")
    (tmp_path / "mine").touch()
    with pytest.raises(ValueError, match="is not an empty folder"):
        synthesise(chip, folder=tmp_path)
    with pytest.raises(ValueError, match="baud is 115200"):
        divisor_of(250e3, 115200)


def test_an_absent_tool_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = random_chip(15, system="int8", **TINY)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(tools.ToolError, match=r"Yosys is not installed; get it with: pip install 'lasmlx\[chip\]'"):
        simulate(chip, b"a")
    with pytest.raises(tools.ToolError, match="Verilator is not installed"):
        simulate(chip, b"a", engine="verilator")
    with pytest.raises(tools.ToolError, match="no C\\+\\+ compiler"):
        tools.compiler()
    with pytest.raises(tools.ToolError, match="nextpnr-ecp5 is not installed"):
        synthesise(chip)


def test_amaranth_too_is_asked_for() -> None:
    code = (
        "import sys; sys.modules['amaranth'] = None\n"
        "from lasmlx.chip.random_chip import random_chip\n"
        "from lasmlx.chip.rtl.simulate import simulate\n"
        "simulate(random_chip(1, system='int8'), b'a')"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert "ToolError: Amaranth is not installed; get it with: pip install 'lasmlx[chip]'" in result.stderr


def test_a_core_too_large_for_its_device_says_by_how_much(tmp_path: Path) -> None:
    log = tmp_path / "nextpnr.log"
    log.write_text(
        "Info: \t         ICESTORM_LC:    6508/   5280   123%\nInfo: \t        ICESTORM_RAM:      27/     30    90%\n"
    )
    with pytest.raises(ValueError, match="does not fit up5k: it needs 6508 ICESTORM_LC, it has 5280"):
        _refuse_overflow("up5k", log)


def test_a_report_says_what_a_serial_line_may_carry() -> None:
    report = SynthesisReport("ecp5", "85k", 32, 2, 1, 1, 1, 1, fmax=100e6, cycles=8000, tools="", seconds=1.0)
    assert report.bytes_per_second == 12500
    assert report.highest_baud == 125000
    assert report.standard_baud == 115200
    assert tuple(sorted(STANDARD_BAUDS)) == STANDARD_BAUDS
