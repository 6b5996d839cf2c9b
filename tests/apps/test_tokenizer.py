import json
from pathlib import Path

import pytest

from lasmlx.data import load_tokenizer

TINY = ("--steps", "4", "--batch-size", "2", "--seq-len", "32", "--data", "val", "--set", "d=8", "--set", "heads=2")


def test_from_a_vocabulary_to_a_stream(las, tmp_path: Path) -> None:
    done = las("data", "tokenizer", "train", "--data", "val", "--vocab", "300", "--out", "val.model", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["vocab"] == load_tokenizer(tmp_path / "val.model").size == 300
    assert said["bytes_per_token"].keys() == {"train", "continued"} and said["bytes_per_token"]["train"] > 2

    done = las("train", "plastic", *TINY, "--tokenizer", "val.model", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "114,975 bytes" in done.stdout.decode() and "bits/byte" in done.stdout.decode()
    scored = json.loads(las("eval", "run", "--json").stdout)
    assert scored["bits_per_byte"] > 0 and 11360 < scored["bytes"] < 11372
    assert len(las("generate", "val: ", "--run", "run", "--bytes", "41").stdout) == 41

    (tmp_path / "run" / "tokenizer.model").unlink()
    done = las("generate", "--run", "run")
    assert done.returncode == 2 and b"the tokenizer run/tokenizer.model cannot be read" in done.stderr


def test_a_bare_las_data_lists_the_corpora(las) -> None:
    assert b"moby-dick" in las("data").stdout
    assert [json.loads(line)["name"] for line in las("data", "--json").stdout.splitlines()] == [
        "gps",
        "moby-dick",
        "val",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "tokenizer", "train", "--out", "taken"], "taken exists already: choose another --out"),
        (["data", "tokenizer", "train", "--vocab", "9"], "the vocabulary is 9 tokens, expected 260 to 65536"),
        (
            ["train", "las", "--tokenizer", "gpt2"],
            "a las model reads bytes; --tokenizer is for models that read tokens",
        ),
        (["train", "plastic", "--tokenizer", "none.model"], "the tokenizer none.model cannot be read"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(las, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "taken").touch()
    done = las(*arguments)
    text = done.stderr.decode().rstrip("\n")
    assert done.returncode == 2 and message in text and "\n" not in text
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
