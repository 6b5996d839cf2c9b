"""``las``: the commands, and what becomes of a user's mistake. Heavy imports happen inside the commands."""

from __future__ import annotations

import os
import sys

import typer

from lasmlx.apps.bench import app as bench_app
from lasmlx.apps.chat import chat
from lasmlx.apps.chip import app as chip_app
from lasmlx.apps.data import app as data_app
from lasmlx.apps.data import presets
from lasmlx.apps.eval import app as eval_app
from lasmlx.apps.info import info
from lasmlx.apps.stream import generate, stream
from lasmlx.apps.train import train
from lasmlx.apps.viz import app as viz_app

app = typer.Typer(
    name="las",
    help="Train, stream and watch liquid sequence models: networks whose time constants move with their input.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(info)
app.command()(train)
app.add_typer(eval_app, name="eval")
app.command()(generate)
app.command()(stream)
app.command()(chat)
app.add_typer(viz_app, name="viz")
app.add_typer(bench_app, name="bench")
app.add_typer(chip_app, name="chip")
app.add_typer(data_app, name="data")
app.command()(presets)


def main() -> None:
    """Run ``las``. A user's mistake is one red line and exit code 2; ``LASMLX_DEBUG=1`` shows where it came from."""
    try:
        app()
    except ValueError as error:
        if os.environ.get("LASMLX_DEBUG"):
            raise
        _complain(str(error))
        sys.exit(2)
    except BrokenPipeError:  # `las ... | head` has what it wanted
        _silence_stdout()
        sys.exit(0)
    except OSError as error:  # a full disk, say
        _silence_stdout()
        _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.")
        sys.exit(2)


def _complain(message: str) -> None:
    from rich.markup import escape

    from lasmlx.apps.terminal import stderr

    stderr().print(f"[bold red]las:[/] {escape(message)}", soft_wrap=True)


def _silence_stdout() -> None:
    """Nobody reads it any more: no flush at exit may complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
