"""The page of ``las viz dt``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from lasmlx.apps.viz_cells import MARK, coloured_text, heading, heat_map, histograms, scale_legend
from lasmlx.apps.viz_line import BAND, BOUND, LINE, enlarged_mean, whole_range
from lasmlx.viz import three_digits, time_unit

if TYPE_CHECKING:
    from rich.console import Console

    from lasmlx.viz import DtTrace, LayerTrace

GUTTER = 8  # columns left of every picture, for labels: so the time axes stand below each other
NARROWEST = 32  # columns
FEWEST_ROWS, MOST_ROWS = 11, 18  # of dt over time
FITS_A_PAGE = 320  # bytes, in a figure or a table


def fitting_bytes(width: int) -> int:
    """As many bytes as the pictures have dots from left to right."""
    return 2 * (max(width, NARROWEST) - GUTTER)


def show(console: Console, trace: DtTrace, title: str) -> None:
    """Print the text, dt over time, layers x time and a histogram a layer; together a screen where they fit in one."""
    width = max(console.width, NARROWEST)
    coloured = console.color_system is not None and not console.no_color
    layers = trace.timeline(2 * (width - GUTTER)).layers
    run = -(-len(trace.data) // layers.shape[1])
    every = "byte" if run == 1 else f"{run} bytes"
    text = heading("Text, mean dt of each byte", scale_legend(trace.scale(trace.mean), coloured, bars=True), width)
    text += coloured_text(trace, width, coloured)
    heat = heading(f"Layers, mean dt of each {every}", scale_legend(trace.scale(layers), coloured), width)
    heat += heat_map(trace, GUTTER, width, coloured)
    marked = Text.assemble(("█", MARK), " with the mean") if coloured else Text()
    often = heading(f"How often each dt occurs, {time_unit(trace.range[1])[0]}", marked, width)
    often += histograms(trace, GUTTER, width)
    time = time_heading(trace, width)
    taken = sum(map(len, (text, time, heat, often))) + 3 + 4 + 3  # labels and axis, blank lines, title and prompt
    time += over_time(trace, width, min(max(console.height - taken, FEWEST_ROWS), MOST_ROWS))
    put(console, title, (text, time, heat, often))


def time_heading(trace: LayerTrace, width: int) -> list[Text]:
    """What stands above :func:`over_time`."""
    return heading(f"{trace.symbol} over time", _line_legend(trace, short=width < 70), width)


def over_time(trace: LayerTrace, width: int, rows: int) -> list[Text]:
    """Mean, band and bounds over the whole range, and the mean enlarged; three lines more than ``rows``."""
    small = rows * 2 // 5
    between = Text(" " * GUTTER + "the mean, enlarged", "dim")
    return [whole_range(trace, GUTTER, width, rows - small), between, enlarged_mean(trace, GUTTER, width, small)]


def put(console: Console, title: str, sections: Sequence[Sequence[Text]]) -> None:
    """Print a page."""
    console.print(title, style="dim", markup=False)
    for section in sections:
        console.print()
        for line in section:
            console.print(line, no_wrap=True, overflow="crop", crop=True)


def _line_legend(trace: LayerTrace, short: bool) -> Text:
    band = "5-95 %" if short else f"5 to 95 % of {trace.units}"
    legend = Text.assemble(("━", _rgb(LINE)), " mean ", ("░", _rgb(BAND)), f" {band}")
    if trace.bounds is not None:
        legend.append(" ").append("┈", _rgb(BOUND)).append(f" {bounds_label(trace.bounds, short)}")
    return legend


def bounds_label(bounds: tuple[float, ...], short: bool = False) -> str:
    """``bounds 1 and 100 ms``."""
    unit, second = time_unit(bounds[-1])
    numbers = ("," if short else " and").join(f" {three_digits(bound / second)}" for bound in bounds)
    return f"bound{'s' if len(bounds) > 1 else ''}{numbers} {unit}"


def _rgb(colour: tuple[int, int, int]) -> str:
    return f"rgb({colour[0]},{colour[1]},{colour[2]})"
