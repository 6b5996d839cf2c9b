"""``las chat``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lasmlx.apps.stream import RunOption, Seed, Temperature, TopK

MOST = 400  # bytes of an answer


def chat(
    run: RunOption = None,
    memory: Annotated[Path, typer.Option(help="What it remembers, between sessions too.")] = Path("memory.safetensors"),
    count: Annotated[int, typer.Option("--bytes", min=1, help="The longest answer.")] = MOST,
    temperature: Temperature = 0.8,
    top_k: TopK = 0,
    seed: Seed = 0,
) -> None:
    """Talk to a model line by line; what it was told today is there tomorrow. /forget, /quit or Ctrl-D.

    Example: las chat --run runs/plastic --memory me.safetensors
    """
    import sys

    from lasmlx.apps.runs import remembering
    from lasmlx.apps.terminal import stderr

    model = remembering(run, memory)
    session = model.session(seed)
    asked = "known" if memory.exists() else "new"
    stderr().print(f"[bold]las chat[/]  memory {memory} ({asked})  /forget  /quit", soft_wrap=True)
    while line := _line():
        command = line.strip()
        if command == "/quit":
            break
        if command == "/forget":
            model.forget()
        elif command.startswith("/"):
            stderr().print("there are /forget and /quit.", soft_wrap=True)
            continue
        else:
            session.feed(line.encode())
            _answer(session, count, temperature, top_k)
        model.save()  # after each line, so that a kill loses the line in hand at most
    sys.stdout.flush()


def _line() -> str:
    """What the user says, with its line feed; empty at the end."""
    import sys

    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    try:
        return sys.stdin.readline()
    except KeyboardInterrupt:
        return ""


def _answer(session: object, count: int, temperature: float, top_k: int) -> None:
    """One line of the model's, or so many bytes."""
    import sys
    from typing import Any

    speaker: Any = session
    for _ in range(count):
        piece, _ = speaker.generate(1, temperature, top_k)
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        if piece == b"\n":
            return
    sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
