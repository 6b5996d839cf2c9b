"""What every family promises: state, causality, batches, the trace, the head and the count of parameters."""

import math
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Make = Callable[..., Any]
LENGTH = 45
TEXT = mx.array(np.random.default_rng(0).integers(0, 256, (2, LENGTH), dtype=np.uint8))
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "las": [{}, {"substeps": math.inf}, {"substeps": 4.0, "tied": True, "k": 1}, {"embedding": "lookup", "n": 1}],
    "mamba": [{}, {"tied": True, "k": 1, "n": 1}],
}


def leaves(state: Any) -> list[mx.array]:
    return [leaf for layer in state for leaf in layer]


def assert_equal(actual: mx.array, expected: mx.array) -> None:
    assert actual.shape == expected.shape
    assert mx.isfinite(actual).all().item()
    np.testing.assert_allclose(np.array(actual), np.array(expected), atol=1e-5)


def run_in_pieces(model: Any, cuts: list[int]) -> tuple[mx.array, Any]:
    state, pieces = None, []
    for start, stop in zip([0, *cuts], [*cuts, LENGTH], strict=True):
        logits, state = model(TEXT[:, start:stop], state)
        pieces.append(logits)
    return mx.concatenate(pieces, 1), state


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_pass_equals_any_split(family: str, make: Make, data: st.DataObject) -> None:
    model = make(family, **data.draw(st.sampled_from(VARIANTS[family])))
    cuts = data.draw(st.lists(st.integers(1, LENGTH - 1), max_size=6, unique=True).map(sorted))
    (whole, last), (pieces, state) = model(TEXT), run_in_pieces(model, cuts)
    assert_equal(pieces, whole)
    for actual, expected in zip(leaves(state), leaves(last), strict=True):
        assert_equal(actual, expected)


def test_one_pass_equals_single_bytes(family: str, make: Make) -> None:
    for variant in VARIANTS[family]:
        model = make(family, **variant)
        assert_equal(run_in_pieces(model, list(range(1, LENGTH)))[0], model(TEXT)[0])


def test_no_state_is_the_initial_state(family: str, make: Make) -> None:
    model = make(family)
    assert mx.array_equal(model(TEXT)[0], model(TEXT, model.init_state(2))[0])


def test_state_is_the_callers(family: str, make: Make) -> None:
    model = make(family)
    state = model.init_state(2)
    before = [np.array(leaf) for leaf in leaves(state)]
    model(TEXT, state)
    for leaf, old in zip(leaves(state), before, strict=True):
        np.testing.assert_array_equal(np.array(leaf), old)


def test_state_has_a_constant_size(family: str, make: Make) -> None:
    model = make(family)
    assert [v.shape for v in leaves(model(TEXT)[1])] == [v.shape for v in leaves(model(TEXT[:, :1])[1])]


@pytest.mark.parametrize("j", [0, 1, 31, 32, LENGTH - 1])
def test_the_future_changes_nothing(family: str, make: Make, j: int) -> None:
    model = make(family)
    changed = mx.where(mx.arange(LENGTH) == j, 255 - TEXT, TEXT).astype(mx.uint8)
    before, after = model(TEXT)[0], model(changed)[0]
    assert_equal(after[:, :j], before[:, :j])
    assert mx.abs(after[:, j] - before[:, j]).max().item() > 1e-3


def test_rows_of_a_batch_do_not_meet(family: str, make: Make) -> None:
    model = make(family)
    together, state = model(TEXT)
    for row in range(2):
        alone, alone_state = model(TEXT[row : row + 1])
        assert_equal(together[row : row + 1], alone)
        for whole, one in zip(leaves(state), leaves(alone_state), strict=True):
            assert_equal(whole[row : row + 1], one)


@pytest.mark.parametrize("dtype", [mx.uint8, mx.int32, mx.int64])
def test_any_integer_bytes(family: str, make: Make, dtype: mx.Dtype) -> None:
    model = make(family)
    assert mx.array_equal(model(TEXT.astype(dtype))[0], model(TEXT)[0])


def test_trace_is_the_forward_pass(family: str, make: Make) -> None:
    model = make(family)
    logits, state = model(TEXT)
    trace = model.trace(TEXT)
    assert mx.array_equal(trace.logits, logits)
    for actual, expected in zip(leaves(trace.state), leaves(state), strict=True):
        assert mx.array_equal(actual, expected)
    assert [dt.shape for dt in trace.dt] == [(2, LENGTH, model.config.e)] * model.config.layers


@pytest.mark.parametrize("bounds", [(0.001, 0.1), (0.0013106752, 0.007269298), (0.01, 0.011)])
def test_liquid_steps_stay_within_their_bounds(make: Make, bounds: tuple[float, float]) -> None:
    model = make("las", dt_min=bounds[0], dt_max=bounds[1])
    for block in model.blocks:
        block.mixer.dt_proj.weight = block.mixer.dt_proj.weight * 1e3
    for dt in map(np.array, model.trace(TEXT).dt):
        assert (dt >= np.float32(bounds[0])).all() and (dt <= np.float32(bounds[1])).all()
        assert dt.max() > dt.min()


def test_softplus_steps_are_positive(make: Make) -> None:
    for dt in make("mamba").trace(TEXT).dt:
        assert (dt > 0).all().item()


def test_a_state_of_another_depth_is_named(family: str, make: Make) -> None:
    with pytest.raises(ValueError, match=r"state has 1 layers, expected 2: make it with init_state\(b\)\."):
        make(family)(TEXT, make(family, layers=1).init_state(2))


def test_a_state_of_another_batch_is_named(family: str, make: Make) -> None:
    model = make(family)
    with pytest.raises(ValueError, match=r"tail has shape \(3, 3, 24\), expected \(2, 3, 24\)"):
        model(TEXT, model.init_state(3))


def test_a_tied_head_is_the_embedding(family: str, make: Make) -> None:
    model = make(family, tied=True)
    assert mx.array_equal(model.head_weight(), model.embedding.table())
    assert "head" not in model
    free = make(family)
    assert mx.array_equal(free.head_weight(), free.head.weight)
    assert free.size - model.size == 256 * 12


@pytest.mark.parametrize(("tied", "k", "n", "layers"), [(False, 4, 3, 2), (True, 1, 5, 1)])
def test_number_of_parameters(family: str, make: Make, tied: bool, k: int, n: int, layers: int) -> None:
    d, e, rank, f = 12, 24, 2, 7
    mixer = 2 * e * d + e * (k + 1) + (rank + 2 * n) * e + e * (rank + 1) + e * n + e + d * e
    embedding = {"las": 2 * f * d + 2 * f, "mamba": 256 * d}[family]
    expected = embedding + layers * (d + mixer) + d + (0 if tied else 256 * d)
    assert make(family, tied=tied, k=k, n=n, layers=layers).size == expected


def test_one_seed_one_model(family: str, make: Make) -> None:
    assert mx.array_equal(make(family, seed=3)(TEXT)[0], make(family, seed=3)(TEXT)[0])
    assert not mx.array_equal(make(family, seed=3)(TEXT)[0], make(family, seed=4)(TEXT)[0])
