"""The page of ``las viz hebb``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from lasmlx.apps.plots import as_text, new_figure
from lasmlx.apps.viz_cells import amount_legend, coloured_bytes, heading, heat_row, ramp_cells
from lasmlx.apps.viz_dt import GUTTER, NARROWEST, put
from lasmlx.viz import LEVEL, SIGNED, log_ticks, synapse_rows, three_digits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from lasmlx.viz import HebbTrace, Scale

LINES = ((70, 140, 230), (40, 160, 110), (160, 100, 210), (190, 150, 40), (200, 80, 130), (120, 120, 120))
BOUND = (205, 105, 50)
BOUND_ROWS, NORM_ROWS = 5, 6  # of the norms up to their bounds, and enlarged
FEWEST_ROWS = 3  # of the text, and of a head
SYNAPSES = (6, 3)  # where they fit, and where room is short
SIGNS = "=- +#"  # from negative to positive, where there are no colours
NARROW_HEAD, NAMED_HEAD = 6, 14  # columns: of a head at least; where its layer's name has room too

Blocks = list[tuple[int, int]]  # which layer and head stand side by side


def show(console: Console, trace: HebbTrace, title: str) -> None:
    """Print the text, norms over time, each head's trace and what moved most; on a screen where they fit in one."""
    width = max(console.width, NARROWEST)
    coloured = console.color_system is not None and not console.no_color
    norms, lines = _norms(trace, width, coloured), _lines(trace, width - GUTTER)
    left = console.height - 2 - 4 - len(title) // width - sum(map(_height, norms)) - 2
    most = (left - 1 - SYNAPSES[1] - (1 + FEWEST_ROWS) * len(lines)) // (1 if coloured else 2) - 1
    text = _text(trace, max(most, FEWEST_ROWS), width, coloured)
    for count in SYNAPSES:
        rows = (left - len(text) - 1 - count) // len(lines) - 1
        if rows >= FEWEST_ROWS:
            break
    moved = [Text("Synapses that moved most", "bold"), *(Text("  ".join(row)) for row in synapse_rows(trace, count))]
    put(console, title, (text, norms, _traces(trace, lines, max(rows, FEWEST_ROWS), width, coloured), moved))


def _text(trace: HebbTrace, most: int, width: int, coloured: bool) -> list[Text]:
    scale = trace.scale(trace.change)
    name = f"Text, change of traces at each {trace.element}"
    share = trace.per_byte(scale.share(trace.change))
    legend = amount_legend(scale, coloured, LEVEL)
    return heading(name, legend, width) + coloured_bytes(trace.data, share, width, coloured, LEVEL, most)


def _norms(trace: HebbTrace, width: int, coloured: bool) -> list[Text]:
    """The norms on a logarithmic axis with their bounds, and enlarged."""
    legend = Text("" if coloured or len(trace.layers) == 1 else "digits: layers ")
    for i, layer in enumerate(trace.layers if coloured else ()):
        legend.append("━", _rgb(LINES[i % len(LINES)])).append(f" layer {layer} ")
    names = " and ".join(sorted({three_digits(bound) for bound in trace.bounds.tolist()}, key=float))
    legend.append("┈", _rgb(BOUND) if coloured else "").append(f" bound {names}")
    low = float(trace.norms[trace.norms > 0].min(initial=trace.bounds.min()))
    high = float(trace.bounds.max())
    low = min(max(low, high / 1e4), high / 2)
    half = (math.log10(high) - math.log10(low)) / (BOUND_ROWS - 1) / 2  # so that a bound lies in the middle of its row
    figure = new_figure(width, BOUND_ROWS)
    ticks = [*log_ticks(low, high * 0.7, most=2), high]
    y_axis = figure.ruler("y", "left").alignment(lim="edge").lim(math.log10(low) - half, math.log10(high) + half)
    y_axis.ticks([math.log10(tick) for tick in ticks], [three_digits(tick).rjust(GUTTER - 1) for tick in ticks])
    figure.ruler("x", "lower").alignment(lim="edge").lim(0, trace.edges[-1]).frequency(0)
    for bound in np.unique(trace.bounds).tolist():
        _line(figure, trace, np.full(len(trace.lengths), math.log10(bound)), width, "┈", BOUND, coloured, whole=False)
    _curves(figure, trace, np.log10(trace.norms.clip(low, high)), width, coloured)
    return [
        *heading("Norm of each layer's trace", legend, width),
        as_text(figure),
        Text(" " * GUTTER + "enlarged", "dim"),
        _enlarged(trace, width, coloured),
    ]


def _enlarged(trace: HebbTrace, width: int, coloured: bool) -> Text:
    columns = width - GUTTER
    low, high = float(trace.norms.min()), float(trace.norms.max())
    margin = (high - low) * 0.08 or high * 0.05 or 1.0
    figure = new_figure(width, NORM_ROWS + 2).axes(True, axis=0, side=0)
    ends = [low, (low + high) / 2, high] if high > low else [low]
    y_axis = figure.ruler("y", "left").alignment(lim="edge").lim(low - margin, high + margin)
    y_axis.ticks(ends, [three_digits(end).rjust(GUTTER - 1) for end in ends])
    places, labels = zip(*trace.ticks(most=max(2, columns // 10)), strict=True)
    x_axis = figure.ruler("x", "lower").alignment(lim="edge").lim(0, trace.edges[-1])
    x_axis.ticks([place + trace.edges[-1] / columns / 4 for place in places], list(labels))
    _curves(figure, trace, trace.norms, width, coloured)
    return as_text(figure)


def _curves(figure: Any, trace: HebbTrace, values: NDArray[Any], width: int, coloured: bool) -> None:
    for i, (layer, row) in enumerate(zip(trace.layers, values, strict=True)):
        one = coloured or len(values) == 1
        _line(figure, trace, row, width, "braille" if one else _digit(layer), LINES[i % len(LINES)], coloured)


def _line(
    figure: Any,
    trace: HebbTrace,
    values: NDArray[Any],
    width: int,
    sign: str,
    colour: tuple[int, int, int],
    coloured: bool,
    *,
    whole: bool = True,
) -> None:
    import plotext

    count = 2 * (width - GUTTER)
    x = (np.arange(count) + 0.5) * trace.edges[-1] / count
    at = np.searchsorted(trace.edges, x, "right") - 1
    marker = plotext.marker(sign, pixel=plotext.pixel(foreground=colour)) if coloured else plotext.marker(sign)
    signal = figure.signal(x.tolist(), values[at].tolist(), marker=marker)
    figure.draw(signal.lines().density("full", scope="line") if whole else signal)


def _lines(trace: HebbTrace, room: int) -> list[Blocks]:
    """Which heads stand side by side: those of several layers where there is room, else of one or of a part of it."""
    layers, heads, _, n = trace.after.shape
    whole = (room + 1) // (heads * (max(NAMED_HEAD, -(-n // 2)) + 1))
    if whole >= 2:
        return [
            [(i, head) for i in range(start, min(start + whole, layers)) for head in range(heads)]
            for start in range(0, layers, whole)
        ]
    parts = -(-heads // min(heads, (room + 1) // (NARROW_HEAD + 1)))
    edges = [part * heads // parts for part in range(parts + 1)]
    return [[(i, h) for h in range(edges[p], edges[p + 1])] for i in range(layers) for p in range(parts)]


def _traces(trace: HebbTrace, lines: list[Blocks], rows: int, width: int, coloured: bool) -> list[Text]:
    """Each head's trace after the last token: what reads it down, what writes it to the right."""
    room = width - GUTTER
    columns = min((room + 1) // max(map(len, lines)) - 1, max(2 * trace.after.shape[3], NAMED_HEAD))
    heat = trace.heat_map(rows, 2 * columns if coloured else columns)
    scale = trace.signed_scale(heat)
    ends = f"{scale.low:+.2g} ", f" {scale.high:+.2g}"
    cells = ramp_cells(True, ramp=SIGNED) if coloured else Text(SIGNS)
    name = f"Trace after the last {trace.unit}, to unit down, from unit across"
    text = heading(name if width >= 80 else "Trace at the end", Text.assemble(ends[0], cells, ends[1]), width)
    for blocks in lines:
        several = len({layer for layer, _ in blocks}) > 1
        names = [f"layer {trace.layers[i]} head {head}" if several else f"head {head}" for i, head in blocks]
        names = names if max(map(len, names)) <= columns else [str(head) for _, head in blocks]
        text.append(Text(" " * GUTTER + " ".join(name.ljust(columns) for name in names).rstrip(), "dim"))
        for row in range(heat.shape[2]):
            name = f"layer {trace.layers[blocks[0][0]]}" if row == 0 and not several else ""
            parts = [_cells(heat[i, head, row], scale, columns, coloured) for i, head in blocks]
            text.append(Text.assemble(name.rjust(GUTTER - 1), " ", Text(" ").join(parts)))
    return text


def _cells(values: NDArray[Any], scale: Scale, columns: int, coloured: bool) -> Text:
    share = scale.share(values)
    if coloured:
        return heat_row(share, np.arange(len(share) + 1), columns, True, SIGNED)
    at = (np.arange(columns) * len(share)) // columns
    return Text("".join(SIGNS[min(int(v * len(SIGNS)), len(SIGNS) - 1)] for v in share[at]))


def _digit(layer: int) -> str:
    return str(layer % 10)


def _height(text: Text) -> int:
    return text.plain.count("\n") + 1


def _rgb(colour: tuple[int, int, int]) -> str:
    return f"rgb({colour[0]},{colour[1]},{colour[2]})"
