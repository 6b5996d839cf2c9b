"""What the benchmark commands share: their options, a table of rows, how numbers are written."""

from __future__ import annotations

import json as json_
import shlex
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lasmlx.apps.terminal import for_tables, stderr, stdout

if TYPE_CHECKING:
    from lasmlx.benchmark import Peers, Timing

Repeats = Annotated[int, typer.Option(min=1, help="Rounds; each implementation has a turn in each.")]
Budget = Annotated[float, typer.Option(min=0, help="After three rounds, begin no other later than so many seconds.")]
Peer = Annotated[
    bool | None,
    typer.Option("--peer/--no-peer", help="Demand mambapy and PyTorch, or leave them out. [default: if installed]"),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a row.")]
Columns = dict[str, Callable[[Any], str]]


def show(
    title: str,
    kind: type[Any],
    columns: Columns,
    records: Iterable[Any],
    json: bool,
    peers: Peers | None,
    absent: str,
) -> None:
    """The rows of ``kind`` as a table or as JSON lines, then the notes and where it was measured."""
    from lasmlx.benchmark import Note, Stage, provenance

    where = provenance(shlex.join(["las", *sys.argv[1:]]), peers)
    rows, notes = [], [absent] if absent else []
    for record in records:
        if isinstance(record, kind):
            rows.append(record)
            if json:
                typer.echo(json_.dumps(record.to_dict() | {"measured": where.to_dict()}))
        elif isinstance(record, Note):
            notes.append(record.text)
        elif isinstance(record, Stage) and stderr().is_terminal:
            stderr().print(f"[dim]{record.text}[/]")
    if not json:
        table(title, columns, rows)
    out = stderr() if json else stdout()
    for text in [*notes, *([] if json else [str(where)])]:
        out.print(text, style="dim", markup=False, soft_wrap=True)


def table(title: str, columns: Columns, rows: list[Any]) -> None:
    """Print the rows."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, justify="left" if name in ("preset", "impl", "model", "rule", "weights") else "right")
    for row in rows:
        table.add_row(*(cell(row) for cell in columns.values()))
    for_tables().print(table)


def shape_of(text: str, letters: str = "b,t,d,n") -> tuple[int, int, int, int]:
    """Four sizes."""
    b, t, d, n = sizes_of(text, letters)
    return b, t, d, n


def sizes_of(text: str, letters: str) -> tuple[int, ...]:
    """As many sizes as letters."""
    sizes = tuple(int(part) for part in text.split(",") if part.strip().isdigit())
    count = len(letters.split(","))
    if len(sizes) != count or len(text.split(",")) != count or min(sizes) < 1:
        example = ",".join(["8", "512", "256", "16", "16"][:count])
        words = {3: "three", 4: "four", 5: "five"}
        raise ValueError(
            f"bench: a shape is {text!r}, expected {words[count]} sizes {letters} of at least 1, such as {example}."
        )
    return sizes


def spread(timing: Timing, scale: float) -> str:
    """The median and how far most calls lie from it."""
    return f"{number(timing.median * scale)} ({number(timing.p10 * scale)}..{number(timing.p90 * scale)})"


def number(value: float) -> str:
    """Three significant digits, never an exponent."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def ratio(value: float) -> str:
    """Two significant digits at least."""
    return f"{value:,.0f}x" if value >= 9.95 else f"{value:.2g}x"


SPEEDS: Columns = {  # of implementations side by side, each forward alone and with its gradients
    "impl": lambda row: row.impl,
    "forward ms": lambda row: spread(row.forward, 1e3),
    "fwd+bwd ms": lambda row: spread(row.forward_backward, 1e3),
    "ratio": lambda row: f"{ratio(row.ratio_forward)} {ratio(row.ratio_forward_backward)}",
}
PEAK: Columns = {"peak MB": lambda row: "-" if row.peak_mb is None else number(row.peak_mb)}
ERROR: Columns = {"error": lambda row: "-" if row.error is None else f"{row.error:.0e}"}
