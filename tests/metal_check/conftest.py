"""Puts ``tests/`` on the path, so that ``import metal_check`` works, and skips where no compiler is."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

import metal_check


@pytest.fixture(autouse=True)
def compiler() -> None:
    try:
        metal_check.find_compiler()
    except metal_check.NoCompiler as error:
        pytest.skip(str(error))
