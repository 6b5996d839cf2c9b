"""Which model a command means when it is given a run, or none."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any


def find_model(run: Path | None) -> tuple[Any, Path]:
    """The model of ``run``; without one that of the newest run under ``./runs``, else the one that ships.

    Returns:
        The model and the folder it came from.
    """
    from lasmlx.models import load
    from lasmlx.train import newest_run

    folder = run or newest_run() or Path(str(files("lasmlx") / "pretrained"))
    return load(folder), folder


def find_chip(folder: Path, noise: str | None = None) -> Any:
    """The emulator of a chip directory, with an analog part where ``noise`` names one."""
    from lasmlx.apps.chip_work import analog_emulator, trained_on
    from lasmlx.chip import load_chip
    from lasmlx.data import load_corpus

    chip = load_chip(folder)
    return analog_emulator(chip, load_corpus(tuple(trained_on(folder))), noise, seconds=20.0)


def remembering(run: Path | None, memory: Path) -> Any:
    """The model of ``run`` with what a memory file remembers."""
    from lasmlx.data import tokenizer_of
    from lasmlx.stream import Remembering

    model, folder = find_model(run)
    return Remembering(model, memory, tokenizer_of(model.config, folder))


def trained_on(folder: Path) -> list[str]:
    """The data a run was trained on, as its folder says; ``moby-dick`` where it says nothing."""
    import json

    from lasmlx.train.run import STATE_FILE

    path = folder / STATE_FILE
    return list(json.loads(path.read_text())["data"]) if path.is_file() else ["moby-dick"]
