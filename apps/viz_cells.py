"""Coloured cells in the terminal: text, heat maps, histograms, and the axes and legends that explain them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from lasmlx.viz import DOT, Scale, byte_signs, colour, even_ticks, ink, log_ticks, text_columns, text_rows, time_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lasmlx.viz import DtTrace

LEVELS = 24  # colours
BARS = " ▁▂▃▄▅▆▇█"
SHADES = " ░▒▓█"
MOST_ROWS = 60
BAR, MARK = "rgb(70,140,230)", "rgb(205,105,50)"


def heading(title: str, legend: Text, width: int) -> list[Text]:
    """The title, and the legend at the right end of its line or, where that is too narrow, below."""
    room = width - len(title) - legend.cell_len
    if room >= 2:
        return [Text.assemble((title, "bold"), " " * room, legend)]
    return [Text(title, "bold"), legend] if legend else [Text(title, "bold")]


def coloured_text(trace: DtTrace, width: int, coloured: bool) -> list[Text]:
    """The bytes on the colours of their mean dt; without colours, a bar under each says it."""
    signs, share = _exact(byte_signs(trace.data)), Scale.of(trace.mean).share(trace.mean)
    styles = [_on(level) for level in _levels(share, LEVELS)]
    rows = text_rows(trace.data, width)
    lines = []
    for row in rows[:MOST_ROWS]:
        line, bars = Text(), Text()
        for k, (start, stop) in enumerate(row):
            for part in (line, bars):
                part.append(" " * (k * text_columns(rows) - part.cell_len))
            if stop < len(signs) and not signs[stop]:  # a wide character does not fit on this line any more
                signs[stop - 1] = signs[stop] = DOT
            for i in range(start, stop):
                line.append(signs[i], styles[i] if coloured else None)
            bars.append("".join(BARS[1 + level] for level in _levels(share[start:stop], 8)))
        lines += [line] if coloured else [line, bars]
    if len(rows) > MOST_ROWS:
        lines.append(Text(f"… and {len(trace.data) - rows[MOST_ROWS][0][0]:,} bytes more", "dim"))
    return lines


def heat_map(trace: DtTrace, gutter: int, width: int, coloured: bool) -> list[Text]:
    """Layers down, bytes to the right, two half blocks a column; an axis below."""
    columns = 2 * (width - gutter)
    line = trace.timeline(columns)
    x = (np.arange(columns) + 0.5) * len(trace.data) / columns
    share = Scale.of(line.layers).share(line.layers)[:, np.searchsorted(line.edges, x, "right") - 1]
    rows = []
    for layer, values in zip(trace.layers, share, strict=True):
        cells = _halves(values) if coloured else _shades(values)
        rows.append(Text.assemble(f"layer {layer}".rjust(gutter - 1), " ", cells))
        if len(trace.layers) <= 2:
            rows.append(Text.assemble(" " * gutter, cells))
    starts = even_ticks(len(trace.data), most=max(2, (width - gutter) // 10))
    at = [int(start * (width - gutter) / len(trace.data) + 0.5) for start in starts]
    return rows + axis(at, [str(start) if start else "byte 0" for start in starts], gutter, width - gutter, width)


def histograms(trace: DtTrace, gutter: int, width: int) -> list[Text]:
    """dt to the right on a logarithmic axis, a row or two of bars for each layer; the bar with the mean is marked."""
    unit, second = time_unit(trace.range[1])
    notes = [
        f"  mean {s.mean / second:.3g} {unit}, 5 to 95 %: {s.p5 / second:.3g} to {s.p95 / second:.3g} {unit}"
        for s in trace.summary()
    ]
    widest = max(len(note) for note in notes)
    bins = width - gutter - widest
    if bins < 24:
        notes, bins = [""] * len(notes), width - gutter
    edges, counts = trace.histogram(bins)
    rows = []
    for layer, count, of, note in zip(trace.layers, counts, trace.summary(), notes, strict=True):
        tall = 2 if len(trace.layers) <= 4 else 1
        eighths = np.ceil(count / count.max() * 8 * tall).astype(int)
        mean = min(max(int(np.searchsorted(edges, of.mean, "right")) - 1, 0), bins - 1)
        for floor in range(tall - 1, -1, -1):
            bars = Text("".join(BARS[min(max(v - 8 * floor, 0), 8)] for v in eighths), BAR)
            bars.stylize(MARK, mean, mean + 1)
            name = f"layer {layer}" if floor == 0 else ""
            rows.append(Text.assemble(name.rjust(gutter - 1), " ", bars, (note if floor == 0 else "", "dim")))
    ticks = log_ticks(*trace.range, most=min(max(2, bins // 4), 12))
    at = [min(int(np.searchsorted(edges, tick * 1.0001, "right")) - 1, bins - 1) for tick in ticks]
    return rows + axis(at, [f"{tick / second:.3g}" for tick in ticks], gutter, bins, width)


def axis(at: list[int], labels: list[str], gutter: int, columns: int, width: int) -> list[Text]:
    """A line of so many columns with ticks and, centred under them where there is room, their labels."""
    rule, words = ["─"] * columns, [" "] * width
    end = gutter
    for place, label in zip(at, labels, strict=True):
        rule[max(place, 0)] = "┬"
        start = min(max(gutter + place - (len(label) - 1) // 2, end), width - len(label))
        if start >= end:
            words[start : start + len(label)] = label
            end = start + len(label) + 1
    return [Text(" " * (gutter - 1) + "└" + "".join(rule)), Text("".join(words).rstrip())]


def scale_legend(values: NDArray[Any], coloured: bool, bars: bool = False) -> Text:
    """``slow 19.6 ms <ramp> 25.3 ms fast``."""
    scale = Scale.of(values)
    unit, second = time_unit(scale.high)
    ramp = _halves(np.linspace(0, 1, LEVELS)) if coloured else Text(BARS[1:] if bars else SHADES)
    return Text.assemble(f"slow {scale.low / second:.3g} {unit} ", ramp, f" {scale.high / second:.3g} {unit} fast")


def _exact(signs: list[str]) -> list[str]:
    """With dots for those that a terminal gives more or fewer columns than they have bytes."""
    columns = [2 if after == "" else 1 for after in [*signs[1:], DOT]]
    return [sign if not sign or cell_len(sign) == n else DOT * n for sign, n in zip(signs, columns, strict=True)]


def _halves(share: NDArray[Any]) -> Text:
    levels = _levels(share, LEVELS)
    text = Text()
    for left, right in zip(levels[::2], levels[1::2], strict=True):
        text.append("▌", _half(left, right))
    return text


def _shades(share: NDArray[Any]) -> Text:
    return Text("".join(SHADES[level] for level in _levels((share[::2] + share[1::2]) / 2, len(SHADES))))


def _levels(share: NDArray[Any], count: int) -> list[int]:
    levels: list[int] = np.minimum((share * count).astype(int), count - 1).tolist()
    return levels


@cache
def _on(level: int) -> Style:
    ground = colour(level / (LEVELS - 1))
    return Style(color=_rgb(ink(ground)), bgcolor=_rgb(ground))


@cache
def _half(left: int, right: int) -> Style:
    return Style(color=_rgb(colour(left / (LEVELS - 1))), bgcolor=_rgb(colour(right / (LEVELS - 1))))


def _rgb(values: NDArray[Any]) -> str:
    return f"rgb({','.join(str(int(v)) for v in values)})"
