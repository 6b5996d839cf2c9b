"""Coloured cells in the terminal: text, heat maps, histograms, and the axes and legends that explain them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from lasmlx.viz import (
    DOT,
    SPEED,
    Scale,
    byte_signs,
    colour,
    ink,
    log_ticks,
    text_columns,
    text_rows,
    three_digits,
    time_unit,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lasmlx.viz import DtTrace, LayerTrace, TokenTrace
    from lasmlx.viz.scale import Ramp

LEVELS = 24  # colours
BARS = " ▁▂▃▄▅▆▇█"
SHADES = " ░▒▓█"
MOST_ROWS = 60
BAR, MARK = "rgb(70,140,230)", "rgb(205,105,50)"
AT_BOUND = "╋"
BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # of a braille character, row by column
BLANK = 0x2800
DOTS = BITS.shape  # a character has so many down and across


def heading(title: str, legend: Text, width: int) -> list[Text]:
    """The title, and the legend at the right end of its line or, where that is too narrow, below."""
    room = width - len(title) - legend.cell_len
    if room >= 2:
        return [Text.assemble((title, "bold"), " " * room, legend)]
    return [Text(title, "bold"), legend] if legend else [Text(title, "bold")]


def coloured_text(trace: LayerTrace, width: int, coloured: bool) -> list[Text]:
    """The bytes on the colours of their mean; without colours, a bar under each says it."""
    return coloured_bytes(trace.data, trace.scale(trace.mean).share(trace.mean), width, coloured)


def coloured_bytes(
    data: bytes, share: NDArray[Any], width: int, coloured: bool, ramp: Ramp = SPEED, most: int = MOST_ROWS
) -> list[Text]:
    """Bytes on the colours of their share, at most so many rows of them; without colours, a bar under each."""
    signs = _exact(byte_signs(data))
    styles = [_on(level, ramp) for level in _levels(share, LEVELS)]
    rows = text_rows(data, width)
    lines = []
    for row in rows[:most]:
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
    if len(rows) > most:
        lines.append(Text(f"… and {len(data) - rows[most][0][0]:,} bytes more", "dim"))
    return lines


def heat_map(trace: DtTrace, gutter: int, width: int, coloured: bool) -> list[Text]:
    """Layers down, bytes to the right, two half blocks a column; an axis below."""
    line = trace.timeline(2 * (width - gutter))
    rows = []
    for layer, share in zip(trace.layers, trace.scale(line.layers).share(line.layers), strict=True):
        row = heat_row(share, line.edges, width - gutter, coloured)
        rows += [Text.assemble(f"layer {layer}".rjust(gutter - 1), " ", row)]
        rows += [Text.assemble(" " * gutter, row)] if len(trace.layers) <= 2 else []
    return rows + time_axis(trace, gutter, width)


def heat_row(share: NDArray[Any], edges: NDArray[Any], columns: int, coloured: bool, ramp: Ramp = SPEED) -> Text:
    """Values (m,) that hold from each of the edges (m + 1,) to the next, as colours or shades."""
    at = np.searchsorted(edges, (np.arange(2 * columns) + 0.5) * edges[-1] / (2 * columns), "right") - 1
    return _halves(share[at], ramp) if coloured else _shades(share[at])


def time_axis(trace: LayerTrace | TokenTrace, gutter: int, width: int) -> list[Text]:
    """The time axis below rows that begin at ``gutter`` and end at ``width``."""
    columns = width - gutter
    places, labels = zip(*trace.ticks(most=max(2, columns // 10)), strict=True)
    at = [min(int(place * columns / trace.edges[-1] + 0.5), columns - 1) for place in places]
    return axis(at, list(labels), gutter, columns, width)


def histograms(trace: LayerTrace, gutter: int, width: int, bounds: tuple[float, ...] = ()) -> list[Text]:
    """Times to the right on a logarithmic axis, a row or two of bars for each layer; the bar with the mean is marked.

    Args:
        bounds: to mark on the axis.
    """
    unit, second = time_unit(trace.range[1])
    notes = []
    for of in trace.summary():
        of_all, p5, p95 = (three_digits(value / second) for value in (of.mean, of.p5, of.p95))
        notes.append(f"  mean {of_all} {unit}, 5 to 95 %: {p5} to {p95} {unit}")
    widest = max(map(len, notes))
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
    rule, words = axis(at, [three_digits(tick / second) for tick in ticks], gutter, bins, width)
    for bound in bounds:
        place = gutter + min(max(int(np.searchsorted(edges, bound * 1.0001, "right")) - 1, 0), bins - 1)
        rule = Text.assemble(rule[:place], (AT_BOUND, MARK), rule[place + 1 :])
    return [*rows, rule, words]


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


def scale_legend(scale: Scale, coloured: bool, bars: bool = False) -> Text:
    """``slow 19.6 ms <ramp> 25.3 ms fast``."""
    unit, second = time_unit(max(scale.low, scale.high))
    cells = ramp_cells(coloured, bars)
    slow, fast = (three_digits(end / second) for end in (scale.low, scale.high))
    return Text.assemble(f"slow {slow} {unit} ", cells, f" {fast} {unit} fast")


def amount_legend(scale: Scale, coloured: bool, ramp: Ramp) -> Text:
    """``least 0.31 <ramp> 2.5 most``, for text."""
    low, high = (three_digits(end) for end in (scale.low, scale.high))
    return Text.assemble(f"least {low} ", ramp_cells(coloured, bars=True, ramp=ramp), f" {high} most")


def ramp_cells(coloured: bool, bars: bool = False, ramp: Ramp = SPEED) -> Text:
    """From 0 to 1 in whatever stands for it."""
    return _halves(np.linspace(0, 1, LEVELS), ramp) if coloured else Text(BARS[1:] if bars else SHADES)


def on(share: float, ramp: Ramp = SPEED) -> Style:
    """Black or white on the colour of a share."""
    return _on(_levels(np.array([share]), LEVELS)[0], ramp)


def braille(dots: NDArray[np.bool_]) -> list[str]:
    """(rows, columns) as characters of four rows and two columns."""
    down, across = DOTS
    rows = -(-dots.shape[0] // down)
    whole = np.pad(dots, ((0, rows * down - dots.shape[0]), (0, -dots.shape[1] % across)))
    cells = whole.reshape(rows, down, -1, across)
    codes = BLANK + np.einsum("rdca,da->rc", cells, BITS)
    return ["".join(chr(code) if code > BLANK else " " for code in row) for row in codes.tolist()]


def _exact(signs: list[str]) -> list[str]:
    """With dots for those that a terminal gives more or fewer columns than they have bytes."""
    columns = [2 if after == "" else 1 for after in [*signs[1:], DOT]]
    return [sign if not sign or cell_len(sign) == n else DOT * n for sign, n in zip(signs, columns, strict=True)]


def _halves(share: NDArray[Any], ramp: Ramp) -> Text:
    levels = _levels(share, LEVELS)
    text = Text()
    for left, right in zip(levels[::2], levels[1::2], strict=True):
        text.append("▌", _half(left, right, ramp))
    return text


def _shades(share: NDArray[Any]) -> Text:
    return Text("".join(SHADES[level] for level in _levels((share[::2] + share[1::2]) / 2, len(SHADES))))


def _levels(share: NDArray[Any], count: int) -> list[int]:
    levels: list[int] = np.minimum((share * count).astype(int), count - 1).tolist()
    return levels


@cache
def _on(level: int, ramp: Ramp) -> Style:
    ground = colour(level / (LEVELS - 1), ramp)
    return Style(color=_rgb(ink(ground)), bgcolor=_rgb(ground))


@cache
def _half(left: int, right: int, ramp: Ramp) -> Style:
    return Style(color=_rgb(colour(left / (LEVELS - 1), ramp)), bgcolor=_rgb(colour(right / (LEVELS - 1), ramp)))


def _rgb(values: NDArray[Any]) -> str:
    return f"rgb({','.join(str(int(v)) for v in values)})"
