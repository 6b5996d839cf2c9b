"""``las bench kan``."""

from __future__ import annotations

from typing import Annotated

import typer

from lasmlx.apps.bench_table import ERROR, PEAK, SPEEDS, Budget, Json, Peer, Repeats, show, sizes_of


def kan(
    shape: Annotated[list[str] | None, typer.Option(help="rows,inputs,outputs; repeat for more.")] = None,
    grid: Annotated[int, typer.Option(min=1, help="Intervals of an input.")] = 5,
    degree: Annotated[int, typer.Option(min=1, max=5, help="Of the splines.")] = 3,
    repeats: Repeats = 10,
    budget: Budget = 60.0,
    peer: Peer = None,
    json: Json = False,
) -> None:
    """A layer of splines, float32, forward and forward+backward, beside a matrix of its size, pykan and PyTorch.

    Example: las bench kan --shape 1024,128,128 --grid 10
    """
    from lasmlx.benchmark import KANRow, measure_kan, open_peers
    from lasmlx.benchmark.kan import SHAPES

    columns = SPEEDS | PEAK | ERROR
    with open_peers(peer) as (peers, absent):
        for text in shape or [",".join(map(str, sizes)) for sizes in SHAPES]:
            rows, inputs, outputs = sizes_of(text, "rows,inputs,outputs")
            sizes = rows, inputs, outputs
            records = measure_kan(
                sizes, grid=grid, degree=degree, peers=peers, repeats=repeats, budget_seconds=budget / 2
            )
            title = f"splines of degree {degree} on {grid} intervals, (rows, inputs, outputs) = {sizes}"
            show(title, KANRow, columns, records, json, peers, absent)
