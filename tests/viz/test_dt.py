"""The trace of dt is what the model does, and every summary of it is what NumPy says."""

from collections.abc import Callable

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.models import LASConfig, MambaConfig, make_model
from lasmlx.viz import DtTrace, most_bytes, trace_dt
from lasmlx.viz import dt as dt_module

TEXT = b"Call me Ishmael. Some years ago\n"


def traced(data: bytes = TEXT, layers: int = 3) -> DtTrace:
    mx.random.seed(0)
    return trace_dt(make_model(LASConfig(d=16, layers=layers, n=4, dt_min=0.002, dt_max=0.05)), data)


@pytest.fixture
def invented() -> Callable[..., DtTrace]:
    def make(t: int, layers: int = 2, e: int = 5) -> DtTrace:
        dt = np.random.default_rng(t).uniform(0.001, 0.1, (layers, t, e)).astype(np.float32)
        return DtTrace(bytes(i % 256 for i in range(t)), dt, (0.001, 0.1), tuple(range(layers)))

    return make


def test_shapes_and_bounds() -> None:
    trace = traced()
    assert trace.data == TEXT and trace.layers == (0, 1, 2) and trace.bounds == trace.range == (0.002, 0.05)
    assert trace.dt.shape == (3, len(TEXT), 32) and trace.dt.dtype == np.float32
    assert np.isfinite(trace.dt).all()
    assert trace.dt.min() >= np.float32(0.002) and trace.dt.max() <= np.float32(0.05)
    assert trace.dt.std(axis=1).min() > 0  # it moves with the input


def test_it_is_the_models_own_dt() -> None:
    mx.random.seed(1)
    model = make_model(LASConfig(d=16, layers=2, n=4))
    steps = model.trace(mx.array(np.frombuffer(TEXT, np.uint8))[None]).dt
    np.testing.assert_array_equal(trace_dt(model, TEXT).dt, np.stack([np.array(step[0]) for step in steps]))


def test_windows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = traced()
    monkeypatch.setattr(dt_module, "WINDOW", 5)
    np.testing.assert_allclose(traced().dt, whole.dt, rtol=1e-5)


def test_mamba_has_no_bounds() -> None:
    mx.random.seed(0)
    trace = trace_dt(make_model(MambaConfig(d=16, layers=1, n=4)), TEXT)
    assert trace.bounds is None
    low, high = trace.range
    assert trace.dt.min() <= low < high <= trace.dt.max()


def test_means_and_percentiles(invented: Callable[..., DtTrace]) -> None:
    trace = invented(40)
    np.testing.assert_allclose(trace.mean, trace.dt.mean(axis=(0, 2)), rtol=1e-6)
    np.testing.assert_allclose(trace.layer_mean, trace.dt.mean(axis=2), rtol=1e-6)
    low, high = trace.band(10, 90)
    flat = trace.dt.transpose(1, 0, 2).reshape(40, -1)
    np.testing.assert_allclose(low, np.percentile(flat, 10, axis=1), rtol=1e-5)
    np.testing.assert_allclose(high, np.percentile(flat, 90, axis=1), rtol=1e-5)


def test_a_histogram_counts_everything_once(invented: Callable[..., DtTrace]) -> None:
    trace = invented(50)
    edges, counts = trace.histogram(bins=17)
    assert edges.shape == (18,) and counts.shape == (2, 17)
    assert edges[0] == pytest.approx(0.001) and edges[-1] == pytest.approx(0.1)
    np.testing.assert_allclose(np.diff(np.log(edges)), np.log(100) / 17)
    assert counts.sum(axis=1).tolist() == [250, 250]
    inside = edges.astype(np.float32)
    assert counts[1, 3] == ((trace.dt[1] >= inside[3]) & (trace.dt[1] < inside[4])).sum()


def test_a_histogram_keeps_what_is_beyond_its_range(invented: Callable[..., DtTrace]) -> None:
    trace = invented(30)
    wild = trace.dt.copy()
    wild[0, 0, 0], wild[0, 1, 0] = 1e-12, 50
    assert DtTrace(trace.data, wild, None, (0, 1)).histogram(8).counts.sum() == wild.size
    assert DtTrace(trace.data, np.zeros_like(wild), None, (0, 1)).histogram(8).counts.sum() == wild.size


@pytest.mark.parametrize(("t", "columns"), [(1, 10), (7, 7), (40, 13), (100, 99), (64, 1)])
def test_a_timeline_covers_every_byte(invented: Callable[..., DtTrace], t: int, columns: int) -> None:
    trace = invented(t)
    line = trace.timeline(columns)
    m = min(t, columns)
    assert line.edges[0] == 0 and line.edges[-1] == t and len(line.edges) == m + 1
    sizes = np.diff(line.edges)
    assert sizes.min() >= 1 and sizes.max() - sizes.min() <= 1
    assert line.layers.shape == (2, m) and line.mean.shape == line.low.shape == line.high.shape == (m,)
    at = slice(line.edges[-2], line.edges[-1])
    assert line.mean[-1] == pytest.approx(trace.dt[:, at].mean(), rel=1e-5)
    assert line.layers[1, -1] == pytest.approx(trace.dt[1, at].mean(), rel=1e-5)
    assert line.high[-1] == pytest.approx(np.percentile(trace.dt[:, at], 95), rel=1e-5)
    assert (line.low <= line.mean).all() and (line.mean <= line.high).all()


def test_summary(invented: Callable[..., DtTrace]) -> None:
    trace = invented(25)
    second = trace.summary()[1]
    assert second.layer == 1
    assert second.mean == pytest.approx(trace.dt[1].mean(), rel=1e-5)
    assert (second.min, second.max) == (trace.dt[1].min(), trace.dt[1].max())
    assert second.min < second.p5 < second.mean < second.p95 < second.max


def test_one_layer() -> None:
    trace = traced()
    one = trace.only(2)
    assert one.layers == (2,) and one.summary()[0] == trace.summary()[2]
    np.testing.assert_array_equal(one.dt[0], trace.dt[2])
    for wrong in (3, -1):
        with pytest.raises(ValueError, match=rf"layer is {wrong}, expected 0 to 2\."):
            trace.only(wrong)


def test_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="there are 0 bytes to read, expected 1 to"):
        traced(b"")
    with pytest.raises(ValueError, match="has no time steps to look at; las and mamba models have"):
        trace_dt(object(), b"x")
    with pytest.raises(ValueError, match=r"dt has shape \(1, 2, 3\), expected \(1, 3, e\)"):
        DtTrace(b"abc", np.ones((1, 2, 3), np.float32), None, (0,))
    monkeypatch.setattr(dt_module, "MOST_MEMORY", 4 * 3 * 32 * 10)
    assert most_bytes(make_model(LASConfig(d=16, layers=3))) == 10
    with pytest.raises(ValueError, match="expected 1 to 10 for this model"):
        traced(b"x" * 11)
