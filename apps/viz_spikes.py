"""The page of ``las viz spikes``."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from lasmlx.apps.plots import as_text, new_figure
from lasmlx.apps.viz_cells import BAR, DOTS, MARK, amount_legend, braille, coloured_bytes, heading, heat_row, ramp_cells
from lasmlx.apps.viz_dt import GUTTER, NARROWEST, put
from lasmlx.apps.viz_hebb import LINES
from lasmlx.apps.viz_tau import channels
from lasmlx.viz import LEVEL, SIGNED, operation_rows, percent

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from lasmlx.models.synops import Operations
    from lasmlx.viz import LayerActivity, SpikesTrace

FEWEST_TEXT, MOST_CHANNELS = 2, 6  # rows
FEWEST_RASTER, FEWEST_RATES, MOST_RATES = 3, 4, 8  # rows of a layer's raster, and of the curves
WIDE = 76  # columns from which there is room for whole sentences
FEWEST_BAR, MOST_BAR = 12, 60  # columns


def show(console: Console, trace: SpikesTrace, title: str) -> None:
    """Print what was read, rasters, gate, rates and operations; on a screen where they fit in one."""
    width = max(console.width, NARROWEST)
    coloured = console.color_system is not None and not console.no_color
    layers, heads = len(trace.layers), 0 if trace.share is None else trace.share.shape[2]
    work = _operations(trace, width, coloured)
    left = console.height - len(work) - 6 - len(title) // width - 4 - layers - 1  # blank lines, headings, layers' names
    gate = _gate(trace, width, coloured, heads=False)
    left -= len(gate) + 2 + FEWEST_RATES  # with the time axis
    read = _read(trace, max(left - FEWEST_RASTER * layers, FEWEST_TEXT), width, coloured)
    left -= len(read) - 1
    rows = -(-trace.spikes.shape[2] // DOTS[0])
    if heads and left - FEWEST_RASTER * layers >= layers * heads:
        gate = _gate(trace, width, coloured, heads=True)
        left -= layers * heads
    raster = max(min(left // layers, rows), FEWEST_RASTER if rows > FEWEST_RASTER else rows)
    rates = FEWEST_RATES + min(max(left - raster * layers, 0), MOST_RATES - FEWEST_RATES)
    put(
        console,
        title,
        (read, _raster(trace, raster, width, coloured), gate, _rates(trace, rates, width, coloured), work),
    )


def _read(trace: SpikesTrace, most: int, width: int, coloured: bool) -> list[Text]:
    if trace.data is None:
        return channels(trace, min(most, MOST_CHANNELS), width, coloured)
    scale = trace.scale(trace.mean)
    name = f"Text, share of neurons that fire at each {trace.unit}"
    name = name if width >= WIDE else "Text, share that fires"
    share = trace.per_byte(scale.share(trace.mean))
    most = most if coloured else most // 2
    text = coloured_bytes(trace.data, share, width, coloured, LEVEL, max(most - 1, FEWEST_TEXT))
    return heading(name, amount_legend(scale, coloured, LEVEL), width) + text


def _raster(trace: SpikesTrace, rows: int, width: int, coloured: bool) -> list[Text]:
    """A line of numbers a layer, and its neurons as dots over time, from the busiest to the quietest."""
    raster = trace.raster(DOTS[0] * rows, DOTS[1] * (width - GUTTER))
    joined = -(-trace.spikes.shape[1] // raster.spikes.shape[2])
    within = "" if joined == 1 else f" within {joined} {trace.tick}s"
    some = raster.spikes.shape[1]
    which = "the busiest on top" if some == trace.spikes.shape[2] else f"{some} neurons a layer, the busiest on top"
    legend = Text(f"a dot: a spike{within}; {which}" if width >= WIDE else f"a dot: a spike{within}", "dim")
    lines = heading("Spikes", legend, width)
    for i, of in enumerate(trace.summary()):
        mark = Text("━ " if len(trace.layers) > 1 else "", _line_colour(i)) if coloured else Text()
        lines.append(Text.assemble(mark, _words(of, trace.tick, width - mark.cell_len)))
        dots = braille(_columns(raster.spikes[i], raster.edges, DOTS[1] * (width - GUTTER)))
        names = [""] * len(dots)
        names[-1], names[0] = (percent(float(raster.rates[i, at]), 0) for at in (-1, 0))
        for name, row in zip(names, dots, strict=True):
            lines.append(
                Text.assemble((name.rjust(GUTTER - 1), "dim"), " ", (row, _line_colour(i) if coloured else ""))
            )
    return lines


def _words(of: LayerActivity, tick: str, width: int) -> str:
    """What a layer did, in as many words as there is room for."""
    fire, quiet = f"layer {of.layer}: {percent(of.rate)} fire", f"{of.silent} of {of.neurons} silent, {of.busy} busy"
    zeros = f"{percent(of.sparsity)} zeros"
    liquid = "" if of.liquid is None else f", gate {percent(of.liquid, 0)} liquid"
    full = f"{fire} at a {tick}, {zeros}, {quiet}{liquid}"
    for words in (full, f"{fire}, {zeros}, {quiet}{liquid}", f"{fire}, {zeros}, {quiet}", f"{fire}, {quiet}"):
        if len(words) <= width:
            return words
    return f"{fire}, {of.silent} silent, {of.busy} busy"


def _gate(trace: SpikesTrace, width: int, coloured: bool, *, heads: bool) -> list[Text]:
    """A row of cells a layer, the mean over its heads, and one a head."""
    if trace.share is None:
        return [Text("Gate", "bold"), *map(Text, wrap(trace.no_gate(), width))]
    scale = trace.gate_scale()
    low, high = (percent(end, 0) for end in (scale.low, scale.high))
    legend = Text.assemble(f"{low} ", ramp_cells(coloured, ramp=SIGNED), f" {high}")
    name = "Gate, share of the liquid path; the rest is the scan's" if width >= WIDE + 10 else "Gate, liquid path"
    lines = heading(name, legend, width)
    shares, (edges, _) = trace.gate(2 * (width - GUTTER)), trace.rates(2 * (width - GUTTER))
    for layer, values in zip(trace.layers, shares, strict=True):
        rows = [(f"layer {layer}", values.mean(axis=0)), *((f"head {i}", row) for i, row in enumerate(values))]
        for i, (label, row) in enumerate(rows if heads else rows[:1]):
            cells = heat_row(scale.share(row), edges, width - GUTTER, coloured, SIGNED)
            lines.append(Text.assemble((label.rjust(GUTTER - 1), "dim" if i else ""), " ", cells))
    return lines


def _rates(trace: SpikesTrace, rows: int, width: int, coloured: bool) -> list[Text]:
    """A curve a layer, and the time axis; two lines more than ``rows`` below the heading."""
    import plotext

    columns = width - GUTTER
    edges, rates = trace.rates(DOTS[1] * columns)
    high = float(rates.max()) or 1.0
    figure = new_figure(width, rows + 2).axes(True, axis=0, side=0)
    y_axis = figure.ruler("y", "left").alignment(lim="edge").lim(0, high * 1.08)
    y_axis.ticks([0, high / 2, high], [percent(v, 0).rjust(GUTTER - 1) for v in (0.0, high / 2, high)])
    places, labels = zip(*trace.ticks(most=max(2, columns // 10)), strict=True)
    x_axis = figure.ruler("x", "lower").alignment(lim="edge").lim(0, trace.edges[-1])
    x_axis.ticks([place + trace.edges[-1] / columns / 4 for place in places], list(labels))
    x = (np.arange(DOTS[1] * columns) + 0.5) * trace.edges[-1] / (DOTS[1] * columns)
    for i, (layer, row) in enumerate(zip(trace.layers, _columns(rates, edges, len(x)), strict=True)):
        sign = "braille" if coloured or len(rates) == 1 else str(layer % 10)
        pixel = {"pixel": plotext.pixel(foreground=LINES[i % len(LINES)])} if coloured else {}
        signal = figure.signal(x.tolist(), row.tolist(), marker=plotext.marker(sign, **pixel))
        figure.draw(signal.lines().density("full", scope="line"))
    legend = Text("" if coloured or len(trace.layers) == 1 else "digits: layers")
    for i, layer in enumerate(trace.layers if coloured and len(trace.layers) > 1 else ()):
        legend.append("━", _line_colour(i)).append(
            f" layer {layer}  " if i < len(trace.layers) - 1 else f" layer {layer}"
        )
    name = f"Firing rate, spikes of a neuron at a {trace.tick}" if width >= WIDE else "Firing rate"
    if legend.cell_len > width:  # the rasters say it too
        legend = Text()
    return [*heading(name, legend, width), as_text(figure)]


def _operations(trace: SpikesTrace, width: int, coloured: bool) -> list[Text]:
    """A row a part: all operations, and the two kinds of them that zeros leave."""
    parts, rows = trace.parts(), operation_rows(trace)
    said = Text(f"zeros spare {percent(trace.spared)}")
    lines = heading(f"Synaptic operations a {trace.unit}", said, width)
    table = ["  ".join(row) for row in rows]
    room = min(width - len(table[0]) - 2, MOST_BAR)
    most = max((part.dense for part in parts[:-1]), default=1.0)
    for i, line in enumerate(table):
        text = Text.assemble((line, "dim" if i == 0 else ""))
        if coloured and room >= FEWEST_BAR and i < len(table) - 1:
            text.append("  ")
            text.append(_kinds(room) if i == 0 else _bar(parts[i - 1], room / most))
        lines.append(text)
    return lines


def _kinds(room: int) -> Text:
    """What the colours of the bars mean, as far as there is room."""
    names = Text.assemble(("█", BAR), (" MACs ", "dim"), ("█", MARK), (" ACs ", "dim"))
    return names.append("░ zeros", "dim") if room > names.cell_len + 7 else names


def _bar(part: Operations, scale: float) -> Text:
    """What multiplies, what adds, and what zeros spare."""
    ends = [round(v * scale) for v in (part.macs, part.effective, part.dense)]
    return Text.assemble(("█" * ends[0], BAR), ("█" * (ends[1] - ends[0]), MARK), ("░" * (ends[2] - ends[1]), "dim"))


def _columns(values: NDArray[Any], edges: NDArray[Any], count: int) -> NDArray[Any]:
    """What holds at ``count`` places evenly over time, of values (..., m) that hold from each edge to the next."""
    at = np.searchsorted(edges, (np.arange(count) + 0.5) * edges[-1] / count, "right") - 1
    found: NDArray[Any] = values[..., at]
    return found


def _line_colour(i: int) -> str:
    return f"rgb({','.join(map(str, LINES[i % len(LINES)]))})"
