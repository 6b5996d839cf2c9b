"""``las data`` and ``las presets``: what there is to choose from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(invoke_without_command=True)
tokenizer = typer.Typer(no_args_is_help=True, help="Vocabularies for models that read tokens.")
app.add_typer(tokenizer, name="tokenizer")


@app.callback()
def data(context: typer.Context, json: Annotated[bool, typer.Option("--json", help="JSON lines.")] = False) -> None:
    """The corpora that ship; --data also takes files, folders and - for standard input.

    Models of sequences take chaos, ucr:NAME, idx:FOLDER, FILE.npz, or your own CSV: see `las train --task`.

    Example: las data
    """
    import dataclasses
    import json as json_

    from rich.table import Table

    from lasmlx.apps.terminal import stdout
    from lasmlx.data import describe_corpora

    if context.invoked_subcommand is not None:
        return
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


@tokenizer.command()
def train(
    data: Annotated[list[str] | None, typer.Option("--data", help="As for `las train`; its training part.")] = None,
    vocab: Annotated[int, typer.Option(help="Tokens, the 256 bytes among them.")] = 2048,
    out: Annotated[Path, typer.Option(help="The file, new.")] = Path("tokenizer.model"),
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Learn a SentencePiece vocabulary of byte pairs; held-out bytes stay unseen.

    Example: las data tokenizer train --data moby-dick --vocab 2048 --out moby.model
    """
    import json as json_

    from lasmlx.apps.terminal import stdout
    from lasmlx.data import FileError, load_corpus, tokens_of, train_sentencepiece
    from lasmlx.data.files import write_atomically

    if out.exists():
        raise FileError(f"{out} exists already: choose another --out.")
    corpus = load_corpus(data or ["moby-dick"])
    learnt = train_sentencepiece(corpus.train, vocab)
    write_atomically(out, learnt.model)
    sources = {"train": corpus.train, **corpus.held_out}
    each = {split: round(tokens_of(source, learnt).bytes_each, 3) for split, source in sources.items()}
    if json:
        print(json_.dumps({"path": str(out), "vocab": learnt.size, "bytes_per_token": each}))
        return
    shares = ", ".join(f"{value:.2f} of {split}" for split, value in each.items())
    stdout().print(f"{learnt.size:,} tokens in [bold]{out}[/]; bytes a token: {shares}", soft_wrap=True)
    stdout().print(f"Next: [bold]las train plastic --tokenizer {out}[/]", soft_wrap=True)


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
