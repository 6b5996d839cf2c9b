"""Curves over time, drawn by plotext."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lasmlx.apps.plots import as_text, new_figure

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.text import Text

    from lasmlx.viz import LayerTrace

LINE, BAND, BOUND = (70, 140, 230), (128, 128, 128), (205, 105, 50)


def whole_range(trace: LayerTrace, gutter: int, width: int, rows: int) -> Text:
    """Mean, band and bounds on a logarithmic axis, the time axis left out; ``rows`` lines of ``width`` columns."""
    import numpy as np
    import plotext

    from lasmlx.viz import log_ticks, three_digits, time_unit

    low, high = trace.range
    unit, second = time_unit(high)
    line = trace.timeline(2 * (width - gutter))
    x, at = _columns(line.edges, 2 * (width - gutter))
    figure = new_figure(width, rows)
    half = (math.log10(high) - math.log10(low)) / (rows - 1) / 2  # so that a bound lies in the middle of its row
    ticks = log_ticks(low, high, most=max(3, rows // 2))
    labels = [f"{three_digits(tick / second)} {unit}".rjust(gutter - 1) for tick in ticks]
    y_axis = figure.ruler("y", "left").alignment(lim="edge").lim(math.log10(low) - half, math.log10(high) + half)
    y_axis.ticks([math.log10(tick) for tick in ticks], labels)
    figure.ruler("x", "lower").alignment(lim="edge").lim(0, trace.edges[-1]).frequency(0)

    shade = plotext.marker("░", pixel=plotext.pixel(foreground=BAND))
    band, floor = (_signal(figure, x, np.log10(v[at].clip(low, high)), shade) for v in (line.high, line.low))
    figure.draw(band.fill(floor).density("full", scope="fill"))
    for bound in trace.bounds or ():
        dots = plotext.marker("┈", pixel=plotext.pixel(foreground=BOUND))
        figure.draw(_signal(figure, x, np.full(len(x), math.log10(bound)), dots))
    return as_text(_draw(figure, x, np.log10(line.mean[at].clip(low, high))))


def enlarged_mean(trace: LayerTrace, gutter: int, width: int, rows: int) -> Text:
    """The mean alone, over its own range, with the time axis; ``rows + 2`` lines of ``width`` columns."""
    from lasmlx.viz import three_digits, time_unit

    line = trace.timeline(2 * (width - gutter))
    x, at = _columns(line.edges, 2 * (width - gutter))
    low, high = float(line.mean.min()), float(line.mean.max())
    margin = (high - low) * 0.08 or high * 0.05
    unit, second = time_unit(high)
    figure = new_figure(width, rows + 2).axes(True, axis=0, side=0)
    ends = [low, (low + high) / 2, high] if rows >= 5 else [low, high]
    y_axis = figure.ruler("y", "left").alignment(lim="edge").lim((low - margin) / second, (high + margin) / second)
    y_axis.ticks(
        [end / second for end in ends], [f"{three_digits(end / second)} {unit}".rjust(gutter - 1) for end in ends]
    )
    _time_axis(figure, trace, width - gutter)
    return as_text(_draw(figure, x, line.mean[at] / second))


def channel(trace: LayerTrace, values: NDArray[Any], gutter: int, width: int, rows: int) -> Text:
    """One channel (t,) of what was read, without its time axis; ``rows`` lines of ``width`` columns."""
    from lasmlx.viz import means_of_runs, three_digits

    runs = trace.runs(2 * (width - gutter))
    heights = means_of_runs(values, runs)
    x, at = _columns(trace.edges[runs], 2 * (width - gutter))
    low, high = float(heights.min()), float(heights.max())
    margin = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    figure = new_figure(width, rows)
    y_axis = figure.ruler("y", "left").alignment(lim="edge").lim(low - margin, high + margin)
    ends = [low, high] if high > low else [low]
    y_axis.ticks(ends, [three_digits(end).rjust(gutter - 1) for end in ends])
    figure.ruler("x", "lower").alignment(lim="edge").lim(0, trace.edges[-1]).frequency(0)
    return as_text(_draw(figure, x, heights[at]))


def _columns(edges: NDArray[Any], count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The middles of ``count`` columns, and which of those between the edges is there."""
    import numpy as np

    x = (np.arange(count) + 0.5) * edges[-1] / count
    return x, np.searchsorted(edges, x, "right") - 1


def _time_axis(figure: Any, trace: LayerTrace, columns: int) -> None:
    x_axis = figure.ruler("x", "lower").alignment(lim="edge").lim(0, trace.edges[-1])
    places, labels = zip(*trace.ticks(most=max(2, columns // 10)), strict=True)
    x_axis.ticks([place + trace.edges[-1] / columns / 4 for place in places], list(labels))


def _draw(figure: Any, x: NDArray[Any], y: NDArray[Any]) -> Any:
    import plotext

    dots = plotext.marker("braille", pixel=plotext.pixel(foreground=LINE))
    figure.draw(_signal(figure, x, y, dots).lines().density("full", scope="line"))
    return figure


def _signal(figure: Any, x: NDArray[Any], y: NDArray[Any], marker: Any) -> Any:
    return figure.signal(x.tolist(), y.tolist(), marker=marker)
