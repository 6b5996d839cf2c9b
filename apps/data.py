"""``las data`` and ``las presets``: what there is to choose from."""

from __future__ import annotations

from typing import Annotated

import typer


def data(json: Annotated[bool, typer.Option("--json", help="JSON lines.")] = False) -> None:
    """The corpora that ship; --data also takes files, folders and - for standard input.

    Example: las data
    """
    import dataclasses
    import json as json_

    from rich.table import Table

    from lasmlx.apps.terminal import stdout
    from lasmlx.data import describe_corpora

    cards = describe_corpora()
    if json:
        for card in cards:
            print(json_.dumps(dataclasses.asdict(card)))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("name", "train, bytes", "held out, bytes", "licence", "what"):
        table.add_column(column, justify="right" if column.startswith("train") else "left", overflow="fold")
    for card in cards:
        held_out = "\n".join(f"{size:,} {name}" for name, size in card.held_out_bytes.items())
        table.add_row(card.name, f"{card.train_bytes:,}", held_out, card.licence, card.description)
    stdout().print(table)


def presets(
    name: Annotated[str | None, typer.Argument(help="Print this one as TOML, to start a recipe of your own.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON lines.")] = False,
) -> None:
    """The recipes that ship for `las train`.

    Example: las presets las > mine.toml && las train --config mine.toml
    """
    import json as json_

    from rich.table import Table

    from lasmlx.apps.terminal import stdout
    from lasmlx.models import make_model
    from lasmlx.train import load_recipe, preset_names
    from lasmlx.train.recipe import to_toml

    if name is not None:
        print(to_toml(load_recipe(name)), end="")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("name", "family", "parameters", "steps", "data", "what"):
        table.add_column(column, justify="right" if column in ("parameters", "steps") else "left", overflow="fold")
    for preset in preset_names():
        recipe = load_recipe(preset)
        size = make_model(recipe.model).size
        if json:
            print(json_.dumps({"name": preset, "parameters": size} | recipe.to_dict()))
        family, corpora = recipe.model.model_type, ", ".join(recipe.data)
        table.add_row(preset, family, f"{size:,}", f"{recipe.train.steps:,}", corpora, recipe.description)
    if not json:
        stdout().print(table)
