"""``las bench models`` and ``length``."""

from __future__ import annotations

from typing import Annotated

import typer

from lasmlx.apps.bench_table import Columns, Json, Repeats, number, show, spread


def models(
    data: Annotated[list[str] | None, typer.Option(help="As for `las train`; repeat for more.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="transformer, lstm, mamba-kan, 'mlp twin'; repeat. [all]")
    ] = None,
    parameters: Annotated[int, typer.Option(min=0, help="Of each model; 0: 12, 12, 3.5 and 3.5 million.")] = 0,
    seconds: Annotated[float, typer.Option(min=1, help="Of training, each model and seed.")] = 120.0,
    steps: Annotated[int, typer.Option(min=0, help="Of training, instead of --seconds.")] = 0,
    seeds: Annotated[int, typer.Option(min=0, help="Trainings of each model; 0: time and memory alone.")] = 5,
    window: Annotated[int, typer.Option(min=1, help="Elements a step sees of a sequence, a random stretch.")] = 256,
    batch_size: Annotated[int, typer.Option(min=1, help="Stretches a step.")] = 8,
    jitter: Annotated[float, typer.Option(min=0, help="Noise on them, in deviations.")] = 0.0,
    repeats: Repeats = 3,
    json: Json = False,
) -> None:
    """mamba-kan and its MLP twin beside a transformer and an LSTM: score, time and memory on labelled sequences.

    Time and memory are of one whole sequence; each model is trained for the same time, from every seed, on stretches.

    Example: las bench models --data chaos:length=1024 --parameters 50000 --seconds 60 --window 1024
    """
    from lasmlx.benchmark import ModelRow, measure_models, sized_contenders
    from lasmlx.data import load_sequences

    columns: Columns = {
        "model": lambda row: row.model,
        "parameters": lambda row: f"{row.parameters:,}",
        "inference ms": lambda row: "-" if row.inference is None else spread(row.inference, 1e3),
        "training ms": lambda row: "-" if row.step is None else spread(row.step, 1e3),
        "training MB": lambda row: "-" if row.step_mb is None else number(row.step_mb),
        "lr": lambda row: f"{row.lr:.1g}",
        "steps": lambda row: f"{row.steps:,}",
        "seen": lambda row: f"{row.seen:,}",
        "s": lambda row: f"{row.seconds:.0f}",
        "mean": lambda row: f"{row.mean:.3f} +- {row.half:.3f}" if row.scores else "-",
        "each seed": lambda row: " ".join(f"{score:.3f}" for score in row.scores),
    }
    chosen = sized_contenders(parameters, model or ())
    for spec in data or ["chaos:length=4096"]:
        loaded = load_sequences(spec)
        records = measure_models(
            loaded,
            contenders=chosen,
            seconds=seconds,
            steps=steps,
            seeds=seeds,
            window=window,
            batch_size=batch_size,
            jitter=jitter,
            repeats=repeats,
        )
        measure = "accuracy" if loaded.classes else "rmse"
        learnt = (
            f"; {measure} on {len(loaded.test):,} after training on stretches of {window:,}, mean and 95 % interval of "
            f"{seeds} seeds"
        )
        title = f"{spec}: time and memory of one whole sequence{learnt if seeds else ''}"
        show(title, ModelRow, columns, records, json, None, "")


def length(
    preset: Annotated[str, typer.Option(help="Sizes of a preset, or a recipe.toml.")] = "mamba-kan",
    count: Annotated[list[int] | None, typer.Option("--length", help="Elements; repeat for more.")] = None,
    repeats: Repeats = 3,
    json: Json = False,
) -> None:
    """Time and memory of inference and of a training step on one sequence of vectors, over its length.

    Example: las bench length --length 1000 --length 100000
    """
    from lasmlx.benchmark import LengthRow, measure_lengths
    from lasmlx.benchmark.models import LENGTHS
    from lasmlx.train import load_recipe

    recipe = load_recipe(preset)
    if not recipe.model.to_dict().get("inputs"):
        recipe = recipe.replace({"model.inputs": 1, "model.outputs": 10})
    columns: Columns = {
        "t": lambda row: f"{row.length:,}",
        "inference ms": lambda row: spread(row.inference, 1e3),
        "MB": lambda row: number(row.inference_mb),
        "training ms": lambda row: spread(row.step, 1e3),
        "training MB": lambda row: number(row.step_mb),
    }
    records = measure_lengths(recipe.name, recipe.model, tuple(count or LENGTHS), repeats=repeats)
    show(f"one sequence of t elements through {recipe.name}", LengthRow, columns, records, json, None, "")
