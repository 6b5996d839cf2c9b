"""The native step against its definition in float64."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from lasmlx.stream import NativeModel, supported_isas

Arrays = dict[str, NDArray[np.float32]]
Floats = NDArray[np.float64]
DT_MIN, DT_MAX = 0.001, 0.5
TOLERANCE = 1e-5  # of the largest logit
TEXT = np.random.default_rng(7).integers(0, 256, 4096, dtype=np.uint8).tobytes()


def sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def silu(x: Floats) -> Floats:
    return x * sigmoid(x)


def rms_norm(x: Floats, weight: Floats) -> Floats:
    return x / np.sqrt(np.mean(x * x) + 1e-5) * weight


def phi(a: Floats, substeps: float) -> Floats:
    return np.expm1(a) / (a if math.isinf(substeps) else substeps * np.expm1(a / substeps))


def reference(arrays: Arrays, text: bytes, *, bounded: bool, substeps: float) -> Iterator[Floats]:
    p = {name: value.astype(np.float64) for name, value in arrays.items()}
    layers = sum(name.endswith("A_log") for name in p)
    e, n = p["blocks.0.mixer.A_log"].shape
    k, rank = p["blocks.0.mixer.conv.weight"].shape[1], p["blocks.0.mixer.dt_proj.weight"].shape[1]
    inputs = [np.zeros((k, e)) for _ in range(layers)]
    states = [np.zeros((e, n)) for _ in range(layers)]
    A = [-np.exp(p[f"blocks.{i}.mixer.A_log"]) for i in range(layers)]
    for byte in text:
        u = p["table"][byte]
        for i in range(layers):
            at = f"blocks.{i}.mixer."
            x, z = np.split(p[at + "in_proj.weight"] @ rms_norm(u, p[f"blocks.{i}.norm.weight"]), 2)
            inputs[i] = np.vstack([inputs[i][1:], x])
            x = silu((inputs[i].T * p[at + "conv.weight"]).sum(1) + p[at + "conv.bias"])
            low, B, C = np.split(p[at + "x_proj.weight"] @ x, [rank, rank + n])
            pre = p[at + "dt_proj.weight"] @ low + p[at + "dt_proj.bias"]
            dt = DT_MIN + (DT_MAX - DT_MIN) * sigmoid(pre) if bounded else np.logaddexp(0, pre)
            a = dt[:, None] * A[i]
            states[i] = np.exp(a) * states[i] + dt[:, None] * phi(a, substeps) * B * x[:, None]
            y = (states[i] @ C + p[at + "D"] * x) * silu(z)
            u = u + p[at + "out_proj.weight"] @ y
        yield p["head.weight"] @ rms_norm(u, p["norm.weight"])


def pack(
    arrays: Arrays, *, bounded: bool = True, substeps: float = 1, weights: str = "float32", isa: str = ""
) -> NativeModel:
    return NativeModel.from_arrays(
        arrays, bounded=bounded, dt_min=DT_MIN, dt_max=DT_MAX, substeps=substeps, weights=weights, isa=isa
    )


def native(model: NativeModel, text: bytes) -> NDArray[np.float32]:
    session = model.session()
    return np.stack([session.step(byte) for byte in text])


def largest_error(arrays: Arrays, text: bytes, substeps: float, bounded: bool) -> float:
    expected = np.stack(list(reference(arrays, text, bounded=bounded, substeps=substeps)))
    worst = 0.0
    for isa in supported_isas():
        got = native(pack(arrays, bounded=bounded, substeps=substeps, isa=isa), text)
        assert np.isfinite(got).all()
        worst = max(worst, float(np.abs(got - expected).max() / np.abs(expected).max()))
    return worst


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("substeps", [1, 4, math.inf])
def test_float32_is_the_definition(arrays: Callable[..., Arrays], substeps: float, bounded: bool) -> None:
    assert largest_error(arrays(), TEXT, substeps, bounded) < TOLERANCE


@pytest.mark.parametrize(
    ("d", "e", "n", "k", "rank", "layers"),
    [(1, 1, 1, 1, 1, 1), (5, 7, 3, 2, 3, 2), (33, 66, 17, 4, 5, 1), (16, 32, 16, 4, 1, 3), (17, 130, 1, 1, 13, 2)],
)
@pytest.mark.parametrize("substeps", [1, 3, math.inf])
def test_any_size(
    arrays: Callable[..., Arrays], substeps: float, d: int, e: int, n: int, k: int, rank: int, layers: int
) -> None:
    given = arrays(d=d, e=e, n=n, k=k, rank=rank, layers=layers)
    assert largest_error(given, TEXT[:128], substeps, True) < TOLERANCE


@pytest.mark.parametrize("substeps", [1, 2, math.inf])
@pytest.mark.parametrize(("A_log", "bias"), [(-200.0, 0.0), (-20.0, -80.0), (20.0, 5.0)])
def test_extreme_rates_stay_finite_and_right(
    arrays: Callable[..., Arrays], substeps: float, A_log: float, bias: float
) -> None:
    given = arrays(layers=1)
    given["blocks.0.mixer.A_log"][:] = max(A_log, -60.0)
    given["blocks.0.mixer.dt_proj.bias"][:] = bias
    expected = np.stack(list(reference(given, TEXT[:64], bounded=False, substeps=substeps)))
    given["blocks.0.mixer.A_log"][:] = A_log
    for isa in supported_isas():
        got = native(pack(given, bounded=False, substeps=substeps, isa=isa), TEXT[:64])
        assert np.abs(got - expected).max() < TOLERANCE * np.abs(expected).max()


def quantised(arrays: Arrays) -> Arrays:
    """The arrays that int8 weights stand for."""
    out = dict(arrays)
    for name, w in arrays.items():
        if name.endswith(("in_proj.weight", "x_proj.weight", "out_proj.weight", "head.weight")):
            scale = np.abs(w).max(1, keepdims=True) / 127
            out[name] = (np.rint(w / scale) * scale).astype(np.float32)
    return out


def test_int8_dot_products_are_exact(arrays: Callable[..., Arrays]) -> None:
    """A table of ones and minus ones and no layers to speak of: every activation is 127 or -127 without rounding."""
    given = arrays(d=300, e=8, layers=1)
    given["blocks.0.mixer.out_proj.weight"][:] = 0
    given["norm.weight"][:] = 1
    given["table"] = np.sign(given["table"])
    given["table"][5] = -np.sign(given["head.weight"][3])
    given["head.weight"][3] = 0.1 * np.sign(given["head.weight"][3])  # with it, the largest sum there is
    scale = np.abs(given["head.weight"]).max(1) / 127
    integers = np.rint(given["head.weight"] / scale[:, None]) @ (127 * given["table"].T)
    expected = (integers * scale[:, None] / 127 / math.sqrt(1 + 1e-5)).T.astype(np.float64)
    for isa in supported_isas():
        session = pack(given, weights="int8", isa=isa).session()
        got = np.stack([session.step(byte) for byte in range(256)])
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-7)


def test_int8_is_close_to_float32(arrays: Callable[..., Arrays]) -> None:
    given = arrays(d=64, e=128, n=16, rank=4, sharp=3.0)
    text = pack(given).session()
    text.feed(b"\n")
    sample, _ = text.generate(2000, 1.0)
    exact = pack(given).session().log_loss(sample) / len(sample)
    for isa in supported_isas():
        assert pack(given, weights="int8", isa=isa).session().log_loss(sample) / len(sample) == pytest.approx(
            exact, rel=0.01
        )


def test_int8_instruction_sets_agree(arrays: Callable[..., Arrays]) -> None:
    given = arrays(d=40, e=70)
    runs = [native(pack(given, weights="int8", isa=isa), TEXT[:16]) for isa in supported_isas()]
    expected = np.stack(list(reference(quantised(given), TEXT[:16], bounded=True, substeps=1)))
    for run in runs:
        assert np.abs(run - expected).max() < 0.05 * np.abs(expected).max()  # what rounding activations costs


def test_dt_is_the_last_step(arrays: Callable[..., Arrays]) -> None:
    session = pack(arrays()).session()
    session.feed(b"hello")
    assert session.dt.shape == (2, 40)
    assert (session.dt >= DT_MIN).all() and (session.dt <= DT_MAX).all() and session.dt.std() > 0


def test_log_loss_is_the_softmax(arrays: Callable[..., Arrays]) -> None:
    model = pack(arrays(sharp=5.0))
    logits = native(model, TEXT[:100]).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -sum(math.log(p[i, TEXT[i + 1]]) for i in range(99))
    assert model.session().log_loss(TEXT[:100]) == pytest.approx(expected, rel=1e-6)
    split = model.session()
    assert split.log_loss(TEXT[:40]) + split.log_loss(TEXT[40:100]) == pytest.approx(expected, rel=1e-6)


def test_the_same_bits_every_time(arrays: Callable[..., Arrays]) -> None:
    model = pack(arrays())
    assert (native(model, TEXT[:200]) == native(model, TEXT[:200])).all()
