"""dt over time, drawn by plotext."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lasmlx.apps.plots import as_text, new_figure

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.text import Text

    from lasmlx.viz import DtTrace

LINE, BAND, BOUND = (70, 140, 230), (128, 128, 128), (205, 105, 50)


def whole_range(trace: DtTrace, gutter: int, width: int, rows: int) -> Text:
    """Mean, band and bounds on a logarithmic axis, the time axis left out; ``rows`` lines of ``width`` columns."""
    import numpy as np
    import plotext

    from lasmlx.viz import log_ticks, time_unit

    low, high = trace.range
    unit, second = time_unit(high)
    x, at, line = _columns(trace, 2 * (width - gutter))
    figure = new_figure(width, rows)
    half = (math.log10(high) - math.log10(low)) / (rows - 1) / 2  # so that a bound lies in the middle of its row
    ticks = log_ticks(low, high, most=max(3, rows // 2))
    labels = [f"{tick / second:.3g} {unit}".rjust(gutter - 1) for tick in ticks]
    y_axis = figure.ruler("y", "left").alignment(lim="edge").lim(math.log10(low) - half, math.log10(high) + half)
    y_axis.ticks([math.log10(tick) for tick in ticks], labels)
    figure.ruler("x", "lower").alignment(lim="edge").lim(0, len(trace.data)).frequency(0)

    shade = plotext.marker("░", pixel=plotext.pixel(foreground=BAND))
    band, floor = (_signal(figure, x, np.log10(v[at].clip(low, high)), shade) for v in (line.high, line.low))
    figure.draw(band.fill(floor).density("full", scope="fill"))
    for bound in trace.bounds or ():
        dots = plotext.marker("┈", pixel=plotext.pixel(foreground=BOUND))
        figure.draw(_signal(figure, x, np.full(len(x), math.log10(bound)), dots))
    return as_text(_draw_mean(figure, x, np.log10(line.mean[at].clip(low, high))))


def enlarged_mean(trace: DtTrace, gutter: int, width: int, rows: int) -> Text:
    """The mean alone, over its own range, with the time axis; ``rows + 2`` lines of ``width`` columns."""
    from lasmlx.viz import even_ticks, time_unit

    x, at, line = _columns(trace, 2 * (width - gutter))
    low, high = float(line.mean.min()), float(line.mean.max())
    margin = (high - low) * 0.08 or high * 0.05
    unit, second = time_unit(high)
    figure = new_figure(width, rows + 2).axes(True, axis=0, side=0)
    ends = [low, (low + high) / 2, high] if rows >= 5 else [low, high]
    y_axis = figure.ruler("y", "left").alignment(lim="edge").lim((low - margin) / second, (high + margin) / second)
    y_axis.ticks([end / second for end in ends], [f"{end / second:.3g} {unit}".rjust(gutter - 1) for end in ends])
    x_axis = figure.ruler("x", "lower").alignment(lim="edge").lim(0, len(trace.data))
    starts, half = even_ticks(len(trace.data), most=max(2, (width - gutter) // 10)), len(trace.data) / len(x)
    x_axis.ticks([start + half for start in starts], [str(start) if start else "byte 0" for start in starts])
    return as_text(_draw_mean(figure, x, line.mean[at] / second))


def _columns(trace: DtTrace, count: int) -> tuple[NDArray[Any], NDArray[Any], Any]:
    import numpy as np

    line = trace.timeline(count)
    x = (np.arange(count) + 0.5) * len(trace.data) / count
    return x, np.searchsorted(line.edges, x, "right") - 1, line


def _draw_mean(figure: Any, x: NDArray[Any], y: NDArray[Any]) -> Any:
    import plotext

    dots = plotext.marker("braille", pixel=plotext.pixel(foreground=LINE))
    figure.draw(_signal(figure, x, y, dots).lines().density("full", scope="line"))
    return figure


def _signal(figure: Any, x: NDArray[Any], y: NDArray[Any], marker: Any) -> Any:
    return figure.signal(x.tolist(), y.tolist(), marker=marker)
