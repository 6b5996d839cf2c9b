"""The trace is the model's own, and every picture and summary of it is what NumPy says."""

import math
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.data import load_tokenizer
from lasmlx.models import LASConfig, make_model
from lasmlx.models.lnn import LNNConfig
from lasmlx.models.lstm import LSTMConfig
from lasmlx.models.plastic_lm import PlasticLMConfig
from lasmlx.models.spiking_mamba import SpikingMambaConfig
from lasmlx.viz import SpikesTrace, operation_rows, percent, spikes_figure, trace_spikes
from lasmlx.viz import spikes as spikes_module

TEXT = b"Call me Ishmael.\nSome"
SMALL: dict[str, Any] = {"hidden": 16, "layers": 2, "n": 2, "mode": "parallel"}


def model(**settings: Any) -> Any:
    mx.random.seed(0)
    return make_model(SpikingMambaConfig(**SMALL | settings))


def invented(**settings: Any) -> SpikesTrace:
    """Six ticks; five neurons that fire 3, 0, 6, 1 and 1 times in the first layer, always in the second."""
    s = np.zeros((2, 6, 5), bool)
    s[0, :3, 0] = s[0, :, 2] = s[0, 5, 3] = s[0, 0, 4] = s[1] = True
    share = np.linspace(0.4, 0.7, 2 * 6 * 2).reshape(2, 6, 2).astype(np.float32)
    bits = np.array([math.nan, 1, 2, 3, 4, 5], np.float32)
    made = SpikesTrace(
        b"abcdef", None, np.arange(7), np.ones(6, np.int64), s, share, bits, np.zeros(4), (), "parallel", (0, 1)
    )
    return replace(made, **settings)


@pytest.mark.parametrize("settings", [{}, {"mode": "bidirectional", "backbone": "ltc"}, {"mode": "sequential"}])
def test_it_is_what_the_model_felt(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    lm = model(**settings)
    x = mx.array(np.frombuffer(TEXT, np.uint8))[None]
    whole = lm.trace(x)
    monkeypatch.setattr(spikes_module, "WINDOW", 8)
    trace = trace_spikes(lm, TEXT)
    for felt, s in zip(whole.felt, trace.spikes, strict=True):
        np.testing.assert_array_equal(np.array(felt.spikes[0]), s)
    assert 0 < trace.spikes.mean() < 1
    if lm.config.mode == "sequential":
        assert trace.share is None and trace.summary()[0].liquid is None
        with pytest.raises(ValueError, match="none: in mode sequential spikes, liquid cell and scan follow"):
            trace.gate(5)
    else:
        assert trace.share is not None
        for felt, share in zip(whole.felt, trace.share, strict=True):
            np.testing.assert_allclose(np.array(felt.share[0]), share, atol=1e-5)
    logs = np.array(mx.log(mx.softmax(whole.y[0], -1)))
    bits = [-logs[i, TEXT[i + 1]] / math.log(2) for i in range(len(TEXT) - 1)]
    np.testing.assert_allclose(trace.surprise[1:], bits, rtol=1e-3)
    assert math.isnan(trace.surprise[0]) and trace.bits_per_byte == pytest.approx(np.mean(bits), rel=1e-3)
    assert (trace.unit, trace.tick, trace.axis) == ("byte", "byte", ("byte", 1))
    np.testing.assert_allclose(trace.y, np.array(whole.y[0, -1]), atol=1e-4)


def test_of_tokens() -> None:
    tokenizer, text = load_tokenizer("gpt2"), b"The whale swam \xff away"
    trace = trace_spikes(model(tokenizer="gpt2", vocab=50257, hidden=8, layers=1), text, tokenizer=tokenizer)
    assert trace.unit == "token" and trace.ticks(2)[0] == (0, "token 0")
    assert len(trace.per_byte(trace.mean)) == len(text) == trace.lengths.sum() > trace.spikes.shape[1]
    told = sum(trace.surprise[1:].tolist()) / trace.lengths[1:].sum()
    assert trace.bits_per_byte == pytest.approx(told, rel=1e-5)


def test_of_vectors_with_ticks() -> None:
    reads = model(inputs=3, outputs=2, encoder="rate", ticks=4)
    x, dt = np.random.default_rng(0).uniform(0, 1, (5, 3)).astype(np.float32), np.array([1, 2, 1, 0.5, 0.5])
    trace = trace_spikes(reads, x, dt)
    whole = reads.trace(mx.array(x[None]), dt=mx.array(dt[None].astype(np.float32)))
    np.testing.assert_array_equal(np.array(whole.felt[1].spikes[0]), trace.spikes[1])
    np.testing.assert_allclose(trace.y, np.array(whole.y[0, -1]), atol=1e-5)
    assert trace.edges[:9].tolist() == [0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3] and trace.edges[-1] == 5
    assert trace.x is not None and trace.x.shape == (20, 3) and (trace.x[4:8] == x[1]).all()
    assert (trace.unit, trace.tick, trace.axis) == ("vector", "tick", ("s", 1))
    assert math.isnan(trace.bits_per_byte) and trace.ticks(2)[0] == (0, "0 s")
    assert trace.operations[0].part == "input map"


def test_how_much_they_fire() -> None:
    first, second = invented().summary()
    assert (first.neurons, first.silent, first.busy) == (5, 1, 1) and (second.silent, second.busy) == (0, 5)
    assert first.rate == pytest.approx(11 / 30) and first.sparsity == pytest.approx(19 / 30)
    share = invented().share
    assert share is not None and first.liquid == pytest.approx(share[0].mean()) and second.rate == 1


def test_a_raster_shows_those_that_fire() -> None:
    trace = invented()
    assert trace.order[0].tolist() == [2, 0, 3, 4, 1]
    whole = trace.raster(99, 99)
    np.testing.assert_array_equal(whole.spikes[0], trace.spikes[0].T[[2, 0, 3, 4, 1]])
    np.testing.assert_allclose(whole.rates[0], np.array([6, 3, 1, 1, 0]) / 6, rtol=1e-6)
    some = trace.raster(2, 3)
    assert some.edges.tolist() == [0, 2, 4, 6]
    assert some.spikes[0].tolist() == [[True, True, True], [True, False, False]]  # the busiest, and the last that fires
    assert trace.raster(4, 6).rates[0].min() > 0 == trace.raster(5, 6).rates[0].min()
    with pytest.raises(ValueError, match="raster: rows is 0, expected at least 1"):
        trace.raster(0, 3)


def test_rates_and_the_gate_over_time() -> None:
    trace = invented()
    edges, rates = trace.rates(3)
    np.testing.assert_allclose(rates[0], [5 / 10, 3 / 10, 3 / 10], rtol=1e-6)
    assert edges.tolist() == [0, 2, 4, 6] and trace.mean[0] == pytest.approx(0.8)
    assert trace.share is not None
    np.testing.assert_allclose(trace.gate(3)[1, 0], trace.share[1, :, 0].reshape(3, 2).mean(axis=1), rtol=1e-6)
    scale = trace.gate_scale()
    assert (scale.low, scale.high) == (pytest.approx(0.3), pytest.approx(0.7)) and scale.share([0.5])[
        0
    ] == pytest.approx(0.5)
    assert invented(share=np.full((2, 6, 2), 0.5, np.float32)).gate_scale().high == 0.51
    assert invented(share=np.ones((2, 6, 2), np.float32)).gate_scale().high == 1


def test_one_layer_and_its_operations() -> None:
    trace = trace_spikes(model(), TEXT)
    one = trace.only(1)
    np.testing.assert_array_equal(one.spikes, trace.spikes[1:])
    assert one.layers == (1,) and one.summary() == trace.summary()[1:] and {o.layer for o in one.operations} == {1}
    assert trace.share is not None and one.share is not None
    np.testing.assert_array_equal(one.share, trace.share[1:])
    layers = [trace.only(i).parts()[-1] for i in (0, 1)]
    readout = trace.operations[-1]
    for name in ("dense", "macs", "acs"):
        total = getattr(trace.parts()[-1], name)
        assert total == pytest.approx(sum(getattr(of, name) for of in (*layers, readout)))
    assert trace.spared == pytest.approx(1 - trace.parts()[-1].effective / trace.parts()[-1].dense)
    with pytest.raises(ValueError, match="layer is 2, expected 0 to 1"):
        trace.only(2)


def test_rows_of_operations() -> None:
    head, *rows = operation_rows(trace_spikes(model(), TEXT))
    assert [cell.strip() for cell in head] == ["", "dense", "MACs", "ACs"] and rows[-1][0].strip() == "all"
    assert [cell.strip() for cell in rows[0]] == ["neurons", "512", "512", "-"]
    assert len({tuple(map(len, row)) for row in (head, *rows)}) == 1
    assert percent(0.1234) == "12.3 %" and percent(0.5, 0) == "50 %"


def test_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    for config, words in (
        (
            LASConfig(d=16, layers=1),
            "type las does not fire: spiking-mamba models do; `las viz dt` shows its time steps",
        ),
        (LNNConfig(hidden=4), "`las viz tau` shows its time constants"),
        (PlasticLMConfig(d=8, heads=2), "`las viz hebb` shows its traces"),
        (LSTMConfig(hidden=4), r"type lstm does not fire: spiking-mamba models do\."),
    ):
        with pytest.raises(ValueError, match=words):
            trace_spikes(make_model(config), TEXT)
    lm, reads, x = model(), model(inputs=2, outputs=2), np.zeros((3, 2), np.float32)
    for of, data, dt, words in (
        (lm, x, None, "data is ndarray, expected bytes"),
        (reads, TEXT, None, r"data is bytes, expected vectors \(t, 2\)"),
        (lm, b"", None, "there are 0 bytes to read"),
        (reads, x[:0], None, "there are 0 vectors to read, expected 1 to"),
        (reads, x[:, :1], None, r"data has shape \(3, 1\) and dt \(3,\), expected \(t, 2\)"),
        (reads, x, np.ones(2), r"dt \(2,\), expected"),
        (reads, x, np.zeros(3), "starts end at 0 s"),
    ):
        with pytest.raises(ValueError, match=words):
            trace_spikes(of, data, dt)
    monkeypatch.setattr(spikes_module, "MOST_MEMORY", 1000)
    with pytest.raises(ValueError, match="there are 21 tokens to read, expected 1 to 14 for this model"):
        trace_spikes(lm, TEXT)
    with pytest.raises(ValueError, match=r"spikes has shape \(2, 6, 5\), expected \(1, 6, neurons\), not empty"):
        invented(layers=(0,))


@pytest.mark.parametrize("mode", ["parallel", "sequential"])
def test_a_figure_has_its_parts(mode: str) -> None:
    trace = trace_spikes(model(mode=mode), TEXT)
    axes = spikes_figure(trace).axes
    titles = [place.get_title(loc="left") for place in axes]
    for part in (
        "Text, share of",
        "Layer 0: ",
        "Layer 1: ",
        "Gate",
        "Firing rate",
        "Synaptic operations",
    ):
        assert sum(title.startswith(part) for title in titles) == 1
    events = [line.get_positions() for line in axes[1].collections]
    assert [len(row) for row in events] == sorted(trace.spikes[0].sum(axis=0).tolist(), reverse=True)
    words = [text.get_text() for place in axes for text in place.texts]
    assert any("in mode sequential" in word for word in words) == (mode == "sequential")
