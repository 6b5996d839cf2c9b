"""What a training run looks like while it goes: a progress bar, plain lines, or JSON lines."""

from __future__ import annotations

import dataclasses
import json
import signal
import time
from types import FrameType
from typing import Any, cast

from lasmlx.apps.plots import line_plot
from lasmlx.apps.terminal import stderr, stdout
from lasmlx.data import Corpus, compressor_bits
from lasmlx.train import (
    ActivityRecord,
    EndRecord,
    EvalRecord,
    Record,
    SequenceEvalRecord,
    SequenceStepRecord,
    StartRecord,
    StepRecord,
)
from lasmlx.train.session import TrainingSession

STEPS = (StepRecord, SequenceStepRecord)
EVALS = (EvalRecord, SequenceEvalRecord)
EXIT = {"done": 0, "early": 0, "stopped": 130, "diverged": 1}


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
        elif isinstance(record, STEPS):
            if time.monotonic() - self._last > self._every or record.step == session.config.steps:
                self._last = time.monotonic()
                value, unit = measured(record)
                rate = rate_text(record, rate_of(record))
                stdout().print(f"step {record.step}/{session.config.steps}  {value:.3f} {unit}  {rate}", soft_wrap=True)
        elif isinstance(record, EVALS):
            stdout().print(held_out_line(record, session), soft_wrap=True)
        elif isinstance(record, ActivityRecord):
            stdout().print(activity_line(record), soft_wrap=True)
        elif isinstance(record, EndRecord):
            stdout().print(closing(record, session), soft_wrap=True)


class TerminalReport(Report):
    """A progress bar; at the end the curve of the loss, a sample, and the next command."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("[bold]{task.fields[loss]}[/]"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=stderr(),
            expand=True,
        )
        self._steps: list[StepRecord | SequenceStepRecord] = []
        self._held_out: list[EvalRecord | SequenceEvalRecord] = []
        self._rate = 0.0

    def note(self, text: str) -> None:
        self._progress.console.print(f"[yellow]{text}[/]")

    def close(self) -> None:
        self._progress.stop()

    def show(self, record: Record, session: TrainingSession) -> None:
        console = self._progress.console
        if isinstance(record, StartRecord):
            console.print(opening(record, session), soft_wrap=True)
            self._task = self._progress.add_task("", total=record.steps, completed=record.step, loss="-", rate="")
            self._progress.start()
        elif isinstance(record, STEPS):
            self._steps.append(record)
            self._rate = 0.9 * self._rate + 0.1 * rate_of(record) if self._rate else rate_of(record)
            recent = [measured(r)[0] for r in self._steps[-50:]]
            self._progress.update(
                self._task,
                completed=record.step,
                loss=f"{sum(recent) / len(recent):.3f} {measured(record)[1]}",
                rate=rate_text(record, self._rate),
            )
        elif isinstance(record, EVALS):
            self._held_out.append(record)
            console.print(held_out_line(record, session), soft_wrap=True)
        elif isinstance(record, ActivityRecord):
            console.print(activity_line(record), soft_wrap=True)
        elif isinstance(record, EndRecord):
            self.close()
            self._conclude(record, session)

    def _conclude(self, record: EndRecord, session: TrainingSession) -> None:
        console = stdout()
        if len(self._steps) > 1:
            console.print(self._curve(console.width))
        if record.reason in ("done", "early") and isinstance(session.data, Corpus):
            console.print(f"\n[bold]a sample[/]\n{_sample(session, session.data)}\n", soft_wrap=True, markup=True)
        console.print(closing(record, session), soft_wrap=True)

    def _curve(self, width: int) -> Any:
        window = max(1, len(self._steps) // 100)
        later = self._steps[len(self._steps) // 20 :]  # the fall from 8 bits would flatten the rest
        smooth = [later[i : i + window] for i in range(0, len(later), window)]
        series = {"training": [(c[-1].step, sum(measured(r)[0] for r in c) / len(c)) for c in smooth]}
        for split in dict.fromkeys(r.split for r in self._held_out):
            series[split] = [(r.step, measured(r)[0]) for r in self._held_out if r.split == split]
        return line_plot(series, x="step", y=measured(self._steps[0])[1], width=min(width, 100), height=16)


def measured(record: StepRecord | SequenceStepRecord | EvalRecord | SequenceEvalRecord) -> tuple[float, str]:
    """The loss as people read it, and its unit."""
    if isinstance(record, StepRecord | EvalRecord):
        return record.bits_per_byte, "bits/byte"
    return record.loss, "loss"


def rate_of(record: StepRecord | SequenceStepRecord) -> float:
    """Bytes or sequences a second."""
    return record.bytes_per_second if isinstance(record, StepRecord) else record.sequences_per_second


def rate_text(record: StepRecord | SequenceStepRecord, rate: float) -> str:
    """A rate with its unit."""
    return f"{rate / 1000:.1f} kB/s" if isinstance(record, StepRecord) else f"{rate:,.0f} sequences/s"


def opening(record: StartRecord, session: TrainingSession) -> str:
    """What starts, in one line."""
    verb = f"going on after step {record.step} with" if record.step else "training"
    epochs = record.steps / record.steps_per_epoch
    return (
        f"{verb} [bold]{session.recipe.name}[/] ({record.parameters:,} parameters) on {' '.join(session.recipe.data)} "
        f"({record.train_size:,} {record.unit}, {epochs:.1f} epochs) into [bold]{session.run.path}[/]"
    )


def held_out_line(record: EvalRecord | SequenceEvalRecord, session: TrainingSession) -> str:
    """A held-out result, of bytes at the end beside what compressors need for the same."""
    if isinstance(record, SequenceEvalRecord):
        score = f"[bold]{record.score:.3f}[/] {record.measure}, loss {record.loss:.3f}"
        naive = "" if record.naive is None else f" (the last element again: {record.naive:.3f})"
        return f"step {record.step}  {record.split}: {score} over {record.sequences:,} sequences{naive}"
    text = f"step {record.step}  {record.split}: [bold]{record.bits_per_byte:.3f}[/] bits/byte"
    if not record.final:
        return text
    compressors = compressor_bits(cast(Corpus, session.data).full_name(record.split))
    others = ", ".join(f"{other} {bits:.3f}" for other, bits in compressors.items())
    return f"{text} over {record.bytes:,} bytes" + (f"  ({others})" if others else "")


def activity_line(record: ActivityRecord) -> str:
    """How much each layer fires, and what is wrong with that."""
    rates = ", ".join(f"{rate:.3f}" for rate in record.rates)
    text = f"step {record.step}  spikes a neuron and tick, layer by layer: {rates}"
    return "\n".join([text, *(f"[bold yellow]warning:[/] {warning}" for warning in record.warnings)])


def closing(record: EndRecord, session: TrainingSession) -> str:
    """How it ended, and the next command to type."""
    took = f"{record.seconds:.0f} s"
    if record.reason == "diverged":
        return f"[bold red]stopped:[/] {record.message}"
    if record.reason == "stopped":
        return f"stopped after {record.step} steps, {took}; go on with [bold]las train --resume --out {record.path}[/]"
    early = f"ended early after step {record.step}, {record.message}" if record.reason == "early" else "done"
    return f"{early}, in {took}. Next: [bold]las {_following(record, session)}[/]"


def _following(record: EndRecord, session: TrainingSession) -> str:
    if getattr(session.model, "kans", None):
        return f"viz kan --run {record.path}"
    if isinstance(session.data, Corpus):
        return f"stream --run {record.path} --baud 9600"
    if hasattr(session.model, "activity"):
        return f"viz spikes --run {record.path}"
    if session.data.classes:
        return f"viz confusion --run {record.path}"
    return f"viz tau --run {record.path}" if hasattr(session.model, "trace") else f"eval {record.path}"


def _sample(session: TrainingSession, corpus: Corpus, count: int = 240) -> str:
    from lasmlx.stream import generate

    source = next(iter(corpus.held_out.values()), corpus.train)
    prompt = bytes(source[: min(64, len(source))])
    options: dict[str, Any] = {"temperature": 0.7, "seed": session.config.seed, "tokenizer": session.tokenizer}
    sample = bytes(generate(session.model, prompt, bytes=count, **options))
    return f"[dim]{_printable(prompt)}[/]{_printable(sample)}"


def _printable(data: bytes) -> str:
    text = data.decode(errors="replace")
    return "".join(c if c.isprintable() or c == "\n" else "·" for c in text.replace("\r\n", "\n")).replace("[", r"\[")
