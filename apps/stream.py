"""``las stream`` and ``las generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Prompt = Annotated[str, typer.Argument(help="Text that the model continues.", show_default=False)]
RunOption = Annotated[
    Path | None, typer.Option("--run", help="A run's folder; else the newest under ./runs, else the model that ships.")
]
Temperature = Annotated[float, typer.Option(help="0 takes the likeliest byte, or token.")]
TopK = Annotated[int, typer.Option(help="Choose among this many likeliest; 0: all.")]
Seed = Annotated[int, typer.Option(help="One seed, one text.")]
Weights = Annotated[Literal["float32", "int8"], typer.Option(help="Of the native step; int8 is faster.")]
Chip = Annotated[Path | None, typer.Option(help="A chip directory: its emulator speaks instead of a model.")]
Noise = Annotated[str | None, typer.Option(help="With --chip, an analog part: see `las chip run`.")]
Memory = Annotated[
    Path | None, typer.Option(help="Go on from what this file remembers, and write it back: FILE.safetensors.")
]
Json = Annotated[bool, typer.Option("--json", help="The report as one JSON object on standard error.")]


def stream(
    prompt: Prompt = "",
    run: RunOption = None,
    baud: Annotated[float | None, typer.Option(help="Bits per second, 8N1: ten bits a byte. Absent: no limit.")] = None,
    count: Annotated[int | None, typer.Option("--bytes", help="Stop after this many; absent: never.")] = None,
    temperature: Temperature = 0.8,
    top_k: TopK = 0,
    seed: Seed = 0,
    weights: Weights = "float32",
    chip: Chip = None,
    noise: Noise = None,
    json: Json = False,
) -> None:
    """Speak at the speed of a serial line; the report goes to standard error.

    Example: las stream --baud 9600 "val: "
    """
    import dataclasses
    import json as json_
    import sys

    from lasmlx.apps.runs import find_chip, find_model
    from lasmlx.apps.terminal import stderr
    from lasmlx.data import tokenizer_of
    from lasmlx.stream import producer
    from lasmlx.stream import stream as pace

    if count is not None and count < 0:
        raise ValueError(f"--bytes is {count}, expected 0 or more.")
    if chip is None and noise is not None:
        raise ValueError("--noise is of an analog part: name a chip directory with --chip.")
    if chip is not None and (run is not None or weights != "float32"):
        raise ValueError("--chip brings its own model and weights: leave out --run and --weights.")
    model, folder = find_model(run) if chip is None else (find_chip(chip, noise), None)
    reader = None if folder is None else tokenizer_of(model.config, folder)
    options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "seed": seed, "weights": weights}
    produce = producer(model, prompt, tokenizer=reader, **options)
    out = sys.stdout.buffer

    def write(data: bytes) -> None:
        out.write(data)
        out.flush()

    report = pace(produce, write, baud=baud, count=count)
    if json:
        print(json_.dumps(dataclasses.asdict(report)), file=sys.stderr)
    elif not report.closed:
        asked = "" if baud is None else f" of {baud:,.0f}"
        stderr().print(
            f"\n{report.bytes:,} bytes at {report.rate:,.0f}{asked} baud, {report.late_bytes} late, "
            f"step {report.p50_us:.1f} us (p99 {report.p99_us:.1f} us)",
            soft_wrap=True,
        )
    if report.closed:
        raise BrokenPipeError


def generate(
    prompt: Prompt = "",
    run: RunOption = None,
    count: Annotated[int, typer.Option("--bytes", help="How many.")] = 400,
    temperature: Temperature = 0.8,
    top_k: TopK = 0,
    seed: Seed = 0,
    weights: Weights = "float32",
    chip: Chip = None,
    noise: Noise = None,
    memory: Memory = None,
    json: Json = False,
) -> None:
    """Continue a prompt, as fast as it goes.

    Example: las generate "Call me " --bytes 200
    """
    if memory is None:
        stream(prompt, run, None, count, temperature, top_k, seed, weights, chip, noise, json)
        return
    import sys

    from lasmlx.apps.runs import remembering
    from lasmlx.stream import producer

    if chip is not None or weights != "float32":
        raise ValueError("--memory is of a model that streams through MLX: leave out --chip and --weights.")
    if count < 0:
        raise ValueError(f"--bytes is {count}, expected 0 or more.")
    model = remembering(run, memory)
    text, _ = producer(model, prompt, temperature=temperature, top_k=top_k, seed=seed)(count)
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
    model.save()
