"""Shared by all tests. Importing lasmlx here, before anything imports mlx, brings MLX its fast BLAS."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

import lasmlx  # noqa: F401

Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def python() -> Python:
    """Run a program in a fresh interpreter: ``python(code, VARIABLE="value") -> CompletedProcess``, checked."""

    def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-W", "error", "-c", code],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

    return run
