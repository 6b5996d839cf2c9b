"""What a training run looks like while it goes: a progress bar, plain lines, or JSON lines."""

from __future__ import annotations

import dataclasses
import json
import signal
import time
from types import FrameType
from typing import Any

from lasmlx.apps.plots import line_plot
from lasmlx.apps.terminal import stderr, stdout
from lasmlx.data import compressor_bits
from lasmlx.train import EndRecord, EvalRecord, Record, StartRecord, StepRecord
from lasmlx.train.session import TrainingSession

EXIT = {"done": 0, "stopped": 130, "diverged": 1}


class Report:
    """Follows a session to its end. ``Ctrl-C`` asks it to stop after the step in hand; a second one stops at once."""

    def follow(self, session: TrainingSession) -> int:
        """Show every record. Returns the exit code."""
        before = signal.getsignal(signal.SIGINT)

        def on_interrupt(number: int, frame: FrameType | None) -> None:
            if session.stop.is_set():
                raise KeyboardInterrupt
            session.stop.set()
            self.note("stopping after this step, with a checkpoint (Ctrl-C again: at once, without)")

        signal.signal(signal.SIGINT, on_interrupt)
        code = 0
        try:
            for record in session.records():
                self.show(record, session)
                if isinstance(record, EndRecord):
                    code = EXIT[record.reason]
        finally:
            signal.signal(signal.SIGINT, before)
            self.close()
        return code

    def show(self, record: Record, session: TrainingSession) -> None:
        """Show one record."""
        raise NotImplementedError

    def note(self, text: str) -> None:
        """Say something beside the records."""
        stderr().print(text)

    def close(self) -> None:
        """Leave the terminal as it was."""


class JsonReport(Report):
    """One JSON object a line on standard output, named by ``record``."""

    def show(self, record: Record, session: TrainingSession) -> None:
        values = {k: str(v) if k == "path" and v else v for k, v in dataclasses.asdict(record).items()}
        name = type(record).__name__.removesuffix("Record").lower()
        print(json.dumps({"record": name} | values), flush=True)


class PlainReport(Report):
    """A line now and then, for a log file."""

    def __init__(self, every: float = 5.0) -> None:
        self._every, self._last = every, 0.0

    def show(self, record: Record, session: TrainingSession) -> None:
        if isinstance(record, StartRecord):
            stdout().print(opening(record, session), soft_wrap=True)
        elif isinstance(record, StepRecord):
            if time.monotonic() - self._last > self._every or record.step == session.config.steps:
                self._last = time.monotonic()
                stdout().print(
                    f"step {record.step}/{session.config.steps}  {record.bits_per_byte:.3f} bits/byte  "
                    f"{record.bytes_per_second / 1000:.1f} kB/s",
                    soft_wrap=True,
                )
        elif isinstance(record, EvalRecord):
            stdout().print(held_out_line(record, session), soft_wrap=True)
        elif isinstance(record, EndRecord):
            stdout().print(closing(record, session), soft_wrap=True)


class TerminalReport(Report):
    """A progress bar; at the end the curve of the loss, a sample, and the next command."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("[bold]{task.fields[bits]}[/] bits/byte"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=stderr(),
            expand=True,
        )
        self._steps: list[StepRecord] = []
        self._held_out: list[EvalRecord] = []
        self._rate = 0.0

    def note(self, text: str) -> None:
        self._progress.console.print(f"[yellow]{text}[/]")

    def close(self) -> None:
        self._progress.stop()

    def show(self, record: Record, session: TrainingSession) -> None:
        console = self._progress.console
        if isinstance(record, StartRecord):
            console.print(opening(record, session), soft_wrap=True)
            self._task = self._progress.add_task("", total=record.steps, completed=record.step, bits="-", rate="")
            self._progress.start()
        elif isinstance(record, StepRecord):
            self._steps.append(record)
            self._rate = 0.9 * self._rate + 0.1 * record.bytes_per_second if self._rate else record.bytes_per_second
            recent = self._steps[-50:]
            self._progress.update(
                self._task,
                completed=record.step,
                bits=f"{sum(r.bits_per_byte for r in recent) / len(recent):.3f}",
                rate=f"{self._rate / 1000:.1f} kB/s",
            )
        elif isinstance(record, EvalRecord):
            self._held_out.append(record)
            console.print(held_out_line(record, session), soft_wrap=True)
        elif isinstance(record, EndRecord):
            self.close()
            self._conclude(record, session)

    def _conclude(self, record: EndRecord, session: TrainingSession) -> None:
        console = stdout()
        if len(self._steps) > 1:
            console.print(self._curve(console.width))
        if record.reason == "done":
            console.print(f"\n[bold]a sample[/]\n{_sample(session)}\n", soft_wrap=True, markup=True)
        console.print(closing(record, session), soft_wrap=True)

    def _curve(self, width: int) -> Any:
        window = max(1, len(self._steps) // 100)
        later = self._steps[len(self._steps) // 20 :]  # the fall from 8 bits would flatten the rest
        smooth = [later[i : i + window] for i in range(0, len(later), window)]
        series = {"training": [(c[-1].step, sum(r.bits_per_byte for r in c) / len(c)) for c in smooth]}
        for split in dict.fromkeys(r.split for r in self._held_out):
            series[split] = [(r.step, r.bits_per_byte) for r in self._held_out if r.split == split]
        return line_plot(series, x="step", y="bits/byte", width=min(width, 100), height=16)


def opening(record: StartRecord, session: TrainingSession) -> str:
    """What starts, in one line."""
    verb = f"going on after step {record.step} with" if record.step else "training"
    epochs = record.steps / record.steps_per_epoch
    return (
        f"{verb} [bold]{session.recipe.name}[/] ({record.parameters:,} parameters) on {' '.join(session.recipe.data)} "
        f"({record.train_bytes:,} bytes, {epochs:.1f} epochs) into [bold]{session.run.path}[/]"
    )


def held_out_line(record: EvalRecord, session: TrainingSession) -> str:
    """A held-out result, at the end beside what compressors need for the same bytes."""
    text = f"step {record.step}  {record.split}: [bold]{record.bits_per_byte:.3f}[/] bits/byte"
    if not record.final:
        return text
    compressors = compressor_bits(session.corpus.full_name(record.split))
    others = ", ".join(f"{other} {bits:.3f}" for other, bits in compressors.items())
    return f"{text} over {record.bytes:,} bytes" + (f"  ({others})" if others else "")


def closing(record: EndRecord, session: TrainingSession) -> str:
    """How it ended, and the next command to type."""
    took = f"{record.seconds:.0f} s"
    if record.reason == "diverged":
        return f"[bold red]stopped:[/] {record.message}"
    if record.reason == "stopped":
        return f"stopped after {record.step} steps, {took}; go on with [bold]las train --resume --out {record.path}[/]"
    return f"done in {took}. Next: [bold]las stream --run {record.path} --baud 9600[/]"


def _sample(session: TrainingSession, count: int = 240) -> str:
    from lasmlx.stream import generate

    source = next(iter(session.corpus.held_out.values()), session.corpus.train)
    prompt = bytes(source[: min(64, len(source))])
    sample = bytes(generate(session.model, prompt, bytes=count, temperature=0.7, seed=session.config.seed))
    return f"[dim]{_printable(prompt)}[/]{_printable(sample)}"


def _printable(data: bytes) -> str:
    text = data.decode(errors="replace")
    return "".join(c if c.isprintable() or c == "\n" else "·" for c in text.replace("\r\n", "\n")).replace("[", r"\[")
