"""``las viz dt``: numbers in a pipe, pictures on a terminal, figures in files."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from lasmlx.apps import terminal
from lasmlx.apps.viz import app
from lasmlx.models import LASConfig, MambaConfig, make_model
from lasmlx.viz import DtTrace

TEXT = "Call me Ishmael.\nSome years ago"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mx.random.seed(0)
    folder = tmp_path_factory.mktemp("runs") / "small"
    make_model(LASConfig(d=16, layers=3, n=4)).save(folder)
    return folder


@pytest.fixture
def las(run: Path) -> Callable[..., Result]:
    return lambda *args: CliRunner().invoke(app, ["dt", "--run", str(run), *map(str, args)])


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Console]:
    def show_on(width: int, **options: Any) -> Console:
        given = {"color_system": "truecolor", "height": 45, "highlight": False} | options
        console = Console(file=io.StringIO(), force_terminal=True, width=width, **given)
        monkeypatch.setattr(terminal, "stdout", lambda: console)
        return console

    return show_on


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def plain(text: str) -> list[str]:
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


def test_piped_it_is_a_table(las: Callable[..., Result]) -> None:
    result = las("--text", TEXT)
    assert result.exit_code == 0, result.exception
    head, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert head == ["index", "byte", "dt_s", "layer0_s", "layer1_s", "layer2_s"]
    assert bytes(int(row[1]) for row in rows) == TEXT.encode()
    assert [int(row[0]) for row in rows] == list(range(len(TEXT)))
    for row in rows:
        mean, *layers = map(float, row[2:])
        assert mean == pytest.approx(sum(layers) / 3, rel=1e-4) and 0.001 <= min(layers) <= max(layers) <= 0.1


def test_json_lines(las: Callable[..., Result]) -> None:
    result = las("--text", TEXT, "--json", "--layer", 1)
    *rows, summary = map(json.loads, result.stdout.splitlines())
    assert bytes(row["byte"] for row in rows) == TEXT.encode()
    assert all(row["layers_s"] == [pytest.approx(row["dt_s"], rel=1e-5)] for row in rows)
    assert summary["bytes"] == len(TEXT) and summary["bounds_s"] == [0.001, 0.1]
    assert [layer["layer"] for layer in summary["layers"]] == [1]


def test_what_it_reads(las: Callable[..., Result], tmp_path: Path) -> None:
    count = lambda *args: len(las(*args).stdout.splitlines()) - 1  # noqa: E731
    assert count() == 320
    assert count("--generate", 50) == 50
    assert count("--data", "moby-dick", "--bytes", 70) == 70
    (tmp_path / "log").write_bytes(b"0123456789" * 10)
    assert count("--data", tmp_path / "log") == 10  # the tenth that is held out


def test_a_run_is_shown_what_it_was_trained_on(run: Path, las: Callable[..., Result]) -> None:
    state = run / "train_state.json"
    try:
        state.write_text(json.dumps({"data": ["val"]}))
        assert bytes(int(line.split("\t")[1]) for line in las().stdout.splitlines()[1:6]) == b"val: "
        state.write_text(json.dumps({"data": ["gone"]}))
        assert len(las().stdout.splitlines()) == 321
    finally:
        state.unlink()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--text", ""], "--text is empty"),
        (["--text", "a", "--generate", "5"], "--text and --generate were given: one of them"),
        (["--text", "a", "--bytes", "5"], "--bytes says how many bytes of data to read; --text already says it"),
        (["--generate", "0"], r"--generate is 0, expected 1 to \d+"),
        (["--bytes", "-3"], r"--bytes is -3, expected 1 to \d+"),
        (["--bytes", "99999999999"], r"--bytes is 99999999999, expected 1 to \d+"),
        (["--text", "a", "--layer", "3"], "layer is 3, expected 0 to 2"),
        (["--data", "no-such"], "'no-such' is neither"),
        (["--save", "a.pdf"], r"saved as \.png or \.svg, got 'a\.pdf'"),
        (["--screenshot", "a.png"], r"saved as \.svg"),
    ],
)
def test_mistakes(las: Callable[..., Result], args: list[str], message: str) -> None:
    result = las(*args)
    assert isinstance(result.exception, ValueError) and result.stdout == ""
    with pytest.raises(ValueError, match=message):
        raise result.exception


def test_a_figure_is_never_overwritten_unasked(las: Callable[..., Result], tmp_path: Path) -> None:
    png, svg = tmp_path / "dt.png", tmp_path / "dt.svg"
    png.write_bytes(b"mine")
    result = las("--text", TEXT, "--save", png)
    assert isinstance(result.exception, ValueError) and "exists already" in str(result.exception)
    assert png.read_bytes() == b"mine"
    assert las("--text", TEXT, "--save", png, "--force").exit_code == 0
    assert png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") and len(png.read_bytes()) > 20_000
    result = las("--text", TEXT + "$x$ 你\x7f", "--layer", 0, "--save", svg)
    assert result.exit_code == 0 and result.stdout == "" and f"wrote {svg}" in result.stderr
    assert "</svg>" in svg.read_text()
    assert sorted(tmp_path.iterdir()) == [png, svg]


def test_without_matplotlib(las: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    result = las("--text", TEXT, "--save", tmp_path / "dt.png")
    assert isinstance(result.exception, ValueError) and "pip install 'lasmlx[plot]'" in str(result.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("options", [{}, {"color_system": None}, {"no_color": True}, {"color_system": "standard"}])
def test_no_line_is_wider_than_the_terminal(
    las: Callable[..., Result], screen: Callable[..., Console], width: int, options: dict[str, Any]
) -> None:
    from rich.cells import cell_len

    console = screen(width, **options)
    assert las().exit_code == 0
    lines = plain(printed(console))
    assert max(map(cell_len, lines)) <= width
    for title in ("Text, mean dt", "dt over time", "the mean, enlarged", "Layers, mean dt", "How often each dt occurs"):
        assert sum(title in line for line in lines) == 1
    assert len(lines) <= 45
    assert sum(line.startswith("layer 2") for line in lines) == 2
    assert any(line.startswith(" 100 ms") and "┈" in line for line in lines)  # both bounds
    assert any(line.startswith("   1 ms") and "┈" in line for line in lines)


@pytest.mark.parametrize("text", ["a", "你好 😀\x00\x1b[31m", "x\n" * 300])
@pytest.mark.parametrize("width", [10, 80])
def test_odd_texts(las: Callable[..., Result], screen: Callable[..., Console], text: str, width: int) -> None:
    console = screen(width)
    result = las("--text", text)
    assert result.exit_code == 0, result.exception
    assert "\x00" not in printed(console)
    assert max(map(len, plain(printed(console)))) <= max(width, 32)


def test_a_byte_takes_a_column_whatever_it_is() -> None:
    from lasmlx.apps.viz_cells import coloured_text

    text = "你好 😀🏽 e\u0301 \u1160\u3164 ䷀ ☰ ค่า \u202e\u200d".encode() + bytes(range(128, 256))
    trace = DtTrace(text, np.full((1, len(text), 1), 0.01, np.float32), None, (0,))
    assert [line.cell_len for line in coloured_text(trace, 500, coloured=True)] == [len(text)]
    for width in (1, 2, 7, 32):
        lines = [line.cell_len for line in coloured_text(trace, width, coloured=True)]
        assert set(lines[:-1]) <= {width}


def test_without_colour_bars_say_it(las: Callable[..., Result], screen: Callable[..., Console]) -> None:
    console = screen(80, color_system=None)
    las("--text", TEXT)
    assert "\x1b" not in printed(console)
    line = next(i for i, line in enumerate(plain(printed(console))) if line.startswith("Call me"))
    assert set(plain(printed(console))[line + 1].strip()) <= set("▁▂▃▄▅▆▇█ ")


def test_colours_are_those_of_the_mean(las: Callable[..., Result], screen: Callable[..., Console]) -> None:
    from lasmlx.viz import colour

    console = screen(80)
    las("--text", TEXT)
    for end in (0, 1):
        assert ";48;2;{};{};{}m".format(*colour(end)) in printed(console)


def test_a_model_without_bounds(screen: Callable[..., Console], tmp_path: Path) -> None:
    make_model(MambaConfig(d=16, layers=5, n=4)).save(tmp_path / "m")
    console = screen(80)
    assert CliRunner().invoke(app, ["dt", "--run", str(tmp_path / "m"), "--text", TEXT]).exit_code == 0
    assert "bounds" not in printed(console)


def test_a_picture_of_the_terminal(las: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "terminal.svg"
    assert las("--screenshot", path).exit_code == 0
    svg = path.read_text()
    assert "las&#160;viz&#160;dt" in svg and "url(http" not in svg and len(svg) < 120_000
    assert not any(char in svg for char in "▌█⠒")  # drawn, not left to a font
