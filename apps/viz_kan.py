"""The page of ``las viz kan``: curves of edges, and how much each edge does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from lasmlx.apps.viz_cells import BAR, BARS, DOTS, MARK, axis, braille, heading, heat_row, ramp_cells
from lasmlx.apps.viz_dt import GUTTER, NARROWEST, put
from lasmlx.viz import LEVEL, Scale, even_ticks, percent, three_digits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from lasmlx.viz import Edge, KANLayer, KANTrace

LISTED = 20  # edges a layer, in a pipe
CURVE_ROWS, MOST_CURVES = 5, 3  # of an edge; rows of edges a layer
PANEL, PANEL_WITH_FORMULA, GAP = 18, 34, 2  # columns
FEWEST_MAP, MOST_MAP = 4, 8  # rows of all magnitudes of a layer
WIDE = 60  # columns from which there is room for more words
FINE = 16  # points of a curve to a column of dots
ZERO_EVERY = 4  # columns of dots, where nothing is


def fitting_edges(trace: KANTrace, console: Console, symbolic: bool) -> int:
    """As many edges a layer as there is room for on a screen, and a row at least."""
    width = max(console.width, NARROWEST)
    rows = (_room(trace, console.height, width) - FEWEST_MAP) // _panel_rows(symbolic)
    return _across(width, symbolic) * min(max(rows, 1), MOST_CURVES)


def show(console: Console, trace: KANTrace, chosen: Sequence[list[Edge]], title: str) -> None:
    """Print of each layer how the work is shared, the curves of some edges, and the magnitudes of all."""
    width = max(console.width, NARROWEST)
    coloured = console.color_system is not None and not console.no_color
    room, sections = _room(trace, console.height, width), []
    for of, edges in zip(trace.layers, chosen, strict=True):
        curves = _curves(of, edges, width, coloured)
        rows = min(max(room - len(curves) + 1, FEWEST_MAP), MOST_MAP)
        sections += [_headline(of, width) + curves, _map(of, rows, width, coloured)]
    put(console, title, sections)


def write(trace: KANTrace, chosen: Sequence[list[Edge]], *, as_json: bool) -> None:
    """A line an edge to standard output; as JSON with its curve, then a line a layer."""
    rows = [_row(of, edge) for of, edges in zip(trace.layers, chosen, strict=True) for edge in edges]
    if not as_json:
        for line in ([*rows[0]], *([*row.values()] for row in rows)) if rows else ():
            print(*line, sep="\t")
        return
    edges = (edge for each in chosen for edge in each)
    for row, edge in zip(rows, edges, strict=True):
        curve = {"x": _numbers(edge.x), "phi": _numbers(edge.phi), "p5_p95": _numbers(edge.middle)}
        print(json.dumps(row | curve | {"knots": _numbers(edge.knots)}))
    for of in trace.layers:
        facts = {"edges": of.count, "pruned": of.pruned, "half": of.half, "read": trace.read}
        entropy, outside = _numbers((of.entropy, of.outside))
        print(json.dumps({"layer": of.layer} | facts | {"entropy": entropy, "outside": outside}))


def _row(of: KANLayer, edge: Edge) -> dict[str, Any]:
    magnitude, share = _numbers((edge.magnitude, edge.share))
    row = {"layer": of.layer, "input": edge.input, "output": edge.output, "magnitude": magnitude, "share": share}
    return row if edge.formula is None else row | {"r2": _numbers([edge.formula.r2])[0], "formula": edge.said}


def _room(trace: KANTrace, height: int, width: int) -> int:
    """Rows a layer has for its curves and its map, if all are to fit on a screen."""
    others = len(_headline(trace.layers[0], width)) + 6  # what curves mean, blank lines, heading and axis of the map
    return (height - 3) // len(trace.layers) - others  # without the title and the prompt


def _panel_rows(symbolic: bool) -> int:
    return CURVE_ROWS + 3 + symbolic


def _headline(of: KANLayer, width: int) -> list[Text]:
    """The layer in numbers."""
    outputs, inputs = of.magnitudes.shape
    size = Text(f"{inputs} inputs x {outputs} outputs", "dim")
    share = f" ({percent(of.half / of.count, 0)})" if width >= WIDE else ""
    facts = [
        f"half of the magnitude in {of.half:,} of {of.count:,} edges{share}",
        f"entropy {percent(of.entropy, 0)} of its most",
        f"{of.pruned or 'none'} pruned",
        f"{percent(of.outside)} of x beyond the grid",
    ]
    return heading(f"Layer {of.layer}", size, width) + [Text(line) for line in _joined(facts, width)]


def _joined(facts: list[str], width: int) -> list[str]:
    """As many facts a line as fit."""
    lines = [facts[0]]
    for fact in facts[1:]:
        if len(lines[-1]) + 2 + len(fact) <= width:
            lines[-1] += f"; {fact}"
        else:
            lines.append(fact)
    return [part for line in lines for part in wrap(line, width)]


def _across(width: int, symbolic: bool) -> int:
    return max(1, (width + GAP) // ((PANEL_WITH_FORMULA if symbolic else PANEL) + GAP))


def _curves(of: KANLayer, edges: list[Edge], width: int, coloured: bool) -> list[Text]:
    """Panels beside and below each other, all of one height in phi."""
    if not edges:
        return [Text("every edge is pruned", "dim")]
    symbolic = edges[0].formula is not None
    across = _across(width, symbolic)
    columns = (width + GAP) // across - GAP
    low, high = min(0.0, *(float(e.phi.min()) for e in edges)), max(0.0, *(float(e.phi.max()) for e in edges))
    said = f"phi {three_digits(low)} to {three_digits(high)}; below each curve where its x lies"
    lines = [Text(said if len(said) <= width else said.partition(";")[0], "dim")]
    for start in range(0, len(edges), across):
        panels = [_panel(of, edge, columns, (low, high), coloured) for edge in edges[start : start + across]]
        lines += [Text(" " * GAP).join(row) for row in zip(*panels, strict=True)]
    return lines


def _panel(of: KANLayer, edge: Edge, columns: int, ends: tuple[float, float], coloured: bool) -> list[Text]:
    """The edge's name, its formula, its curve, where x is, and the ends of x; all of ``columns`` columns."""
    name, share = edge.name, edge.said_share
    r2 = "" if edge.formula is None else f"R2 {edge.formula.r2:.3f}  "
    lines = [Text.assemble((name, "bold"), (r2.rjust(columns - len(name + share)), "dim"), share)]
    if edge.formula is not None:
        lines.append(Text(edge.said))
        lines[-1].truncate(columns, overflow="ellipsis", pad=True)
    inside = np.searchsorted(edge.x, edge.middle) * columns // len(edge.x)
    for row in braille(_dots(edge, columns, ends)):
        text = Text(row, "dim")
        text.stylize(f"not dim {BAR}" if coloured else "not dim", int(inside[0]), int(inside[1]) + 1)
        lines.append(text)
    counts, _ = np.histogram(of.x[:, edge.input], columns, (float(edge.x[0]), float(edge.x[-1])))
    eighths = np.ceil(counts / max(counts.max(), 1) * 8).astype(int)
    lines.append(Text("".join(BARS[v] for v in eighths), MARK if coloured else ""))
    first, last = (three_digits(float(v)) for v in (edge.x[0], edge.x[-1]))
    return [*lines, Text(first + last.rjust(columns - len(first)), "dim")]


def _dots(edge: Edge, columns: int, ends: tuple[float, float]) -> NDArray[np.bool_]:
    """The curve, and where nothing is as a dotted line."""
    down, across = CURVE_ROWS * DOTS[0], columns * DOTS[1]
    x = np.linspace(edge.x[0], edge.x[-1], across * FINE)
    phi, at = np.interp(x, edge.x, edge.phi), np.arange(across * FINE) // FINE
    high_to_low = Scale(ends[1], ends[0])
    dots = np.zeros((down, across), np.bool_)
    dots[int(high_to_low.share(0.0) * (down - 1) + 0.5), ::ZERO_EVERY] = True
    dots[(high_to_low.share(phi) * (down - 1) + 0.5).astype(int), at] = True
    return dots


def _map(of: KANLayer, rows: int, width: int, coloured: bool) -> list[Text]:
    """All magnitudes, outputs down and inputs across; of neighbours that share a cell the greatest."""
    outputs, inputs = of.magnitudes.shape
    room = width - GUTTER
    cells = of.heat_map(rows, 2 * room)
    scale = Scale(0, float(np.percentile(cells, 99)) or 1.0)
    legend = Text.assemble("0 ", ramp_cells(coloured, ramp=LEVEL), f" {three_digits(scale.high)}")
    joined = cells.shape != of.magnitudes.shape
    name = "Mean |phi| of every edge" + (", the greatest of neighbours" if joined and width >= WIDE else "")
    lines = heading(name, legend, width)
    count = cells.shape[1]
    halves = 2 * room // count * count  # so that all are as wide
    columns = -(-halves // 2)
    edges = np.arange(count + 1) * halves / count
    edges[-1] = 2 * columns
    for i, row in enumerate(cells):
        label = f"y{i * outputs // len(cells)}"
        lines.append(
            Text.assemble(label.rjust(GUTTER - 1), " ", heat_row(scale.share(row), edges, columns, coloured, LEVEL))
        )
    ticks = even_ticks(inputs, most=max(2, columns // 8))
    at = [int((tick + 0.5) * halves / inputs / 2) for tick in ticks]
    return lines + axis(at, [f"x{int(tick)}" for tick in ticks], GUTTER, columns, width)


def _numbers(values: Iterable[Any]) -> list[float]:
    return [float(f"{float(value):.6g}") for value in values]
