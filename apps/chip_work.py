"""What the commands of ``las chip`` do between their options and their tables."""

from __future__ import annotations

import dataclasses
import json as json_
from pathlib import Path
from typing import Any

import numpy as np

from lasmlx.apps.terminal import stderr, stdout
from lasmlx.chip import (
    ChipModel,
    Emulator,
    FakeQuantized,
    Options,
    Units,
    assemble,
    check_family,
    load_chip,
    measure,
)
from lasmlx.data import Corpus, DataError, Windows, load_corpus
from lasmlx.models import load
from lasmlx.stream import NativeModel, stream_bits
from lasmlx.train import StepRecord, TrainConfig, train

SOURCE = "source"  # folder in a chip directory: the float model it was made from, and what it was trained on
NOTES = "notes.json"
WINDOW = 256  # bytes


class Quantizer:
    """A model on its way to integers: calibrated, fine-tuned, judged, saved."""

    def __init__(
        self,
        model: Any,
        data: tuple[str, ...],
        options: Options,
        calibration: Any,
        windows: int,
        seed: int,
        most: int,
    ) -> None:
        check_family(model)
        corpus = load_corpus(data)
        if not corpus.held_out:
            raise DataError(f"{corpus.name} has no held-out bytes to judge a chip by.")
        self.model, self.data, self.corpus, self.options = model, data, corpus, options
        self.calibration, self.most, self.seed = calibration, most, seed
        self.windows = Windows(corpus.train, windows, WINDOW, seed).batch(0).x
        self.original = _flat(model)
        native = NativeModel.from_model(model)
        self.bits: dict[str, dict[str, float]] = {"float32": self._judge(native.session)}
        self.units: Units | None = None
        self.chip: ChipModel | None = None
        self.saturated = 0.0

    def check_folder(self, folder: Path, force: bool) -> None:
        """Refuse a folder that holds anything, unless forced."""
        if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not force)):
            raise ValueError(f"{folder} is not empty: name another folder with --out, or write into it with --force.")

    def calibrate(self) -> None:
        """Measure units and make the first chip."""
        stderr().print("[dim]measuring ranges[/]")
        self.units = measure(self.model, self.windows, self.options, self.calibration)
        self._assemble("calibrated")

    def fine_tune(self, steps: int, lr: float, noise: str | None) -> None:
        """Train the rounded model, then make the chip again."""
        if self.options.system == "q16":
            raise ValueError("--qat fine-tunes the rounding of int8; q16 has nothing to win by it.")
        assert self.units is not None
        part = None
        if noise is not None:
            from lasmlx.apps.chip_report import part_of
            from lasmlx.chip.analog import weight_noise

            part = weight_noise(part_of(noise))
        rounded = FakeQuantized(self.model, self.units, part)
        config = TrainConfig(
            steps=steps, lr=lr, warmup=min(20, steps), weight_decay=0.0, seed=self.seed, eval_every=0, save_every=0
        )
        with _progress(steps) as progress:
            task = progress.add_task("fine-tuning", total=steps, loss="-")
            losses: list[float] = []
            for record in train(rounded, self.corpus, config):
                if isinstance(record, StepRecord):
                    losses.append(record.bits_per_byte)
                    recent = losses[-50:]
                    progress.update(task, completed=record.step, loss=f"{sum(recent) / len(recent):.3f} bits/byte")
        fresh = measure(self.model, self.windows, self.options, self.calibration)
        # h and y were not rounded: their ranges may have moved
        pairs = zip(self.units.layers, fresh.layers, strict=True)
        layers = [dataclasses.replace(old, h=new.h, y=new.y) for old, new in pairs]
        self.units = dataclasses.replace(self.units, layers=layers)
        self._assemble(f"fine-tuned, {steps} steps")

    def _assemble(self, name: str) -> None:
        assert self.units is not None
        self.chip = assemble(self.model, self.units, self.options)
        emulator = Emulator(self.chip)
        self.bits[name] = self._judge(emulator.session)
        counted = emulator.session(counting=True)
        source = next(iter(self.corpus.held_out.values()))
        counted.feed(source[: min(4096, len(source))].tobytes())
        ranges = counted.ranges.values()
        self.saturated = sum(r.saturated for r in ranges) / sum(r.count for r in ranges)

    def _judge(self, session: Any) -> dict[str, float]:
        return {split: stream_bits(session(), source, self.most) for split, source in self.corpus.held_out.items()}

    def save(self, folder: Path) -> None:
        """The chip directory, with the float model it came from beside."""
        import mlx.core as mx

        from lasmlx.models.files import write_atomically

        assert self.chip is not None
        self.model.set_parameters({name: mx.array(v) for name, v in self.original.items()}, "the model")
        self.model.save(folder / SOURCE)
        notes = {"data": list(self.data), "bits_per_byte": self.bits, "saturated": self.saturated}
        write_atomically(folder / NOTES, json_.dumps(notes, indent=2).encode() + b"\n")
        self.chip.save(folder)

    def show(self, folder: Path, json: bool) -> None:
        """Bits per byte before and after."""
        assert self.chip is not None
        c = self.chip.config
        if json:
            print(json_.dumps({"chip": str(folder), "bits_per_byte": self.bits, "saturated": self.saturated}))
            return
        table = new_table("bits per byte", ["held out", *self.bits], left=1)
        for split in self.corpus.held_out:
            exact = self.bits["float32"][split]
            cells = [f"{exact:.4f}"]
            for bits in list(self.bits.values())[1:]:
                cells.append(f"{bits[split]:.4f} ({bits[split] / exact - 1:+.2%})")
            table.add_row(self.corpus.full_name(split), *cells)
        stdout().print(table)
        stdout().print(
            f"[bold]{folder}[/]  {c.system}, {self.chip.size:,} weights, {c.layers} layers, d {c.d}, e {c.e}, n {c.n}; "
            f"{self.saturated:.4%} of all values saturate. Next: las stream --chip {folder} --baud 9600",
            soft_wrap=True,
        )


def show_run(
    folder: Path, data: list[str] | None, noise: str | None, seconds: float, most: int | None, json: bool
) -> None:
    """``las chip run``."""
    chip = load_chip(folder)
    corpus = load_corpus(tuple(data or trained_on(folder)))
    emulator = analog_emulator(chip, corpus, noise, seconds)
    results = {split: stream_bits(emulator.session(), source, most) for split, source in corpus.held_out.items()}
    if json:
        print(json_.dumps({"chip": str(folder), "noise": noise, "seconds": seconds, "bits_per_byte": results}))
        return
    native = NativeModel.from_model(source_model(folder))
    kind = "digital" if noise is None else f"{noise}, {seconds:g} s old"
    table = new_table(f"{folder}, {kind}: bits per byte", ["held out", "float32", "chip", ""], left=1)
    for split, bits in results.items():
        exact = stream_bits(native.session(), corpus.held_out[split], most)
        table.add_row(corpus.full_name(split), f"{exact:.4f}", f"[bold]{bits:.4f}[/]", f"{bits / exact - 1:+.2%}")
    stdout().print(table)


def analog_emulator(chip: ChipModel, corpus: Corpus, noise: str | None, seconds: float) -> Emulator:
    """The chip itself, or with the arrays of an analog part that is so many seconds old."""
    if noise is None:
        return Emulator(chip)
    from lasmlx.apps.chip_report import part_of
    from lasmlx.chip.analog import column_spread, crossbars

    sample = Windows(corpus.train, 1, 512, 0).batch(0).x.tobytes()
    return Emulator(chip, crossbars(chip, part_of(noise), seconds, column_spread(chip, sample)))


def show_verification(
    folder: Path, data: list[str] | None, count: int, random: int, realisations: list[str], rtl_bytes: int, json: bool
) -> None:
    """``las chip verify``; exit code 1 where anything differs."""
    import typer

    from lasmlx.benchmark import provenance
    from lasmlx.chip.verify import verify, verify_random

    chip = load_chip(folder)
    source = next(iter(load_corpus(tuple(data or trained_on(folder))).held_out.values()))
    text = source[: min(count, len(source))].tobytes()
    records = [(str(folder), r) for r in verify(chip, text, realisations=realisations, rtl_bytes=rtl_bytes)]
    if random:
        records += [("random chips", r) for r in verify_random(random, realisations=realisations)]
    where = provenance("las chip verify", None)
    if json:
        for what, record in records:
            print(json_.dumps({"what": what} | dataclasses.asdict(record)))
    else:
        title = "against the NumPy twin"
        table = new_table(title, ["of", "realisation", "chips", "bytes", "logits", "differences"], left=2)
        for what, record in records:
            wrong = f"[{'red' if record.differences else 'green'}]{record.differences:,}[/]"
            counts = (f"{record.chips:,}", f"{record.bytes:,}", f"{record.logits:,}")
            table.add_row(what, record.realisation, *counts, wrong)
        stdout().print(table)
        stdout().print(str(where), style="dim", markup=False, soft_wrap=True)
    if any(record.differences for _, record in records):
        raise typer.Exit(1)


def show_soak(folder: Path, data: list[str] | None, count: int, looks: int, json: bool) -> None:
    """``las chip soak``; exit code 1 where anything differs."""
    import typer

    from lasmlx.chip.verify import soak

    source = next(iter(load_corpus(tuple(data or trained_on(folder))).held_out.values()))
    first = last = None
    for last in soak(load_chip(folder), source[: len(source)].tobytes(), count, looks=looks):
        first = first or last
        if json:
            print(json_.dumps(dataclasses.asdict(last)), flush=True)
        else:
            rate = f"{last.seconds / last.bytes * 1e6:.2f} us a byte"
            memory = f"{last.resident / 1e6:.1f} MB"
            stdout().print(
                f"{last.bytes:,} bytes  {rate}  {memory}  {last.differences} of {last.compared:,} differ",
                soft_wrap=True,
            )
    assert first is not None and last is not None
    if not json:
        grown = (last.resident - first.resident) / 1e6
        stdout().print(f"memory grew by {grown:.1f} MB since the first look", soft_wrap=True)
    if last.differences:
        raise typer.Exit(1)


def show_synthesis(
    folder: Path,
    target: Any,
    device: str | None,
    macs: int,
    lanes: int,
    clock: float,
    baud: int,
    out: Path | None,
    json: bool,
) -> None:
    """``las chip synth``."""
    from lasmlx.chip.synth import synthesise

    chip = load_chip(folder)
    stderr().print("[dim]synthesis, placement and routing: minutes for a big chip[/]")
    report = synthesise(
        chip, target, device=device or "", macs=macs, lanes=lanes, clock_hz=clock * 1e6, baud=baud, folder=out
    )
    if json:
        extra = {"bytes_per_second": report.bytes_per_second, "highest_baud": report.highest_baud}
        print(json_.dumps(dataclasses.asdict(report) | extra | {"standard_baud": report.standard_baud}))
        return
    table = new_table(
        f"{folder} on {report.target} {report.device}, {report.macs} MACs, {report.lanes} states a cycle",
        ["", ""],
        left=1,
    )
    for name, value in (
        ("LUTs", f"{report.luts:,}"),
        ("flip-flops", f"{report.flip_flops:,}"),
        ("block RAMs", f"{report.block_rams:,}"),
        ("DSPs", f"{report.dsps:,}"),
        ("fmax", f"{report.fmax / 1e6:.1f} MHz"),
        ("cycles a byte", f"{report.cycles:,}"),
        ("bytes a second", f"{report.bytes_per_second:,.0f}"),
        ("highest baud", f"{report.highest_baud:,.0f} ({report.standard_baud:,} of the usual rates)"),
    ):
        table.add_row(name, value)
    stdout().print(table)
    stdout().print(f"{report.tools}; {report.seconds:.0f} s", style="dim", markup=False, soft_wrap=True)


def new_table(title: str, columns: list[str], left: int) -> Any:
    """A plain table whose first ``left`` columns are words."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < left else "right")
    return table


def source_model(folder: Path) -> Any:
    """The float model that a chip directory was made from."""
    return load(folder / SOURCE)


def trained_on(folder: Path) -> list[str]:
    """The data a chip was calibrated on, as its notes say."""
    path = folder / NOTES
    return list(json_.loads(path.read_text())["data"]) if path.is_file() else ["moby-dick"]


def _flat(model: Any) -> dict[str, np.ndarray]:
    from lasmlx.models.tree import flat

    return {name: np.array(v) for name, v in flat(model.parameters()).items()}


def _progress(steps: int) -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("[bold]{task.fields[loss]}[/]"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=stderr(),
        expand=True,
    )
