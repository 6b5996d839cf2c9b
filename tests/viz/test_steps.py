"""Steps and surprise are the model's own at every token, and every summary is what NumPy says."""

import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.data import load_tokenizer
from lasmlx.models import LASConfig, make_model
from lasmlx.models.plastic_lm import PlasticLMConfig
from lasmlx.ops import Adaptive
from lasmlx.viz import StepsTrace, readable, steps_figure, trace_steps
from lasmlx.viz import steps as steps_module

TEXT = b"Call me Ishmael.\nSome"
TIGHT = Adaptive(rtol=1e-4)


def model(**settings: Any) -> Any:
    mx.random.seed(0)
    return make_model(PlasticLMConfig(**{"d": 12, "heads": 2, "fast": 1, "deep": 2} | settings))


def invented(steps: Any, bits: Any) -> StepsTrace:
    counts, t = np.atleast_2d(np.asarray(steps, np.int32)), len(bits)
    layers = tuple(range(1, len(counts) + 1))
    surprise = np.asarray(bits, np.float32)
    return StepsTrace(b"a" * t, np.arange(t + 1), np.ones(t, np.int64), counts, surprise, 1e-3, layers)


def linked(slope: float, t: int = 101) -> StepsTrace:
    random = np.random.default_rng(0)
    bits = random.uniform(0, 8, t)
    bits[0] = np.nan
    return invented(np.round(20 + slope * np.nan_to_num(bits) + random.normal(size=t)), bits)


@pytest.mark.parametrize("settings", [{}, {"place": "drive"}, {"rule": "none"}])
def test_steps_and_surprise_are_the_models_own(settings: dict[str, Any]) -> None:
    lm, x = model(**settings), np.frombuffer(TEXT, np.uint8).astype(np.int32)
    logits, _, counts = lm.counted(mx.array(x)[None], adaptive=TIGHT)
    trace = trace_steps(lm, TEXT, adaptive=TIGHT)
    np.testing.assert_array_equal(trace.steps, np.stack([np.array(c[0]) for c in counts[1:]]))
    scores = np.array(logits[0, :-1], np.float64)
    nats = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(x) - 1), x[1:]]
    np.testing.assert_allclose(trace.surprise[1:], nats / math.log(2), rtol=1e-4)
    assert np.isnan(trace.surprise[0]) and trace.compared == len(TEXT) - 1
    assert trace.layers == (1, 2) and trace.rtol == 1e-4 and trace.steps.max() > 1
    np.testing.assert_allclose(trace.mean, trace.steps.mean(axis=0), rtol=1e-6)


def test_windows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = model()
    whole = trace_steps(lm, TEXT)
    monkeypatch.setattr(steps_module, "WINDOW", 4)  # of 21: the last is of one
    parts = trace_steps(lm, TEXT)
    np.testing.assert_array_equal(parts.steps, whole.steps)
    np.testing.assert_allclose(parts.surprise, whole.surprise, rtol=1e-3)
    assert trace_steps(lm, b"a").surprise.shape == (1,)


def test_of_tokens() -> None:
    tokenizer, text = load_tokenizer("gpt2"), b"The whale swam \xff away"
    trace = trace_steps(model(tokenizer="gpt2", vocab=50257, d=4, deep=1), text, tokenizer)
    ids = tokenizer.encode(text)
    assert trace.unit == "token" and trace.lengths.tolist() == [len(tokenizer.decode([i])) for i in ids]
    hard = {token.position: token for token in trace.hardest(99, context=5)}
    assert [hard[i].token for i in range(len(ids))] == [tokenizer.decode([i]) for i in ids]
    assert hard[2].context == b"whale" and hard[0].context == b""


def test_the_correlation_is_pearsons() -> None:
    trace = linked(0.5)
    expected = np.corrcoef(trace.mean[1:], trace.surprise[1:])[0, 1]
    assert trace.correlation == pytest.approx(expected, rel=1e-6)
    assert trace.chance == pytest.approx(0.196)


@pytest.mark.parametrize(
    ("slope", "words"),
    [
        (1.0, "over 100 bytes: hard bytes get more steps"),
        (-1.0, "hard bytes get fewer steps"),
        (0.13, "more steps, weakly"),
        (0.0, "no link (chance alone reaches 0.20)"),
    ],
)
def test_the_verdict_says_it_plainly(slope: float, words: str) -> None:
    trace = linked(slope)
    assert trace.verdict().startswith(f"r = {trace.correlation:+.2f} ") and words in trace.verdict()
    assert trace.verdict().endswith("weakly") == words.endswith("weakly")


def test_where_nothing_can_be_compared() -> None:
    assert "too few" in invented([2, 3, 4], [np.nan, 1, 2]).verdict()
    trace = invented([3] * 9, [np.nan, *range(8)])
    assert math.isnan(trace.correlation) and "cannot be compared" in trace.verdict()
    assert invented([2], [np.nan]).quarters() == []


def test_quarters_go_from_easy_to_hard() -> None:
    trace = invented([9, 1, 1, 2, 2, 3, 3, 4, 6], [np.nan, 0, 1, 2, 3, 4, 5, 6, 7])
    assert [tuple(q) for q in trace.quarters()] == [(0, 1, 1), (2, 3, 2), (4, 5, 3), (6, 7, 5)]
    assert len(invented([1, 2, 3, 4], [1, 2, 3, 4]).quarters()) == 1


def test_a_histogram_has_a_bin_a_number_or_wider_ones() -> None:
    trace = invented([[3, 4, 4, 9], [5, 5, 5, 5]], [1, 2, 3, 4])
    edges, counts = trace.histogram()
    assert edges.tolist() == [3, 4, 5, 6, 7, 8, 9, 10]
    assert counts.tolist() == [[1, 2, 0, 0, 0, 0, 1], [0, 0, 4, 0, 0, 0, 0]]
    edges, counts = trace.histogram(3)
    assert edges.tolist() == [3, 6, 9, 12] and counts.tolist() == [[3, 0, 1], [4, 0, 0]]


def test_one_layer() -> None:
    trace = invented([[3, 4, 4, 9], [5, 5, 5, 5]], [1, 2, 3, 4])
    one = trace.only(2)
    assert one.layers == (2,) and one.summary() == trace.summary()[1:] and one.mean.tolist() == [5] * 4
    with pytest.raises(ValueError, match=r"layer is 3, expected 2, which is deep\."):
        one.only(3)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="las has no solver's steps to look at; plastic-lm models have"):
        trace_steps(make_model(LASConfig(d=16, layers=1)), TEXT)
    with pytest.raises(ValueError, match="trace_steps: there are 0 bytes"):
        trace_steps(model(), b"")
    with pytest.raises(ValueError, match=r"steps has shape \(1, 3\) and surprise \(2,\)"):
        invented([1, 2, 3], [1, 2])


def test_a_figure_has_its_parts() -> None:
    axes = steps_figure(linked(1.0)).axes
    titles = [place.get_title(loc="left") for place in axes]
    for part in ("Text, mean steps", "Mean steps over", "How often each", "Steps and surprise", "Hardest bytes"):
        assert sum(title.startswith(part) for title in titles) == 1
    assert any("hard bytes get more steps" in text.get_text() for place in axes for text in place.texts)


def test_bytes_are_readable_in_one_line() -> None:
    assert readable("né\n\x1b[3\u202e".encode() + b"\xff") == "né␊␛[3··"
