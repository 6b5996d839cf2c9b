"""Pictures for paper of times: dt, tau, and what is measured at several ages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lasmlx.viz.dt import DtTrace
from lasmlx.viz.page import ACCENT, BAND, BOUND, COLUMNS, RC, bar, coloured_text, matplotlib, page, text_height
from lasmlx.viz.scale import LEVEL, Scale, colour, log_ticks, three_digits, time_unit
from lasmlx.viz.spikes import SpikesTrace
from lasmlx.viz.tau import TauTrace
from lasmlx.viz.trace import LayerTrace

CURVES = 12  # channels drawn as curves; more are cells
UNIT_ROWS = 48  # of a heat map, a layer


def dt_figure(trace: DtTrace, title: str = "") -> Any:
    """The text in the colours of its dt, dt over time, layers x time, and a histogram a layer.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        ValueError: matplotlib is missing.
    """
    count = len(trace.layers)
    heights = [text_height(trace.data), 1.3, 0.8, max(0.5, 0.16 * count), max(1.2, 0.25 * count)]
    with matplotlib().rc_context(RC):
        figure, axes = page(heights, title)
        _text(figure, axes[0], trace)
        _over_time(axes[1], trace)
        _mean(axes[2], trace)
        _heat_map(figure, axes[3], trace)
        _histograms(axes[4], trace)
    return figure


def tau_figure(trace: TauTrace, title: str = "") -> Any:
    """What was read, tau over time, units x time a layer, and a histogram a layer.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        ValueError: matplotlib is missing.
    """
    count = len(trace.layers)
    channels = 0 if trace.x is None else trace.x.shape[1]
    read = min(0.6 + 0.14 * channels, 2.4) if trace.data is None else text_height(trace.data)
    heights = [read, 1.3, 0.8, *[max(0.8, 1.8 / count)] * count, max(1.0, 0.4 * count)]
    with matplotlib().rc_context(RC):
        figure, axes = page(heights, title)
        if trace.x is None:
            _text(figure, axes[0], trace)
        else:
            draw_channels(axes[0], trace)
        _over_time(axes[1], trace)
        _mean(axes[2], trace)
        _units(figure, axes[3:-1], trace)
        _histograms(axes[-1], trace)
        for bound in trace.bounds or ():
            axes[-1].axvline(bound / time_unit(trace.range[1])[1], color=BOUND, lw=0.8, ls=(0, (4, 2)))
    return figure


def ages_figure(
    ages: Sequence[float], mean: Sequence[float], sd: Sequence[float], levels: Mapping[str, float], title: str = ""
) -> Any:
    """Bits per byte over seconds on a logarithmic axis, with the spread, and horizontal lines to compare with.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        ValueError: matplotlib is missing.
    """
    with matplotlib().rc_context(RC):
        figure, axes = page([2.6], title)
        axes[0].errorbar(
            ages, mean, sd, marker="o", markersize=3.5, capsize=2.5, lw=1.2, color=ACCENT, label="analog part"
        )
        for (name, level), style in zip(levels.items(), ("-", "--", ":"), strict=False):
            axes[0].axhline(level, color=BOUND, linestyle=style, linewidth=0.9, label=name)
        axes[0].legend(frameon=False)
        axes[0].set_xscale("log")
        axes[0].set_xlabel("seconds since programming")
        axes[0].set_ylabel("bits per byte")
    return figure


def _text(figure: Any, axes: Any, trace: LayerTrace) -> None:
    scale = trace.scale(trace.mean)
    part = coloured_text(axes, trace.data, scale.share(trace.mean))
    axes.set_title(f"Text, mean {trace.symbol} of each byte{part}", y=1)
    _bar(figure, axes, scale)


def draw_channels(axes: Any, trace: TauTrace | SpikesTrace) -> None:
    """The vectors that were read, over time: curves, or cells of many."""
    assert trace.x is not None
    edges = trace.edges / trace.axis[1]
    low, high = trace.x.min(axis=0), trace.x.max(axis=0)
    share = np.where(high > low, (trace.x - low) / np.where(high > low, high - low, 1), 0.5)  # (t, channels)
    count = share.shape[1]
    if count <= CURVES:
        for row, values in enumerate(share.T):
            axes.stairs(count - 1 - row + 0.06 + 0.88 * values, edges, baseline=None, color="#444444", lw=0.7)
        axes.set(ylim=(0, count))
    else:
        axes.pcolormesh(edges, np.arange(count, -1, -1), colour(share.T, LEVEL), rasterized=True)
    names = range(0, count, -(-count // CURVES))
    axes.set_yticks([count - 0.5 - i for i in names], [str(i) for i in names])
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, edges[-1]), xlabel=_time(trace), ylabel="channel")
    axes.set_title("Input, each channel on its own scale" if count > 1 else "Input")
    if count == 1 and high > low:
        axes.set_yticks([0.06, 0.94], [f"{low[0]:.3g}", f"{high[0]:.3g}"])
        axes.set(ylabel="")


def _time(trace: LayerTrace) -> str:
    name = trace.axis[0]
    return name if trace.data is not None else f"time, {name}"


def _over_time(axes: Any, trace: LayerTrace) -> None:
    unit, second = time_unit(trace.range[1])
    line = trace.timeline(COLUMNS)
    x = np.repeat(line.edges / trace.axis[1], 2)[1:-1]
    low, high, mean = (np.repeat(v, 2) / second for v in (line.low, line.high, line.mean))
    axes.fill_between(x, low, high, color=BAND, lw=0, label=f"5 to 95 % of {trace.units}")
    axes.plot(x, mean, color=ACCENT, lw=0.9, label="mean")
    for bound, name in zip(trace.bounds or (), ("min", "max"), strict=False):
        axes.axhline(bound / second, color=BOUND, lw=0.8, ls=(0, (4, 2)))
        place = (1.005, bound / second)
        axes.annotate(f"{trace.symbol}_{name}", place, xycoords=("axes fraction", "data"), va="center", color=BOUND)
    _log_axis(axes.yaxis, *_padded(trace))
    axes.set(xlim=(0, x[-1]), xticklabels=[], ylabel=f"{trace.symbol}, {unit}", title=f"{trace.symbol} over time")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.1)


def _mean(axes: Any, trace: LayerTrace) -> None:
    line = trace.timeline(COLUMNS)
    edges, (unit, second) = line.edges / trace.axis[1], time_unit(float(line.mean.max()))
    axes.stairs(line.mean / second, edges, baseline=None, color=ACCENT, lw=0.9)
    axes.set(xlim=(0, edges[-1]), xlabel=_time(trace), ylabel=f"mean {trace.symbol}, {unit}")


def _units(figure: Any, axes: Any, trace: TauTrace) -> None:
    heat = trace.heat_map(UNIT_ROWS, COLUMNS)
    edges, scale, rows = heat.edges / trace.axis[1], trace.scale(heat.values), heat.values.shape[1]
    for layer, place, values, means in zip(trace.layers, axes, heat.values, heat.means, strict=True):
        place.pcolormesh(edges, np.arange(rows + 1), colour(scale.share(values)), rasterized=True)
        unit, second = time_unit(float(means.max()))
        names = range(0, rows, max(1, rows // 4))
        place.set_yticks([i + 0.5 for i in names], [f"{three_digits(means[i] / second)} {unit}" for i in names])
        place.tick_params(axis="y", length=0)
        place.invert_yaxis()
        place.set(xlim=(0, edges[-1]), ylabel=f"layer {layer}")
    for place in axes[:-1]:
        place.set_xticklabels([])
    axes[-1].set_xlabel(_time(trace))
    axes[0].set_title("Units over time, by their mean tau", y=1)
    _bar(figure, axes[0], scale)


def _heat_map(figure: Any, axes: Any, trace: DtTrace) -> None:
    line = trace.timeline(COLUMNS)
    scale, count = trace.scale(line.layers), len(trace.layers)
    axes.pcolormesh(line.edges, np.arange(count + 1), colour(scale.share(line.layers)), rasterized=True)
    names = range(0, count, max(1, count // 8))
    axes.set_yticks([i + 0.5 for i in names], [str(trace.layers[i]) for i in names])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set(xlabel="byte", ylabel="layer")
    axes.set_title("Layers over time, mean dt of each byte", y=1)
    _bar(figure, axes, scale)


def _histograms(axes: Any, trace: LayerTrace) -> None:
    unit, second = time_unit(trace.range[1])
    edges, counts = trace.histogram(80)
    shares = counts / counts.max(axis=1, keepdims=True) * 0.88
    for row, (share, of) in enumerate(zip(shares, trace.summary(), strict=True)):
        axes.stairs(
            len(shares) - 1 - row + share, edges / second, baseline=len(shares) - 1 - row, fill=True, color=BAND
        )
        axes.stairs(len(shares) - 1 - row + share, edges / second, baseline=None, color=ACCENT, lw=0.7)
        axes.plot([of.mean / second] * 2, [len(shares) - 1 - row, len(shares) - 0.12 - row], color=BOUND, lw=0.9)
    names = range(0, len(shares), max(1, len(shares) // 8))
    axes.set_yticks([len(shares) - 1 - i for i in names], [str(trace.layers[i]) for i in names])
    axes.tick_params(axis="y", length=0)
    _log_axis(axes.xaxis, *_padded(trace))
    axes.set(xlabel=f"{trace.symbol}, {unit}", ylabel="layer", ylim=(0, len(shares)))
    axes.set_title(f"How often each {trace.symbol} occurs, by layer (the line is the mean)")


def _bar(figure: Any, axes: Any, scale: Scale) -> None:
    unit, second = time_unit(max(scale.low, scale.high))
    ends = (("slow", scale.low), ("fast", scale.high))
    low, high = (f"{word}, {three_digits(end / second)} {unit}" for word, end in ends)
    bar(figure, axes, low, high)


def _log_axis(axis: Any, low: float, high: float) -> None:
    _, second = time_unit(high)
    axis.axes.set(**{f"{axis.axis_name}scale": "log", f"{axis.axis_name}lim": (low / second, high / second)})
    ticks = [tick / second for tick in log_ticks(low, high)]
    axis.set_ticks(ticks, [three_digits(tick) for tick in ticks])
    axis.set_ticks([], minor=True)


def _padded(trace: LayerTrace) -> tuple[float, float]:
    low, high = trace.range
    margin = (high / low) ** 0.03
    return low / margin, high * margin
