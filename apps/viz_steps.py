"""The page of ``las viz steps``."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from lasmlx.apps.viz_cells import BAR, BARS, MARK, amount_legend, axis, coloured_bytes, heading
from lasmlx.apps.viz_dt import GUTTER, NARROWEST, put
from lasmlx.viz import LEVEL, even_ticks, hardest_rows, three_digits

if TYPE_CHECKING:
    from rich.console import Console

    from lasmlx.viz import StepsTrace

FEWEST_ROWS = 4  # of the text
HARDEST = 8
WIDEST_BIN = 6  # columns


def show(console: Console, trace: StepsTrace, title: str) -> None:
    """Print the text, a histogram a layer, steps by surprise and the hardest tokens; on a screen where they fit."""
    width = max(console.width, NARROWEST)
    coloured = console.color_system is not None and not console.no_color
    sections = [_often(trace, width, coloured), _surprise(trace, width), _hardest(trace)]
    left = console.height - 2 - 4 - len(title) // width - sum(map(len, sections)) - 3
    most = max(left // (1 if coloured else 2), FEWEST_ROWS)
    scale = trace.scale(trace.mean)
    name = f"Text, mean steps at each {trace.unit}"
    text = heading(name, amount_legend(scale, coloured, LEVEL), width)
    share = trace.per_byte(scale.share(trace.mean))
    put(console, title, (text + coloured_bytes(trace.data, share, width, coloured, LEVEL, most), *sections))


def _often(trace: StepsTrace, width: int, coloured: bool) -> list[Text]:
    """A row of bars a layer, the bar with the mean marked; the numbers of steps below."""
    marked = Text.assemble(("█", MARK), " with the mean") if coloured else Text()
    lines = heading("How often each number of steps occurs", marked, width)
    notes = [f"  mean {three_digits(of.mean)}, {of.min} to {of.max}" for of in trace.summary()]
    room = width - GUTTER - max(map(len, notes))
    edges, counts = trace.histogram(room)
    wide = min(room // counts.shape[1], WIDEST_BIN)
    for layer, count, of, note in zip(trace.layers, counts, trace.summary(), notes, strict=True):
        eighths = np.ceil(count / count.max() * 16).astype(int)
        mean = int(np.searchsorted(edges, round(of.mean), "right")) - 1
        for floor in (8, 0):
            bars = Text("".join(BARS[min(max(v - floor, 0), 8)] * wide for v in eighths), BAR)
            bars.stylize(MARK, mean * wide, (mean + 1) * wide)
            name = f"layer {layer}" if floor == 0 else ""
            lines.append(Text.assemble(name.rjust(GUTTER - 1), " ", bars, (note if floor == 0 else "", "dim")))
    low, high = int(edges[0]), int(edges[-1])
    columns = wide * counts.shape[1]
    ticks = [low + int(tick) for tick in even_ticks(high - low, most=max(2, columns // 5))]
    at = [(int(np.searchsorted(edges, tick, "right")) - 1) * wide + (wide - 1) // 2 for tick in ticks]
    return lines + axis(at, list(map(str, ticks)), GUTTER, columns, width)


def _surprise(trace: StepsTrace, width: int) -> list[Text]:
    """What the correlation is, and the mean steps of each quarter of the tokens by their surprise."""
    lines = [Text("Steps and surprise", "bold"), *map(Text, wrap(trace.verdict(), width))]
    quarters = trace.quarters()
    names = [f"{q.low:.2f} to {q.high:.2f} bits" for q in quarters]
    widest = max(map(len, names), default=0)
    room = min(width - widest - 9, 60)
    most = max((q.steps for q in quarters), default=1.0)
    for name, quarter in zip(names, quarters, strict=True):
        full, half = divmod(round(quarter.steps / most * room * 2), 2)
        bar = "█" * full + "▌" * half
        lines.append(Text.assemble(name.rjust(widest), " ", (bar, BAR), f" {three_digits(quarter.steps)}"))
    return lines


def _hardest(trace: StepsTrace) -> list[Text]:
    lines = [Text(f"Hardest {trace.unit}s, their steps and surprise", "bold")]
    for steps, bits, before, token in hardest_rows(trace, HARDEST):
        lines.append(Text.assemble(steps, "  ", bits, "  ", (before, "dim"), (token, "bold")))
    return lines
