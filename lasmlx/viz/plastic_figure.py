"""Pictures for paper of a plastic model: its synapses and its solver's steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from lasmlx.viz.hebb import HebbTrace
from lasmlx.viz.page import (
    ACCENT,
    BAND,
    BOUND,
    COLUMNS,
    RC,
    bar,
    coloured_text,
    drawable,
    matplotlib,
    page,
    text_height,
)
from lasmlx.viz.scale import LEVEL, SIGNED, colour, three_digits
from lasmlx.viz.steps import StepsTrace
from lasmlx.viz.tables import hardest_rows, synapse_rows
from lasmlx.viz.tokens import TokenTrace

COLOURS = (ACCENT, "#1b7f5c", "#7a4fa3", "#8a6d1b", "#a03a5e", "#444444")
SYNAPSES, HARDEST = 8, 8
ROWS = 96  # of a trace, each head


def hebb_figure(trace: HebbTrace, title: str = "") -> Any:
    """The text in the colours of its change, norms with their bounds, each head's trace, and what moved most.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        ValueError: matplotlib is missing.
    """
    count = len(trace.layers)
    layer = min(2.0, 7 / trace.after.shape[1] + 0.2)
    heights = [text_height(trace.data), 0.9, 1.2, *[layer] * count, 0.14 * SYNAPSES]
    with matplotlib().rc_context(RC):
        figure, axes = page(heights, title)
        _text(figure, axes[0], trace, trace.change, "change of traces")
        _bounds(axes[1], trace)
        _norms(axes[2], trace)
        _traces(figure, axes[3:-1], trace)
        _table(axes[-1], "Synapses that moved most", [" ".join(row) for row in synapse_rows(trace, SYNAPSES)])
    return figure


def steps_figure(trace: StepsTrace, title: str = "") -> Any:
    """The text in the colours of its steps, a histogram a layer, steps over surprise, and the hardest tokens.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        ValueError: matplotlib is missing.
    """
    heights = [text_height(trace.data), 0.9, max(1.0, 0.4 * len(trace.layers)), 1.6, 0.14 * HARDEST]
    with matplotlib().rc_context(RC):
        figure, axes = page(heights, title)
        _text(figure, axes[0], trace, trace.mean, "mean steps")
        _over_time(axes[1], trace)
        _histogram(axes[2], trace)
        _surprise(axes[3], trace)
        _table(axes[4], f"Hardest {trace.unit}s", [" ".join(row) for row in hardest_rows(trace, HARDEST)])
    return figure


def _text(figure: Any, axes: Any, trace: TokenTrace, values: Any, what: str) -> None:
    scale = trace.scale(values)
    part = coloured_text(axes, trace.data, trace.per_byte(scale.share(values)), LEVEL)
    axes.set_title(f"Text, {what} at each {trace.element}{part}", y=1)
    bar(figure, axes, f"least, {three_digits(scale.low)}", f"most, {three_digits(scale.high)}", LEVEL)


def _bounds(axes: Any, trace: HebbTrace) -> None:
    _curves(axes, trace, trace.norms)
    for i, bound in enumerate(trace.bounds):
        axes.axhline(bound, color=COLOURS[i % len(COLOURS)], lw=0.8, ls=(0, (4, 2)))
    place = (1.005, trace.bounds.max())
    name = "bounds" if len(trace.bounds) > 1 else "bound"
    axes.annotate(name, place, xycoords=("axes fraction", "data"), va="center", color=BOUND)
    low = trace.norms[trace.norms > 0].min(initial=trace.bounds.min())
    axes.set(yscale="log", ylim=(max(low, trace.bounds.max() / 1e4) / 1.2, trace.bounds.max() * 1.4))
    axes.set(xticklabels=[], ylabel="norm", title="Norm of each layer's trace")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=6, frameon=False, borderaxespad=0.1)


def _norms(axes: Any, trace: HebbTrace) -> None:
    _curves(axes, trace, trace.norms)
    axes.set(xlabel=trace.unit, ylabel="norm, enlarged")


def _curves(axes: Any, trace: TokenTrace, values: Any) -> None:
    for i, (layer, row) in enumerate(zip(trace.layers, values, strict=True)):
        axes.stairs(row, trace.edges, baseline=None, color=COLOURS[i % len(COLOURS)], lw=0.9, label=f"layer {layer}")
    axes.set(xlim=(0, trace.edges[-1]))


def _traces(figure: Any, axes: Any, trace: HebbTrace) -> None:
    heat = trace.heat_map(ROWS, COLUMNS)
    scale, (m, n) = trace.signed_scale(heat), trace.after.shape[2:]
    gap = max(1, n // 16)
    for layer, place, heads in zip(trace.layers, axes, heat, strict=True):
        for head, values in enumerate(heads):
            left = head * (n + gap)
            edges = left + np.linspace(0, n, values.shape[1] + 1), np.linspace(0, m, values.shape[0] + 1)
            place.pcolormesh(*edges, colour(scale.share(values), SIGNED), rasterized=True)
        names = range(0, len(heads), -(-len(heads) // 16))
        place.set_xticks([head * (n + gap) + n / 2 for head in names], [f"head {head}" for head in names])
        place.set_yticks([])
        place.tick_params(length=0)
        for side in ("left", "bottom"):
            place.spines[side].set_visible(False)
        place.invert_yaxis()
        place.set(xlim=(0, len(heads) * (n + gap) - gap), ylabel=f"layer {layer}, to unit")
    axes[-1].set_xlabel("from unit")
    axes[0].set_title(f"Traces after the last {trace.unit}", y=1)
    bar(figure, axes[0], f"{scale.low:+.3g}", f"{scale.high:+.3g}", SIGNED)


def _over_time(axes: Any, trace: StepsTrace) -> None:
    axes.stairs(trace.mean, trace.edges, baseline=None, color=ACCENT, lw=0.7)
    axes.set(xlim=(0, trace.edges[-1]), xlabel=trace.unit, ylabel="steps", title="Mean steps over time")


def _histogram(axes: Any, trace: StepsTrace) -> None:
    edges, counts = trace.histogram(80)
    shares = counts / counts.max(axis=1, keepdims=True) * 0.88
    for row, (share, of) in enumerate(zip(shares, trace.summary(), strict=True)):
        floor = len(shares) - 1 - row
        axes.stairs(floor + share, edges - 0.5, baseline=floor, fill=True, color=BAND)
        axes.stairs(floor + share, edges - 0.5, baseline=None, color=ACCENT, lw=0.7)
        axes.plot([of.mean] * 2, [floor, floor + 0.88], color=BOUND, lw=0.9)
        axes.annotate(f"mean {of.mean:.3g}", (1.005, floor + 0.4), xycoords=("axes fraction", "data"), va="center")
    names = range(0, len(shares), max(1, len(shares) // 8))
    axes.set_yticks([len(shares) - 1 - i for i in names], [str(trace.layers[i]) for i in names])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="steps", ylabel="layer", ylim=(0, len(shares)))
    axes.set_title("How often each number of steps occurs, by layer (the line is the mean)")


def _surprise(axes: Any, trace: StepsTrace) -> None:
    axes.plot(trace.surprise, trace.mean, ".", color=ACCENT, ms=3, alpha=0.5, mew=0, rasterized=True)
    for low, high, steps in trace.quarters():
        axes.plot([low, high], [steps] * 2, color=BOUND, lw=1.4)
    axes.set(xlabel="surprise, bits", ylabel="mean steps")
    axes.set_title("Steps and surprise (the lines are the means of quarters)")
    axes.text(0.995, 0.98, trace.verdict(), transform=axes.transAxes, ha="right", va="top")


def _table(axes: Any, title: str, lines: list[str]) -> None:
    axes.set_axis_off()
    axes.set_title(title, y=1)
    style = {"family": "DejaVu Sans Mono", "size": 6.5, "va": "top", "transform": axes.transAxes}
    for i, line in enumerate(lines):
        axes.text(0, 1 - i / max(len(lines), 1), "".join(drawable(list(line))), **style)
