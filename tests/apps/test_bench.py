"""``las bench``: each command runs, tells its numbers as a table or as JSON, and none without parity."""

import json
import re
from typing import Any

import pytest
from typer.testing import CliRunner

from lasmlx.apps.bench import _number, _shape, app
from lasmlx.benchmark import ParityError, scan

SCAN = ["scan", "--shape", "1,20,3,2", "--repeats", "1", "--budget", "0", "--no-peer"]
COMMANDS = {
    "scan": SCAN,
    "train": ["train", "--preset", "las-small", "--batch-size", "1", "--seq-len", "8", "--repeats", "1", "--no-peer"],
    "step": ["step", "--preset", "las-small", "--repeats", "1", "--budget", "0", "--no-peer"],
    "latency": ["latency", "--preset", "las-small", "--baud", "9600", "--bytes", "32"],
}
KEYS = {
    "scan": {"impl", "shape", "forward", "forward_backward", "ratio_forward", "peak_mb", "error"},
    "train": {"impl", "parameters", "step", "bytes_per_second", "ratio", "error"},
    "step": {"preset", "impl", "byte", "ratio", "error"},
    "latency": {"preset", "weights", "p50_us", "p99_us", "max_us", "sustained_baud", "margin", "error"},
}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("name", COMMANDS)
def test_json(name: str) -> None:
    result = run(*COMMANDS[name], "--json")
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert found
    for row in found:
        assert row.keys() >= KEYS[name] and row["measured"].keys() >= {"command", "cpu", "versions", "threads"}


def test_table_ends_with_where_it_was_measured() -> None:
    result = run(*SCAN)
    assert result.exit_code == 0, result.output
    assert "fwd+bwd ms" in result.stdout and re.search(r"lasmlx cpu|mlx loop", result.stdout)
    assert re.search(r"cores.*mlx \d.*numpy \d", result.stdout.splitlines()[-1])


def test_latency_table() -> None:
    assert "1,042 us" in run(*COMMANDS["latency"]).stdout


def test_nothing_is_printed_without_parity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "TOLERANCE", -1.0)
    for option in ([], ["--json"]):
        result = run(*SCAN, *option)
        assert result.exit_code != 0 and isinstance(result.exception, ParityError) and result.stdout == ""


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,x", "1,2,3,0", ""])
def test_bad_shape(text: str) -> None:
    with pytest.raises(ValueError, match="four sizes"):
        _shape(text)


def test_numbers() -> None:
    assert [_number(v) for v in (0.123, 1.234, 12.34, 123.4, 1234.5)] == ["0.12", "1.23", "12.3", "123", "1,234"]
