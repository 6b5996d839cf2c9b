"""The edges that are shown are the layer's own functions, over what the layer receives, ranked by what they do."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.layers import KANLinear
from lasmlx.models import LASConfig, MambaKANConfig, make_model
from lasmlx.viz import kan as kan_module
from lasmlx.viz import kan_figure, trace_kan

TEXT = mx.array(np.frombuffer(b"Call me Ishmael. Some years ago", np.uint8))[None]
X = mx.array(np.random.default_rng(0).normal(size=(2, 9, 3)).astype(np.float32))


def model(**settings: Any) -> Any:
    mx.random.seed(0)
    return make_model(MambaKANConfig(**{"hidden": 5, "layers": 2, "n": 2} | settings))


def test_x_is_what_the_layers_receive() -> None:
    splines = model()
    trace = trace_kan(splines, TEXT)
    received: list[mx.array] = []

    class Spy(KANLinear):
        def __call__(self, x: mx.array) -> mx.array:
            received.append(x)
            return super().__call__(x)

    for kan in splines.kans:
        kan.__class__ = Spy
    splines(TEXT)
    assert len(received) == 2 and trace.read
    for of, x in zip(trace.layers, received, strict=True):
        np.testing.assert_allclose(of.x, np.array(x[0]), atol=1e-6)
        np.testing.assert_allclose(of.magnitudes, np.array(of.kan.magnitudes(x)), rtol=1e-5)


def test_what_lies_behind_an_end_does_not_count() -> None:
    vectors = model(inputs=3, outputs=2)
    lengths, dt = np.array([9, 4]), mx.array(np.linspace(0.1, 2, 18, dtype=np.float32).reshape(2, 9))
    trace = trace_kan(vectors, X, mask=np.arange(9) < lengths[:, None], dt=dt)
    assert [len(of.x) for of in trace.layers] == [13, 13]
    alone = trace_kan(vectors, X[1:, :4], dt=dt[1:, :4])
    np.testing.assert_allclose(trace.layers[1].x[9:], alone.layers[1].x, atol=1e-6)
    assert np.abs(trace_kan(vectors, X).layers[0].x[:9] - trace.layers[0].x[:9]).max() > 1e-3  # dt matters


def test_edges_are_ranked_and_are_the_layers_functions() -> None:
    of = trace_kan(model(), TEXT).layers[1]
    edges = of.ranked(7)
    sizes = [edge.magnitude for edge in edges]
    assert sizes == sorted(of.magnitudes.ravel().tolist(), reverse=True)[:7]
    assert sum(edge.share for edge in of.ranked(100)) == pytest.approx(1)
    for edge in edges:
        x = of.x[:, edge.input]
        assert (edge.x[0], edge.x[-1]) == (pytest.approx(x.min(), abs=1e-6), pytest.approx(x.max(), abs=1e-6))
        np.testing.assert_allclose(edge.middle, np.percentile(x, (5, 95)), rtol=1e-6)
        points = np.zeros((len(edge.x), 5), np.float32)
        points[:, edge.input] = edge.x
        phi = np.array(of.kan.edges(mx.array(points)))[:, edge.output, edge.input]
        np.testing.assert_allclose(edge.phi, phi, atol=1e-6)
        np.testing.assert_allclose(edge.knots, np.linspace(-3, 3, 6), atol=1e-6)
        assert edge.formula is None and edge.said == ""
        assert edge.name == f"x{edge.input} → y{edge.output}"


def test_a_known_function_is_named() -> None:
    splines = model(layers=1)
    (kan,) = splines.kans
    kan.W, kan.C = mx.zeros_like(kan.W), mx.zeros_like(kan.C)
    kan.C = kan.C.at[3, :, 1].add(mx.linspace(-2, 2, kan.C.shape[1]))  # even coefficients of even knots: a line
    (edge,) = trace_kan(splines, TEXT).layers[0].ranked(1, symbolic=True)
    assert (edge.input, edge.output, edge.share) == (3, 1, 1.0)
    assert edge.formula is not None and (edge.formula.input, edge.formula.output) == (3, 1)
    assert edge.formula.function == "x" and edge.formula.r2 > 0.999 and edge.said == "0.48 x"
    np.testing.assert_allclose(edge.formula(edge.x.astype(np.float64)), edge.phi, atol=1e-5)
    kan.C = kan.C.at[3, :, 1].add(0.25)
    assert trace_kan(splines, TEXT).layers[0].ranked(1, symbolic=True)[0].said == "0.48 x + 0.25"


def test_how_the_work_is_shared() -> None:
    splines = model(layers=1)
    (kan,) = splines.kans
    kan.C, kan.W = mx.zeros_like(kan.C), mx.ones_like(kan.W)
    kan.mask = mx.array(np.eye(5, dtype=np.float32))
    of = trace_kan(splines).layers[0]  # over the grids, which are the same: five edges that do as much
    assert (of.count, of.pruned, of.half) == (25, 20, 3)
    assert of.entropy == pytest.approx(np.log(5) / np.log(25)) and of.outside == 0
    assert [(e.input, e.output) for e in of.ranked(25)] == [(i, i) for i in range(5)]
    kan.mask = mx.zeros_like(kan.mask)
    of = trace_kan(splines).layers[0]
    assert (of.half, of.entropy, of.ranked(3)) == (0, 0, [])


def test_x_beyond_the_grid_is_counted() -> None:
    trace = trace_kan(model(reach=0.5), TEXT)
    for of in trace.layers:
        assert of.outside == pytest.approx((np.abs(of.x) > 0.5).mean()) and of.outside > 0.2
        np.testing.assert_allclose(of.ends, [[-0.5, 0.5]] * 5, atol=1e-6)


def test_many_rows_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trace_kan(model(), TEXT)
    monkeypatch.setattr(kan_module, "MOST_VALUES", 100)  # four rows at once
    for of, other in zip(whole.layers, trace_kan(model(), TEXT).layers, strict=True):
        np.testing.assert_allclose(of.magnitudes, other.magnitudes, rtol=1e-5)
        np.testing.assert_allclose(of.ranked(1)[0].phi, other.ranked(1)[0].phi, atol=1e-6)
    monkeypatch.setattr(kan_module, "MOST_ROWS", 10)
    few = trace_kan(model(), TEXT).layers[0].x
    assert len(few) == 10 and (few[[0, -1]] == whole.layers[0].x[[0, -1]]).all()


def test_a_heat_map_keeps_what_stands_out() -> None:
    of = trace_kan(model(), TEXT).layers[0]
    np.testing.assert_array_equal(of.heat_map(9, 9), of.magnitudes)
    cells = of.heat_map(2, 3)
    np.testing.assert_array_equal(cells[0, 1], of.magnitudes[:2, 1:3].max())
    assert cells.shape == (2, 3) and cells.max() == of.magnitudes.max()
    with pytest.raises(ValueError, match="rows is 0"):
        of.heat_map(0, 3)


def test_models_without_splines() -> None:
    with pytest.raises(ValueError, match="kan = mlp and so no splines"):
        trace_kan(model(kan="mlp"), TEXT)
    with pytest.raises(ValueError, match="type las has no splines to look at; mamba-kan models have"):
        trace_kan(make_model(LASConfig(d=16, layers=1, n=4)), TEXT)
    with pytest.raises(ValueError, match="layer is 2, expected 0 to 1"):
        trace_kan(model()).only(2)
    assert [of.layer for of in trace_kan(model()).only(1).layers] == [1]


def test_a_figure_has_a_curve_an_edge() -> None:
    trace = trace_kan(model(), TEXT)
    figure = kan_figure(trace, "a title", edges=3, symbolic=True)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    named = [f"{e.name}  {e.said_share}" for of in trace.layers for e in of.ranked(3)]
    assert [title for title in titles if "→" in title] == named
    assert sum("R2" in text.get_text() for axes in figure.axes for text in axes.texts) == 6
