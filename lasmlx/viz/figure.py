"""A page of pictures for paper. Matplotlib is imported when it is needed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from lasmlx.models.files import write_atomically
from lasmlx.viz.dt import DtTrace
from lasmlx.viz.scale import LEVEL, Scale, colour, ink, log_ticks, three_digits, time_unit
from lasmlx.viz.tau import TauTrace
from lasmlx.viz.text import DOT, byte_signs, text_columns, text_rows
from lasmlx.viz.trace import LayerTrace

FORMATS = (".png", ".svg")
WIDTH = 7.2  # inches, a page's text
TEXT_COLUMNS = 80
TEXT_ROWS = 12
CURVES = 12  # channels drawn as curves; more are cells
COLUMNS = 1200  # of a picture over time
UNIT_ROWS = 48  # of a heat map, a layer
ACCENT, BAND, BOUND = "#2f6db5", "#c9d8ea", "#b4541a"
MONO = {"family": "DejaVu Sans Mono", "size": 6.5, "ha": "center", "va": "center"}
LIKE = {"␊": "↵", "␍": "←", "␉": "→"}  # what the font has instead
RC = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "lasmlx",
}


def dt_figure(trace: DtTrace, title: str = "") -> Any:
    """The text in the colours of its dt, dt over time, layers x time, and a histogram a layer.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        ValueError: matplotlib is missing.
    """
    count = len(trace.layers)
    heights = [_text_height(trace), 1.3, 0.8, max(0.5, 0.16 * count), max(1.2, 0.25 * count)]
    with _matplotlib().rc_context(RC):
        figure, axes = _page(heights, title)
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
    read = _text_height(trace) if trace.x is None else min(0.6 + 0.14 * channels, 2.4)
    heights = [read, 1.3, 0.8, *[max(0.8, 1.8 / count)] * count, max(1.0, 0.4 * count)]
    with _matplotlib().rc_context(RC):
        figure, axes = _page(heights, title)
        if trace.x is None:
            _text(figure, axes[0], trace)
        else:
            _channels(axes[0], trace)
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
    with _matplotlib().rc_context(RC):
        figure, axes = _page([2.6], title)
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


def save_figure(figure: Any, path: Path, *, overwrite: bool = False) -> None:
    """Write a figure as PNG or SVG, whole or not at all.

    Raises:
        ValueError: the suffix is neither, or the file exists. FileError: it cannot be written.
    """
    check_target(path, overwrite=overwrite)
    buffer = io.BytesIO()
    with _matplotlib().rc_context(RC):
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(buffer, format=path.suffix.lower()[1:], metadata=metadata)
    write_atomically(path, buffer.getvalue())


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Whether a figure may be written to ``path``.

    Raises:
        ValueError: the suffix is no format, the file exists, or matplotlib is missing.
    """
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"a figure is saved as {' or '.join(FORMATS)}, got {str(path)!r}.")
    if path.is_dir() or (path.exists() and not overwrite):
        raise ValueError(f"{path} exists already: remove it, give another name, or add --force.")
    _matplotlib()


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise ValueError("saving a figure needs matplotlib: pip install 'lasmlx[plot]'") from None
    return matplotlib


def _page(heights: list[float], title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout: Any = ConstrainedLayoutEngine(hspace=0.01, h_pad=0.06)
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.52 * len(heights)), dpi=200, layout=layout)
    if title:
        figure.suptitle("\n".join(wrap(title, 115)), x=0.01, ha="left", fontsize=8, color="#555555")
    return figure, figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]


def _text_height(trace: LayerTrace) -> float:
    return 0.19 * min(len(text_rows(trace.data, TEXT_COLUMNS)), TEXT_ROWS)


def _text(figure: Any, axes: Any, trace: LayerTrace) -> None:
    rows = text_rows(trace.data, TEXT_COLUMNS)
    rows, more = rows[:TEXT_ROWS], len(rows) > TEXT_ROWS
    scale, signs = trace.scale(trace.mean), _drawable(byte_signs(trace.data))
    colours = colour(scale.share(trace.mean))
    inks = ink(colours) / 255
    cells = np.zeros((len(rows), TEXT_COLUMNS, 4), np.uint8)
    for y, row in enumerate(rows):
        for k, (start, stop) in enumerate(row):
            x = k * text_columns(rows)
            cells[y, x : x + stop - start] = np.insert(colours[start:stop], 3, 255, axis=1)
            for i in range(start, stop):
                axes.text(x + i - start, y, signs[i], color=inks[i], **MONO)
    axes.imshow(cells, aspect="auto", interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(f"Text, mean {trace.symbol} of each byte" + (f" (the first {rows[-1][-1][1]})" if more else ""), y=1)
    _bar(figure, axes, scale)


def _channels(axes: Any, trace: TauTrace) -> None:
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
    place = axes.inset_axes((0, 1, 1, 0))
    place.set_in_layout(False)
    place.set_axes_locator(lambda _axes, _renderer: _above(figure, axes))
    place.imshow(colour(np.linspace(0, 1, 128))[None], aspect="auto")
    place.set_axis_off()
    slow, fast = (
        f"{word}, {three_digits(end / second)} {unit}" for word, end in (("slow", scale.low), ("fast", scale.high))
    )
    for x, side, words in ((-0.05, "right", slow), (1.05, "left", fast)):
        place.text(x, 0.5, words, transform=place.transAxes, ha=side, va="center_baseline", in_layout=False)


def _above(figure: Any, axes: Any) -> Any:
    """Room on the line of the title, at the right."""
    from matplotlib.transforms import Bbox

    box, point = axes.get_position(), 1 / 72 / figure.get_figheight()
    return Bbox.from_bounds(box.x1 - 0.225, box.y1 + 6 * point, 0.11, 7 * point)


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


def _drawable(signs: list[str]) -> list[str]:
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans Mono"))
    signs = [LIKE.get(sign, sign) for sign in signs]
    return [sign.replace("$", r"\$") if all(font.get_char_index(ord(c)) for c in sign) else DOT for sign in signs]
