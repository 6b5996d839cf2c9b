"""``las viz``: what a model feels while it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lasmlx.viz import DtTrace

app = typer.Typer(help="See what a model feels: its time steps.", no_args_is_help=True)


@app.callback()
def viz() -> None:
    """See what a model feels while it reads."""


@app.command()
def dt(
    run: Annotated[Path | None, typer.Option(help="A run or model folder; by default the newest run.")] = None,
    text: Annotated[str | None, typer.Option(help="What to read.")] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Read the head of its held-out part: gps, moby-dick, val, a file, a folder, or - ."),
    ] = None,
    generate: Annotated[int | None, typer.Option(metavar="N", help="Read N bytes that the model makes.")] = None,
    count: Annotated[
        int | None, typer.Option("--bytes", metavar="N", help="How many bytes of the data; by default what fits.")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Only this layer, from 0.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write a figure instead: FILE.png or FILE.svg.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Let --save overwrite its file.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON lines: one a byte, then a summary; seconds.")] = False,
    screenshot: Annotated[Path | None, typer.Option(hidden=True, help="The terminal's picture, FILE.svg.")] = None,
) -> None:
    """The time step dt that the model takes at each byte: text, time, layers and histograms. Piped: numbers.

    Example: las viz dt --text "Call me Ishmael."
    """
    from lasmlx.apps import viz_dt, viz_rows, viz_screenshot
    from lasmlx.apps.runs import find_model
    from lasmlx.apps.terminal import stderr, stdout
    from lasmlx.apps.viz_input import read_input
    from lasmlx.viz import check_target, dt_figure, save_figure, trace_dt

    if save is not None:
        check_target(save, overwrite=force)
    console = viz_screenshot.console() if screenshot else stdout()
    model, folder = find_model(run)
    fits = viz_dt.fitting_bytes(console.width) if console.is_terminal and not save else viz_dt.FITS_A_PAGE
    source = read_input(model, folder, text=text, data=data, generate=generate, count=count, fits=fits)
    trace = _traced(trace_dt(model, source.data), layer)
    title = f"{folder.name}: {model.config.model_type}, {_layers(trace, model)}; {source.label}"
    if save is not None:
        save_figure(dt_figure(trace, title), save, overwrite=force)
        stderr().print(f"wrote {save}", soft_wrap=True)
    if screenshot is not None:
        viz_dt.show(console, trace, title)
        viz_screenshot.write(console, screenshot, "las viz dt")
    elif json or (save is None and not console.is_terminal):
        viz_rows.write(trace, as_json=json)
    elif save is None:
        viz_dt.show(console, trace, title)


def _traced(trace: DtTrace, layer: int | None) -> DtTrace:
    return trace if layer is None else trace.only(layer)


def _layers(trace: DtTrace, model: Any) -> str:
    count = len(model.blocks)
    which = f"layer {trace.layers[0]} of {count}" if len(trace.layers) < count else f"{count} layers"
    return f"{which} with {trace.dt.shape[2]} channels"
