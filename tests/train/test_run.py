from pathlib import Path

import mlx.core as mx
import pytest

from lasmlx.models import FileError
from lasmlx.train import Run, RunError, new_run_path, newest_run
from lasmlx.train.run import Checkpoint
from lasmlx.train.session import prepare, resume_run

SETTINGS = {"d": 8, "layers": 1, "n": 2, "steps": 4, "batch_size": 2, "seq_len": 16, "eval_bytes": 64}


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text"
    path.write_bytes(b"to be or not to be, " * 40)
    return str(path)


def started(tmp_path: Path, text: str) -> Path:
    session = prepare("las-small", SETTINGS, (text,), tmp_path / "run")
    list(session.records())
    return session.run.path


def test_an_existing_folder_is_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("data")
    with pytest.raises(RunError, match=r"run exists already: choose another --out, or continue .* --resume"):
        prepare("las", SETTINGS, (text,), tmp_path / "run")
    assert (tmp_path / "run" / "precious").read_text() == "data"


def test_nothing_is_written_when_the_data_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither a corpus nor an existing path"):
        prepare("las", {}, ("nothing-here",), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_resume_wants_the_same_run(tmp_path: Path, text: str) -> None:
    path = started(tmp_path, text)
    assert resume_run(None, {}, (), path).recipe.train.steps == 4
    assert resume_run("las-small", SETTINGS, (text,), path).resumed
    with pytest.raises(RunError, match=r"was started with lr = 0.005, not 0.1"):
        resume_run(None, {"lr": 0.1}, (), path)
    with pytest.raises(RunError, match=r"was started with --data .*text"):
        resume_run(None, {}, ("gps",), path)
    with pytest.raises(RunError, match=r"was started with d = 8, not 64"):
        resume_run("las-small", {}, (text,), path)


def test_resume_notices_changed_data(tmp_path: Path, text: str) -> None:
    path = started(tmp_path, text)
    Path(text).write_bytes(b"something else entirely " * 40)
    with pytest.raises(RunError, match="it has changed since"):
        resume_run(None, {}, (), path)


def test_nothing_to_resume(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"nothing to resume under ./runs"):
        resume_run(None, {}, (), None)
    with pytest.raises(RunError, match=r"holds no run to resume \(train_state.json is missing\)"):
        resume_run(None, {}, (), tmp_path)
    session = prepare("las-small", SETTINGS, (text,), tmp_path / "fresh")
    with pytest.raises(RunError, match="holds no checkpoint to resume"):
        resume_run(None, {}, (), session.run.path)


def test_damaged_files_are_refused_by_name(tmp_path: Path, text: str) -> None:
    path = started(tmp_path, text)
    whole = (path / "optimizer.safetensors").read_bytes()
    (path / "optimizer.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match=r"optimizer\.safetensors is damaged"):
        list(resume_run(None, {}, (), path).records())
    mx.save_safetensors(str(path / "optimizer.safetensors"), {"x": mx.zeros(1)})
    with pytest.raises(FileError, match=r"optimizer\.safetensors is not a checkpoint"):
        list(resume_run(None, {}, (), path).records())
    (path / "train_state.json").write_text("{")
    with pytest.raises(FileError, match=r"train_state\.json is damaged"):
        resume_run(None, {}, (), path)
    (path / "train_state.json").write_text("{}")
    with pytest.raises(FileError, match=r"train_state\.json is not the state of a lasmlx run"):
        resume_run(None, {}, (), path)


def test_checkpoints_round_trip_and_metrics_rewind(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {"model": {}, "train": {}, "data": [], "fingerprint": ""})
    run.save(Checkpoint(7, 1.25, 5, {"a": mx.arange(3)}))
    loaded = run.load()
    assert (loaded.step, loaded.best, loaded.arrays["a"].tolist()) == (7, 1.25, [0, 1, 2])
    metrics = run.path / "metrics.jsonl"
    metrics.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    run.rewind(2)
    assert metrics.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_new_and_newest_runs(tmp_path: Path) -> None:
    first = new_run_path("las", tmp_path)
    first.mkdir()
    assert new_run_path("las", tmp_path) != first
    assert newest_run(tmp_path) is None
    (first / "model.safetensors").touch()
    assert newest_run(tmp_path) == first
