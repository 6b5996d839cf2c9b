"""The native step against the MLX models it is packed from."""

import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from lasmlx.models.las import LAS, LASConfig
from lasmlx.models.mamba import MambaConfig, MambaLM
from lasmlx.stream import NativeModel, generate

TOLERANCE = 1e-5  # of the largest logit, float32
TEXT = np.random.default_rng(0).integers(0, 256, 4096, dtype=np.uint8)
MODELS = {
    "one step": lambda: LAS(LASConfig(d=24, layers=2, n=5)),
    "four sub-steps": lambda: LAS(LASConfig(d=24, layers=2, n=5, substeps=4)),
    "exact": lambda: LAS(LASConfig(d=17, layers=2, n=3, k=2, rank=3, substeps=math.inf)),
    "tied lookup": lambda: LAS(LASConfig(d=20, layers=1, expand=3, embedding="lookup", tied=True)),
    "mamba": lambda: MambaLM(MambaConfig(d=24, layers=2)),
}


def make(name: str) -> Any:
    mx.random.seed(0)
    model = MODELS[name]()
    mx.eval(model.parameters())
    return model


def error(got: NDArray[np.float32], expected: mx.array) -> float:
    wanted = np.array(expected)
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("name", MODELS)
def test_logits_dt_and_state(name: str) -> None:
    model = make(name)
    logits, state, dt = model.trace(mx.array(TEXT[None]))
    session = NativeModel.from_model(model).session()
    got = np.stack([session.step(int(byte)) for byte in TEXT])
    assert error(got, logits[0]) < TOLERANCE
    for i, (tail, h) in enumerate(session.state):
        assert error(tail, state[i].tail) < TOLERANCE and error(h, state[i].h) < TOLERANCE
        assert error(session.dt[i], dt[i][0, -1]) < TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_one_state_for_both(name: str) -> None:
    model = make(name)
    whole, _ = model(mx.array(TEXT[None, :20]))
    _, state = model(mx.array(TEXT[None, :19]))
    session = NativeModel.from_model(model).session()
    session.state = state
    assert error(session.step(int(TEXT[19])), whole[0, -1]) < TOLERANCE
    session.reset()
    session.feed(TEXT[:19].tobytes())
    back = [type(pair)(*map(mx.array, mine)) for pair, mine in zip(state, session.state, strict=True)]
    assert error(np.array(model(mx.array(TEXT[None, 19:20]), back)[0]), whole[:, -1:]) < TOLERANCE


def test_bfloat16_weights_are_widened() -> None:
    model = make("one step")
    model.set_dtype(mx.bfloat16)
    wide = NativeModel.from_model(model).session().feed(b"abc")
    model.set_dtype(mx.float32)
    assert (wide == NativeModel.from_model(model).session().feed(b"abc")).all()


def test_generate_takes_a_model() -> None:
    model = make("one step")
    for weights in ("float32", "int8"):
        assert len(bytes(generate(model, "val: ", bytes=10, weights=weights))) == 10
