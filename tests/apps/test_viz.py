"""``las viz``, what a model feels: numbers in a pipe, pictures on a terminal, figures in files."""

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
from lasmlx.models import LASConfig, MambaConfig, MambaKANConfig, make_model
from lasmlx.models.lnn import LNNConfig
from lasmlx.models.plastic_lm import PlasticLMConfig
from lasmlx.models.spiking_mamba import SpikingMambaConfig
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
        given = {"color_system": "truecolor", "height": 45, "highlight": False, "force_terminal": True} | options
        console = Console(file=io.StringIO(), width=width, **given)
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


def test_a_label_may_stand_at_the_very_end(las: Callable[..., Result], screen: Callable[..., Console]) -> None:
    screen(80)
    result = las("--data", "moby-dick", "--bytes", 3001)
    assert result.exit_code == 0, result.exception


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


LENGTHS = [24, 9, 24, 1]


@pytest.fixture(scope="module")
def lnn_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Liquid networks of bytes and of sequences with 1, 3 and 15 channels, and their data beside them."""
    mx.random.seed(0)
    folder = tmp_path_factory.mktemp("lnn")
    make_model(LNNConfig(hidden=6, layers=2)).save(folder / "bytes")
    random = np.random.default_rng(0)
    for channels in (1, 3, 15):
        run, data = folder / str(channels), folder / f"set{channels}.npz"
        make_model(LNNConfig(inputs=channels, outputs=2, hidden=6, layers=2, tau_max=5000.0)).save(run)
        parts: dict[str, Any] = {}
        for part in ("train", "test"):
            parts |= {f"x_{part}": random.normal(size=(4, 24, channels)), f"y_{part}": np.array(["up", "down"] * 2)}
            parts |= {f"dt_{part}": random.exponential(0.01, (4, 24)), f"lengths_{part}": np.array(LENGTHS)}
        np.savez(data, **parts)
        (run / "train_state.json").write_text(json.dumps({"data": [str(data)], "classes": ["down", "up"]}))
    return folder


@pytest.fixture
def tau(lnn_runs: Path) -> Callable[..., Result]:
    return lambda run, *args: CliRunner().invoke(app, ["tau", "--run", str(lnn_runs / str(run)), *map(str, args)])


def test_tau_of_bytes_piped(tau: Callable[..., Result]) -> None:
    result = tau("bytes", "--text", TEXT)
    assert result.exit_code == 0, result.exception
    head, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert head[:6] == ["index", "seconds", "byte", "tau_s", "layer0_s", "layer1_s"]
    assert head[6:] == ["layer0_p5_s", "layer1_p5_s", "layer0_p95_s", "layer1_p95_s"]
    assert bytes(int(row[2]) for row in rows) == TEXT.encode()
    assert [float(row[1]) for row in rows] == list(range(len(TEXT)))
    for row in rows:
        mean, first, second, low, _, high, _ = map(float, row[3:])
        assert mean == pytest.approx((first + second) / 2, rel=1e-4) and 1 <= low < first < high <= 100


def test_tau_of_bytes_of_data(tau: Callable[..., Result], tmp_path: Path) -> None:
    assert len(tau("bytes").stdout.splitlines()) == 321
    assert len(tau("bytes", "--data", "val", "--bytes", 70).stdout.splitlines()) == 71


def test_tau_of_a_sequence_as_json(tau: Callable[..., Result], lnn_runs: Path) -> None:
    from lasmlx.data import load_sequences
    from lasmlx.models import load

    result = tau(3, "--sequence", 1, "--json", "--layer", 1)
    *rows, summary = map(json.loads, result.stdout.splitlines())
    test = load_sequences(str(lnn_runs / "set3.npz")).test
    y, _, taus = load(lnn_runs / "3").trace(mx.array(test.x[1:2, :9]), dt=mx.array(test.dt[1:2, :9]))
    assert [row["seconds"] for row in rows] == pytest.approx([0, *np.cumsum(test.dt[1, :8])], rel=1e-4)
    assert [row["layers_s"] for row in rows] == [[pytest.approx(v, rel=1e-4)] for v in np.array(taus[1][0]).mean(1)]
    assert [row["tau_s"] for row in rows] == [row["layers_s"][0] for row in rows]
    p95 = np.percentile(np.array(taus[1][0]), 95, axis=1)
    assert [row["layers_p95_s"] for row in rows] == [[pytest.approx(v, rel=1e-4)] for v in p95]
    said = ["down", "up"][int(np.array(y)[0, -1].argmax())]
    assert (summary["sequence"], summary["class"], summary["said"]) == (1, "down", said) and 0.5 <= summary["sure"] <= 1
    assert summary["elements"] == 9 and summary["seconds"] == pytest.approx(test.dt[1, :9].sum(), rel=1e-4)
    assert summary["bounds_s"] == [1.0, 5000.0] and [layer["layer"] for layer in summary["layers"]] == [1]


def test_tau_of_other_data_and_of_values(tau: Callable[..., Result], lnn_runs: Path, tmp_path: Path) -> None:
    x, y = np.ones((2, 5, 3)), np.array([[0.5, 2.0], [1.0, 3.0]])
    np.savez(tmp_path / "v.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    make_model(LNNConfig(inputs=3, outputs=2, hidden=6, cell="soft")).save(tmp_path / "m")
    result = tau(tmp_path / "m", "--data", tmp_path / "v.npz", "--sequence", 1, "--json")
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["values"] == [1, 3] and len(summary["said"]) == 2 and summary["bounds_s"] == [1.0, None]
    summary = json.loads(tau(3, "--data", lnn_runs / "set3.npz", "--json").stdout.splitlines()[-1])
    assert summary["sequence"] == 0 and summary["class"] == "up"


@pytest.mark.parametrize(
    ("run", "args", "message"),
    [
        (3, ["--sequence", 4], "--sequence is 4, expected 0 to 3: set3 has 4 to test"),
        (3, ["--sequence", -1], "--sequence is -1, expected 0 to 3"),
        (3, ["--layer", 2], r"layer is 2, expected 0 to 1\."),
        (3, ["--text", "a"], "reads sequences, not bytes: --text does not go"),
        (3, ["--data", "val"], r"--data is 'val', expected ucr:NAME or FILE\.npz"),
        (3, ["--data", "gone.npz"], r"there is no file gone\.npz"),
        (3, ["--data", "{lnn}/set1.npz"], "the sequences of set1 have 1 channels, this model reads 3"),
        (3, ["--save", "a.pdf"], r"saved as \.png or \.svg"),
        ("bytes", ["--sequence", 0], "reads bytes, not sequences"),
        ("bytes", ["--data", "x.npz"], r"reads bytes, not sequences as in x\.npz"),
        ("bytes", ["--text", ""], "--text is empty"),
        ("bytes", ["--text", "a", "--data", "val"], "--text and --data were given"),
    ],
)
def test_mistakes_of_tau(tau: Callable[..., Result], lnn_runs: Path, run: Any, args: list[Any], message: str) -> None:
    result = tau(run, *(str(arg).format(lnn=lnn_runs) for arg in args))
    assert isinstance(result.exception, ValueError) and result.stdout == ""
    with pytest.raises(ValueError, match=message):
        raise result.exception


def test_the_wrong_command_names_the_right_one(run: Path, lnn_runs: Path) -> None:
    for command, folder, words in (("tau", run, "`las viz dt`"), ("dt", lnn_runs / "bytes", "`las viz tau`")):
        result = CliRunner().invoke(app, [command, "--run", str(folder), "--text", "a"])
        assert isinstance(result.exception, ValueError) and words in str(result.exception)


def test_a_run_whose_data_is_gone(tau: Callable[..., Result], lnn_runs: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(lnn_runs / "1", tmp_path / "m")
    state = tmp_path / "m" / "train_state.json"
    state.write_text(json.dumps({"data": ["away.npz"]}))
    message = str(tau(tmp_path / "m").exception)
    assert "cannot be had: there is no file away.npz." in message and "--data" in message
    state.unlink()
    assert "does not say what it was trained on: name sequences with --data" in str(tau(tmp_path / "m").exception)


@pytest.mark.parametrize("run", ["bytes", 1, 3, 15])
@pytest.mark.parametrize(("width", "options"), [(40, {}), (60, {"color_system": None}), (200, {"no_color": True})])
def test_the_page_of_tau_fits(
    tau: Callable[..., Result], screen: Callable[..., Console], run: Any, width: int, options: dict[str, Any]
) -> None:
    from rich.cells import cell_len

    console = screen(width, **options)
    assert tau(run).exit_code == 0
    lines = plain(printed(console))
    assert max(map(cell_len, lines)) <= width and len(lines) <= 45
    read = "Text, mean tau" if run == "bytes" else "Input"
    for title in (read, "tau over time", "the mean, enlarged", "Units over time", "How often each tau occurs"):
        assert sum(title in line for line in lines) == 1
    assert sum(line.startswith("layer 1") for line in lines) == 2  # of the heat map and of the histograms
    assert any(
        f"bounds 1{and_} {100 if run == 'bytes' else 5000} s" in line for line in lines for and_ in (",", " and")
    )
    assert run != "bytes" or any(line.startswith("  100 s┤┈") for line in lines)
    assert sum(line.count("╋") for line in lines) == 3  # in the legend, at tau_min and at tau_max
    if run == 15:
        assert any(f"… and {15 - sum(line.startswith('    x ') for line in lines)} channels" in line for line in lines)
    if run != "bytes":
        assert sum(line.strip().startswith(("0 s", "0 ms")) for line in lines) == 2
        assert "(model: " in " ".join(lines[:3])


def test_slow_units_are_red(tau: Callable[..., Result], screen: Callable[..., Console]) -> None:
    from lasmlx.viz import colour

    console = screen(100)
    tau(3, "--layer", 0)
    lines = printed(console).splitlines()
    top = next(line for line in lines if "layer 0" in line and "▌" in line)
    last = lines[next(i for i, line in enumerate(lines) if "└┬" in line and "▌" in lines[i - 1]) - 1]
    assert ";48;2;{};{};{}m".format(*colour(0.0)) in top and ";48;2;{};{};{}m".format(*colour(1.0)) in last


def test_a_figure_of_tau(tau: Callable[..., Result], tmp_path: Path) -> None:
    png, svg = tmp_path / "tau.png", tmp_path / "tau.svg"
    assert tau(3, "--save", png).exit_code == 0
    assert png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") and len(png.read_bytes()) > 20_000
    assert "exists already" in str(tau(3, "--save", png).exception)
    assert tau(3, "--save", png, "--force").exit_code == 0
    result = tau("bytes", "--text", TEXT, "--save", svg)
    assert result.stdout == "" and f"wrote {svg}" in result.stderr and "</svg>" in svg.read_text()


def test_a_cell_is_as_wide_as_it_lasts() -> None:
    from lasmlx.apps.viz_cells import heat_row

    share, edges = np.array([0.0, 1.0, 0.5]), np.array([0.0, 3.0, 3.0, 4.0])  # the second lasts no time
    assert heat_row(share, edges, 8, coloured=False).plain == "      ▒▒"
    assert heat_row(share[:2], edges[[0, 1, 3]], 8, coloured=False).plain == "      ██"


@pytest.fixture(scope="module")
def plastic_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mx.random.seed(0)
    folder = tmp_path_factory.mktemp("runs") / "plastic"
    make_model(PlasticLMConfig(d=12, heads=2, fast=1, deep=2)).save(folder)
    return folder


@pytest.fixture
def plastic(plastic_run: Path) -> Callable[..., Result]:
    return lambda command, *args: CliRunner().invoke(app, [command, "--run", str(plastic_run), *map(str, args)])


def test_hebb_piped(plastic: Callable[..., Result]) -> None:
    result = plastic("hebb", "--text", TEXT)
    assert result.exit_code == 0, result.exception
    head, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert head == ["index", "byte", "change", "layer1_norm", "layer2_norm", "layer1_change", "layer2_change"]
    assert bytes(int(row[1]) for row in rows) == TEXT.encode()
    for row in rows[1:]:
        change, first, second, *each = map(float, row[2:])
        assert first > 0 < second and change == pytest.approx(sum(each) / 2, rel=1e-4)


def test_hebb_as_json(plastic: Callable[..., Result]) -> None:
    *rows, summary = map(json.loads, plastic("hebb", "--text", TEXT, "--layer", 2, "--json").stdout.splitlines())
    assert (summary["bytes"], summary["tokens"]) == (len(TEXT), len(TEXT))
    (layer,) = summary["layers"]
    assert layer["layer"] == 2 and layer["norm_before"] == 0 and layer["norm"] <= layer["largest"] < layer["bound"]
    assert layer["norm"] == rows[-1]["layers_norm"][0]
    moved = [abs(s["after"] - s["before"]) for s in summary["synapses"]]
    assert moved == sorted(moved, reverse=True) and len(moved) == 10
    assert set(summary["synapses"][0]) == {"layer", "head", "source", "target", "before", "after"}


def test_hebb_goes_on_from_a_memory(plastic: Callable[..., Result], plastic_run: Path, tmp_path: Path) -> None:
    from lasmlx.models import load
    from lasmlx.stream import save_memory

    model = load(plastic_run)
    _, state = model(mx.array(np.frombuffer(TEXT.encode(), np.uint8))[None])
    save_memory(tmp_path / "memory.safetensors", model, state)
    summary = json.loads(
        plastic("hebb", "--text", "a", "--memory", tmp_path / "memory.safetensors", "--json").stdout.splitlines()[-1]
    )
    norms = [float(np.linalg.norm(np.array(H))) for H in model.traces(state)]
    assert [layer["norm_before"] for layer in summary["layers"]] == pytest.approx(norms, rel=1e-4)
    assert any(s["before"] for s in summary["synapses"])
    result = plastic("hebb", "--text", "a", "--memory", tmp_path / "gone")
    assert isinstance(result.exception, OSError | ValueError) and "gone" in str(result.exception)


def test_steps_piped_and_as_json(plastic: Callable[..., Result]) -> None:
    head, *rows = [line.split("\t") for line in plastic("steps", "--text", TEXT).stdout.splitlines()]
    assert head == ["index", "byte", "bits", "steps", "layer1_steps", "layer2_steps"]
    assert rows[0][2] == "nan" and all(float(row[2]) > 0 for row in rows[1:])
    assert all(float(row[3]) == (int(row[4]) + int(row[5])) / 2 for row in rows)
    *lines, summary = map(json.loads, plastic("steps", "--text", TEXT, "--rtol", 1e-5, "--json").stdout.splitlines())
    assert lines[0]["bits"] is None and lines[-1]["byte"] == ord("o")
    assert sum(line["steps"] for line in lines) > sum(float(row[3]) for row in rows)  # a tighter solver
    assert summary["rtol"] == 1e-5 and f"r = {summary['correlation']:+.2f}" in summary["verdict"]
    assert [layer["layer"] for layer in summary["layers"]] == [1, 2] and len(summary["quarters"]) == 4
    assert summary["hardest"][0]["steps"] == max(line["steps"] for line in lines)


def test_they_read_what_the_model_makes(plastic: Callable[..., Result]) -> None:
    for command in ("hebb", "steps"):
        assert len(plastic(command, "--generate", 5).stdout.splitlines()) == 6
    assert len(plastic("hebb", "--data", "gps", "--bytes", 9).stdout.splitlines()) == 10


@pytest.mark.parametrize("command", ["hebb", "steps"])
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--text", ""], "--text is empty"),
        (["--text", "a", "--data", "gps"], "--text and --data were given"),
        (["--bytes", 99999999], "--bytes is 99999999, expected 1 to 16777216"),
        (["--text", "a", "--layer", 0], "layer is 0, expected 1 or 2, which are deep"),
        (["--save", "a.pdf"], r"saved as \.png or \.svg"),
    ],
)
def test_mistakes_of_plastic(plastic: Callable[..., Result], command: str, args: list[Any], message: str) -> None:
    result = plastic(command, *args)
    assert isinstance(result.exception, ValueError) and result.stdout == ""
    with pytest.raises(ValueError, match=message):
        raise result.exception


@pytest.mark.parametrize(("command", "what"), [("hebb", "no traces"), ("steps", "no solver's steps")])
def test_other_models_have_no_synapses(run: Path, command: str, what: str) -> None:
    result = CliRunner().invoke(app, [command, "--run", str(run), "--text", "a"])
    assert isinstance(result.exception, ValueError) and f"{what} to look at; plastic-lm" in str(result.exception)


@pytest.mark.parametrize("options", [{}, {"color_system": None}, {"no_color": True}])
@pytest.mark.parametrize("width", [40, 60, 160])
def test_the_page_of_hebb_fits(
    plastic: Callable[..., Result], screen: Callable[..., Console], width: int, options: dict[str, Any]
) -> None:
    from rich.cells import cell_len

    console = screen(width, **options)
    result = plastic("hebb", "--text", TEXT * 4)
    assert result.exit_code == 0, result.exception
    lines = plain(printed(console))
    assert max(map(cell_len, lines)) <= width and len(lines) <= 45
    for title in ("Text, change of traces", "Norm of each layer", "Trace a", "Synapses that moved most"):
        assert sum(title in line for line in lines) == 1
    bound = next(line for line in lines if "┤┈" in line)  # at the height of the larger
    assert any(line.endswith(f"bound {bound.split('┤')[0].strip()}") for line in lines)
    assert sum(line.strip().endswith("head 1") for line in lines) == (1 if width == 160 else 2)


def test_the_signs_of_a_trace_are_told_apart(plastic: Callable[..., Result], screen: Callable[..., Console]) -> None:
    from lasmlx.viz import SIGNED, colour

    console = screen(100)
    plastic("hebb", "--text", TEXT)
    for end in (0, 1):
        assert "2;{};{};{}".format(*colour(end, SIGNED)) in printed(console)
    console = screen(100, color_system=None)
    plastic("hebb", "--text", TEXT)
    rows = plain(printed(console))
    cells = rows[next(i for i, row in enumerate(rows) if "layer 1 head 0" in row) + 1][8:]
    assert set(cells) <= set("=- +#") and {"-", "+"} <= set(cells)


@pytest.mark.parametrize(("width", "options"), [(40, {}), (60, {"color_system": None}), (160, {"no_color": True})])
def test_the_page_of_steps_fits(
    plastic: Callable[..., Result], screen: Callable[..., Console], width: int, options: dict[str, Any]
) -> None:
    from rich.cells import cell_len

    console = screen(width, **options)
    result = plastic("steps", "--text", TEXT)
    assert result.exit_code == 0, result.exception
    lines = plain(printed(console))
    assert max(map(cell_len, lines)) <= width and len(lines) <= 45
    for title in ("Text, mean steps", "How often each number", "Steps and surprise", "Hardest bytes"):
        assert sum(title in line for line in lines) == 1
    assert sum(" mean " in line and " to " in line for line in lines) == 2
    assert "r = " in " ".join(lines) and sum(" bits █" in line for line in lines) == 4
    assert any(line.endswith("[C]") and "first" in line for line in lines)


@pytest.mark.parametrize("command", ["hebb", "steps"])
def test_figures_and_pictures_of_plastic(plastic: Callable[..., Result], tmp_path: Path, command: str) -> None:
    png, svg = tmp_path / "a.png", tmp_path / "terminal.svg"
    result = plastic(command, "--text", "a$x$\n你", "--save", png)
    assert result.exit_code == 0 and f"wrote {png}" in result.stderr, result.exception
    assert png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") and len(png.read_bytes()) > 20_000
    assert plastic(command, "--text", TEXT, "--screenshot", svg).exit_code == 0
    assert f"las&#160;viz&#160;{command}" in svg.read_text()
    assert not any(char in svg.read_text() for char in "▌█⠒")


@pytest.mark.parametrize("command", ["hebb", "steps"])
def test_odd_texts_of_plastic(plastic: Callable[..., Result], screen: Callable[..., Console], command: str) -> None:
    for text in ("a", "你好\x00\x1b[31m"):
        console = screen(32)
        result = plastic(command, "--text", text)
        assert result.exit_code == 0, result.exception
        assert "\x00" not in printed(console)


@pytest.fixture(scope="module")
def spiking_runs(tmp_path_factory: pytest.TempPathFactory, lnn_runs: Path) -> Path:
    """Models of bytes in each mode, and one of the sequences with 3 channels."""
    mx.random.seed(0)
    folder = tmp_path_factory.mktemp("spiking")
    small: dict[str, Any] = {"hidden": 16, "layers": 2, "n": 2}
    make_model(SpikingMambaConfig(**small, mode="parallel")).save(folder / "parallel")
    make_model(SpikingMambaConfig(**small, mode="sequential")).save(folder / "sequential")
    make_model(SpikingMambaConfig(**small, mode="bidirectional", backbone="ltc")).save(folder / "bidirectional")
    reads: dict[str, Any] = {"inputs": 3, "outputs": 2, "encoder": "rate", "ticks": 2}
    make_model(SpikingMambaConfig(**small, mode="parallel", **reads)).save(folder / "sequences")
    trained = (lnn_runs / "3" / "train_state.json").read_text()
    (folder / "sequences" / "train_state.json").write_text(trained)
    return folder


@pytest.fixture
def spikes(spiking_runs: Path) -> Callable[..., Result]:
    return lambda run, *args: CliRunner().invoke(app, ["spikes", "--run", str(spiking_runs / run), *map(str, args)])


def test_spikes_piped(spikes: Callable[..., Result]) -> None:
    result = spikes("parallel", "--text", TEXT)
    assert result.exit_code == 0, result.exception
    head, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert head[:6] == ["index", "byte", "bits", "rate", "layer0_rate", "layer1_rate"]
    assert head[6:8] == ["layer0_liquid", "layer1_liquid"] and head[-1] == "layer1_head3_liquid" and len(head) == 16
    assert bytes(int(row[1]) for row in rows) == TEXT.encode()
    for row in rows:
        assert float(row[3]) == pytest.approx((float(row[4]) + float(row[5])) / 2, rel=1e-4)
        assert float(row[7]) == pytest.approx(sum(map(float, row[12:])) / 4, rel=1e-4)
    assert len(spikes("sequential", "--text", TEXT).stdout.splitlines()[0].split("\t")) == 6
    assert len(spikes("parallel", "--generate", 5).stdout.splitlines()) == 6


def test_spikes_as_json(spikes: Callable[..., Result], spiking_runs: Path) -> None:
    from lasmlx.models import load

    *rows, summary = map(json.loads, spikes("parallel", "--text", TEXT, "--layer", 1, "--json").stdout.splitlines())
    felt = load(spiking_runs / "parallel").trace(mx.array(np.frombuffer(TEXT.encode(), np.uint8))[None]).felt[1]
    s, share = np.array(felt.spikes[0]), np.array(felt.share[0])
    assert [row["fired"] for row in rows] == [[np.flatnonzero(v).tolist()] for v in s]
    assert rows[3]["heads_liquid"] == [pytest.approx(share[3].tolist(), rel=1e-4)]
    (layer,) = summary["layers"]
    assert layer["layer"] == 1 and layer["rate"] == pytest.approx(s.mean(), rel=1e-4)
    assert layer["silent"] == (s.sum(axis=0) == 0).sum() and layer["liquid"] == pytest.approx(share.mean(), rel=1e-4)
    assert summary["mode"] == "parallel" and summary["ticks"] == summary["bytes"] == len(TEXT)
    assert summary["bits_per_byte"] == pytest.approx(np.mean([row["bits"] for row in rows[1:]]), rel=1e-4)
    cell = next(part for part in summary["operations"] if part["part"] == "cell, spikes")
    assert (cell["layer"], cell["dense"], cell["macs"]) == (1, 256, 0)
    assert cell["acs"] == cell["effective"] == pytest.approx(16 * s.sum() / len(s), rel=1e-4)


def test_spikes_of_a_sequence(spikes: Callable[..., Result]) -> None:
    *rows, summary = map(json.loads, spikes("sequences", "--sequence", 1, "--json").stdout.splitlines())
    assert len(rows) == summary["ticks"] == 2 * LENGTHS[1] and "byte" not in rows[0]
    assert (summary["sequence"], summary["class"]) == (1, "down") and summary["said"] in ("up", "down")
    assert summary["operations"][0]["part"] == "input map" and summary["operations"][0]["layer"] is None


@pytest.mark.parametrize(
    ("run", "args", "message"),
    [
        ("parallel", ["--text", ""], "--text is empty"),
        ("parallel", ["--text", "a", "--layer", 2], "layer is 2, expected 0 to 1"),
        ("parallel", ["--sequence", 0], "reads bytes, not sequences"),
        ("parallel", ["--save", "a.pdf"], r"saved as \.png or \.svg"),
        ("sequences", ["--generate", 5], "reads sequences, not bytes: --generate does not go"),
        ("sequences", ["--sequence", 4], "--sequence is 4, expected 0 to 3"),
        ("sequences", ["--data", "val"], r"--data is 'val', expected ucr:NAME or FILE\.npz"),
    ],
)
def test_mistakes_of_spikes(spikes: Callable[..., Result], run: str, args: list[Any], message: str) -> None:
    result = spikes(run, *args)
    assert isinstance(result.exception, ValueError) and result.stdout == ""
    with pytest.raises(ValueError, match=message):
        raise result.exception


def test_other_models_do_not_fire(run: Path) -> None:
    result = CliRunner().invoke(app, ["spikes", "--run", str(run), "--text", "a"])
    assert "does not fire: spiking-mamba models do; `las viz dt` shows" in str(result.exception)


@pytest.mark.parametrize("run", ["parallel", "sequential", "bidirectional", "sequences"])
@pytest.mark.parametrize(("width", "options"), [(40, {}), (60, {"color_system": None}), (160, {"no_color": True})])
def test_the_page_of_spikes_fits(
    spikes: Callable[..., Result], screen: Callable[..., Console], run: str, width: int, options: dict[str, Any]
) -> None:
    from rich.cells import cell_len

    console = screen(width, **options)
    result = spikes(run)
    assert result.exit_code == 0, result.exception
    lines = plain(printed(console))
    assert max(map(cell_len, lines)) <= width and len(lines) <= 47
    read = "Input, 3 channels" if run == "sequences" else "Text, share"
    for title in (read, "Spikes  ", "Gate", "Firing rate", "Synaptic operations"):
        assert sum(line.startswith(title) for line in lines) == 1
    assert sum("% fire" in line and " busy" in line for line in lines) == 2
    assert any("none: in mode sequential" in line for line in lines) == (run == "sequential")
    assert sum(line.startswith("layer 1 ") for line in lines) == (run != "sequential")
    assert any(line.startswith("all ") for line in lines) and any("zeros spare" in line for line in lines)
    assert run != "bidirectional" or {"exchange", "attention"} <= {line.split(" ")[0] for line in lines}
    said = " ".join(" ".join(lines[:4]).split())
    assert ("(model: " if run == "sequences" else "bits per byte") in said


def test_dots_are_spikes(spikes: Callable[..., Result], screen: Callable[..., Console]) -> None:
    console = screen(60, color_system=None)
    spikes("parallel", "--text", TEXT)
    drawn = [line[8:] for line in plain(printed(console)) if any(0x2800 < ord(char) < 0x2900 for char in line)][:4]
    *rows, summary = map(json.loads, spikes("parallel", "--text", TEXT, "--json").stdout.splitlines())
    dots = sum(bin(ord(char) - 0x2800).count("1") for line in drawn for char in line if char != " ")
    ticks = ((np.arange(2 * 52) + 0.5) * len(rows) / (2 * 52)).astype(int)  # which a column of dots stands for
    fired = [sum(unit in rows[tick]["fired"][0] for tick in ticks) for unit in range(16)]
    assert dots == sum(fired) and summary["layers"][0]["neurons"] == 16


def test_heads_of_the_gate_are_shown_where_there_is_room(
    spikes: Callable[..., Result], screen: Callable[..., Console]
) -> None:
    for height, count in ((30, 0), (70, 8)):
        console = screen(80, height=height)
        spikes("parallel", "--text", TEXT)
        assert sum(line.startswith(" head ") for line in plain(printed(console))) == count


def test_figures_and_pictures_of_spikes(spikes: Callable[..., Result], tmp_path: Path) -> None:
    for run, path in (("parallel", tmp_path / "a.png"), ("sequences", tmp_path / "b.svg")):
        result = spikes(run, "--save", path)
        assert result.exit_code == 0 and f"wrote {path}" in result.stderr, result.exception
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "</svg>" in (tmp_path / "b.svg").read_text()
    assert spikes("parallel", "--text", TEXT, "--screenshot", tmp_path / "terminal.svg").exit_code == 0
    svg = (tmp_path / "terminal.svg").read_text()
    assert "las&#160;viz&#160;spikes" in svg and not any(char in svg for char in "▌█⠒")


def test_odd_texts_of_spikes(spikes: Callable[..., Result], screen: Callable[..., Console]) -> None:
    for text in ("a", "你好\x00\x1b[31m"):
        console = screen(32)
        result = spikes("parallel", "--text", text)
        assert result.exit_code == 0, result.exception
        assert "\x00" not in printed(console)


@pytest.fixture(scope="module")
def judged_runs(tmp_path_factory: pytest.TempPathFactory, lnn_runs: Path) -> Path:
    """Models of splines of bytes and of sequences, a twin, one that says values, and one of 60 classes."""
    mx.random.seed(0)
    folder = tmp_path_factory.mktemp("judged")
    small: dict[str, Any] = {"hidden": 6, "n": 2}
    make_model(MambaKANConfig(**small)).save(folder / "bytes")
    for name, kind in (("splines", "spline"), ("twin", "mlp")):
        make_model(MambaKANConfig(**small, inputs=3, outputs=2, kan=kind)).save(folder / name)
        (folder / name / "train_state.json").write_text((lnn_runs / "3" / "train_state.json").read_text())
    random = np.random.default_rng(0)
    for name, y in (("values", random.normal(size=(60, 2))), ("many", np.array([f"word {i}" for i in range(60)]))):
        parts = {f"x_{part}": random.normal(size=(60, 5, 2)) for part in ("train", "test")}
        np.savez(folder / f"{name}.npz", **parts, y_train=y, y_test=y)
        make_model(LNNConfig(inputs=2, outputs=2 if name == "values" else 60, hidden=4)).save(folder / name)
        (folder / name / "train_state.json").write_text(json.dumps({"data": [str(folder / f"{name}.npz")]}))
    return folder


@pytest.fixture
def learnt(judged_runs: Path) -> Callable[..., Result]:
    return lambda command, run, *args: CliRunner().invoke(
        app, [command, "--run", str(judged_runs / run), *map(str, args)]
    )


def test_kan_piped_and_as_json(learnt: Callable[..., Result]) -> None:
    result = learnt("kan", "splines", "--edges", 3)
    assert result.exit_code == 0, result.exception
    head, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert head == ["layer", "input", "output", "magnitude", "share"] and [row[0] for row in rows] == list("000111")
    *edges, first, second = map(json.loads, learnt("kan", "splines", "--edges", 3, "--json").stdout.splitlines())
    assert [[str(edge[name]) for name in head] for edge in edges] == rows
    assert len(edges[0]["x"]) == len(edges[0]["phi"]) and len(edges[0]["knots"]) == 6
    assert (first["layer"], second["layer"], first["edges"], first["read"]) == (0, 1, 36, True)
    symbolic = learnt("kan", "bytes", "--edges", 1, "--layer", 1, "--symbolic").stdout.splitlines()
    assert symbolic[0].split("\t")[-2:] == ["r2", "formula"] and "x" in symbolic[1].split("\t")[-1]


def test_confusion_as_json_is_the_evaluation(learnt: Callable[..., Result], judged_runs: Path) -> None:
    from lasmlx.data import load_sequences
    from lasmlx.models import load
    from lasmlx.train import evaluate_sequences

    said = json.loads(learnt("confusion", "many", "--json").stdout)
    judged = evaluate_sequences(load(judged_runs / "many"), load_sequences(str(judged_runs / "many.npz")))
    assert said["counts"] == [list(row) for row in judged.confusion] and said["accuracy"] == pytest.approx(judged.score)
    assert said["classes"][1]["class"] == "word 1" and said["sequences"] == 60
    assert said["interval"][0] <= said["accuracy"] <= said["interval"][1] and said["data"] == "many"


def test_confusion_piped_is_a_page(learnt: Callable[..., Result], screen: Callable[..., Console]) -> None:
    console = screen(80, color_system=None, force_terminal=False)
    assert learnt("confusion", "splines").exit_code == 0
    lines = printed(console).splitlines()
    head, up = (next(line for line in lines if line.split()[:1] == [name]) for name in ("down", "up"))
    assert "\x1b" not in printed(console) and head.split() == ["down", "up", "recall", "precision", "F1", "of"]
    assert up.split()[-1] == "2"  # how many there are
    assert sum("[" in line for line in lines) == 2  # the diagonal
    assert any(" said to be " in line for line in lines) and "95 % interval" in " ".join(lines[:3])


@pytest.mark.parametrize(("width", "options"), [(40, {}), (60, {"color_system": None}), (200, {"no_color": True})])
@pytest.mark.parametrize(
    ("command", "run", "most"), [("confusion", "splines", 15), ("confusion", "many", 80), ("kan", "bytes", 48)]
)
def test_pages_of_what_is_learnt_fit(
    learnt: Callable[..., Result],
    screen: Callable[..., Console],
    command: str,
    run: str,
    most: int,
    width: int,
    options: dict[str, Any],
) -> None:
    from rich.cells import cell_len

    console = screen(width, **options)
    result = learnt(command, run)
    assert result.exit_code == 0, result.exception
    lines = plain(printed(console))
    assert max(map(cell_len, lines)) <= width and len(lines) <= most
    if command == "kan":
        assert sum(line.startswith("Mean |phi|") for line in lines) == 2
        names = sum(line.count("→") for line in lines)
        assert names and sum(line.count("%") for line in lines if "→" in line) == names
        assert [line.split()[1] for line in lines if line.startswith("Layer ")] == ["0", "1"]
    else:
        assert sum("recall" in line for line in lines) == 1
        assert (
            run != "many" or sum("wo" in line and line.count(" %") > 0 and "said" not in line for line in lines) == 60
        )


def test_the_symbolic_page_names_functions(learnt: Callable[..., Result], screen: Callable[..., Console]) -> None:
    console = screen(80)
    assert learnt("kan", "splines", "--symbolic", "--edges", 2, "--layer", 0).exit_code == 0
    lines = plain(printed(console))
    at = next(i for i, line in enumerate(lines) if line.count("→") == 2)
    assert lines[at].count("R2 ") == 2 and lines[at + 1].count("x") >= 2


@pytest.mark.parametrize(
    ("command", "run", "args", "message"),
    [
        ("kan", "twin", [], "kan = mlp and so no splines"),
        ("kan", "values", [], "type lnn has no splines"),
        ("kan", "splines", ["--layer", 2], "layer is 2, expected 0 to 1"),
        ("kan", "splines", ["--data", "val"], r"--data is 'val', expected ucr:NAME or FILE\.npz"),
        ("confusion", "bytes", [], "predicts bytes and has no classes to confuse; `las eval"),
        ("confusion", "values", [], "labelled with values and has no classes to confuse; `las eval"),
        ("confusion", "splines", ["--save", "a.pdf"], r"saved as \.png or \.svg"),
    ],
)
def test_mistakes_of_what_is_learnt(
    learnt: Callable[..., Result], command: str, run: str, args: list[Any], message: str
) -> None:
    result = learnt(command, run, *args)
    assert isinstance(result.exception, ValueError) and result.stdout == ""
    with pytest.raises(ValueError, match=message):
        raise result.exception


def test_a_run_of_splines_whose_data_is_gone(learnt: Callable[..., Result], judged_runs: Path) -> None:
    state = judged_runs / "splines" / "train_state.json"
    kept = state.read_text()
    try:
        state.write_text(json.dumps({"data": ["away.npz"]}))
        *_, summary = map(json.loads, learnt("kan", "splines", "--edges", 1, "--json").stdout.splitlines())
        assert summary["read"] is False and summary["outside"] == 0
        state.write_text(kept.replace("down", "left"))
        assert "those of the model left, up" in str(learnt("confusion", "splines").exception)
    finally:
        state.write_text(kept)


def test_figures_and_pictures_of_what_is_learnt(learnt: Callable[..., Result], tmp_path: Path) -> None:
    for command, run, name in (("kan", "splines", "a.png"), ("confusion", "splines", "b.svg")):
        path = tmp_path / name
        assert f"wrote {path}" in learnt(command, run, "--save", path).stderr
        assert "exists already" in str(learnt(command, run, "--save", path).exception)
        assert learnt(command, "splines", "--screenshot", tmp_path / "terminal.svg").exit_code == 0
        assert f"las&#160;viz&#160;{command}" in (tmp_path / "terminal.svg").read_text()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "</svg>" in (tmp_path / "b.svg").read_text()


@pytest.mark.parametrize(
    ("run", "following"), [("splines", "kan"), ("twin", "confusion"), ("many", "confusion"), ("values", "tau")]
)
def test_a_training_ends_with_what_to_look_at(judged_runs: Path, run: str, following: str) -> None:
    from types import SimpleNamespace

    from lasmlx.apps.runs import trained_on
    from lasmlx.apps.train_report import closing
    from lasmlx.data import load_sequences
    from lasmlx.models import load
    from lasmlx.train import EndRecord

    folder = judged_runs / run
    session: Any = SimpleNamespace(model=load(folder), data=load_sequences(trained_on(folder)[0]))
    said = closing(EndRecord(3, "done", Path("r"), 1.0), session)
    assert said.endswith(f"Next: [bold]las viz {following} --run r[/]")
