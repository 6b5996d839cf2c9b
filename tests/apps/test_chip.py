"""``las chip`` as a user runs it."""

import json
from pathlib import Path

import pytest

from lasmlx.chip import load_chip
from lasmlx.models import load


@pytest.fixture(scope="module")
def chip(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chip made of the tiny run."""
    from lasmlx.apps.chip import quantize

    out = tmp_path_factory.mktemp("chips") / "chip"
    quantize(tiny_run, out, ["val"], "int8", "table", 0, 16, "stochastic", "mse", 4, 0, 3e-4, None, 7, 600, False, True)
    return out


def test_help_has_an_example_everywhere(las) -> None:
    for command in ("quantize", "run", "report", "verify", "soak", "export", "synth"):
        assert "Example: las chip" in las("chip", command, "--help").stdout.decode(), command


def test_quantize_writes_a_chip_with_its_source(chip: Path, tiny_run: Path) -> None:
    assert load_chip(chip).config.state_bits == 16
    assert load_chip(chip).config.seed == 7
    kept, original = load(chip / "source"), load(tiny_run)
    assert kept.config == original.config


def test_fine_tuning_changes_the_chip_and_keeps_the_source(las, tiny_run: Path, tmp_path: Path) -> None:
    arguments = ("chip", "quantize", str(tiny_run), "--data", "val", "--windows", "4", "--bytes", "500", "--json")
    done = las(*arguments, "--qat", "3", "--noise", "pcm", "--out", "tuned")
    assert done.returncode == 0, done.stderr
    bits = json.loads(done.stdout)["bits_per_byte"]
    assert list(bits) == ["float32", "calibrated", "fine-tuned, 3 steps"]
    source = {name: v.tolist() for name, v in load(tmp_path / "tuned" / "source").head.items()}
    assert source == {name: v.tolist() for name, v in load(tiny_run).head.items()}
    again = las(*arguments, "--out", "tuned")
    assert again.returncode == 2 and "is not empty" in again.stderr.decode()


def test_run_verify_soak(las, chip: Path) -> None:
    run = las("chip", "run", str(chip), "--bytes", "300", "--json")
    assert 0 < next(iter(json.loads(run.stdout)["bits_per_byte"].values())) < 9
    verified = las("chip", "verify", str(chip), "--bytes", "40", "--random", "4", "--with", "emulator", "--json")
    assert verified.returncode == 0, verified.stderr
    rows = [json.loads(line) for line in verified.stdout.splitlines()]
    assert {r["realisation"] for r in rows} >= {"emulator, plain", "emulator, baseline"}
    assert all(r["differences"] == 0 and r["logits"] > 0 for r in rows)
    soaked = las("chip", "soak", str(chip), "--bytes", "2000", "--looks", "2", "--json")
    assert [json.loads(line)["differences"] for line in soaked.stdout.splitlines()] == [0, 0]


def test_report(las, chip: Path, tmp_path: Path) -> None:
    done = las("chip", "report", str(chip), "--bytes", "250", "--seeds", "1", "--save", "drift.svg")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    for word in ("digital chip", "pcm, 1 year", "logits", "energy, nJ a byte"):
        assert word in text
    assert (tmp_path / "drift.svg").read_text().startswith("<?xml")


def test_a_chip_speaks(las, chip: Path) -> None:
    arguments = ("generate", "val: ", "--chip", str(chip), "--bytes", "20")
    assert las(*arguments).stdout == las(*arguments).stdout
    done = las("stream", "val: ", "--chip", str(chip), "--bytes", "20", "--baud", "9600", "--json")
    assert len(done.stdout) == 20 and json.loads(done.stderr)["bytes"] == 20
    noisy = las("stream", "val: ", "--chip", str(chip), "--noise", "pcm", "--bytes", "20")
    assert len(noisy.stdout) == 20


def test_export_cpp(las, chip: Path, tmp_path: Path) -> None:
    done = las("chip", "export", str(chip), "--out", "firmware", "--vectors", "3")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "firmware" / "las_chip.hpp").is_file()
    assert "is not empty" in las("chip", "export", str(chip), "--out", "firmware").stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chip", "verify", "{run}"], "has no chip.json"),
        (["chip", "quantize", "{run}", "--data", "val", "--noise", "pcm", "--out", "x"], "with --qat"),
        (["chip", "quantize", "{run}", "--data", "val", "--qat", "2", "--system", "q16", "--out", "x"], "q16"),
        (["chip", "run", "{chip}", "--noise", "rram"], "'rram' is not one of"),
        (["chip", "run", "{chip}", "--noise", "gone.toml"], "gone.toml does not exist"),
        (["chip", "verify", "{chip}", "--with", "asic"], "'asic' is no realisation"),
        (["stream", "--chip", "{chip}", "--weights", "int8"], "leave out --run and --weights"),
        (["stream", "--noise", "pcm"], "name a chip directory"),
        (["chip", "report", "{chip}", "--save", "drift.gif"], ".png or .svg"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(las, chip: Path, tiny_run: Path, arguments: list[str], message: str) -> None:
    done = las(*(a.format(run=tiny_run, chip=chip) for a in arguments))
    assert done.returncode == 2
    text = " ".join(done.stderr.decode().replace("measuring ranges", "").split())
    assert text.startswith("las:") and message in text
