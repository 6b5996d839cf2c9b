"""Puts ``tests/`` on the path, so that ``import metal_check`` works, skips where no compiler is, allows more time."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

import metal_check

LIMIT = 600  # seconds a test: the first one builds the runtime, with a compiler that may be slow


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LIMIT))


@pytest.fixture(autouse=True)
def compiler() -> None:
    try:
        metal_check.find_compiler()
    except metal_check.NoCompiler as error:
        pytest.skip(str(error))
