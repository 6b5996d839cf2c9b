"""``las eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lasmlx.apps.eval_plasticity import plasticity
from lasmlx.apps.eval_symbolic import symbolic


class ModelByDefault(TyperGroup):
    """``las eval runs/mine``: what names no command is about a model, and so is ``las eval --help``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """With the command that is meant where none is named."""
        named = bool(args) and args[0] in self.commands
        return super().parse_args(ctx, args if named else [DEFAULT, *args])


DEFAULT = "<run>"  # no folder that somebody would name
app = typer.Typer(cls=ModelByDefault, help="Judge a model on held-out data, or settle a question with many of them.")
app.command()(plasticity)
app.command()(symbolic)


@app.command(name=DEFAULT, hidden=True)
def evaluate(
    run: Annotated[Path | None, typer.Argument(help="A run's folder; else the newest, or the one that ships.")] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="As for `las train`; by default what the run was trained on.")
    ] = None,
    weights: Annotated[str, typer.Option(help="float32, or int8 through the native step.")] = "float32",
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Bits per byte on held-out bytes, every one, beside what compressors need; of sequences the test set's score.

    `las eval plasticity` trains many models to see whether plastic synapses help, `las eval symbolic` nets of splines
    to see whether formulas are found.

    Example: las eval runs/mine --data gps
    """
    import dataclasses
    import json as json_

    from rich.table import Table

    from lasmlx.apps.runs import find_model, trained_on
    from lasmlx.apps.terminal import stdout
    from lasmlx.data import (
        DataError,
        compressor_bits,
        load_corpus,
        load_sequences,
        names_sequences,
        tokenizer_of,
        tokens_of,
    )
    from lasmlx.stream import evaluate_native
    from lasmlx.train import evaluate, evaluate_sequences

    model, folder = find_model(run)
    wanted = data or trained_on(folder)
    if names_sequences(wanted[0]):
        judged = evaluate_sequences(model, load_sequences(wanted[0]))
        if json:
            print(json_.dumps({"run": str(folder)} | dataclasses.asdict(judged)))
        else:
            naive = "" if judged.naive is None else f" (the last element again: {judged.naive:.4f})"
            text = f"[bold]{judged.score:.4f}[/] {judged.measure}, loss {judged.loss:.4f}"
            over = f"over {judged.sequences:,} sequences{naive}"
            stdout().print(f"{folder}  {judged.split}: {text} {over}", soft_wrap=True)
        return
    corpus = load_corpus(wanted)
    if not corpus.held_out:
        raise DataError(f"{corpus.name} has no held-out bytes.")
    if weights not in ("float32", "int8"):
        raise ValueError(f"--weights is {weights!r}, expected float32 or int8.")
    tokenizer = tokenizer_of(model.config, folder)
    results: dict[str, Any] = {}
    for split, source in corpus.held_out.items():
        if weights == "float32":
            results[split] = evaluate(model, tokens_of(source, tokenizer), split=split)
        else:
            results[split] = evaluate_native(model, source, split=split)
    total = sum(r.bytes for r in results.values())
    mean = sum(r.bits_per_byte * r.bytes for r in results.values()) / total
    if json:
        splits = {split: {"bits_per_byte": r.bits_per_byte, "bytes": r.bytes} for split, r in results.items()}
        print(json_.dumps({"run": str(folder), "bits_per_byte": mean, "bytes": total, "splits": splits}))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), title=f"{folder}", title_justify="left")
    for column in ("held out", "bytes", "bits/byte", "xz -9e", "ppmd"):
        table.add_column(column, justify="left" if column == "held out" else "right")
    for split, record in results.items():
        name = corpus.full_name(split)
        others = compressor_bits(name)
        beside = [f"{others[c]:.3f}" if c in others else "-" for c in ("xz", "ppmd")]
        table.add_row(name, f"{record.bytes:,}", f"[bold]{record.bits_per_byte:.3f}[/]", *beside)
    stdout().print(table)
