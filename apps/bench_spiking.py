"""``las bench lif``, ``attention`` and ``modes``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

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
    spread,
)

Parameters = Annotated[int, typer.Option(min=1, help="Of each model, about.")]


def lif(
    shape: Annotated[list[str] | None, typer.Option(help="b,t,inputs,units; repeat for more.")] = None,
    repeats: Repeats = 10,
    budget: Budget = 60.0,
    peer: Peer = None,
    json: Json = False,
) -> None:
    """Leaky integrate-and-fire neurons, float32, forward and forward+backward, beside MLX's loop and snntorch.

    Example: las bench lif --shape 32,100,700,128
    """
    from lasmlx.benchmark import LIFRow, measure_lif, open_peers
    from lasmlx.benchmark.lif import SHAPE

    columns = SPEEDS | PEAK | ERROR
    with open_peers(peer) as (peers, absent):
        for sizes in [shape_of(text, "b,t,inputs,units") for text in shape or []] or [SHAPE]:
            for mapped in (True, False):
                records = measure_lif(sizes, mapped=mapped, peers=peers, repeats=repeats, budget_seconds=budget / 2)
                what = "with the map that feeds them" if mapped else "alone"
                title = f"LIF neurons {what}, (b, t, inputs, units) = {sizes}"
                show(title, LIFRow, columns, records, json, peers, absent)


def attention(
    parameters: Parameters = 500_000,
    length: Annotated[list[int] | None, typer.Option(help="Bytes of a sequence; repeat for more.")] = None,
    repeats: Repeats = 3,
    budget: Budget = 30.0,
    peer: Peer = None,
    json: Json = False,
) -> None:
    """A training step of spiking-mamba's modes and of a transformer: memory and speed over the length of a sequence.

    Example: las bench attention --length 256 --length 4096
    """
    from lasmlx.benchmark import AttentionRow, measure_attention, open_peers
    from lasmlx.benchmark.modes import LENGTHS

    columns: Columns = {
        "t": lambda row: f"{row.length:,}",
        "model": lambda row: row.model,
        "parameters": lambda row: f"{row.parameters:,}",
        "ms a step": lambda row: spread(row.step, 1e3),
        "bytes/s": lambda row: f"{row.bytes_per_second:,.0f}",
        "speed": lambda row: ratio(row.speed) if row.speed else "-",
        "peak MB": lambda row: number(row.peak_mb) if row.peak_mb else "-",
        "memory": lambda row: ratio(row.memory) if row.memory else "-",
    }
    lengths = tuple(length) if length else LENGTHS
    title = "a training step, one sequence of t bytes; speed and memory: the transformer's over the model's"
    with open_peers(peer) as (peers, absent):
        records = measure_attention(
            parameters=parameters, lengths=lengths, peers=peers, repeats=repeats, budget_seconds=budget
        )
        show(title, AttentionRow, columns, records, json, peers, absent)


def modes(
    data: Annotated[str, typer.Option(help="A corpus or file of bytes.")] = "moby-dick",
    parameters: Parameters = 500_000,
    seconds: Annotated[float, typer.Option(min=1, help="Of training, each model and learning rate.")] = 120.0,
    lr: Annotated[list[float] | None, typer.Option(help="Learning rates to choose from; repeat for more.")] = None,
    layers: Annotated[int, typer.Option(min=1, help="Of each model.")] = 4,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows a step.")] = 8,
    seq_len: Annotated[int, typer.Option(min=1, help="Bytes a window.")] = 256,
    json: Json = False,
) -> None:
    """What spiking-mamba's modes, a transformer and a Mamba learn in the same time, at equal parameters.

    Example: las bench modes --seconds 60 --lr 3e-3
    """
    from lasmlx.benchmark import ModeRow, measure_modes
    from lasmlx.data import load_corpus

    columns: Columns = {
        "model": lambda row: row.model,
        "parameters": lambda row: f"{row.parameters:,}",
        "lr": lambda row: f"{row.lr:g}",
        "steps": lambda row: f"{row.steps:,}",
        "s": lambda row: f"{row.seconds:.0f}",
        "MB seen": lambda row: f"{row.bytes_seen / 1e6:.2f}",
        "bits/byte": lambda row: f"{row.bits_per_byte:.3f}",
        "ppl": lambda row: f"{row.ratio:.2f}",
        "spikes a neuron and tick": _rates,
    }
    records = measure_modes(
        load_corpus((data,)),
        parameters=parameters,
        layers=layers,
        seconds=seconds,
        batch_size=batch_size,
        seq_len=seq_len,
        rates=tuple(lr or (1e-3, 3e-3)),
    )
    title = f"{data}, held out, after {seconds:g} s of training; ppl: the transformer's perplexity over the model's"
    show(title, ModeRow, columns, records, json, None, "")


def _rates(row: Any) -> str:
    return " ".join(f"{rate:.2f}" for rate in row.rates) or "-"
