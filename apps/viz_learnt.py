"""``las viz kan`` and ``las viz confusion``: what a model has learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lasmlx.apps.viz_options import Force, ReadFrom, Save, Screenshot, Target


def kan(
    run: Annotated[
        Path | None, typer.Option(help="A run or model folder of a mamba-kan; by default the newest run.")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Only this layer of splines, from 0.")] = None,
    edges: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many edges a layer; by default what fits.")
    ] = None,
    data: ReadFrom = None,
    symbolic: Annotated[bool, typer.Option("--symbolic", help="Name the function that fits each edge best.")] = False,
    save: Save = None,
    force: Force = False,
    json: Annotated[bool, typer.Option("--json", help="JSON lines: one an edge, then one a layer.")] = False,
    screenshot: Screenshot = None,
) -> None:
    """The functions a model of splines has learnt on its edges, the strongest first. Piped: numbers.

    Example: las viz kan --run runs/kan --symbolic
    """
    from lasmlx.apps import viz_kan, viz_kan_input, viz_screenshot
    from lasmlx.apps.runs import find_model
    from lasmlx.apps.terminal import stderr
    from lasmlx.viz import kan_figure, save_figure

    target = Target(save, force, json, screenshot)
    console = target.console()
    model, folder = find_model(run)
    with stderr().status("reading"):
        reading = viz_kan_input.read(model, folder, data)
        trace = reading.trace if layer is None else reading.trace.only(layer)
        title = f"{folder.name}: {model.config.model_type}, {reading.label}"
        if save is not None:
            given = {} if edges is None else {"edges": edges}
            save_figure(kan_figure(trace, title, **given, symbolic=symbolic), save, overwrite=force)
            stderr().print(f"wrote {save}", soft_wrap=True)
            return
        on_screen = bool(screenshot) or (console.is_terminal and not json)
        count = edges or (viz_kan.fitting_edges(trace, console, symbolic) if on_screen else viz_kan.LISTED)
        chosen = [of.ranked(count, symbolic=symbolic) for of in trace.layers]
    if not on_screen:
        viz_kan.write(trace, chosen, as_json=json)
        return
    viz_kan.show(console, trace, chosen, title)
    if screenshot is not None:
        viz_screenshot.write(console, screenshot, "las viz kan")


def confusion(
    run: Annotated[
        Path | None, typer.Option(help="A run or model folder of a model with classes; by default the newest run.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Judge the test set of this, as for `las train`. By default what it was trained on."),
    ] = None,
    save: Save = None,
    force: Force = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    screenshot: Screenshot = None,
) -> None:
    """Which classes a model takes for which: counts, recall and precision of each, the most frequent mistakes.

    Example: las viz confusion --run runs/chaos
    """
    from lasmlx.apps import viz_confusion, viz_screenshot
    from lasmlx.apps.runs import find_model
    from lasmlx.apps.terminal import stderr
    from lasmlx.viz import confusion_figure, save_figure

    console = Target(save, force, json, screenshot).console()
    model, folder = find_model(run)
    with stderr().status("judging the test set"):
        judged = viz_confusion.judge(model, folder, data)
    title = viz_confusion.title(judged, folder.name)
    if save is not None:
        save_figure(confusion_figure(judged.confusion, title), save, overwrite=force)
        stderr().print(f"wrote {save}", soft_wrap=True)
    elif json:
        print(viz_confusion.as_json(judged, str(folder)))
    else:
        viz_confusion.show(console, judged.confusion, title)
        if screenshot is not None:
            viz_screenshot.write(console, screenshot, "las viz confusion")
