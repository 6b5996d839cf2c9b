"""A page for paper: its look, its title, the text at its top, and its file. Matplotlib is imported when needed."""

from __future__ import annotations

import io
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lasmlx.models.files import write_atomically
from lasmlx.viz.scale import SPEED, Ramp, colour, ink
from lasmlx.viz.text import DOT, byte_signs, text_columns, text_rows

FORMATS = (".png", ".svg")
WIDTH = 7.2  # inches, a page's text
TEXT_COLUMNS = 80
TEXT_ROWS = 12
COLUMNS = 1200  # of a picture over time
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


def save_figure(figure: Any, path: Path, *, overwrite: bool = False) -> None:
    """Write a figure as PNG or SVG, whole or not at all.

    Raises:
        ValueError: the suffix is neither, or the file exists. FileError: it cannot be written.
    """
    check_target(path, overwrite=overwrite)
    buffer = io.BytesIO()
    with matplotlib().rc_context(RC):
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
    matplotlib()


def matplotlib() -> Any:
    """The package.

    Raises:
        ValueError: it is missing.
    """
    try:
        import matplotlib as package
    except ImportError:
        raise ValueError("saving a figure needs matplotlib: pip install 'lasmlx[plot]'") from None
    return package


def page(heights: list[float], title: str) -> tuple[Any, Any]:
    """A figure, and axes of these heights (inches) below each other, (n,)."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout: Any = ConstrainedLayoutEngine(hspace=0.01, h_pad=0.06)
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.52 * len(heights)), dpi=200, layout=layout)
    if title:
        figure.suptitle("\n".join(wrap(title, 115)), x=0.01, ha="left", fontsize=8, color="#555555")
    return figure, figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]


def text_height(data: bytes) -> float:
    """Inches that :func:`coloured_text` needs."""
    return 0.19 * min(len(text_rows(data, TEXT_COLUMNS)), TEXT_ROWS)


def coloured_text(axes: Any, data: bytes, share: NDArray[Any], ramp: Ramp = SPEED) -> str:
    """Draw the head of a text, each byte on the colour of its share.

    Returns:
        What the title says of a part; empty of the whole.
    """
    rows = text_rows(data, TEXT_COLUMNS)
    rows, more = rows[:TEXT_ROWS], len(rows) > TEXT_ROWS
    signs, colours = drawable(byte_signs(data)), colour(share, ramp)
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
    return f" (the first {rows[-1][-1][1]})" if more else ""


def bar(figure: Any, axes: Any, low: str, high: str, ramp: Ramp = SPEED) -> None:
    """The ramp between two words, at the right of the title's line."""
    place = axes.inset_axes((0, 1, 1, 0))
    place.set_in_layout(False)
    place.set_axes_locator(lambda _axes, _renderer: _above(figure, axes))
    place.imshow(colour(np.linspace(0, 1, 128), ramp)[None], aspect="auto")
    place.set_axis_off()
    for x, side, words in ((-0.05, "right", low), (1.05, "left", high)):
        place.text(x, 0.5, words, transform=place.transAxes, ha=side, va="center_baseline", in_layout=False)


def _above(figure: Any, axes: Any) -> Any:
    """Room on the line of the title, at the right."""
    from matplotlib.transforms import Bbox

    box, point = axes.get_position(), 1 / 72 / figure.get_figheight()
    return Bbox.from_bounds(box.x1 - 0.225, box.y1 + 6 * point, 0.11, 7 * point)


def drawable(signs: list[str]) -> list[str]:
    """Signs as the font has them, a dot for those it lacks."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans Mono"))
    signs = [LIKE.get(sign, sign) for sign in signs]
    return [sign.replace("$", r"\$") if all(font.get_char_index(ord(c)) for c in sign) else DOT for sign in signs]
