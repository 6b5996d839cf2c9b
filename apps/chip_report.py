"""The screen of ``las chip report``."""

from __future__ import annotations

import json as json_
import tomllib
from pathlib import Path
from typing import Any

from lasmlx.apps.chip_work import new_table, source_model, trained_on
from lasmlx.apps.terminal import stderr, stdout
from lasmlx.chip import load_chip
from lasmlx.chip.analog import AnalogPart
from lasmlx.chip.report import DAY, HOUR, MINUTE, MONTH, YEAR, ChipReport, report
from lasmlx.data import ByteSource, Windows, load_corpus

CALIBRATION = 512  # bytes of the training data that the ADCs are set by


def part_of(text: str) -> AnalogPart:
    """An analog part by its name, its name with changes, or a TOML file.

    Raises:
        ValueError: there is no such part or file, or it says what a part does not have.
    """
    path = Path(text)
    if not text.endswith(".toml"):
        return AnalogPart.parse(text)
    if not path.is_file():
        raise ValueError(f"--noise: {path} does not exist.")
    try:
        return AnalogPart.from_dict(tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"--noise: {path} is no TOML ({error}).") from None


def show_report(
    folder: Path, data: list[str] | None, noise: str, most: int, seeds: int, save: Path | None, json: bool
) -> None:
    """``las chip report``."""
    chip, model = load_chip(folder), source_model(folder)
    part = None if chip.config.system == "q16" else part_of(noise)
    if save is not None:
        from lasmlx.viz import check_target

        check_target(save)
        if part is None:
            raise ValueError("--save plots the drift of an analog part; a q16 chip has none.")
    corpus = load_corpus(tuple(data or trained_on(folder)))
    split, source = next(iter(corpus.held_out.items()))
    text = ByteSource.from_bytes(split, source[: min(most, len(source))].tobytes())
    sample = Windows(corpus.train, 1, CALIBRATION, 0).batch(0).x.tobytes()
    stderr().print(f"[dim]{len(text):,} bytes of {corpus.full_name(split)}, {seeds} analog parts at six ages[/]")
    found = report(chip, model, text, part, seeds=seeds, calibration=sample)
    if save is not None:
        _plot(found, save, f"{noise}: bits per byte of {corpus.full_name(split)}")
    if json:
        print(json_.dumps({"chip": str(folder), "split": corpus.full_name(split)} | found.to_dict()))
        return
    for table in (_accuracy(found, noise), _layers(found), _tensors(found), _cost(found)):
        stdout().print(table)
        stdout().print()
    if save is not None:
        stdout().print(f"wrote {save}", soft_wrap=True)


def _accuracy(found: ChipReport, noise: str) -> Any:
    table = new_table(
        f"bits per byte over {found.scored:,} bytes", ["", "mean", "of float32", "sd of the parts"], left=1
    )
    exact = found.float_bits_per_byte
    table.add_row("float32", f"{exact:.4f}", "", "")
    table.add_row("digital chip", f"{found.bits_per_byte:.4f}", f"{found.bits_per_byte / exact - 1:+.2%}", "")
    if found.analog:
        for age in found.analog.ages:
            name = f"{noise}, {_age(age.seconds)}"
            table.add_row(name, f"{age.mean:.4f}", f"{age.mean / exact - 1:+.2%}", f"{age.sd:.4f}")
    return table


def _layers(found: ChipReport) -> Any:
    table = new_table("signal over error against float32, dB", ["after", "digital", "analog"], left=1)
    for name, value in found.sqnr.items():
        table.add_row(name, f"{value:.1f}", f"{found.analog.sqnr[name]:.1f}" if found.analog else "-")
    return table


def _tensors(found: ChipReport) -> Any:
    table = new_table("range of each tensor, the worst of its layers", ["tensor", "saturated", "range used"], left=1)
    kinds: dict[str, list[Any]] = {}
    for name, use in found.tensors.items():
        kinds.setdefault(name.rsplit(".", 1)[-1], []).append(use)
    for kind, uses in kinds.items():
        table.add_row(kind, f"{max(u.saturated for u in uses):.4%}", f"{max(u.used for u in uses):.0%}")
    return table


def _cost(found: ChipReport) -> Any:
    table = new_table("estimated cost (assumptions: docs/chip.md)", ["", "digital", "analog"], left=1)
    costs = [found.cost, found.analog.cost if found.analog else None]
    rows = {"energy, nJ a byte": ("total_energy", 1e-3), "area, mm2": ("total_area", 1.0)}
    for name, (field, unit) in rows.items():
        table.add_row(name, *(f"{getattr(c, field) * unit:.3g}" if c else "-" for c in costs))
    return table


def _plot(found: ChipReport, path: Path, title: str) -> None:
    from lasmlx.viz import ages_figure, save_figure

    assert found.analog is not None
    ages = found.analog.ages
    levels = {"digital chip": found.bits_per_byte, "float32": found.float_bits_per_byte}
    seconds, mean, sd = ([getattr(a, name) for a in ages] for name in ("seconds", "mean", "sd"))
    save_figure(ages_figure(seconds, mean, sd, levels, title), path)


def _age(seconds: float) -> str:
    for name, unit in (("year", YEAR), ("month", MONTH), ("day", DAY), ("h", HOUR), ("min", MINUTE)):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
