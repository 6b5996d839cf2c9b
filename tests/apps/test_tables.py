"""``las train --task``: a CSV of one's own to classify, regress, forecast; and what does not go together."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lasmlx.apps.cli import app

TRAIN = ("train", "lnn", "--steps", "2", "--batch-size", "2", "--json", "--set", "hidden=4", "--set", "layers=1")
ROWS = "kind,a,b\n" + "1,1,2\n2,3,4\n" * 4
LONG = "who,walk,t,a,b\n" + "".join(f"{'xy'[w % 2]},{w},{t / 2},{w},{t}\n" for w in range(8) for t in range(3))
SERIES = "a,b\n" + "".join(f"{i},{-i}\n" for i in range(40))


def las(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize(
    ("text", "options", "outputs"),
    [
        (ROWS, ["classify", "--label", "kind"], 2),
        (LONG, ["classify", "--label", "who", "--id", "walk", "--time", "t", "--test", "0.3"], 2),
        (ROWS, ["regress", "--label", "kind"], 1),
        (SERIES, ["forecast", "--window", "5", "--horizon", "3", "--label", "b"], 3),
    ],
)
def test_a_table_is_learnt_and_judged_by_its_run(tmp_path: Path, text: str, options: list[str], outputs: int) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    result = las(*TRAIN, "--data", path, "--out", tmp_path / "run", "--task", *options)
    assert result.exit_code == 0, result.output
    stored = json.loads((tmp_path / "run" / "train_state.json").read_text())
    assert stored["model"]["outputs"] == outputs and stored["data"][0].startswith(f"{path}#task={options[0]}&label=")
    assert "sequences" in las("eval", tmp_path / "run").output
    assert "sequences" in las("eval", tmp_path / "run", "--data", stored["data"][0]).output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "x.csv", "--label", "y", "--window", "3"], "--label, --window without --task: add --task classify"),
        (["--task", "classify", "--label", "y"], "--task goes with one --data FILE, a CSV or NPZ of your own; 0 were"),
        (["--data", "x.csv", "--data", "y.csv", "--task", "forecast"], "one --data FILE, .*; 2 were given"),
        (["--data", "x.csv", "--task", "sort"], r"x\.csv: task is 'sort'.*; expected classify, regress, forecast"),
        (["--data", "x.csv", "--task", "forecast"], r"there is no file .*x\.csv"),
    ],
)
def test_what_does_not_go_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        raise las("train", "lnn", *options).exception or AssertionError("it went")
    assert not list(tmp_path.iterdir())
