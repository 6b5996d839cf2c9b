"""The page of ``las viz kan``: curves of edges, and how much each edge does."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
CURVE_ROWS, MOST_CURVES = 4, 3  # of an edge; rows of edges a layer
PANEL, PANEL_WITH_FORMULA, GAP = 18, 28, 2  # columns
MAP_ROWS = 8  # of all magnitudes of a layer, at most
FINE = 16  # points of a curve to a column of dots
ZERO_EVERY = 4  # columns of dots, where nothing is


def fitting_edges(trace: KANTrace, console: Console, symbolic: bool) -> int:
    """As many edges a layer as there is room for on a screen, and a row at least."""
    width = max(console.width, NARROWEST)
    left = (console.height - 3) // len(trace.layers)  # without the title and the prompt
    others = 1 + len(_headline(trace.layers[0], width)) + 4 + min(MAP_ROWS, len(trace.layers[0].magnitudes))
    rows = (left - others) // (CURVE_ROWS + 3 + symbolic)
    return _across(width, symbolic) * min(max(rows, 1), MOST_CURVES)


def show(console: Console, trace: KANTrace, chosen: Sequence[list[Edge]], title: str) -> None:
    """Print of each layer how the work is shared, the curves of some edges, and the magnitudes of all."""
    width = max(console.width, NARROWEST)
    coloured = console.color_system is not None and not console.no_color
    sections = []
    for of, edges in zip(trace.layers, chosen, strict=True):
        sections += [_headline(of, width) + _curves(of, edges, width, coloured), _map(of, width, coloured)]
    put(console, title, sections)


def write(trace: KANTrace, chosen: Sequence[list[Edge]], *, as_json: bool) -> None:
    """A line an edge to standard output; as JSON with its curve, then a line a layer."""
    symbolic = any(edge.formula is not None for edges in chosen for edge in edges)
    if not as_json:
        print("layer", "input", "output", "magnitude", "share", *(("r2", "formula") if symbolic else ()), sep="\t")
    for of, edges in zip(trace.layers, chosen, strict=True):
        for edge in edges:
            row = {"layer": of.layer, "input": edge.input, "output": edge.output}
            row |= {"magnitude": _number(edge.magnitude), "share": _number(edge.share)}
            if edge.formula is not None:
                row |= {"r2": _number(edge.formula.r2), "formula": _formula(edge)}
            if as_json:
                middle, knots = map(_number, edge.middle), map(_number, edge.knots)
                row |= {"x": [_number(v) for v in edge.x], "phi": [_number(v) for v in edge.phi]}
                row |= {"p5": next(middle), "p95": next(middle), "knots": list(knots)}
            print(json.dumps(row) if as_json else "\t".join(map(str, row.values())))
    for of in trace.layers if as_json else ():
        facts = {"edges": of.count, "pruned": of.pruned, "half": of.half, "read": trace.read}
        shares = {"entropy": _number(of.entropy), "outside": _number(of.outside)}
        print(json.dumps({"layer": of.layer} | facts | shares))


def _headline(of: KANLayer, width: int) -> list[Text]:
    """The layer in numbers."""
    outputs, inputs = of.magnitudes.shape
    size = Text(f"{inputs} inputs x {outputs} outputs", "dim")
    facts = [
        f"half of the magnitude in {of.half:,} of {of.count:,} edges ({percent(of.half / of.count, 0)})",
        f"entropy {of.entropy:.2f} of the most",
        f"{of.pruned:,} pruned",
        f"{percent(of.outside)} of x beyond the grid",
    ]
    return heading(f"Layer {of.layer}", size, width) + [Text(line) for line in wrap("; ".join(facts), width)]


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
    said = f"phi {three_digits(low)} to {three_digits(high)}, x below with how often it is where"
    lines = [Text(said if len(said) <= width else said.partition(",")[0], "dim")]
    for start in range(0, len(edges), across):
        panels = [_panel(of, edge, columns, (low, high), coloured) for edge in edges[start : start + across]]
        lines += [Text(" " * GAP).join(row) for row in zip(*panels, strict=True)]
    return lines


def _panel(of: KANLayer, edge: Edge, columns: int, ends: tuple[float, float], coloured: bool) -> list[Text]:
    """The edge's name, its formula, its curve, where x is, and the ends of x; all of ``columns`` columns."""
    name, share = f"x{edge.input} → y{edge.output}", percent(edge.share)
    lines = [Text.assemble((name, "bold"), share.rjust(columns - len(name)))]
    if edge.formula is not None:
        r2 = f" R2 {edge.formula.r2:.2f}"
        words = Text(_formula(edge))
        words.truncate(columns - len(r2), overflow="ellipsis", pad=True)
        lines.append(words.append(r2, "dim"))
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


def _map(of: KANLayer, width: int, coloured: bool) -> list[Text]:
    """All magnitudes, outputs down and inputs across; of neighbours that share a cell the greatest."""
    outputs, inputs = of.magnitudes.shape
    room = width - GUTTER
    cells = of.heat_map(MAP_ROWS, 2 * room)
    scale = Scale(0, float(np.percentile(cells, 99)) or 1.0)
    legend = Text.assemble("0 ", ramp_cells(coloured, ramp=LEVEL), f" {three_digits(scale.high)}")
    joined = cells.shape != of.magnitudes.shape
    name = "Mean |phi| of every edge" + (", the greatest of neighbours" if joined and width >= 60 else "")
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


def _formula(edge: Edge) -> str:
    """The formula of x, with what is added."""
    assert edge.formula is not None
    text, d = edge.formula.text("x", 2), f"{edge.formula.d:+.2g}"
    if edge.formula.function == "constant" or float(d) == 0:
        return text
    return f"{text} {d[0]} {d[1:]}"


def _number(value: Any) -> float:
    return float(f"{float(value):.6g}")
