"""The trace of tau is what the model does, on the time axis its input has, and every summary is what NumPy says."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.models import LASConfig, make_model
from lasmlx.models.lnn import LNNConfig
from lasmlx.viz import LogScale, TauTrace, most_elements, tau_figure, trace_tau
from lasmlx.viz import tau as tau_module

TEXT = b"Call me Ishmael. Some years ago\n"


def model(**settings: Any) -> Any:
    mx.random.seed(0)
    return make_model(LNNConfig(**{"hidden": 7, "layers": 2, "tau_min": 0.5, "tau_max": 20.0} | settings))


def sequence(t: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(t)
    return random.normal(size=(t, 3)).astype(np.float32), random.exponential(2, t).astype(np.float32)


def invented(dt: list[float], layers: int = 2, units: int = 5) -> TauTrace:
    t = len(dt)
    tau = np.random.default_rng(t).uniform(1, 100, (layers, t, units)).astype(np.float32)
    times = np.concatenate([[0.0], np.cumsum(dt)])
    x = np.arange(t, dtype=np.float32)[:, None]
    return TauTrace(None, x, times, tau, np.zeros(2, np.float32), (1.0, 100.0), tuple(range(layers)))


def test_of_bytes_it_is_the_models_own_tau() -> None:
    lnn = model(dt=0.25)
    y, _, taus = lnn.trace(mx.array(np.frombuffer(TEXT, np.uint8))[None])
    trace = trace_tau(lnn, TEXT)
    np.testing.assert_array_equal(trace.tau, np.stack([np.array(tau[0]) for tau in taus]))
    np.testing.assert_array_equal(trace.y, np.array(y[0, -1]))
    assert trace.data == TEXT and trace.x is None and trace.layers == (0, 1)
    np.testing.assert_allclose(trace.times, np.arange(len(TEXT) + 1) * 0.25)
    assert trace.axis == ("byte", 1) and trace.edges[-1] == len(TEXT)  # the axis counts bytes all the same
    assert trace.ticks(4)[:2] == [(0, "byte 0"), (10, "10")]
    assert trace.tau.std(axis=1).min() > 0  # it moves with the input


def test_of_a_sequence_it_is_the_models_own_tau() -> None:
    lnn, (x, dt) = model(inputs=3, outputs=4), sequence()
    y, _, taus = lnn.trace(mx.array(x)[None], dt=mx.array(dt)[None])
    trace = trace_tau(lnn, x, dt)
    np.testing.assert_array_equal(trace.tau, np.stack([np.array(tau[0]) for tau in taus]))
    np.testing.assert_array_equal(trace.y, np.array(y[0, -1]))
    np.testing.assert_allclose(trace.edges, np.concatenate([[0], np.cumsum(dt)]), rtol=1e-6)
    assert trace.data is None and trace.axis == ("s", 1.0)
    assert np.abs(trace_tau(lnn, x).tau - trace.tau).max() > 1e-4  # dt matters
    assert trace_tau(lnn, x).times[-1] == len(x)


@pytest.mark.parametrize("inputs", [0, 3])
def test_windows_do_not_show(monkeypatch: pytest.MonkeyPatch, inputs: int) -> None:
    lnn = model(inputs=inputs, outputs=4 if inputs else 256)
    data = sequence() if inputs else (TEXT,)
    whole = trace_tau(lnn, *data)
    monkeypatch.setattr(tau_module, "WINDOW", 5)
    parts = trace_tau(lnn, *data)
    np.testing.assert_allclose(parts.tau, whole.tau, rtol=1e-4)
    np.testing.assert_allclose(parts.y, whole.y, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("cell", "bounds"), [("liquid", (0.5, 20.0)), ("soft", (0.5,)), ("ltc", None), ("cfc", None)])
def test_bounds_are_those_that_hold(cell: str, bounds: tuple[float, ...] | None) -> None:
    trace = trace_tau(model(cell=cell, inputs=3, outputs=2), *sequence())
    low, high = trace.range
    assert trace.bounds == bounds and 0 < low < high
    assert bounds is None or low == 0.5 <= trace.tau.min()
    assert (high == 20.0) == (cell == "liquid") and (cell != "liquid" or trace.tau.max() <= 20)
    assert trace.histogram(9).counts.sum() == trace.tau.size


def test_an_element_is_as_wide_as_it_lasts() -> None:
    trace = invented([0.0, 1.0, 0.5, 8.0, 0.5])
    line = trace.timeline(100)
    assert line.edges.tolist() == [0, 0, 1, 1.5, 9.5, 10]
    np.testing.assert_allclose(line.layers, trace.tau.mean(axis=2), rtol=1e-6)
    line = trace.timeline(4)  # of 2.5 s
    assert line.edges.tolist() == [0, 9.5, 10]  # the fourth begins in the first column and lasts to the last
    np.testing.assert_allclose(line.layers[:, 0], trace.tau[:, :4].mean(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(line.high[0], np.percentile(trace.tau[:, :4], 95), rtol=1e-6)


def test_the_time_axis_has_a_unit() -> None:
    assert invented([10.0] * 10).ticks(5) == [(0, "0 s"), (20, "20"), (40, "40"), (60, "60"), (80, "80")]
    places, labels = zip(*invented([1e-4] * 10).ticks(4), strict=True)
    assert labels == ("0 ms", "0.5") and places == pytest.approx((0, 5e-4))


def test_a_heat_map_has_the_slow_units_on_top() -> None:
    trace = invented([1.0] * 30, units=7)
    heat = trace.heat_map(100, 100)
    assert heat.values.shape == (2, 7, 30) and heat.edges.tolist() == list(range(31))
    for layer, tau in enumerate(trace.tau):
        slowest, fastest = tau.mean(axis=0).argmax(), tau.mean(axis=0).argmin()
        np.testing.assert_allclose(heat.values[layer, [0, -1]], tau[:, [slowest, fastest]].T, rtol=1e-6)
    assert (np.diff(heat.means, axis=1) < 0).all()
    np.testing.assert_allclose(heat.means, np.sort(trace.tau.mean(axis=1), axis=1)[:, ::-1], rtol=1e-5)


def test_a_heat_map_takes_neighbours_together() -> None:
    trace = invented([1.0] * 30, units=7)
    heat = trace.heat_map(3, 4)
    assert heat.values.shape == (2, 3, 4) and heat.edges.tolist() == [0, 8, 15, 23, 30]
    units = trace.order[1, 4:]  # the last of 2, 2 and 3
    assert heat.values[1, 2, 1] == pytest.approx(trace.tau[1, 8:15][:, units].mean(), rel=1e-5)
    assert heat.means[1, 2] == pytest.approx(trace.tau[1][:, units].mean(), rel=1e-5)
    with pytest.raises(ValueError, match="heat_map: rows is 0, expected at least 1"):
        trace.heat_map(0, 4)


def test_one_layer() -> None:
    trace = invented([1.0] * 6)
    one = trace.only(1)
    assert one.layers == (1,) and one.summary()[0] == trace.summary()[1]
    np.testing.assert_array_equal(one.heat_map(9, 9).values[0], trace.heat_map(9, 9).values[1])
    with pytest.raises(ValueError, match=r"layer is 2, expected 0 to 1\."):
        trace.only(2)


def test_short_time_constants_are_fast() -> None:
    trace = invented([1.0])
    near, far = trace.scale([2.0, 3.0]), trace.scale(np.geomspace(2, 200, 101))
    assert not isinstance(near, LogScale) and isinstance(far, LogScale)
    assert near.share([2.0, 3.0]).tolist() == [1, 0]
    assert far.share([2.0, 20.0, 200.0]) == pytest.approx([1, 0.5, 0])


def test_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    lnn, (x, dt) = model(inputs=3, outputs=4), sequence()
    with pytest.raises(ValueError, match="las has no time constants to look at; lnn models have; `las viz dt` shows"):
        trace_tau(make_model(LASConfig(d=16, layers=1)), TEXT)
    with pytest.raises(ValueError, match=r"data is bytes, expected vectors \(t, 3\)"):
        trace_tau(lnn, TEXT)
    with pytest.raises(ValueError, match="data is ndarray, expected bytes"):
        trace_tau(model(), x)
    with pytest.raises(ValueError, match=r"data has shape \(12, 2\) and dt \(12,\), expected \(t, 3\) and \(t,\)"):
        trace_tau(lnn, x[:, :2], dt)
    with pytest.raises(ValueError, match=r"shape \(12, 3\) and dt \(11,\)"):
        trace_tau(lnn, x, dt[1:])
    with pytest.raises(ValueError, match="there are 0 elements to read"):
        trace_tau(lnn, x[:0])
    with pytest.raises(ValueError, match="times end at 0 s, expected more than 0"):
        trace_tau(lnn, x, dt * 0)
    with pytest.raises(ValueError, match=r"tau has shape \(2, 3, 5\), expected \(2, 4, units\)"):
        TauTrace(None, x, np.arange(5.0), np.ones((2, 3, 5), np.float32), x[0], None, (0, 1))
    monkeypatch.setattr(tau_module, "MOST_MEMORY", 4 * 2 * 7 * 10)
    assert most_elements(lnn) == 10
    with pytest.raises(ValueError, match="there are 12 elements to read, expected 1 to 10"):
        trace_tau(lnn, x)


@pytest.mark.parametrize("channels", [1, 13])
def test_a_figure_has_its_parts(channels: int) -> None:
    trace = trace_tau(model(inputs=channels, outputs=2), np.ones((6, channels), np.float32))
    axes = tau_figure(trace).axes
    titles = [place.get_title(loc="left") for place in axes]
    for part in ("Input", "tau over time", "Units over time", "How often each tau occurs"):
        assert sum(title.startswith(part) for title in titles) == 1
    assert [place.get_ylabel() for place in axes].count("layer 1") == 1
    marks = [line.get_xdata()[0] for line in axes[-1].lines if line.get_linestyle() == "--"]
    assert marks == [0.5, 20.0]
