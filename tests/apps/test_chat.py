"""``las chat`` and ``las generate --memory``: what was told is there tomorrow."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from lasmlx.models.plastic_lm import PlasticLM, PlasticLMConfig


@pytest.fixture
def run(tmp_path: Path) -> Path:
    mx.random.seed(4)
    PlasticLM(PlasticLMConfig(d=8, heads=2, fast=1, deep=1)).save(tmp_path / "run")
    return tmp_path / "run"


def test_chat_answers_remembers_and_forgets(las: Any, run: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory.safetensors"
    options = ("--run", str(run), "--memory", str(memory), "--bytes", "5")
    first = las("chat", *options, input=b"hello\n/nonsense\nyou\n")
    assert first.returncode == 0 and b"new" in first.stderr and b"/forget" in first.stderr
    assert first.stdout.count(b"\n") >= 2 and memory.exists()
    known = memory.read_bytes()
    second = las("chat", *options, input=b"/quit\n")
    assert second.returncode == 0 and b"known" in second.stderr and memory.read_bytes() == known
    las("chat", *options, input=b"/forget\n")
    assert memory.read_bytes() != known


def test_generate_goes_on_from_a_memory(las: Any, run: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory.safetensors"
    options = ("--run", str(run), "--memory", str(memory), "--bytes", "20")
    one = las("generate", "once", *options)
    two = las("generate", "once", *options)
    assert one.returncode == two.returncode == 0 and len(one.stdout) == len(two.stdout) == 20
    memory.write_bytes(b"not a memory")
    broken = las("generate", "once", *options)
    assert (
        broken.returncode == 2
        and b"memory.safetensors is damaged" in broken.stderr
        and memory.read_bytes() == b"not a memory"
    )
