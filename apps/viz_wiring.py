"""The page of ``las viz wiring``: the layers in numbers, and who talks to whom."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from lasmlx.layers.wiring import Wiring, WiringPicture

Kind = Literal["auto-ncp", "full", "random"]
EXCITES, INHIBITS, ABSENT = ("+", "rgb(64,160,96)"), ("-", "rgb(208,88,80)"), ("·", "dim")
SIGNS = {"+": EXCITES, "-": INHIBITS, ".": ABSENT}


def make_wiring(kind: Kind, inputs: int, units: int, outputs: int, sparsity: float, seed: int) -> Wiring:
    """The wiring that the options describe.

    Raises:
        ValueError: a size or the sparsity is out of range, or there is no such kind.
    """
    from lasmlx.layers import AutoNCP, FullyConnected, Random

    makers: dict[str, Any] = {
        "auto-ncp": lambda: AutoNCP(inputs, units, outputs, sparsity, seed),
        "full": lambda: FullyConnected(inputs, units, outputs, seed=seed),
        "random": lambda: Random(inputs, units, outputs, sparsity, seed),
    }
    if kind not in makers:
        raise ValueError(f"viz: wiring is {kind!r}, expected one of {', '.join(makers)}.")
    wiring: Wiring = makers[kind]()
    return wiring


def show(console: Console, wiring: Wiring, title: str) -> None:
    """Print a row a layer, then a row a sender and a column a neuron, as wide as the terminal allows."""
    from lasmlx.layers import picture

    drawn = picture(wiring)
    console.print(title, style="dim", markup=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("layer", "neurons", "synapses in", "out, a neuron"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    for layer in drawn.layers:
        table.add_row(layer.name, str(layer.neurons), f"{layer.fan_in:.1f}", f"{layer.fan_out:.1f}")
    console.print(table)
    legend = Text.assemble(EXCITES, " excites  ", INHIBITS, " inhibits  ", ABSENT, " no synapse; ")
    console.print(legend.append(f"{drawn.density:.0%} of all there could be"))
    console.print()
    for line in matrix(drawn, console.width):
        console.print(line, no_wrap=True, overflow="crop", crop=True)


def matrix(drawn: WiringPicture, width: int) -> list[Text]:
    """Senders down, receivers across, a gap between layers; what does not fit is counted."""
    gutter = max(len(name.split()[0]) for name in drawn.rows) + 1
    groups = [(name, len(list(group))) for name, group in groupby(drawn.columns, lambda column: column.split()[0])]
    fits = max(1, width - gutter - len(groups) - 14)
    head = Text(" " * gutter, "dim")
    left = fits
    for name, count in groups:
        head.append(f"{name[: min(count, left)]:<{min(count, left)}} ", "dim")
        left -= min(count, left)
    lines, before = [head], ""
    for row, cells in zip(drawn.rows, drawn.cells, strict=True):
        kind = row.split()[0]
        line = Text(f"{kind if kind != before else '':<{gutter}}", "dim")
        before, at = kind, 0
        for _, count in groups:
            for cell in cells[at : min(at + count, fits)]:
                line.append(*SIGNS[cell])
            line.append(" ")
            at += count
        if len(cells) > fits:
            line.append(f"{len(cells) - fits} more", "dim")
        lines.append(line)
    return lines
