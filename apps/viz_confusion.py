"""The page of ``las viz confusion``, and what it is about."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from lasmlx.apps.viz_cells import axis, heading, heat_row, on, ramp_cells
from lasmlx.apps.viz_dt import NARROWEST, put
from lasmlx.viz import LEVEL, Confusion, Scale, even_ticks, percent, readable, short_names

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from lasmlx.data import SequenceData

LONGEST_NAME, SHORTEST_NAME = 14, 5  # columns, of a class left of its row
SHORTEST_HEAD, WIDEST_CELL = 4, 9
STATS = (("recall", 8), ("precision", 10), ("F1", 6), ("of", 6))  # beside a row, and their columns
MISTAKES = 6


class Judged(NamedTuple):
    """The test set as a model sees it, and what to call it."""

    confusion: Confusion
    kind: str  # of model
    data: str


class Layout(NamedTuple):
    """The columns of a page."""

    name: int
    numbered: bool  # classes are named left alone, and have numbers above
    cell: int  # 0: less than one a class
    counted: bool
    stats: int  # how many of STATS

    @property
    def beside(self) -> int:
        """Columns that are not the matrix."""
        return self.name + 1 + sum(columns for _, columns in STATS[: self.stats])


def judge(model: Any, folder: Path, spec: str | None) -> Judged:
    """What the model says of the test set of ``spec``, by default of what it was trained on.

    Raises:
        ValueError: it does not tell classes apart, or others than the data has.
    """
    from lasmlx.apps.viz_tau_input import find_sequences
    from lasmlx.train import evaluate_sequences

    kind = model.config.model_type
    if not getattr(model.config, "inputs", 0):
        raise ValueError(
            f"this {kind} predicts bytes and has no classes to confuse; `las eval {folder}` says how well it does. "
            "Models trained on labelled sequences have classes."
        )
    data = find_sequences(folder, spec)
    if not data.classes:
        raise ValueError(
            f"{data.name} is labelled with values and has no classes to confuse; "
            f"`las eval {folder}` says how far off this {kind} is."
        )
    _expect_classes(folder, data)
    counts = np.array(evaluate_sequences(model, data).confusion, np.int64)
    classes = tuple(readable(str(name).encode()) for name in data.classes)
    return Judged(Confusion(classes, counts), kind, data.name)


def title(judged: Judged, name: str) -> str:
    """What was judged, and how well it did."""
    of = judged.confusion
    low, high = (f"{100 * end:.1f}" for end in of.interval)
    score = f"{percent(of.accuracy)} of {of.total:,} right (95 % interval {low} to {high} %)"
    where = f"{judged.kind} on the test set of {judged.data}"
    return f"{name}: {where}; {score}, balanced {percent(of.balanced_accuracy)}, macro F1 {of.macro_f1:.2f}"


def as_json(judged: Judged, name: str) -> str:
    """One object."""
    of = judged.confusion
    columns = {"recall": of.recall, "precision": of.precision, "f1": of.f1}
    each = [
        {"class": of.classes[i], "of": int(of.occurrences[i])} | {key: _number(v[i]) for key, v in columns.items()}
        for i in range(len(of.classes))
    ]
    found = {"accuracy": of.accuracy, "balanced_accuracy": of.balanced_accuracy, "macro_f1": of.macro_f1}
    said = {"run": name, "data": judged.data, "sequences": of.total, "interval": [_number(v) for v in of.interval]}
    rest = {"classes": each, "counts": of.counts.tolist(), "mistakes": [m._asdict() for m in of.worst(MISTAKES)]}
    return json.dumps(said | {key: _number(v) for key, v in found.items()} | rest)


def show(console: Console, of: Confusion, title: str) -> None:
    """Print the matrix, what it says of each class beside its row, and the worst mistakes in words."""
    width = max(console.width, NARROWEST)
    coloured = console.color_system is not None and not console.no_color
    legend = Text.assemble("0 ", ramp_cells(coloured, ramp=LEVEL), " 100 % of a row")
    at = layout(of, width)
    name, legible = "True classes down, said across", coloured or not at.counted
    said = heading(name, legend, width) if legible else [Text(name, "bold")]
    matrix = said + _matrix(of, at, width, coloured)
    put(console, title, (matrix, _mistakes(of, width)))


def layout(of: Confusion, width: int) -> Layout:
    """Counts in the cells where there is room, beside as much as there is room for, and names above if they fit."""
    n, longest, counted = len(of.classes), max(map(cell_len, of.classes)), len(str(of.counts.max())) + 1
    number, name = len(str(n - 1)), min(longest, LONGEST_NAME)
    ways = [
        *product((name,), (False,), (4, 3, 2)),
        *product((name,), (True,), (4, 3, 2, 1)),
        *product((min(longest, SHORTEST_NAME),), (True,), (2, 1, 0)),
    ]
    for columns, numbered, stats in ways:
        numbered = numbered and longest > number
        least = max(counted, (number if numbered else min(longest, SHORTEST_HEAD)) + 1)
        found = Layout(columns + numbered * (number + 1), numbered, least, True, stats)
        room = width - found.beside
        if room >= n * least:
            widest = max(least, counted + 2 if numbered else min(longest + 1, WIDEST_CELL))
            return found._replace(cell=min(room // n, widest))
    small = Layout(min(longest, max(SHORTEST_NAME, width // 6)), False, 0, False, 2 if width >= 60 else 1)
    return small._replace(cell=min((width - small.beside) // n, 2))


def _matrix(of: Confusion, at: Layout, width: int, coloured: bool) -> list[Text]:
    n = len(of.classes)
    numbers = [str(i).rjust(len(str(n - 1))) for i in range(n)]
    labels = short_names(of.classes, at.name - at.numbered * (len(numbers[0]) + 1))
    if at.numbered and labels[0] != "0":  # else they are numbers already
        labels = [f"{number} {name}" for number, name in zip(numbers, labels, strict=True)]
    columns = n * at.cell or width - at.beside
    rows = [_head(of, at, columns)]
    for i, label in enumerate(labels):
        cells = _counted(of, i, at.cell, coloured) if at.counted else _shaded(of, i, columns, coloured)
        rows.append(Text.assemble(set_cell_size(label, at.name), " ", cells, _beside(of, i, at.stats)))
    return rows if at.counted else rows + _axis(labels, at, columns)


def _axis(labels: list[str], at: Layout, columns: int) -> list[Text]:
    """Which columns some of the classes are."""
    n = len(labels)
    some = [int(tick) for tick in even_ticks(n, most=max(2, columns // (at.name + 2)))]
    places = [int((i + 0.5) * columns / n) for i in some]
    end = at.name + 1 + columns
    return axis(places, [labels[i] for i in some], at.name + 1, columns, end)


def _head(of: Confusion, at: Layout, columns: int) -> Text:
    """The names above the columns, and of what stands beside them."""
    line = Text(" " * (at.name + 1))
    if at.counted:
        names = [str(i) for i in range(len(of.classes))] if at.numbered else short_names(of.classes, at.cell - 1)
        for name in names:
            line.append(_centred(set_cell_size(name, min(cell_len(name), at.cell)), at.cell), "dim")
    else:
        line.append(" " * columns)
    return line.append("".join(name.rjust(room) for name, room in STATS[: at.stats]), "dim")


def _counted(of: Confusion, i: int, cell: int, coloured: bool) -> Text:
    """A row of counts on the colours of their shares; without colours the diagonal is in brackets."""
    digits = len(str(of.counts.max()))
    text = Text()
    for j, (count, share) in enumerate(zip(of.counts[i].tolist(), of.shares[i], strict=True)):
        number = (str(count) if count else "·").rjust(digits)
        if not coloured and i == j and cell >= digits + 2:
            number = f"[{number}]"
        style = on(float(share), LEVEL) if coloured and count else None if count else "dim"
        text.append(_centred(number, cell), style)
        if i == j:
            text.stylize("bold", len(text) - cell)
    return text


def _centred(word: str, columns: int) -> str:
    """An odd column is left of it, as numbers touch what is left of them otherwise."""
    after = (columns - cell_len(word)) // 2
    return " " * (columns - cell_len(word) - after) + word + " " * after


def _shaded(of: Confusion, i: int, columns: int, coloured: bool) -> Text:
    """A row of cells; the largest share of each where there is less than one a class."""
    n = len(of.classes)
    runs = np.unique(np.arange(min(n, 2 * columns) + 1) * n // min(n, 2 * columns))
    share = np.maximum.reduceat(of.shares[i], runs[:-1])
    return heat_row(Scale(0, 1).share(share), runs, columns, coloured, LEVEL)


def _beside(of: Confusion, i: int, count: int) -> str:
    values = (_percent(of.recall[i]), _percent(of.precision[i]), _two_digits(of.f1[i]), f"{of.occurrences[i]:,}")
    return "".join(v.rjust(room) for v, (_, room) in zip(values[:count], STATS, strict=False))


def _mistakes(of: Confusion, width: int) -> list[Text]:
    worst = of.worst(MISTAKES)
    if not worst:
        return [Text("No mistakes", "bold")]
    wrong = of.total - of.right
    lines = heading("The most frequent mistakes", Text(f"{wrong:,} of {of.total:,} wrong", "dim"), width)
    for found in worst:
        times = "once" if found.times == 1 else f"{found.times:,} times"
        share = f" ({percent(found.share, 0)} of its {found.of:,})"
        words = f"{found.true} said to be {found.said} {times}"
        lines.append(Text.assemble(words, (share, "dim")) if len(words + share) <= width else Text(words))
    return lines


def _expect_classes(folder: Path, data: SequenceData) -> None:
    from lasmlx.train.run import STATE_FILE

    path = folder / STATE_FILE
    classes = json.loads(path.read_text()).get("classes") if path.is_file() else None
    if classes and tuple(map(str, classes)) != tuple(map(str, data.classes)):
        theirs, own = (", ".join([*map(str, names[:5]), "..."][: len(names)]) for names in (data.classes, classes))
        raise ValueError(f"the classes of {data.name} are {theirs}; those of the model {own}: name data of the same.")


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else percent(share, 0)


def _two_digits(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _number(value: float | NDArray[Any]) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
