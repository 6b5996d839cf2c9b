"""A picture for paper of the functions on the edges of a model of splines."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

import numpy as np

from lasmlx.viz.confusion_figure import PAPER
from lasmlx.viz.kan import Edge, KANLayer, KANTrace
from lasmlx.viz.page import ACCENT, BAND, BOUND, RC, WIDTH, bar, matplotlib
from lasmlx.viz.scale import colour, percent, three_digits

EDGES = 12  # of a layer
ACROSS = 4
CURVE, MAP = 1.05, 1.5  # inches
CELLS = 96  # of a heat map, each way
BINS = 40


def kan_figure(trace: KANTrace, title: str = "", *, edges: int = EDGES, symbolic: bool = False) -> Any:
    """Of each layer the curves of its strongest edges, where x lies and the knots below, and a map of all magnitudes.

    Args:
        edges: how many a layer.
        symbolic: with the function that fits each best.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        ValueError: matplotlib is missing.
    """
    package = matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    chosen = [of.ranked(edges, symbolic=symbolic) for of in trace.layers]
    rows = [-(-len(each) // ACROSS) for each in chosen]
    curve = CURVE + 0.15 * symbolic
    heights = [0.35 + curve * count + MAP for count in rows]
    lines = wrap(title, 115)
    with package.rc_context(RC):
        layout: Any = ConstrainedLayoutEngine(hspace=0.02, wspace=0.02)
        figure = Figure(figsize=(WIDTH, sum(heights) + 0.2 * len(lines)), dpi=200, layout=layout)
        if lines:
            figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=8, color="#555555")
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, of, each, count in zip(parts, trace.layers, chosen, rows, strict=True):
            _layer(figure, part, of, each, [curve] * count + [MAP])
    return figure


def _layer(figure: Any, part: Any, of: KANLayer, edges: list[Edge], heights: list[float]) -> None:
    grid = part.add_gridspec(len(heights), ACROSS, height_ratios=heights)
    words = f"Layer {of.layer}: half of the magnitude in {of.half:,} of {of.count:,} edges"
    pruned = f", {of.pruned:,} pruned" if of.pruned else ""
    part.suptitle(f"{words}{pruned}; {percent(of.outside)} of x beyond the grid", x=0.01, ha="left", fontweight="bold")
    ends = min([0.0, *(float(e.phi.min()) for e in edges)]), max([0.0, *(float(e.phi.max()) for e in edges)])
    for at, edge in enumerate(edges):
        axes = part.add_subplot(grid[divmod(at, ACROSS)])
        _curve(axes, edge, of.x[:, edge.input], ends)
        if at % ACROSS:
            axes.set_yticklabels([])
    _map(figure, part.add_subplot(grid[-1, :]), of)


def _curve(axes: Any, edge: Edge, x: Any, ends: tuple[float, float]) -> None:
    """phi over x; below, on the same axis, how often x is where, and the knots as ticks."""
    span = (ends[1] - ends[0]) or 1.0
    floor = ends[0] - 0.36 * span
    counts, bins = np.histogram(x, BINS, (edge.x[0], edge.x[-1]))
    axes.stairs(floor + 0.26 * span * counts / max(counts.max(), 1), bins, baseline=floor, fill=True, color=BAND)
    axes.axhline(0, color="#bbbbbb", lw=0.5)
    axes.plot(edge.x, edge.phi, color=ACCENT, lw=0.7, alpha=0.5)
    inside = (edge.x >= edge.middle[0]) & (edge.x <= edge.middle[1])
    axes.plot(edge.x[inside], edge.phi[inside], color=ACCENT, lw=1.4)
    knots = edge.knots[(edge.knots >= edge.x[0]) & (edge.knots <= edge.x[-1])]
    axes.vlines(knots, floor, floor + 0.07 * span, color=BOUND, lw=0.7)
    if edge.formula is not None:
        axes.text(
            0, 1.01, f"{edge.said}, R2 {edge.formula.r2:.3f}", transform=axes.transAxes, fontsize=5.5, va="bottom"
        )
    axes.set(xlim=(edge.x[0], edge.x[-1]), ylim=(floor, ends[1] + 0.06 * span))
    axes.set_xticks([edge.x[0], edge.x[-1]], [three_digits(v) for v in (edge.x[0], edge.x[-1])], fontsize=6)
    axes.set_yticks([ends[0], 0, ends[1]], [three_digits(v) for v in (ends[0], 0, ends[1])], fontsize=6)
    axes.set_title(f"{edge.name}  {edge.said_share}", fontsize=7, fontweight="normal", pad=9 if edge.formula else 3)


def _map(figure: Any, axes: Any, of: KANLayer) -> None:
    cells = of.heat_map(CELLS, CELLS)
    high = float(np.percentile(cells, 99.5)) or 1.0
    outputs, inputs = of.magnitudes.shape
    shades = colour(np.clip(cells / high, 0, 1), PAPER)
    axes.imshow(shades, aspect="auto", interpolation="nearest", extent=(-0.5, inputs - 0.5, outputs - 0.5, -0.5))
    axes.set(xlabel="input x", ylabel="output y")
    axes.set_title("Mean |phi| of every edge", fontsize=7, fontweight="normal", y=1)
    bar(figure, axes, "0", three_digits(high), PAPER)
