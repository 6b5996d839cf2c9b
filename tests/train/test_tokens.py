"""Models that read tokens: the loss is of bytes, whatever a token is."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.data import BYTES, ByteSource, Corpus, DataError, FileError, TokenSource, tokens_of, train_sentencepiece
from lasmlx.models import load, make_model
from lasmlx.models.plastic_lm import PlasticLM, PlasticLMConfig
from lasmlx.models.tree import flat
from lasmlx.train import EvalRecord, RunError, StepRecord, TrainConfig, evaluate, train
from lasmlx.train.session import prepare, resume_run
from lasmlx.train.task import LanguageTask

TEXT = b"".join(b"%d squared is %d, and so on\n" % (i, i * i) for i in range(400))
LEARNT = train_sentencepiece(ByteSource.from_bytes("squares", TEXT), 320)
SETTINGS = {"d": 8, "heads": 2, "fast": 1, "deep": 1, "substeps": 1}
SETTINGS |= {"steps": 6, "batch_size": 4, "seq_len": 16, "warmup": 2, "save_every": 3, "eval_every": 3, "carry": 2}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A text and a vocabulary."""
    (tmp_path / "text").write_bytes(TEXT)
    LEARNT.save(tmp_path / "learnt")
    return str(tmp_path / "text"), str(tmp_path / "learnt" / "tokenizer.model")


def small(seed: int = 0, vocab: int = 320) -> PlasticLM:
    mx.random.seed(seed)
    name = "sentencepiece" if vocab != 256 else "bytes"
    return PlasticLM(PlasticLMConfig(tokenizer=name, vocab=vocab, d=8, heads=2, fast=1, deep=1, substeps=1))


def nats(model: Any, ids: np.ndarray) -> np.ndarray:
    """-ln p(token), (b, t - 1)."""
    logits = np.array(model(mx.array(ids[:, :-1]))[0], dtype=np.float64)
    logits -= logits.max(-1, keepdims=True)
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(logp, ids[:, 1:, None], -1)[..., 0]


def test_a_step_reports_nats_of_tokens_over_bytes(corpus: Corpus, config: TrainConfig) -> None:
    config = dataclasses.replace(config, steps=1, accumulate=2, seq_len=16)
    record = next(r for r in train(small(), corpus, config, tokenizer=LEARNT) if isinstance(r, StepRecord))
    task = LanguageTask(corpus, config, LEARNT)
    (x, y), fresh = task.batch(0)
    assert fresh and x.shape == (8, 16)
    ids = np.concatenate([np.array(x), np.array(y)[:, -1:]], 1)
    expected = nats(small(), ids).sum() / LEARNT.lengths[ids[:, 1:]].sum()
    assert record.loss == pytest.approx(expected, rel=1e-5)
    assert record.bits_per_byte == pytest.approx(expected / math.log(2), rel=1e-5)
    assert task.size == len(corpus.train) and task.unit == "bytes"
    assert task.record(1, 0.0, 2.0, 0.0, 0.0).bytes_per_second == LEARNT.lengths[ids[:, 1:]].sum() / 2


def test_a_task_of_bytes_reports_what_it_is_told(corpus: Corpus, config: TrainConfig) -> None:
    task = LanguageTask(corpus, config)
    assert task.batch(0)[0][0].dtype == mx.uint8
    record = task.record(1, 0.1, 0.5, 0.0, 0.0)
    assert record.loss == 0.1 and record.bytes_per_second == 2 * config.batch_size * config.seq_len


def test_evaluation_is_nats_of_tokens_over_bytes(corpus: Corpus) -> None:
    source = corpus.held_out["held-out"]
    held_out = tokens_of(source, LEARNT)
    ids = LEARNT.encode(source[:].tobytes())
    record = evaluate(small(), held_out, batch_size=1, seq_len=23)
    assert record.bytes == LEARNT.lengths[ids[1:]].sum()
    assert record.loss == pytest.approx(nats(small(), ids[None]).sum() / record.bytes, rel=1e-5)
    spread = evaluate(small(), held_out, batch_size=4)
    assert spread.bytes == record.bytes and spread.loss == pytest.approx(record.loss, rel=0.05)
    assert evaluate(small(), held_out, max_bytes=200).bytes == pytest.approx(200, abs=40)


def test_windows_are_short_where_the_vocabulary_is_large(corpus: Corpus) -> None:
    widths: list[int] = []

    class Wide:
        config = PlasticLMConfig(tokenizer="gpt2", vocab=50257)
        state: Any = mx.zeros(1)

        def init_state(self, b: int) -> Any:
            return mx.zeros(b)

        def __call__(self, x: mx.array, state: Any) -> tuple[mx.array, Any]:
            widths.append(x.shape[1])
            return mx.broadcast_to(mx.zeros(1), (*x.shape, 50257)), state

    record = evaluate(Wide(), TokenSource(np.zeros(400, np.uint16), np.ones(50257, np.int32)), batch_size=2)
    assert record.loss == pytest.approx(math.log(50257), rel=1e-5) and record.bytes == 399
    assert max(widths) <= 400
    widths.clear()
    evaluate(Wide(), TokenSource(np.zeros(400, np.uint16), np.ones(50257, np.int32)), batch_size=16)
    assert max(widths) <= (1 << 26) // (16 * 50257)


def test_a_run_of_tokens_is_resumed_to_the_bit(files: tuple[str, str], tmp_path: Path) -> None:
    text, vocabulary = files
    whole = prepare("plastic", SETTINGS, (text,), tmp_path / "whole", vocabulary)
    expected = [r for r in whole.records() if isinstance(r, StepRecord | EvalRecord)]
    broken = prepare("plastic", SETTINGS, (text,), tmp_path / "broken", vocabulary)
    for record in broken.records():
        if isinstance(record, StepRecord) and record.step == 5:
            break  # as a kill would: the checkpoint is of step 3
    resumed = resume_run(None, {}, (), tmp_path / "broken")
    again = [r for r in resumed.records() if isinstance(r, StepRecord | EvalRecord)]
    facts = [(type(r), r.step, r.loss) for r in expected if r.step > 3]
    assert [(type(r), r.step, r.loss) for r in again] == facts and len(facts) == 4
    for name, value in flat(whole.model.parameters()).items():
        assert np.array_equal(np.array(value), np.array(flat(resumed.model.parameters())[name])), name
    assert json.loads((tmp_path / "whole" / "train_state.json").read_text())["tokenizer"] == LEARNT.fingerprint
    assert load(tmp_path / "whole").config.vocab == 320
    assert (tmp_path / "whole" / "tokenizer.model").read_bytes() == Path(vocabulary).read_bytes()
    assert resume_run("plastic", SETTINGS, (text,), tmp_path / "whole").recipe.model.vocab == 320


def test_a_run_keeps_its_tokenizer(files: tuple[str, str], tmp_path: Path) -> None:
    text, vocabulary = files
    list(prepare("plastic", SETTINGS, (text,), tmp_path / "run", vocabulary).records())
    other = train_sentencepiece(ByteSource.from_bytes("x", TEXT[::-1]), 320)
    other.save(tmp_path / "other")
    assert resume_run(None, {}, (), tmp_path / "run", vocabulary).tokenizer.size == 320
    with pytest.raises(RunError, match="was started with another tokenizer"):
        resume_run(None, {}, (), tmp_path / "run", str(tmp_path / "other"))
    kept = tmp_path / "run" / "tokenizer.model"
    other.save(tmp_path / "run")
    with pytest.raises(RunError, match="was started with another tokenizer"):
        resume_run(None, {}, (), tmp_path / "run")
    kept.write_bytes(b"junk")
    with pytest.raises(FileError, match=r"run/tokenizer\.model is damaged"):
        resume_run(None, {}, (), tmp_path / "run")
    kept.unlink()
    with pytest.raises(FileError, match=r"run/tokenizer\.model cannot be read"):
        resume_run(None, {}, (), tmp_path / "run")


def test_names_choose_a_tokenizer_too(files: tuple[str, str], tmp_path: Path) -> None:
    session = prepare("plastic", SETTINGS, (files[0],), tmp_path / "run", "gpt2")
    assert (session.recipe.model.tokenizer, session.recipe.model.vocab) == ("gpt2", 50257)
    assert session.tokenizer.name == "gpt2" and not (tmp_path / "run" / "tokenizer.model").exists()
    assert prepare("plastic", SETTINGS, (files[0],), tmp_path / "bytes", "bytes").tokenizer is BYTES
    assert "tokenizer" not in json.loads((tmp_path / "bytes" / "train_state.json").read_text())


def test_mistakes_are_said_before_anything_is_written(files: tuple[str, str], tmp_path: Path) -> None:
    text, vocabulary = files
    run = tmp_path / "run"
    with pytest.raises(DataError, match="a las model reads bytes; --tokenizer is for models that read tokens"):
        prepare("las-small", {}, (text,), run, vocabulary)
    with pytest.raises(DataError, match=r"plastic reads tokens of a vocabulary learnt .*give --tokenizer FILE\.model"):
        prepare("plastic", SETTINGS | {"tokenizer": "sentencepiece", "vocab": 320}, (text,), run)
    with pytest.raises(DataError, match=r"tokens, but 4 windows of 9000 tokens need 36001"):
        prepare("plastic", SETTINGS | {"seq_len": 9000}, (text,), run, vocabulary)
    assert not run.exists()


def test_another_models_tokens_are_refused(corpus: Corpus, config: TrainConfig) -> None:
    with pytest.raises(DataError, match="the tokenizer has 320 tokens, the model 256"):
        next(train(small(vocab=256), corpus, config, tokenizer=LEARNT))
    with pytest.raises(DataError, match="the model's tokenizer is a file beside it"):
        next(train(small(), corpus, config))
    with pytest.raises(DataError, match="evaluate: the source is bytes, the model's tokenizer 'sentencepiece'"):
        evaluate(small(), corpus.held_out["held-out"])
    with pytest.raises(DataError, match="evaluate: the source is tokens, the model's tokenizer 'bytes'"):
        evaluate(make_model(PlasticLMConfig(d=8, heads=2)), tokens_of(corpus.train, LEARNT))
