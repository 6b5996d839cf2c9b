"""A quantised model does what the model does."""

import math
from collections.abc import Callable
from itertools import pairwise

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from lasmlx.chip import Emulator, FakeQuantized, Options, measure, quantize
from lasmlx.chip.forward import forward
from lasmlx.chip.twin import init_state, scan
from lasmlx.models import LAS, MambaConfig, MambaLM

Make = Callable[..., LAS]


def windows(b: int = 8, t: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (b, t)).astype(np.uint8)


def sqnr(model: LAS, options: Options, count: int = 60) -> float:
    """Signal over error of the logits, dB."""
    data = windows(1, count, 5)
    chip = quantize(model, windows(), options)
    got = Emulator(chip).session().trace(data.tobytes()) * 2.0**-chip.config.logit_fraction
    exact = np.array(model(mx.array(data))[0][0])
    return float(10 * np.log10((exact**2).sum() / ((got - exact) ** 2).sum()))


@pytest.mark.parametrize(
    ("options", "least"),
    [
        (Options(), 28),
        (Options(state_bits=16), 28),
        (Options(state_bits=16, rounding="stochastic"), 27),
        (Options(system="q16"), 50),
    ],
    ids=str,
)
def test_logits_are_those_of_the_model(las: Make, options: Options, least: float) -> None:
    assert sqnr(las(d=32, n=8), options) > least


@pytest.mark.parametrize(
    "settings", [{"substeps": 4.0}, {"tied": True}, {"embedding": "lookup"}, {"n": 1}, {"k": 1}], ids=str
)
def test_every_kind_of_las_model(las: Make, settings: dict[str, object]) -> None:
    assert sqnr(las(**settings), Options()) > 26
    assert sqnr(las(**settings), Options(system="q16")) > 50


def decay_error(model: LAS, options: Options) -> float:
    """Of what an element of dt_max leaves of the state, against exp(dt A)."""
    chip = quantize(model, windows(), options)
    c = chip.config
    dt = np.full(c.e, c.dt_min + c.dt_range)
    state = init_state(chip)
    state.h[:] = 1 << 28
    kept = scan(chip, chip.layers[0].A, dt, np.zeros(c.e, np.int64), np.zeros(c.n, np.int64), state, 0) / (1 << 28)
    rates = np.exp(np.array(model.blocks[0].mixer.A_log, np.float64))
    return float(np.abs(kept - np.exp(-rates * model.config.dt_max)).max())


def test_decay_is_the_exponential(las: Make) -> None:
    model = las(slow=(0.5, 8.0), fast=(8.0, 64.0))
    assert decay_error(model, Options()) < 1e-4
    errors = [decay_error(model, Options(decay="euler", substeps=k)) for k in (8, 16, 32)]
    for coarse, fine in pairwise(errors):  # first order: half the error with twice the sub-steps
        assert 1.7 < coarse / fine < 2.3


def test_percentile_calibration(las: Make) -> None:
    model = las()
    chip = quantize(model, windows(), Options(), calibration="percentile")
    assert chip.config.d == 24 and chip.size > 0


def test_the_tapped_forward_is_the_models(las: Make) -> None:
    model, x = las(substeps=3.0), mx.array(windows(2, 9))
    logits, state = forward(model, x, model.init_state(2), lambda _, v: v)
    expected, after = model(x)
    assert mx.allclose(logits, expected, atol=1e-5)
    assert all(mx.allclose(a.h, b.h, atol=1e-5) for a, b in zip(state, after, strict=True))


def test_fake_quantisation_predicts_the_chip(las: Make) -> None:
    """What fine-tuning sees is what the integers do: nearer to them than the float model is."""
    model, data = las(d=32, n=8), windows(1, 60, 5)
    units = measure(model, windows(), Options(), "mse")
    fake = np.array(FakeQuantized(model, units)(mx.array(data))[0][0])
    chip = quantize(model, windows(), Options())
    got = Emulator(chip).session().trace(data.tobytes()) * 2.0**-chip.config.logit_fraction
    exact = np.array(model(mx.array(data))[0][0])
    assert ((got - fake) ** 2).sum() < 0.4 * ((got - exact) ** 2).sum()


def test_fine_tuning_has_gradients(las: Make) -> None:
    model = las()
    fake = FakeQuantized(model, measure(model, windows(), Options(), "mse"))
    x = mx.array(windows(2, 16))
    _, gradients = nn.value_and_grad(fake, lambda: (fake(x)[0] ** 2).mean())()
    norms = {name: float(mx.abs(g).max().item()) for name, g in tree_flatten(gradients)}
    assert all(math.isfinite(v) for v in norms.values())
    assert sum(v > 0 for v in norms.values()) > 0.9 * len(norms)


def test_refusals(las: Make) -> None:
    with pytest.raises(ValueError, match="'mamba' family, expected 'las'"):
        quantize(MambaLM(MambaConfig(d=8, layers=1, n=2)), windows())
    with pytest.raises(ValueError, match="whole sub-steps"):
        quantize(las(substeps=math.inf), windows())
    with pytest.raises(ValueError, match=r"shape \(0, 8\), expected \(b, t\) with bytes"):
        quantize(las(), np.zeros((0, 8), np.uint8))
    dead = las()
    dead.blocks[0].mixer.in_proj.weight = mx.zeros_like(dead.blocks[0].mixer.in_proj.weight)
    with pytest.raises(ValueError, match=r"layers\.0\.\w+ is 0 on all of the calibration data"):
        quantize(dead, windows())
    wild = las()
    wild.blocks[1].mixer.D = wild.blocks[1].mixer.D * math.nan
    with pytest.raises(ValueError, match="is not finite on the calibration data"):
        quantize(wild, windows())
