"""A picture for paper of spikes: rasters, the gate between the paths, rates and operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from lasmlx.viz.figure import draw_channels
from lasmlx.viz.page import (
    ACCENT,
    BAND,
    BOUND,
    COLUMNS,
    RC,
    bar,
    coloured_text,
    matplotlib,
    page,
    text_height,
)
from lasmlx.viz.plastic_figure import COLOURS
from lasmlx.viz.scale import LEVEL, SIGNED, colour, percent, three_digits
from lasmlx.viz.spikes import SpikesTrace
from lasmlx.viz.tables import operation_rows

NEURONS = 128  # of a layer's raster
WIDTH_POINTS = 460  # of a raster, about
MONO = {"family": "DejaVu Sans Mono", "size": 6.5, "va": "center"}


def spikes_figure(trace: SpikesTrace, title: str = "") -> Any:
    """What was read, a raster a layer, the gate's share of each head, rates over time, and operations by part.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        ValueError: matplotlib is missing.
    """
    count, raster = len(trace.layers), trace.raster(NEURONS, COLUMNS)
    read = text_height(trace.data) if trace.data is not None else min(0.6 + 0.14 * _channels(trace), 2.4)
    heads = 0.2 if trace.share is None else max(0.5, 0.11 * count * (trace.share.shape[2] + 1))
    rows = operation_rows(trace)
    layer = min(max(0.6, 0.018 * raster.spikes.shape[1]), 1.6, max(0.6, 5 / count))
    heights = [read, *[layer] * count, heads, 1.0, 0.135 * len(rows)]
    with matplotlib().rc_context(RC):
        figure, axes = page(heights, title)
        if trace.data is None:
            draw_channels(axes[0], trace)
        else:
            scale = trace.scale(trace.mean)
            part = coloured_text(axes[0], trace.data, trace.per_byte(scale.share(trace.mean)), LEVEL)
            axes[0].set_title(f"Text, share of neurons that fire at each {trace.unit}{part}", y=1)
            bar(figure, axes[0], f"least, {three_digits(scale.low)}", f"most, {three_digits(scale.high)}", LEVEL)
        _rasters(axes[1 : 1 + count], trace)
        _gate(figure, axes[-3], trace)
        _rates(axes[-2], trace)
        _operations(axes[-1], trace, rows)
    return figure


def _channels(trace: SpikesTrace) -> int:
    return 0 if trace.x is None else trace.x.shape[1]


def _rasters(axes: Any, trace: SpikesTrace) -> None:
    raster = trace.raster(NEURONS, COLUMNS)
    unit, size = trace.axis
    starts = raster.edges / size
    thick = min(max(WIDTH_POINTS / len(starts) / 2, 0.7), 3)
    for i, (place, of, spikes) in enumerate(zip(axes, trace.summary(), raster.spikes, strict=True)):
        shown = len(spikes)
        places = [(starts[:-1][row] + starts[1:][row]) / 2 for row in spikes]
        place.eventplot(places, linelengths=0.8, linewidths=thick, colors=COLOURS[i % len(COLOURS)], rasterized=True)
        place.set(xlim=(0, starts[-1]), ylim=(shown - 0.5, -0.5), ylabel="neuron")
        place.set_yticks([0, shown - 1], [percent(float(raster.rates[i, at]), 0) for at in (0, -1)])
        place.tick_params(axis="y", length=0)
        words = f"{percent(of.rate)} fire at a {trace.tick}, {percent(of.sparsity)} zeros"
        quiet = f"{of.silent} of {of.neurons} silent, {of.busy} busy"
        liquid = "" if of.liquid is None else f"; gate {percent(of.liquid, 0)} liquid"
        place.set_title(f"Layer {of.layer}: {words}; {quiet}{liquid}")
    for place in axes[:-1]:
        place.set_xticklabels([])
    axes[-1].set_xlabel(unit if trace.data is not None else f"time, {unit}")


def _gate(figure: Any, axes: Any, trace: SpikesTrace) -> None:
    if trace.share is None:
        axes.set_axis_off()
        axes.set_title("Gate", y=1)
        axes.text(0, 0.5, trace.no_gate(), transform=axes.transAxes, va="center")
        return
    scale, (edges, _) = trace.gate_scale(), trace.rates(COLUMNS)
    shares = trace.gate(COLUMNS)
    rows = np.concatenate([np.concatenate([of.mean(axis=0, keepdims=True), of]) for of in shares])
    axes.pcolormesh(edges / trace.axis[1], np.arange(len(rows) + 1), colour(scale.share(rows), SIGNED), rasterized=True)
    block = shares.shape[1] + 1
    for i in range(1, len(shares)):
        axes.axhline(i * block, color="white", lw=1.5)
    names = [name for layer in trace.layers for name in (f"layer {layer}", *map(str, range(block - 1)))]
    axes.set_yticks(np.arange(len(rows)) + 0.5, names, fontsize=6)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set(xlim=(0, edges[-1] / trace.axis[1]), xticklabels=[])
    axes.set_title("Gate, share of the liquid path: mean of a layer, and its heads", y=1)
    bar(figure, axes, percent(scale.low, 0), percent(scale.high, 0), SIGNED)


def _rates(axes: Any, trace: SpikesTrace) -> None:
    (edges, rates), (unit, size) = trace.rates(COLUMNS), trace.axis
    for i, (layer, row) in enumerate(zip(trace.layers, rates, strict=True)):
        style = {"color": COLOURS[i % len(COLOURS)], "lw": 0.8, "label": f"layer {layer}"}
        axes.stairs(100 * row, edges / size, baseline=None, **style)
    axes.set(xlim=(0, edges[-1] / size), xlabel=unit if trace.data is not None else f"time, {unit}")
    axes.set(ylim=(0, None), ylabel=f"% at a {trace.tick}", title="Firing rate")
    if len(rates) <= len(COLOURS):
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=6, frameon=False, borderaxespad=0.1)


def _operations(axes: Any, trace: SpikesTrace, rows: list[tuple[str, ...]]) -> None:
    """The table, and a bar a part: what multiplies, what adds, and what zeros spare."""
    parts = trace.parts()
    most, count = max((part.dense for part in parts[:-1]), default=1.0), len(rows)
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(count, 0))
    axes.set_title(f"Synaptic operations a {trace.unit}: zeros spare {percent(trace.spared)}", y=1)
    for i, row in enumerate(rows):
        axes.text(0, i + 0.5, "  ".join(row), **MONO)
    left, room = 0.46, 0.54
    for i, part in enumerate(parts[:-1]):
        at = left
        for value, fill in ((part.macs, ACCENT), (part.acs, BOUND), (part.dense - part.effective, BAND)):
            axes.barh(i + 1.5, value / most * room, left=at, height=0.7, color=fill)
            at += value / most * room
    for i, (name, fill) in enumerate((("MACs", ACCENT), ("ACs", BOUND), ("zeros", BAND))):
        axes.text(left + 0.09 * i, 0.5, "■", color=fill, **MONO)
        axes.text(left + 0.09 * i + 0.015, 0.5, name, **MONO)
