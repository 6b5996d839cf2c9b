"""The page of ``las viz tau``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from lasmlx.apps.viz_cells import (
    AT_BOUND,
    MARK,
    coloured_text,
    heading,
    heat_row,
    histograms,
    ramp_cells,
    scale_legend,
    time_axis,
)
from lasmlx.apps.viz_dt import GUTTER, MOST_ROWS, NARROWEST, bounds_label, over_time, put, time_heading
from lasmlx.apps.viz_line import channel
from lasmlx.viz import LEVEL, Scale, means_of_runs, three_digits, time_unit

if TYPE_CHECKING:
    from rich.console import Console

    from lasmlx.viz import SpikesTrace, TauTrace

FEWEST_ROWS = 7  # of tau over time
CURVE_ROWS = 4  # of an only channel; several are drawn as cells
CHANNELS = 6  # there may be one as cells for so many rows of the terminal
FEWEST_UNIT_ROWS, MOST_UNIT_ROWS = 3, 24  # of the heat map, all layers together at most


def show(console: Console, trace: TauTrace, title: str) -> None:
    """Print what was read, tau over time, units x time a layer and a histogram a layer; on a screen where they fit."""
    width, layers = max(console.width, NARROWEST), len(trace.layers)
    coloured = console.color_system is not None and not console.no_color
    time, often = time_heading(trace, width), _often(trace, width, coloured)
    others = 3 + 3 + 4 + 3 + len(title) // width  # labels and axes of two, blank lines, the title, the prompt
    left = console.height - others - sum(map(_lines, (time, often)))
    most = min(left - FEWEST_ROWS - FEWEST_UNIT_ROWS * layers - 3, console.height // CHANNELS)
    read = _text(trace, width, coloured) if trace.x is None else channels(trace, max(most, 3), width, coloured)
    left = max(left - _lines(read), 0)  # for the rows of the heat map and of tau over time
    units = min(max(left // 2, FEWEST_UNIT_ROWS * layers), max(MOST_UNIT_ROWS, FEWEST_UNIT_ROWS * layers)) // layers
    heat = _heat_map(trace, units, width, coloured)
    time += over_time(trace, width, min(max(left + 3 - len(heat), FEWEST_ROWS), MOST_ROWS))
    put(console, title, (read, time, heat, often))


def _text(trace: TauTrace, width: int, coloured: bool) -> list[Text]:
    legend = scale_legend(trace.scale(trace.mean), coloured, bars=True)
    return heading("Text, mean tau of each byte", legend, width) + coloured_text(trace, width, coloured)


def channels(trace: TauTrace | SpikesTrace, most: int, width: int, coloured: bool) -> list[Text]:
    """The vectors that were read: a curve of one channel, else a row of cells for each, at most so many."""
    assert trace.x is not None
    count = trace.x.shape[1]
    if count == 1:
        return [*heading("Input", Text(), width), channel(trace, trace.x[:, 0], GUTTER, width, CURVE_ROWS)]
    legend = Text.assemble(
        "lowest ", ramp_cells(coloured, ramp=LEVEL), " highest of each channel" if width >= 60 else " highest"
    )
    lines = heading(f"Input, {count} channels", legend, width)
    runs = trace.runs(2 * (width - GUTTER))
    shown = count if count <= most + 1 else most  # a note in the place of one channel would save nothing
    for i, values in enumerate(trace.x.T[:shown]):
        share = Scale.of(values, 0, 100).share(values)
        row = heat_row(means_of_runs(share, runs), trace.edges[runs], width - GUTTER, coloured, LEVEL)
        lines.append(Text.assemble(f"x {i}".rjust(GUTTER - 1), " ", row))
    if count > shown:
        lines.append(Text(" " * GUTTER + f"… and {count - shown} channels more", "dim"))
    return lines


def _heat_map(trace: TauTrace, rows: int, width: int, coloured: bool) -> list[Text]:
    """A block a layer: its name, then units in the order of their mean tau, which stands left of them."""
    heat = trace.heat_map(rows, 2 * (width - GUTTER))
    scale = trace.scale(heat.values)
    lines = heading("Units over time, slow ones on top", scale_legend(scale, coloured), width)
    for layer, values, means in zip(trace.layers, heat.values, heat.means, strict=True):
        for i, (row, mean) in enumerate(zip(scale.share(values), means, strict=True)):
            unit, second = time_unit(float(mean))
            name = f"layer {layer}" if i == 0 else f"{three_digits(mean / second)} {unit}"
            cells = heat_row(row, heat.edges, width - GUTTER, coloured)
            lines.append(Text.assemble((name.rjust(GUTTER - 1), "" if i == 0 else "dim"), " ", cells))
    return lines + time_axis(trace, GUTTER, width)


def _often(trace: TauTrace, width: int, coloured: bool) -> list[Text]:
    legend = Text.assemble(("█", MARK), " with the mean") if coloured else Text()
    if trace.bounds:
        legend.append("  " if legend else "").append(AT_BOUND, MARK).append(f" {bounds_label(trace.bounds)}")
    lines = heading(f"How often each tau occurs, {time_unit(trace.range[1])[0]}", legend, width)
    return lines + histograms(trace, GUTTER, width, trace.bounds or ())


def _lines(section: list[Text]) -> int:
    return sum(text.plain.count("\n") + 1 for text in section)
