"""Plots in the terminal, by plotext."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

COLOURS = ("blue", "red", "green", "magenta", "orange")


def new_figure(width: int, height: int) -> Any:
    """An empty plot of so many columns and rows that leaves the terminal's background alone."""
    import plotext

    plotext.terminal.limit(False, False)
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    return figure.theme("colorless").axes(False).axes(True, axis=1, side=0)


def as_text(figure: Any) -> Text:
    """The finished plot."""
    from rich.text import Text

    return Text.from_ansi(figure.build().string().rstrip("\n"), no_wrap=True)


def line_plot(series: Mapping[str, Sequence[tuple[float, float]]], *, x: str, y: str, width: int, height: int) -> Text:
    """Curves over x >= 0 with a legend and labelled axes."""
    import plotext

    from lasmlx.viz import even_ticks

    figure = new_figure(width, height).axes(True, axis=0, side=0)
    for (name, points), colour in zip(series.items(), COLOURS, strict=False):
        xs, ys = zip(*points, strict=True)
        figure.draw(figure.signal(xs, ys, marker=plotext.marker("braille", colour)).lines().label(name))
    last = max(int(point[0]) for points in series.values() for point in points)
    ticks = even_ticks(last + 1, most=max(2, width // 12))
    figure.ruler("x", "lower").alignment(lim="edge").lim(0, last).ticks(ticks, [str(tick) for tick in ticks])
    figure.legend(True, x=width - 10, y=0, ha="right")
    return as_text(figure.label(x, axis="x").label(y, axis="y"))
