"""``las bench``: each command runs, tells its numbers as a table or as JSON, and none without parity."""

import json
import re
from typing import Any

import pytest
from typer.testing import CliRunner

from lasmlx.apps.bench import app
from lasmlx.apps.bench_table import number, shape_of, sizes_of
from lasmlx.benchmark import ParityError, modes, scan

SCAN = ["scan", "--shape", "1,20,3,2", "--repeats", "1", "--budget", "0", "--no-peer"]
COMMANDS = {
    "scan": SCAN,
    "train": ["train", "--preset", "las-small", "--batch-size", "1", "--seq-len", "8", "--repeats", "1", "--no-peer"],
    "step": ["step", "--preset", "las-small", "--repeats", "1", "--budget", "0", "--no-peer"],
    "latency": ["latency", "--preset", "las-small", "--baud", "9600", "--bytes", "32"],
    "kan": ["kan", "--shape", "9,3,5", "--grid", "4", "--repeats", "1", "--budget", "0", "--no-peer"],
    "lif": ["lif", "--shape", "2,12,5,3", "--repeats", "1", "--budget", "0", "--no-peer"],
    "attention": [
        *("attention", "--length", "20", "--length", "40", "--parameters", "20000", "--repeats", "1", "--budget", "0"),
        "--no-peer",
    ],
    "models": [
        *("models", "--data", "chaos:length=64,train=20,test=10", "--parameters", "2000", "--model", "mamba-kan"),
        *("--steps", "2", "--seeds", "1", "--window", "32", "--repeats", "1"),
    ],
    "length": ["length", "--length", "40", "--length", "80", "--repeats", "1"],
    "plastic": ["plastic", "--shape", "1,20,1,3,2", "--liquid", "1,20,3,2", "--repeats", "1", "--budget", "0"],
}
KEYS = {
    "scan": {"impl", "shape", "forward", "forward_backward", "ratio_forward", "peak_mb", "error"},
    "train": {"impl", "parameters", "step", "bytes_per_second", "ratio", "error"},
    "step": {"preset", "impl", "byte", "ratio", "error"},
    "kan": {"impl", "shape", "grid", "degree", "forward", "ratio_forward", "peak_mb", "error"},
    "lif": {"impl", "shape", "forward", "forward_backward", "ratio_forward", "peak_mb", "error"},
    "attention": {"model", "parameters", "length", "step", "bytes_per_second", "peak_mb", "speed", "memory"},
    "models": {"model", "parameters", "inference", "step", "step_mb", "steps", "seen", "scores"},
    "length": {"model", "length", "inference", "step", "inference_mb", "step_mb"},
    "plastic": {"impl", "rule", "shape", "elements", "forward", "peak_mb", "traces_mb", "error"},
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


def test_what_is_learnt_in_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "CONTENDERS", {k: modes.CONTENDERS[k] for k in ("transformer", "parallel")})
    monkeypatch.setattr(modes, "BASELINES", {"mamba": modes.BASELINES["mamba"]})
    options = ["--parameters", "20000", "--seconds", "1", "--layers", "1", "--lr", "3e-3"]
    result = run("modes", "--data", "val", "--batch-size", "2", "--seq-len", "16", *options, "--json")
    assert result.exit_code == 0, result.output
    rows = {row["model"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert list(rows) == ["transformer", "parallel", "mamba"]
    assert all(0.1 < row["bits_per_byte"] < 8 and row["steps"] >= 10 for row in rows.values())
    assert len(rows["parallel"]["rates"]) == 1 and rows["mamba"]["rates"] == []
    gain = rows["transformer"]["bits_per_byte"] - rows["mamba"]["bits_per_byte"]
    assert rows["mamba"]["ratio"] == pytest.approx(2**gain) and rows["transformer"]["ratio"] == 1


def test_plastic_tables() -> None:
    output = run(*COMMANDS["plastic"]).stdout
    assert "1,20,1,3,2" in output and "(b, t, units, inputs)" in output and "matrix products" not in output
    blocks = run("plastic", "--blocks", "1,70,2,3,3", "--repeats", "1", "--budget", "0").stdout
    assert "matrix products" in blocks and "one by one" in blocks and "lasmlx auto" not in blocks


def test_nothing_is_printed_without_parity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "TOLERANCE", -1.0)
    for option in ([], ["--json"]):
        result = run(*SCAN, *option)
        assert result.exit_code != 0 and isinstance(result.exception, ParityError) and result.stdout == ""


def test_bad_sizes() -> None:
    with pytest.raises(ValueError, match="five sizes b,t,g,m,n of at least 1, such as 8,512,256,16,16"):
        sizes_of("1,2,3,4", "b,t,g,m,n")


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,x", "1,2,3,0", ""])
def test_bad_shape(text: str) -> None:
    with pytest.raises(ValueError, match="four sizes"):
        shape_of(text)


def test_numbers() -> None:
    assert [number(v) for v in (0.123, 1.234, 12.34, 123.4, 1234.5)] == ["0.12", "1.23", "12.3", "123", "1,234"]
