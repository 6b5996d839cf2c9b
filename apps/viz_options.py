"""The options that the commands of ``las viz`` share, and where what they show goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from rich.console import Console

PlasticRun = Annotated[
    Path | None, typer.Option(help="A run or model folder of a plastic-lm; by default the newest run.")
]
Text = Annotated[str | None, typer.Option(help="What to read.")]
Data = Annotated[
    str | None, typer.Option(help="Read the head of its held-out part: gps, moby-dick, val, a file, a folder, or - .")
]
ReadFrom = Annotated[
    str | None,
    typer.Option(
        help="What to read from: gps, moby-dick, val, a file or a folder; for a model of sequences ucr:NAME or "
        "FILE.npz. By default what it was trained on."
    ),
]
Sequence = Annotated[
    int | None, typer.Option(metavar="I", help="Which of the test sequences, from 0; by default the first.")
]
Generate = Annotated[int | None, typer.Option(metavar="N", help="Read N bytes that the model makes.")]
Count = Annotated[
    int | None, typer.Option("--bytes", metavar="N", help="How many bytes of the data; by default what fits.")
]
Save = Annotated[Path | None, typer.Option(help="Write a figure instead: FILE.png or FILE.svg.")]
Force = Annotated[bool, typer.Option("--force", help="Let --save overwrite its file.")]
TokenLines = Annotated[bool, typer.Option("--json", help="JSON lines: one a token, then a summary.")]
Screenshot = Annotated[Path | None, typer.Option(hidden=True, help="The terminal's picture, FILE.svg.")]


class Target(NamedTuple):
    """Where a trace goes."""

    save: Path | None
    force: bool
    json: bool
    screenshot: Path | None

    def console(self) -> Console:
        """The terminal; first a look whether a figure may be written."""
        from lasmlx.apps import viz_screenshot
        from lasmlx.apps.terminal import stdout
        from lasmlx.viz import check_target

        if self.save is not None:
            check_target(self.save, overwrite=self.force)
        return viz_screenshot.console() if self.screenshot else stdout()

    def fitting_bytes(self, console: Console) -> int:
        """As many as the pictures have room for."""
        from lasmlx.apps import viz_dt

        on_screen = console.is_terminal and self.save is None
        return viz_dt.fitting_bytes(console.width) if on_screen else viz_dt.FITS_A_PAGE
