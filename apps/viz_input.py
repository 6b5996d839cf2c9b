"""Which bytes a picture is of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lasmlx.data import Tokenizer


class Input(NamedTuple):
    """Bytes, and what to call them."""

    data: bytes
    label: str


def read_input(
    model: Any,
    folder: Path,
    *,
    text: str | None,
    data: str | None,
    generate: int | None = None,
    count: int | None,
    fits: int,
    most: int,
    tokenizer: Tokenizer | None = None,
) -> Input:
    """The bytes of the one source that was given; with none, held-out bytes of what the model was trained on.

    Args:
        count: how many bytes of data; None takes ``fits``.
        most: how many bytes a trace of ``model`` may have.
        tokenizer: that of a model which reads tokens.

    Raises:
        ValueError: several sources, an empty one, or too many bytes.
    """
    given = {"--text": text, "--data": data, "--generate": generate}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"{' and '.join(names)} were given: one of them says what to read.")
    if count is not None and names and names != ["--data"]:
        raise ValueError(f"--bytes says how many bytes of data to read; {names[0]} already says it.")
    for name, number in (("--bytes", count), ("--generate", generate)):
        if number is not None and not 1 <= number <= most:
            raise ValueError(f"{name} is {number}, expected 1 to {most} for this model.")
    if text is not None:
        if not text:
            raise ValueError('--text is empty; expected at least a byte, as in --text "Call me Ishmael."')
        return Input(os.fsencode(text), f"{len(os.fsencode(text))} bytes of --text")
    if generate is not None:
        return _generated(model, generate, tokenizer)
    if data is not None:
        return _held_out(data, count or fits)
    return _of_training(folder, count or fits)


def _generated(model: Any, count: int, tokenizer: Tokenizer | None) -> Input:
    from lasmlx.stream import generate

    return Input(bytes(generate(model, bytes=count, tokenizer=tokenizer)), f"{count} bytes of its own making")


def _held_out(specs: str | Sequence[str], count: int) -> Input:
    from lasmlx.data import load_corpus

    corpus = load_corpus(specs)
    split, source = next(iter(corpus.held_out.items()))
    head = bytes(source[:count])
    return Input(head, f"{len(head)} bytes of {corpus.name}, {split}")


def _of_training(folder: Path, count: int) -> Input:
    from lasmlx.apps.runs import trained_on

    try:
        return _held_out(trained_on(folder), count)
    except (OSError, ValueError, KeyError, TypeError):  # no run, or one whose data is gone
        return _held_out("moby-dick", count)
