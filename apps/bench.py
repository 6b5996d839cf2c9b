"""``las bench``: side-by-side tables. Parity is checked first; where it fails nothing is printed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lasmlx.apps.bench_kan import kan
from lasmlx.apps.bench_models import length, models
from lasmlx.apps.bench_spiking import attention, lif, modes
from lasmlx.apps.bench_table import (
    ERROR,
    PEAK,
    SPEEDS,
    Budget,
    Columns,
    Json,
    Peer,
    Repeats,
    number,
    ratio,
    shape_of,
    show,
    sizes_of,
    spread,
)

if TYPE_CHECKING:
    from lasmlx.benchmark import LatencyRow

app = typer.Typer(help="Measure speed and memory side by side, parity checked first.", no_args_is_help=True)

PresetList = Annotated[
    list[str], typer.Option("--preset", help="Sizes of a preset, or a recipe.toml; repeat for more.")
]

PRESETS = ["las-small", "las", "las-base"]
CHIP_PRESETS = ["las-chip", "las", "las-base"]


app.command()(kan)
app.command()(lif)
app.command()(attention)
app.command()(modes)
app.command()(models)
app.command()(length)


@app.command()
def scan(
    shape: Annotated[list[str] | None, typer.Option(help="b,t,d,n; repeat for more.")] = None,
    repeats: Repeats = 10,
    budget: Budget = 60.0,
    reference: Annotated[bool, typer.Option("--reference", help="Time MLX's loop over time too: slow.")] = False,
    peer: Peer = None,
    json: Json = False,
) -> None:
    """The selective scan, float32, forward and forward+backward.

    Example: las bench scan --shape 8,512,256,16 --repeats 20
    """
    from lasmlx.benchmark import ScanRow, measure_scan, open_peers
    from lasmlx.benchmark.scan import SHAPES

    shapes = [shape_of(text) for text in shape] if shape else list(SHAPES)
    columns = SPEEDS | PEAK | ERROR
    with open_peers(peer) as (peers, absent):
        for sizes in shapes:
            records = measure_scan(sizes, peers=peers, reference=reference, repeats=repeats, budget_seconds=budget)
            show(f"selective scan, (b, t, d, n) = {sizes}, float32", ScanRow, columns, records, json, peers, absent)


@app.command()
def ltc(
    shape: Annotated[list[str] | None, typer.Option(help="b,t,inputs,units; repeat for more.")] = None,
    repeats: Repeats = 10,
    budget: Budget = 60.0,
    peer: Peer = None,
    json: Json = False,
) -> None:
    """The LTC scan, six sub-steps, float32, forward and forward+backward, beside MLX's loop and ncps.

    Example: las bench ltc --shape 32,128,16,64
    """
    from lasmlx.benchmark import LTCRow, measure_ltc, open_peers
    from lasmlx.benchmark.liquid import SHAPE

    columns = SPEEDS | ERROR
    with open_peers(peer) as (peers, absent):
        for sizes in [shape_of(text) for text in shape] if shape else [SHAPE]:
            records = measure_ltc(sizes, peers=peers, repeats=repeats, budget_seconds=budget)
            show(f"LTC scan, (b, t, inputs, units) = {sizes}, float32", LTCRow, columns, records, json, peers, absent)


@app.command()
def plastic(
    shape: Annotated[list[str] | None, typer.Option(help="b,t,g,m,n of the scan; repeat for more.")] = None,
    liquid: Annotated[list[str] | None, typer.Option(help="b,t,units,inputs of the liquid scan; repeat.")] = None,
    blocks: Annotated[list[str] | None, typer.Option(help="b,t,g,m,n of the scan in blocks; repeat.")] = None,
    repeats: Repeats = 10,
    budget: Budget = 60.0,
    json: Json = False,
) -> None:
    """Plastic synapses, float32, forward and forward+backward: kernels beside MLX's loop, and blocks beside kernels.

    With one of the first three options only what it names is measured.

    Example: las bench plastic --shape 8,512,1,256,256
    """
    from lasmlx.benchmark import PlasticRow, measure_blocks, measure_plastic, measure_plastic_liquid
    from lasmlx.benchmark.plastic import BLOCK_SHAPES, LIQUID_SHAPE, SHAPE

    columns: Columns = {
        "rule": lambda row: row.rule,
        "impl": lambda row: row.impl,
        "(b, t, g, m, n)": lambda row: ",".join(map(str, row.shape)),
        "elements": lambda row: str(row.elements),
        "forward ms": lambda row: spread(row.forward, 1e3),
        "fwd+bwd ms": lambda row: spread(row.forward_backward, 1e3),
        "ratio": lambda row: f"{ratio(row.ratio_forward)} {ratio(row.ratio_forward_backward)}",
        "peak MB": lambda row: number(row.peak_mb),
        "traces MB": lambda row: number(row.traces_mb),
        "error": lambda row: f"{row.error:.0e}",
    }
    every = not (shape or liquid or blocks)
    limits: dict[str, Any] = {"repeats": repeats, "budget_seconds": budget}
    for sizes in [sizes_of(text, "b,t,g,m,n") for text in shape or []] or [SHAPE] * every:
        show("plastic scan, float32", PlasticRow, columns, measure_plastic(sizes, **limits), json, None, "")
    for sizes in [sizes_of(text, "b,t,units,inputs") for text in liquid or []] or [LIQUID_SHAPE] * every:
        changed = {"(b, t, units, inputs)" if "(" in k else k: v for k, v in columns.items()}
        records = measure_plastic_liquid(sizes, **limits)
        show("plastic liquid scan, midpoint, float32", PlasticRow, changed, records, json, None, "")
    for sizes in [sizes_of(text, "b,t,g,m,n") for text in blocks or []] or BLOCK_SHAPES * every:
        title = "plastic scan with a target and an alpha (g, m, 1): matrix products over blocks of elements, float32"
        show(title, PlasticRow, columns, measure_blocks(sizes, **limits), json, None, "")


@app.command()
def soak(
    run: Annotated[Path | None, typer.Option("--run", help="A run of bytes; else a new `plastic` model.")] = None,
    count: Annotated[int, typer.Option("--bytes", help="How many to generate.")] = 100_000,
    stretch: Annotated[int, typer.Option(help="Bytes a row.")] = 10_000,
    json: Json = False,
) -> None:
    """A long stream through MLX: time and memory a byte stay, and traces below their bound.

    Example: las bench soak --run runs/plastic --bytes 100000
    """
    from lasmlx.benchmark import SoakRow, measure_soak
    from lasmlx.models import load, make_model
    from lasmlx.train import load_recipe

    model = load(run) if run is not None else make_model(load_recipe("plastic").model)
    columns: Columns = {
        "bytes": lambda row: f"{row.bytes:,}",
        "us a byte": lambda row: number(row.p50_us),
        "p99 us": lambda row: number(row.p99_us),
        "resident MB": lambda row: number(row.resident_mb),
        "trace norm": lambda row: number(row.trace_norm),
        "bound": lambda row: number(row.bound),
    }
    title = f"a stream of a {model.config.model_type} of {model.size:,} parameters"
    show(title, SoakRow, columns, measure_soak(model, count=count, stretch=stretch), json, None, "")


@app.command()
def sequences(
    data: Annotated[list[str], typer.Option(help="ucr:NAME or FILE.npz; repeat for more.")],
    model: Annotated[
        list[str] | None, typer.Option(help="liquid, soft, ltc, cfc, lstm, mamba-kan, 'mlp twin'; repeat. [all]")
    ] = None,
    dropped: Annotated[list[float], typer.Option(help="Share of elements dropped at random; repeat.")] = [0.0],  # noqa: B006
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each model.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of each training.")] = 300,
    jitter: Annotated[float, typer.Option(min=0, help="Noise on the training sequences, in deviations.")] = 0.0,
    json: Json = False,
) -> None:
    """What each family learns of labelled sequences, whole or thinned: the last model's score on the test set.

    Example: las bench sequences --data ucr:JapaneseVowels --dropped 0 --dropped 0.5
    """
    import dataclasses

    from lasmlx.benchmark import SequenceRow, measure_sequences
    from lasmlx.benchmark.sequences import MODELS, TRAINING
    from lasmlx.data import load_sequences

    columns: Columns = {
        "impl": lambda row: row.model,
        "dropped": lambda row: f"{row.dropped:.0%}",
        "parameters": lambda row: f"{row.parameters:,}",
        "mean": lambda row: f"{row.mean:.4f}",
        "deviation": lambda row: f"{row.deviation:.4f}",
        "each seed": lambda row: " ".join(f"{score:.3f}" for score in row.scores),
        "s a seed": lambda row: number(row.seconds),
    }
    training = dataclasses.replace(TRAINING, steps=steps, jitter=jitter)
    for spec in data:
        loaded = load_sequences(spec)
        records = measure_sequences(
            loaded, models=model or list(MODELS), dropped=dropped, seeds=seeds, training=training
        )
        measure = "accuracy" if loaded.classes else "rmse"
        title = f"{loaded.name}: {measure} on {len(loaded.test)} test sequences, {seeds} seeds"
        show(title, SequenceRow, columns, records, json, None, "")


@app.command()
def train(
    preset: Annotated[str, typer.Option(help="Sizes of a preset, or a recipe.toml.")] = "las-base",
    batch_size: Annotated[int, typer.Option(min=1, help="Windows a step.")] = 8,
    seq_len: Annotated[int, typer.Option(min=1, help="Bytes a window.")] = 512,
    repeats: Repeats = 10,
    budget: Budget = 60.0,
    peer: Peer = None,
    json: Json = False,
) -> None:
    """A whole training step: forward, loss, backward, clipping, AdamW.

    Example: las bench train --preset las-base --batch-size 8 --seq-len 512
    """
    from lasmlx.benchmark import TrainRow, measure_training, open_peers
    from lasmlx.train import load_recipe

    recipe = load_recipe(preset).replace({"batch_size": batch_size, "seq_len": seq_len})
    columns: Columns = {
        "impl": lambda row: row.impl,
        "parameters": lambda row: f"{row.parameters:,}",
        "ms a step": lambda row: spread(row.step, 1e3),
        "bytes/s": lambda row: f"{row.bytes_per_second:,.0f}",
        "ratio": lambda row: ratio(row.ratio),
        "error": lambda row: f"{row.error:.0e}",
    }
    title = f"training step, sizes of {recipe.name}, {batch_size} windows of {seq_len} bytes"
    with open_peers(peer) as (peers, absent):
        records = measure_training(recipe.model, recipe.train, peers=peers, repeats=repeats, budget_seconds=budget)
        show(title, TrainRow, columns, records, json, peers, absent)


@app.command()
def step(
    preset: PresetList = PRESETS,
    repeats: Repeats = 10,
    budget: Budget = 30.0,
    peer: Peer = None,
    json: Json = False,
) -> None:
    """One byte through a whole model, called from Python: logits out, nothing drawn.

    Example: las bench step --preset las-base
    """
    from lasmlx.benchmark import StepRow, measure_step, open_peers
    from lasmlx.train import load_recipe

    recipes = [load_recipe(name) for name in preset]
    columns: Columns = {
        "preset": lambda row: row.preset,
        "impl": lambda row: row.impl,
        "parameters": lambda row: f"{row.parameters:,}",
        "us a byte": lambda row: number(row.byte.median * 1e6),
        "p99": lambda row: number(row.byte.p99 * 1e6),
        "ratio": lambda row: ratio(row.ratio),
        "error": lambda row: f"{row.error:.0e}",
    }
    with open_peers(peer) as (peers, absent):
        measured = partial(measure_step, peers=peers, repeats=repeats, budget_seconds=budget)
        records = (record for recipe in recipes for record in measured(recipe.name, recipe.model))
        show("one byte, microseconds", StepRow, columns, records, json, peers, absent)


@app.command()
def latency(
    preset: PresetList = PRESETS,
    baud: Annotated[list[float], typer.Option(help="Line rates, 8N1; repeat for more.")] = [9600, 115200, 921600],  # noqa: B006
    count: Annotated[int, typer.Option("--bytes", min=1, help="Bytes to make with each model.")] = 4096,
    json: Json = False,
) -> None:
    """The line rate that generation sustains, sampling included, one thread.

    A margin is the line's time for a byte over the p99 of the model's; below 1 a buffer has to help.

    Example: las bench latency --preset las-base --baud 115200
    """
    from lasmlx.benchmark import LatencyRow, measure_latency
    from lasmlx.train import load_recipe

    recipes = [load_recipe(name) for name in preset]
    columns: Columns = {
        "preset": lambda row: row.preset,
        "weights": lambda row: row.weights,
        "p50 us": lambda row: number(row.p50_us),
        "p99": lambda row: number(row.p99_us),
        "max": lambda row: number(row.max_us),
        "max baud": lambda row: f"{row.sustained_baud:,.0f}",
    }
    columns |= {f"{rate:g}\n{number(1e7 / rate)} us": partial(_margin, baud=f"{rate:g}") for rate in baud}
    records = (
        record for recipe in recipes for record in measure_latency(recipe.name, recipe.model, bauds=baud, count=count)
    )
    show("bytes at line speed, margin at each baud", LatencyRow, columns, records, json, None, "")


@app.command()
def chip(
    preset: PresetList = CHIP_PRESETS,
    count: Annotated[int, typer.Option("--bytes", min=1, help="Bytes to make with each.")] = 4096,
    kernel: Annotated[
        Path | None, typer.Option(help="A C++ file with ssm_scan_fixed8 to time beside a whole layer, instead.")
    ] = None,
    json: Json = False,
) -> None:
    """The line rate that an emulated chip sustains, sampling included, and what eight streams reach together.

    Example: las bench chip --preset las-chip
    """
    from lasmlx.benchmark import ChipRow, KernelRow, measure_chip, measure_kernel
    from lasmlx.benchmark.latency import BAUDS
    from lasmlx.train import load_recipe

    if kernel is not None:
        flags = ("-O3", "-O3 -march=native", "-Ofast -march=native")
        columns: Columns = {"impl": lambda row: row.impl, "us a byte": lambda row: number(row.us)}
        records = measure_kernel(kernel, flags)
        show(
            "a scan of 128 channels and 16 states, the best of many rounds", KernelRow, columns, records, json, None, ""
        )
        return
    recipes = [load_recipe(name) for name in preset]
    columns = {
        "preset": lambda row: row.preset,
        "impl": lambda row: row.impl,
        "parameters": lambda row: f"{row.parameters:,}",
        "p50 us": lambda row: number(row.p50_us),
        "p99": lambda row: number(row.p99_us),
        "max baud": lambda row: f"{row.sustained_baud:,.0f}",
    }
    columns |= {f"{rate:g}\n{number(1e7 / rate)} us": partial(_margin, baud=f"{rate:g}") for rate in BAUDS}
    columns |= {"8 streams": lambda row: ratio(row.streams) if row.streams else "-"}
    rows = (record for recipe in recipes for record in measure_chip(recipe.name, recipe.model, count=count))
    show("emulated chips at line speed, margin at each baud", ChipRow, columns, rows, json, None, "")


def _margin(row: LatencyRow, baud: str) -> str:
    margin = row.margin[baud]
    return f"[{'green' if margin >= 1 else 'red'}]{ratio(margin)}[/]"
