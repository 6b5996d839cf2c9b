"""``las info``."""

from __future__ import annotations

from typing import Annotated

import typer


def info(json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Device, backends, versions; what is slow and how to mend it.

    Example: las info
    """
    import dataclasses
    import json as json_

    from rich.table import Table

    from lasmlx.apps.terminal import stdout
    from lasmlx.system import describe

    system = describe()
    if json:
        print(json_.dumps(dataclasses.asdict(system)))
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("machine", system.machine)
    table.add_row("device", system.device)
    table.add_row("threads", str(system.threads))
    table.add_row("instruction set", system.instruction_set)
    table.add_row("BLAS", f"{system.blas}, {system.gflops:.0f} GFLOP/s (float32, 1024 x 1024 x 1024)")
    table.add_row("versions", ", ".join(f"{name} {number}" for name, number in system.versions.items()))
    table.add_row("ops", ", ".join(f"{op}: {impl}" for op, impl in system.ops.items()))
    stdout().print(table)
    for line in system.advice:
        stdout().print(f"[yellow]slow:[/] {line}")
    if not system.advice:
        stdout().print("[green]nothing to mend[/]")
