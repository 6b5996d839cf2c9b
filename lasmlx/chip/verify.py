"""Every realisation of a chip against its definition: how many logits differ."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lasmlx.chip.chip_model import ChipModel
from lasmlx.chip.emulator import Emulator, supported_isas
from lasmlx.chip.random_chip import random_chip
from lasmlx.chip.twin import step, trace

REALISATIONS = ("emulator", "cpp", "hls", "rtl")
RANDOM_BYTES = 12  # for each random chip
RTL_SIZES = {"d": (2, 20), "e": (2, 24), "n": (1, 8), "layers": (1, 3)}  # of random chips that a simulator can take

Realise = Callable[[ChipModel, bytes], NDArray[Any]]


@dataclass(frozen=True)
class Verification:
    """One realisation of some chips, compared with the NumPy twin."""

    realisation: str  # "emulator avx512", "exported C++", ...
    chips: int
    bytes: int  # in all
    logits: int  # compared
    differences: int
    seconds: float  # of the realisation, building included


def verify(
    chip: ChipModel,
    data: bytes,
    *,
    realisations: Sequence[str] = ("emulator", "cpp"),
    rtl_bytes: int = 200,
) -> Iterator[Verification]:
    """``chip`` on ``data`` through each realisation; the RTL on the first ``rtl_bytes`` of them.

    Raises:
        ValueError: a realisation is unknown, or its tools are missing; says how to get them.
    """
    ways = {name: way for kind in realisations for name, way in _ways(kind, chip).items()}
    expected = trace(chip, data)
    for name, way in ways.items():
        part = data[:rtl_bytes] if name == "RTL" else data
        yield _compared(name, [(chip, part, expected[: len(part)])], way)


def verify_random(count: int, *, realisations: Sequence[str] = ("emulator",), first: int = 0) -> Iterator[Verification]:
    """Chips of random sizes and integers on random bytes, half of them int8, half q16 (the RTL: int8)."""
    for kind in realisations:
        chips = [_random(first + i, kind) for i in range(count)]
        names = dict.fromkeys(name for chip, _, _ in chips for name in _ways(kind, chip))
        for name in names:
            able = [(c, d, e) for c, d, e in chips if name in _ways(kind, c)]
            yield _compared(name, able, partial(_realised, kind, name))


@dataclass(frozen=True)
class Soak:
    """A long stream, so far."""

    bytes: int
    seconds: float
    resident: int  # bytes of memory of this process
    compared: int  # logits, by the twin from the state that the emulator had reached
    differences: int


def soak(chip: ChipModel, data: bytes, total: int, *, looks: int = 20, check: int = 50) -> Iterator[Soak]:
    """``data`` over and over through one session; at each look the twin takes over the state for ``check`` bytes.

    Raises:
        ValueError: ``data`` or ``total`` is shorter than what is compared.
    """
    if len(data) < check or total < looks * check:
        raise ValueError(f"soak: got {len(data)} bytes for {total}, expected {check} and {looks * check} at least.")
    session, began, done, compared, differences = Emulator(chip).session(), time.perf_counter(), 0, 0, 0
    for look in range(1, looks + 1):
        goal = total * look // looks - check
        while done < goal:
            piece = data[done % len(data) :][: goal - done]
            session.feed(piece)
            done += len(piece)
        start = done % (len(data) - check + 1)
        part, state = data[start : start + check], session.state
        got = session.trace(part)
        for row, byte in zip(got, part, strict=True):
            expected, state = step(chip, state, byte)
            differences += int((row != expected).sum())
        differences += int((session.state.h != state.h).sum() + (session.state.tail != state.tail).sum())
        done += check
        compared += 256 * check
        yield Soak(done, time.perf_counter() - began, _resident(), compared, differences)


def _resident() -> int:
    """Bytes of this process in memory now; on systems without /proc, the most it ever had."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _random(seed: int, kind: str) -> tuple[ChipModel, bytes, NDArray[np.int64]]:
    random = np.random.default_rng([seed, 1])
    settings: dict[str, Any] = {"system": "int8" if kind == "rtl" or seed % 2 else "q16"}
    if kind == "rtl":
        settings |= {name: int(random.integers(*bounds)) for name, bounds in RTL_SIZES.items()}
    chip = random_chip(seed, **settings)
    data = random.integers(0, 256, RANDOM_BYTES).astype(np.uint8).tobytes()
    return chip, data, trace(chip, data)


def _compared(name: str, chips: Sequence[tuple[ChipModel, bytes, NDArray[np.int64]]], way: Realise) -> Verification:
    began, differences = time.perf_counter(), 0
    for chip, data, expected in chips:
        differences += int((way(chip, data) != expected).sum())
    total = sum(len(data) for _, data, _ in chips)
    return Verification(name, len(chips), total, 256 * total, differences, time.perf_counter() - began)


def _realised(kind: str, name: str, chip: ChipModel, data: bytes) -> NDArray[Any]:
    return _ways(kind, chip)[name](chip, data)


def _emulated(isa: str, chip: ChipModel, data: bytes) -> NDArray[Any]:
    return Emulator(chip, isa=isa).session().trace(data)


def _ways(kind: str, chip: ChipModel) -> dict[str, Realise]:
    """The realisations of a kind by name; those that a chip cannot have are left out."""
    if kind == "emulator":
        ways: dict[str, Realise] = {"emulator, plain": lambda c, d: Emulator(c).session(plain=True).trace(d)}
        if chip.config.system == "int8":
            for isa in supported_isas():
                ways[f"emulator, {isa}"] = partial(_emulated, isa)
        return ways
    if kind == "cpp":
        from lasmlx.chip.export import firmware_logits

        return {"exported C++": firmware_logits}
    if kind == "hls":
        from lasmlx.chip.export import hls_logits

        return {"HLS, C simulation": hls_logits}
    if kind == "rtl":
        return {"RTL": _rtl}
    raise ValueError(f"verify: {kind!r} is no realisation, expected one of {', '.join(REALISATIONS)}.")


def _rtl(chip: ChipModel, data: bytes) -> NDArray[Any]:
    import shutil

    from lasmlx.chip.rtl.simulate import simulate

    return simulate(chip, data, engine="verilator" if shutil.which("verilator") else "cxxrtl").logits
