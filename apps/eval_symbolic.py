"""``las eval symbolic``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lasmlx.benchmark.symbolic import SymbolicRow

SHOWN = 160  # characters of a formula


def symbolic(
    function: Annotated[
        list[str] | None, typer.Option(help="exp-sin, product, four or twenty; repeat for more. [default: all]")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Nets a function, each trained anew.")] = 3,
    rows: Annotated[int, typer.Option(min=1, help="Points of training, and as many to test.")] = 1000,
    steps: Annotated[int, typer.Option(min=1, help="Of training.")] = 900,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a function.")] = False,
) -> None:
    """Are formulas found from data? Nets of splines are trained, named and searched; test RMSE of net and formula.

    Example: las eval symbolic --function product --seeds 5
    """
    import json as json_

    from lasmlx.apps.terminal import stderr
    from lasmlx.benchmark.symbolic import SymbolicRow, measure_symbolic

    found = []
    for record in measure_symbolic(tuple(function or ()), seeds=seeds, rows=rows, steps=steps):
        if isinstance(record, SymbolicRow):
            found.append(record)
            if json:
                print(json_.dumps(record.to_dict()), flush=True)
        elif stderr().is_terminal:
            stderr().print(f"[dim]{record.text}[/]")
    if not json:
        _show(found)


def _show(rows: list[SymbolicRow]) -> None:
    """A table, and below it what was to be found and what is nearest."""
    from rich.table import Table

    from lasmlx.apps.terminal import for_tables, stdout

    table = Table(box=None, padding=(0, 2, 0, 0), title="test RMSE", title_justify="left")
    for column in ("function", "parameters", "net", "formula, a seed each", "found", "s a seed"):
        table.add_column(column, justify="left" if column == "function" else "right")
    for row in rows:
        errors = " ".join(f"{error:.0e}" for error in row.formula_rmse)
        sizes = f"{row.parameters:,}", f"{row.net_rmse:.1e}"
        table.add_row(row.function, *sizes, errors, f"{row.found} of {row.seeds}", f"{row.seconds:.1f}")
    for_tables().print(table)
    for row in rows:
        best = row.best if len(row.best) <= SHOWN else f"{row.best[:SHOWN]} ..."
        stdout().print(f"\n{row.function}: {row.truth}\n{best}", markup=False, highlight=False, soft_wrap=True)
