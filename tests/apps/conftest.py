import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Las = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def las(tmp_path: Path) -> Las:
    """Runs ``las`` as a user would, in an empty folder."""

    def run(*arguments: str, **options: object) -> "subprocess.CompletedProcess[bytes]":
        command = [sys.executable, "-P", "-c", "from lasmlx.apps.cli import main; main()", *arguments]
        environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
        return subprocess.run(command, cwd=tmp_path, capture_output=True, env=environment, **options)  # type: ignore[call-overload]

    return run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a small model, trained for a moment."""
    from lasmlx.train.session import prepare

    settings = {"d": 32, "layers": 1, "n": 4, "steps": 20, "batch_size": 4, "seq_len": 64, "eval_bytes": 500}
    session = prepare("las-small", settings, ("val",), tmp_path_factory.mktemp("runs") / "tiny")
    list(session.records())
    return session.run.path
