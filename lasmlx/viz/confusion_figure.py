"""A picture for paper of which class a model takes for which."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lasmlx.viz.confusion import Confusion, short_names
from lasmlx.viz.page import RC, bar, matplotlib, page
from lasmlx.viz.scale import LEVEL, Ramp, colour, ink, percent

PAPER: Ramp = ((0xFF, 0xFF, 0xFF), *LEVEL[::-1])  # from the paper's white to dark
COUNTED = 24  # classes whose counts there is room for
NAMED = 64  # classes whose names there is room for
LONGEST = 14  # letters of a name
TALLEST = 6.2  # inches, of the matrix
HEAD, ASIDE = 0.18, 0.4  # above the matrix, inches; right of it, shares of its width, for what follows
STATS = ("recall", "precision", "F1", "of")


def confusion_figure(of: Confusion, title: str = "") -> Any:
    """The matrix, and recall, precision and F1 beside the row of each class.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        ValueError: matplotlib is missing.
    """
    n = len(of.classes)
    height = min(max(0.26 * n, 1.4), TALLEST)
    with matplotlib().rc_context(RC):
        figure, (axes,) = page([height + HEAD], title)
        axes.imshow(colour(of.shares, PAPER), aspect="auto", interpolation="nearest", extent=(0, n, n, 0))
        if n <= COUNTED:
            _counts(axes, of)
        _names(axes, of)
        _beside(axes, of, -0.25 * n * HEAD / height)
        axes.set(xlim=(-0.02 * n, (1 + ASIDE) * n), ylim=(n * 1.01, -n * HEAD / height))
        axes.plot([0, n, n, 0, 0], [0, 0, n, n, 0], color="#cccccc", lw=0.6)
        axes.set_title("True classes down, what was said across; colour: share of the row", y=1)
        bar(figure, axes, "0", "100 %", PAPER)
    return figure


def _counts(axes: Any, of: Confusion) -> None:
    size = min(8, 150 / len(of.classes))
    inks = ink(colour(of.shares, PAPER)) / 255
    for (i, j), count in np.ndenumerate(of.counts):
        if count:
            weight = "bold" if i == j else "normal"
            words = {"ha": "center", "va": "center", "fontsize": size, "fontweight": weight}
            axes.text(j + 0.5, i + 0.5, f"{count:,}", color=inks[i, j], **words)


def _names(axes: Any, of: Confusion) -> None:
    n = len(of.classes)
    step = -(-n // NAMED)
    names = [name.replace("$", r"\$") for name in short_names(of.classes, LONGEST)][::step]
    size = min(8, 280 / n * step)
    places = np.arange(n)[::step] + 0.5
    axes.set_yticks(places, names, fontsize=size)
    axes.set_xticks(places, names, fontsize=size, rotation=90 if n > 6 else 0)
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _beside(axes: Any, of: Confusion, head: float) -> None:
    """Columns of numbers right of the matrix, their names at ``head``."""
    n = len(of.classes)
    size, step = min(7, 280 / n), -(-n // NAMED)
    columns = (of.recall, of.precision, of.f1, of.occurrences)
    for k, (name, values) in enumerate(zip(STATS, columns, strict=True), 1):
        right = n * (1 + ASIDE * k / len(STATS))
        axes.text(right, head, name, ha="right", va="bottom", fontsize=7, color="#555555")
        for i in range(0, n, step):
            axes.text(right, i + 0.5, _said(name, float(values[i])), ha="right", va="center", fontsize=size)


def _said(name: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if name == "of" else f"{value:.2f}" if name == "F1" else percent(value, 0)
