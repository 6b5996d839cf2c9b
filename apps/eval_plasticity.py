"""``las eval plasticity``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lasmlx.benchmark.plasticity import Score


def plasticity(
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="completion, capacity, recall, persistence, text, told or long; repeat for more. [default: all]"
        ),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="off, static, hebb, oja, delta, or one of the others; repeat. [default: these five]"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Models an arm, each trained anew.")] = 5,
    steps: Annotated[int, typer.Option(min=0, help="Of training; 0: what each task needs.")] = 0,
    keep: Annotated[
        Path, typer.Option(help="A line a result goes here; what is there already is not done again.")
    ] = Path("plasticity.jsonl"),
    table: Annotated[bool, typer.Option("--table", help="Only show what is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a measure and arm.")] = False,
) -> None:
    """Does plasticity help? The same questions to models with and without it: mean and 95 % interval over the seeds.

    Example: las eval plasticity --task recall --seeds 5
    """
    from lasmlx.apps.terminal import stderr
    from lasmlx.benchmark.plasticity import MAIN, Plan, Score, measure_plasticity

    plan = Plan(seeds=seeds, steps=steps, arms=tuple(arm or MAIN))
    known = _read(keep)
    if not table:
        rows = measure_plasticity(plan, tuple(task or ()), lambda *key: (*key, steps) in known)
        for row in rows:
            if isinstance(row, Score):
                _append(keep, row, steps)
            else:
                stderr().print(row.text, style="dim", soft_wrap=True)
        known = _read(keep)
    wanted = [row for row in known.values() if row["steps"] == steps and (not task or row["task"] in task)]
    wanted = [row for row in wanted if not arm or row["arm"] in arm]
    if not wanted:
        raise ValueError(f"{keep} has no such results: leave out --table to get them.")
    _show(wanted, json)


def _read(path: Path) -> dict[tuple[str, str, int, int], dict[str, Any]]:
    """The results in a file by task, arm, seed and steps."""
    import json as json_

    from lasmlx.data import FileError

    known = {}
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        try:
            row = json_.loads(line)
            known[row["task"], row["arm"], row["seed"], row["steps"]] = row
        except (json_.JSONDecodeError, KeyError, TypeError):
            raise FileError(f"{path}, line {number}, is no result of this command: name another file.") from None
    return known


def _append(path: Path, row: Score, steps: int) -> None:
    import json as json_

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json_.dumps(row.to_dict() | {"steps": steps}) + "\n")


def _show(rows: list[dict[str, Any]], json: bool) -> None:
    """A table a task: measures down, arms to the right."""
    import json as json_

    from rich.table import Table

    from lasmlx.apps.terminal import for_tables
    from lasmlx.benchmark.plasticity import interval

    for task in dict.fromkeys(row["task"] for row in rows):
        here = [row for row in rows if row["task"] == task]
        arms = list(dict.fromkeys(row["arm"] for row in here))
        sizes = {row["arm"]: row["parameters"] for row in here}
        table = Table(box=None, padding=(0, 2, 0, 0), title=task, title_justify="left")
        table.add_column("", no_wrap=True)
        for name in arms:
            table.add_column(f"{name}\n{sizes[name]:,}", justify="right")
        for measure in dict.fromkeys(name for row in here for name in row["scores"]):
            cells = []
            for name in arms:
                values = [row["scores"][measure] for row in here if row["arm"] == name and measure in row["scores"]]
                if not values:
                    cells.append("-")
                    continue
                found = interval(values)
                cells.append(f"{found.mean:.3f} ± {found.half:.3f}" if found.count > 1 else f"{found.mean:.3f}")
                if json:
                    print(
                        json_.dumps(
                            {"task": task, "measure": measure, "arm": name, "parameters": sizes[name]}
                            | {"mean": found.mean, "half": found.half, "seeds": found.count}
                        )
                    )
            table.add_row(measure, *cells)
        if not json:
            console = for_tables()
            console.print(table)
            console.print()
