import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lasmlx.models import load

TINY = ("--steps", "6", "--batch-size", "2", "--seq-len", "32", "--set", "d=16", "--set", "layers=1", "--data", "val")


def lines(output: bytes) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def test_help_shows_every_command(las) -> None:
    done = las("--help")
    assert done.returncode == 0
    for command in ("info", "train", "eval", "generate", "stream", "chat", "viz", "bench", "data", "presets"):
        assert command in done.stdout.decode()
    for command in ("train", "stream", "chat", "eval", "generate", "info", "data", "presets"):
        assert "Example: las" in las(command, "--help").stdout.decode(), command


def test_train_writes_a_run_and_json_lines(las, tmp_path: Path) -> None:
    done = las("train", "las-small", *TINY, "--json")
    assert done.returncode == 0, done.stderr
    records = lines(done.stdout)
    steps = [r for r in records if r["record"] == "step"]
    assert [r["step"] for r in steps] == [1, 2, 3, 4, 5, 6]
    assert {"step", "loss", "bits_per_byte", "bytes_per_second"} <= steps[0].keys()
    assert records[-1]["reason"] == "done"
    run = tmp_path / records[-1]["path"]
    assert run.parent == tmp_path / "runs"
    assert load(run).config.d == 16

    scored = las("eval", str(run), "--json")
    assert {"bits_per_byte", "bytes"} <= json.loads(scored.stdout).keys()
    final = next(r for r in records if r.get("final"))
    assert json.loads(scored.stdout)["bits_per_byte"] == pytest.approx(final["bits_per_byte"], rel=1e-6)

    again = las("train", "--resume", "--json")
    assert lines(again.stdout)[-1]["step"] == 6


def test_train_in_plain_text(las) -> None:
    done = las("train", "las-small", *TINY)
    text = done.stdout.decode()
    assert done.returncode == 0
    assert "bits/byte" in text and "xz 0.135, ppmd 0.378" in text and "las stream --run" in text
    assert "\x1b" not in text


def test_interrupt_saves_and_resumes(las, tmp_path: Path) -> None:
    arguments = ["train", "las-small", *TINY, "--steps", "2000", "--json", "--out", "run"]
    command = [sys.executable, "-P", "-c", "from lasmlx.apps.cli import main; main()", *arguments]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("step") == 5:
                break
        process.send_signal(signal.SIGINT)
        rest = lines(process.stdout.read())
        assert process.wait(timeout=20) == 130
    assert rest[-1]["reason"] == "stopped"
    assert load(tmp_path / "run").config.d == 16


def test_stream_paces_and_reports(las, tiny_run: Path) -> None:
    start = time.monotonic()
    done = las("stream", "val: ", "--run", str(tiny_run), "--baud", "4800", "--bytes", "240", "--json")
    assert time.monotonic() - start > 0.49
    assert len(done.stdout) == 240
    report = json.loads(done.stderr)
    assert {"bytes", "baud", "late_bytes", "p50_us", "p99_us"} <= report.keys()
    assert report["bytes"] == 240 and report["rate"] == pytest.approx(4800, rel=0.02)


def test_one_seed_one_text(las, tiny_run: Path) -> None:
    texts = [las("generate", "val", "--run", str(tiny_run), "--seed", seed).stdout for seed in ("1", "1", "2")]
    assert texts[0] == texts[1] != texts[2]


def test_head_ends_a_stream_quietly(tiny_run: Path, tmp_path: Path) -> None:
    python = f"{sys.executable} -P -c 'from lasmlx.apps.cli import main; main()'"
    command = f"{python} stream --run {tiny_run} | head -c 100"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, timeout=30)
    assert len(done.stdout) == 100
    assert done.stderr == b""


def test_the_model_that_ships_speaks(las) -> None:
    done = las("stream", "val: ", "--bytes", "60", "--temperature", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"val: ") >= 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "las-bas"], "no preset 'las-bas'; did you mean las-base"),
        (["train", "--set", "dd=3"], "'dd' is no setting of las; did you mean d"),
        (["train", "--set", "d"], "--set takes KEY=VALUE, got 'd'"),
        (["train", "--set", "d=x"], "d is 'x', expected an integer"),
        (["train", "--data", "mobi-dick"], "Did you mean moby-dick"),
        (["train", "--data", "short"], "windows of 256 bytes need 2049"),
        (["train", "--data", "empty"], "empty"),
        (["train", "--resume"], "nothing to resume"),
        (["train", "--out", "taken"], "taken exists already"),
        (["train", "--config", "none.toml"], "cannot read none.toml"),
        (["eval", "taken"], "has no config.json"),
        (["stream", "--run", "nowhere"], "nowhere is not a folder"),
        (["stream", "--baud", "10"], "expected 50 to 10000000"),
        (["stream", "--temperature", "-1"], "temperature is -1.0, expected 0"),
        (["stream", "--top-k", "300"], "top_k is 300"),
        (["generate", "--bytes", "-3"], "expected 0 or more"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(las, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    (tmp_path / "short").write_bytes(b"just this")
    (tmp_path / "empty").touch()
    done = las(*arguments)
    text = done.stderr.decode().rstrip("\n")
    assert done.returncode == 2, text
    assert message in text and text.startswith("las: ") and "\n" not in text
    assert not (tmp_path / "runs").exists()
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_is_said(las, tiny_run: Path) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-P", "-c", "from lasmlx.apps.cli import main; main()"]
        done = subprocess.run(
            [*command, "generate", "--run", str(tiny_run)], stdout=full, stderr=subprocess.PIPE, env=dict(os.environ)
        )
    assert done.returncode == 2
    assert b"No space left" in done.stderr and b"Traceback" not in done.stderr
