"""The traces are the model's own after every token, and every summary is what NumPy says."""

from itertools import pairwise
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.data import load_tokenizer
from lasmlx.models import LASConfig, make_model
from lasmlx.models.lnn import LNNConfig
from lasmlx.models.plastic_lm import PlasticLMConfig
from lasmlx.viz import HebbTrace, hebb_figure, synapse_rows, trace_hebb
from lasmlx.viz import hebb as hebb_module
from lasmlx.viz import tokens as tokens_module

TEXT = b"Call me Ishmael.\nSome"


def model(**settings: Any) -> Any:
    mx.random.seed(0)
    return make_model(PlasticLMConfig(**{"d": 12, "heads": 2, "fast": 1, "deep": 2} | settings))


def stepwise(lm: Any, ids: Any, state: Any = None) -> list[list[np.ndarray]]:
    """The traces before the first token and after each."""
    state = lm.init_state(1) if state is None else state
    found = [[np.array(H[0]) for H in lm.traces(state)]]
    for token in ids:
        _, state = lm(mx.array([[int(token)]]), state)
        found.append([np.array(H[0]) for H in lm.traces(state)])
    return found


def invented(g: int = 2, m: int = 6, n: int = 5, inputs: int = 5) -> HebbTrace:
    random = np.random.default_rng(0)
    before, after = random.normal(size=(2, 2, g, m, n)).astype(np.float32)
    norms, moved = random.uniform(1, 2, (2, 2, 3)).astype(np.float32)
    edges, lengths = np.arange(4), np.ones(3, np.int64)
    bounds = np.array([9, 8], np.float32)
    return HebbTrace(b"abc", edges, lengths, norms, moved, before, after, bounds, inputs, (1, 2))


@pytest.mark.parametrize("place", ["beside", "drive"])
def test_norms_and_changes_are_those_of_the_models_own_traces(place: str) -> None:
    lm = model(place=place)
    trace, steps = trace_hebb(lm, TEXT), stepwise(lm, TEXT)
    for i in range(2):
        norms = [np.linalg.norm(H[i]) for H in steps[1:]]
        moved = [np.linalg.norm(b[i] - a[i]) for a, b in pairwise(steps)]
        np.testing.assert_allclose(trace.norms[i], norms, rtol=1e-5)
        np.testing.assert_allclose(trace.moved[i], moved, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(trace.after[i], steps[-1][i])
    assert not trace.before.any() and trace.layers == (1, 2) and trace.moved[:, -1].min() > 0
    cells = [getattr(cell, "synapses", cell) for cell in lm.cells[1:]]
    np.testing.assert_allclose(trace.bounds, [cell.trace_bound() for cell in cells])
    assert (trace.norms.max(axis=1) < trace.bounds).all()
    assert trace.inputs == 6 and trace.after.shape == (2, 2, 6, 6 if place == "beside" else 12)
    np.testing.assert_allclose(trace.change, trace.moved.mean(axis=0), rtol=1e-6)


def test_it_begins_with_a_memory() -> None:
    lm = model()
    _, state = lm(mx.array(np.frombuffer(TEXT, np.uint8))[None])
    trace, steps = trace_hebb(lm, b"once more", state=state), stepwise(lm, b"once more", state)
    np.testing.assert_array_equal(trace.before, steps[0])
    np.testing.assert_allclose(trace.norms[:, 0], [np.linalg.norm(H) for H in steps[1]], rtol=1e-5)
    assert trace.summary()[1].norm_before == pytest.approx(np.linalg.norm(steps[0][1]), rel=1e-5)


def test_a_long_text_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = model()
    monkeypatch.setattr(hebb_module, "MOST_ELEMENTS", 8)  # of 21 bytes: pieces of 3
    trace, steps = trace_hebb(lm, TEXT), stepwise(lm, TEXT)
    assert trace.edges.tolist() == [0, 3, 6, 9, 12, 15, 18, 21] and trace.lengths.tolist() == [3] * 7
    assert (trace.unit, trace.element) == ("byte", "3 bytes")
    np.testing.assert_allclose(trace.norms[0], [np.linalg.norm(H[0]) for H in steps[3::3]], rtol=1e-4)
    change = np.linalg.norm(steps[6][1] - steps[3][1])
    assert trace.moved[1, 1] == pytest.approx(change, rel=1e-4)
    assert trace.per_byte(np.arange(7)).tolist() == [i // 3 for i in range(21)]


def test_of_tokens_their_bytes_are_alike() -> None:
    tokenizer, text = load_tokenizer("gpt2"), b"The whale swam \xff away"
    ids = tokenizer.encode(text)
    trace = trace_hebb(model(tokenizer="gpt2", vocab=50257, d=4, deep=1), text, tokenizer)
    assert trace.unit == trace.element == "token" and trace.edges[-1] == len(ids) < len(text)
    assert trace.lengths.tolist() == [len(tokenizer.decode([i])) for i in ids]
    assert len(trace.per_byte(trace.change)) == len(text)
    assert trace.ticks(2)[0] == (0, "token 0")


def test_a_heat_map_averages_neighbours() -> None:
    trace = invented()
    np.testing.assert_allclose(trace.heat_map(99, 99), trace.after, rtol=1e-6)
    heat = trace.heat_map(3, 2)
    assert heat.shape == (2, 2, 3, 2)
    assert heat[1, 0, 2, 1] == pytest.approx(trace.after[1, 0, 4:6, 2:5].mean(), rel=1e-5)
    scale = trace.signed_scale(heat)
    assert scale.low == -scale.high < 0 and scale.share([0.0]).tolist() == [0.5]
    with pytest.raises(ValueError, match="heat_map: rows is 0 and columns 4, expected at least 1"):
        trace.heat_map(0, 4)


def test_the_synapses_that_moved_most() -> None:
    trace = invented(inputs=3)
    moved = trace.most_moved(60)
    change = np.abs(trace.after - trace.before)
    assert [abs(s.after - s.before) for s in moved] == pytest.approx(np.sort(change, axis=None)[::-1][:60], rel=1e-4)
    for s in moved:
        kind, unit = s.source.split()
        at = int(unit) - s.head * 3 if kind == "x" else int(unit) - s.head * 2 + 3
        place = (trace.layers.index(s.layer), s.head, s.target - s.head * 6, at)
        assert 0 <= place[2] < 6 and (at < 3) == (kind == "x")
        assert (s.before, s.after) == (trace.before[place], trace.after[place])
    assert len({row[1].split(" to ")[0] for row in synapse_rows(trace, 3)}) > 1


def test_one_layer() -> None:
    trace = invented()
    one = trace.only(2)
    assert one.layers == (2,) and one.summary() == trace.summary()[1:]
    np.testing.assert_array_equal(one.after, trace.after[1:])
    with pytest.raises(ValueError, match=r"layer is 0, expected 1 or 2, which are deep\."):
        trace.only(0)


def test_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="las has no traces to look at; plastic-lm models have; `las viz dt` shows"):
        trace_hebb(make_model(LASConfig(d=16, layers=1)), TEXT)
    with pytest.raises(ValueError, match=r"lnn has no traces to look at; .* `las viz tau` shows its time constants"):
        trace_hebb(make_model(LNNConfig(hidden=4)), TEXT)
    with pytest.raises(ValueError, match=r"the rule none: .* plastic-lm models with the rule hebb, oja or delta have"):
        trace_hebb(model(rule="none"), TEXT)
    with pytest.raises(ValueError, match="trace_hebb: there are 0 bytes to read"):
        trace_hebb(model(), b"")
    monkeypatch.setattr(tokens_module, "MOST_BYTES", 20)
    with pytest.raises(ValueError, match="there are 21 bytes to read, expected 1 to 20"):
        trace_hebb(model(), TEXT)
    trace = invented()
    with pytest.raises(ValueError, match=r"norms has shape \(2, 3\), expected \(1, 3\)"):
        HebbTrace(b"abc", trace.edges, trace.lengths, *[trace.norms] * 2, *[trace.after] * 2, trace.bounds, 5, (1,))


def test_a_figure_has_its_parts() -> None:
    trace = trace_hebb(model(), TEXT)
    axes = hebb_figure(trace).axes
    titles = [place.get_title(loc="left") for place in axes]
    for part in ("Text, change of traces", "Norm of each", "Traces after the last byte", "Synapses that moved most"):
        assert sum(title.startswith(part) for title in titles) == 1
    bounds = [line.get_ydata()[0] for line in axes[1].lines if line.get_linestyle() == "--"]
    assert bounds == pytest.approx(trace.bounds.tolist()) and axes[1].get_ylim()[1] > max(bounds)
