"""``las train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Preset = Annotated[str | None, typer.Argument(help="A preset (see `las presets`); las if absent.", show_default=False)]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="gps, moby-dick, val, a file, a folder, or - ; repeat to join several."),
]


def train(
    preset: Preset = None,
    data: Data = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows a step.")] = None,
    seq_len: Annotated[int | None, typer.Option(help="Bytes a window, or tokens.")] = None,
    lr: Annotated[float | None, typer.Option(help="Largest learning rate.")] = None,
    warmup: Annotated[int | None, typer.Option(help="Steps in which the learning rate rises.")] = None,
    clip: Annotated[float | None, typer.Option(help="Largest norm of the gradient.")] = None,
    accumulate: Annotated[int | None, typer.Option(help="Batches a step: their gradients are averaged.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16: what is computed in; float32 is kept.")
    ] = None,
    curriculum: Annotated[int | None, typer.Option(help="Steps in which windows grow to --seq-len.")] = None,
    validation: Annotated[
        float | None, typer.Option(help="Share of labelled sequences held back to know the best model by.")
    ] = None,
    patience: Annotated[int | None, typer.Option(help="Looks without a better model that end a run; 0: none.")] = None,
    balance: Annotated[bool | None, typer.Option("--balance/--no-balance", help="Weigh each class the same.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the weights, the windows' order and the sample.")] = None,
    task: Annotated[
        str | None, typer.Option(help="What to learn of your own CSV or NPZ --data: classify, regress, forecast.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="With --task: what to say; columns a,b to say or forecast several."),
    ] = None,
    id_: Annotated[
        str | None,
        typer.Option("--id", metavar="COLUMN", help="With --task: names a row's sequence; else each row is one."),
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="With --task: times of the rows, seconds or ISO dates.")
    ] = None,
    window: Annotated[int | None, typer.Option(help="Rows a forecast reads; 96 if absent.")] = None,
    horizon: Annotated[int | None, typer.Option(help="Rows it forecasts; 24 if absent.")] = None,
    test: Annotated[
        str | None, typer.Option(metavar="SHARE|FILE", help="With --task: share to test on, or a file; 0.2 if absent.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="FILE", help="Of `las data tokenizer train`; or gpt2, bytes.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder; by default under ./runs.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue --out, or the newest run under ./runs.")] = False,
    eval_every: Annotated[int | None, typer.Option(help="Steps between looks at held-out bytes; 0: at end.")] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints; 0: only at the end.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a progress bar.")] = False,
    config: Annotated[Path | None, typer.Option(help="A recipe of your own, TOML, instead of a preset.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting: d=64, train.clip=0.5 ...")
    ] = None,
) -> None:
    """Train a model; no argument: a liquid byte model on the novel that ships.

    Example: las train las-small --data val --steps 200
    Of your own: las train lnn --data walks.csv --task classify --label who --id walk --time when
    """
    from lasmlx.apps.terminal import stderr
    from lasmlx.apps.train_report import JsonReport, PlainReport, TerminalReport
    from lasmlx.train.session import prepare, resume_run

    options = {
        "steps": steps,
        "batch_size": batch_size,
        "seq_len": seq_len,
        "lr": lr,
        "warmup": warmup,
        "clip": clip,
        "accumulate": accumulate,
        "precision": precision,
        "curriculum": curriculum,
        "validation": validation,
        "patience": patience,
        "balance": balance,
        "seed": seed,
        "eval_every": eval_every,
        "save_every": save_every,
    }
    given = {name: value for name, value in options.items() if value is not None} | parse_settings(settings or [])
    if preset is not None and config is not None:
        raise ValueError("a preset and --config were both given: choose one.")
    name = config or preset
    begin = resume_run if resume else prepare
    table = {"label": label, "id": id_, "time": time, "window": window, "horizon": horizon, "test": test}
    session = begin(name, given, _own_table(tuple(data or ()), task, table), out, tokenizer)
    report = JsonReport() if json else TerminalReport() if stderr().is_terminal else PlainReport()
    raise typer.Exit(report.follow(session))


def _own_table(data: tuple[str, ...], task: str | None, settings: dict[str, str | int | None]) -> tuple[str, ...]:
    """``--data`` as it is, or with what is to be learnt of that one file."""
    from lasmlx.data import table_spec

    given = [f"--{key}" for key, value in settings.items() if value is not None]
    if task is None:
        if given:
            raise ValueError(f"{', '.join(given)} without --task: add --task classify, regress or forecast.")
        return data
    if len(data) != 1:
        raise ValueError(f"--task goes with one --data FILE, a CSV or NPZ of your own; {len(data)} were given.")
    return (table_spec(data[0], task=task, **settings),)


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """``["d=64", "model.slow=[1, 2]"]`` to a dictionary; a value is read as TOML, else taken as a word."""
    import tomllib

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"--set takes KEY=VALUE, got {pair!r}.")
        try:
            settings[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            settings[key.strip()] = text
    return settings
