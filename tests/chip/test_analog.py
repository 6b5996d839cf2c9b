"""The analog part: the emulator gives its twin's bits, each fault follows its formula, none helps."""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.chip import ChipModel, Emulator, FakeQuantized, Options, quantize, random_chip
from lasmlx.chip import measure as measure_units
from lasmlx.chip.analog import (
    FIRST_READ,
    MOST_GAIN,
    AnalogPart,
    column_spread,
    conductances,
    crossbars,
    programming_sigma,
    weight_noise,
    wire_drop,
)
from lasmlx.chip.analog_twin import MATRICES, Array, Noise, dac, matrices, with_crossbars
from lasmlx.chip.emulator import Crossbar
from lasmlx.chip.twin import init_state, step, trace
from lasmlx.models import LAS
from lasmlx.models.config import ConfigError

Bytes = Callable[..., bytes]
YEAR = 31557600.0  # s
IDEAL, PCM = AnalogPart.parse("ideal"), AnalogPart.parse("pcm")
LARGE = np.full((300, 300), 127)  # a matrix of weights at g_max: g- is then that of a device that carries nothing
FAULTY = "pcm,mismatch=0.1,stuck_low=0.02,stuck_high=0.01,wire=3,dac_bits=5,adc_bits=6,read_noise=0.1,g_min=0.5"


def with_changes(part: AnalogPart, **changes: Any) -> AnalogPart:
    return dataclasses.replace(part, **changes)


@pytest.fixture
def chip(las: Callable[..., LAS], some_bytes: Bytes) -> ChipModel:
    windows = np.frombuffer(some_bytes(256), np.uint8).reshape(4, 64)
    return quantize(las(), windows, Options())


@pytest.mark.parametrize("seconds", [0.0, 1.0, YEAR])
@pytest.mark.parametrize("seed", range(4))
def test_ideal_is_the_digital_chip(seed: int, seconds: float, some_bytes: Bytes) -> None:
    chip, data = random_chip(seed, system="int8"), some_bytes(40, seed)
    expected = Emulator(chip).session().trace(data)
    np.testing.assert_array_equal(Emulator(chip, crossbars(chip, IDEAL, seconds)).session().trace(data), expected)


def test_wide_converters_are_the_digital_chip(chip: ChipModel, some_bytes: Bytes) -> None:
    ideal = crossbars(chip, IDEAL).items()
    bars = {name: dataclasses.replace(bar, adc_bits=20, adc_step=256 * bar.adc_step) for name, bar in ideal}
    data = some_bytes(40)
    np.testing.assert_array_equal(Emulator(chip, bars).session().trace(data), Emulator(chip).session().trace(data))


@pytest.mark.parametrize("text", ["pcm", "ideal,read_noise=0.3", "ideal,adc_bits=4", "ideal,dac_bits=2", FAULTY])
@pytest.mark.parametrize("seed", range(3))
def test_emulator_is_the_twin(seed: int, text: str, some_bytes: Bytes) -> None:
    chip, data = random_chip(seed, system="int8"), some_bytes(10, seed)
    bars = crossbars(chip, with_changes(AnalogPart.parse(text), seed=seed), 1000.0, column_spread(chip, data))
    expected = trace(with_crossbars(chip, bars), data)
    np.testing.assert_array_equal(Emulator(chip, bars).session().trace(data), expected)
    assert (expected != trace(chip, data)).any()


FEEDS = {"in_proj": "conv", "x_proj": "B", "dt_proj": "p", "out_proj": "u", "head": "logits"}


@pytest.mark.parametrize("name", [*(f"layers.1.{m}" for m in MATRICES), "head"])
def test_one_matrix_in_an_array(name: str, chip: ChipModel, some_bytes: Bytes) -> None:
    data = some_bytes(12)
    bars = {name: crossbars(chip, AnalogPart.parse(FAULTY), 60.0, column_spread(chip, data))[name]}
    session, digital = Emulator(chip, bars).session(counting=True), Emulator(chip).session(counting=True)
    analog, state = with_crossbars(chip, bars), init_state(chip)
    for byte in data:
        expected, state = step(analog, state, byte)
        np.testing.assert_array_equal(session.step(byte), expected)
    np.testing.assert_array_equal(session.state.h, state.h)
    digital.feed(data)
    fed = name.rpartition(".")[0] + "." + FEEDS[name.rpartition(".")[2]]
    assert session.ranges[fed.lstrip(".")] != digital.ranges[fed.lstrip(".")]


def test_array_in_numbers() -> None:
    bar = Crossbar(np.array([[256, -512, 128]]), 1, 5, np.array([700]), 0)
    x = np.array([3, -5, 127])  # through the DAC: 4, -4, 126
    np.testing.assert_array_equal(dac(x, 1), [4, -4, 126])
    total = 256 * 4 + 512 * 4 + 128 * 126  # 19200, 27.4 steps: clipped to 15
    assert total / 700 > 15
    assert (Array(bar, Noise(0)) @ x).tolist() == [(15 * 700 + 128) >> 8]
    wide = dataclasses.replace(bar, adc_bits=8)
    assert (Array(wide, Noise(0)) @ x).tolist() == [(27 * 700 + 128) >> 8]
    assert (Array(wide, Noise(0)) @ np.array([0, 1, 0])).tolist() == [(-700 + 128) >> 8]  # 1 goes to 2: -1.46 steps
    assert (Array(dataclasses.replace(wide, dac_drop=0), Noise(0)) @ -x).tolist() == [(-28 * 700 + 128) >> 8]  # -27.98


def test_reading_noise_has_the_spread_that_was_asked_for() -> None:
    zero = Crossbar(np.zeros((4000, 4), np.int64), 0, 30, np.ones(4000, np.int64), 65536 * 3)  # 3 of a weight's one
    sums = Array(zero, Noise(7)) @ np.array([100, -50, 20, 10])
    assert sums.std() == pytest.approx(3 * math.sqrt(100**2 + 50**2 + 20**2 + 10**2), rel=0.05)
    assert abs(sums.mean()) < 0.1 * sums.std()


def test_reading_noise_of_a_part() -> None:
    weight = random_chip(0, system="int8").head.weight
    bar = crossbars(random_chip(0, system="int8"), with_changes(IDEAL, read_noise=0.02))["head"]
    assert bar.read_noise == pytest.approx(65536 * 127 * 0.02 * math.sqrt(np.abs(weight).mean() / 127), abs=1)


def test_one_seed_one_part(chip: ChipModel, some_bytes: Bytes) -> None:
    spread = column_spread(chip, some_bytes(20))

    def trace(part: AnalogPart) -> Any:
        return Emulator(chip, crossbars(chip, part, 60.0, spread)).session().trace(some_bytes(20))

    np.testing.assert_array_equal(trace(PCM), trace(PCM))
    assert (trace(PCM) != trace(with_changes(PCM, seed=1))).any()
    young, old, other = (
        np.concatenate([b.cell.ravel() - 256 * matrices(chip)[n].weight.ravel() for n, b in bars.items()])
        for bars in (
            crossbars(chip, PCM, 1.0, spread),
            crossbars(chip, PCM, YEAR, spread),
            crossbars(chip, with_changes(PCM, seed=1), 1.0, spread),
        )
    )
    assert np.corrcoef(young, old)[0, 1] > 0.5
    assert abs(np.corrcoef(young, other)[0, 1]) < 0.2


def test_faults_do_not_share_draws(chip: ChipModel) -> None:
    weight = chip.head.weight
    plain = conductances(PCM, "head", weight, 1.0)
    stuck = conductances(with_changes(PCM, stuck_low=0.3), "head", weight, 1.0)
    free = stuck > 0
    np.testing.assert_array_equal(stuck[free], plain[free])
    assert (conductances(PCM, "layers.0.in_proj", weight, 1.0) != plain).mean() > 0.4  # some are 0 in both


@pytest.mark.parametrize(("g", "sigma"), [(0.0, 0.26348), (12.5, 0.952705), (25.0, 1.05538)])
def test_programming_noise_is_the_published_polynomial(g: float, sigma: float) -> None:
    assert programming_sigma(g, PCM) == pytest.approx(sigma, abs=1e-5)
    assert programming_sigma(2 * g, with_changes(PCM, g_max=50.0)) == pytest.approx(2 * sigma, abs=2e-5)
    assert programming_sigma(g, with_changes(PCM, programming_noise=0.5)) == pytest.approx(sigma / 2, abs=1e-5)
    part = with_changes(IDEAL, programming_noise=1.0, g_min=g if g < 25 else 0.0)
    made = conductances(part, "m", LARGE, 0.0)[1 if g < 25 else 0]
    if g:  # at 0 half of the draws are cut off
        assert made.mean() == pytest.approx(g, abs=0.02)
        assert made.std() == pytest.approx(sigma, rel=0.02)
    else:
        assert (made == 0).mean() == pytest.approx(0.5, abs=0.01)


def test_drift_follows_its_power_law() -> None:
    part = with_changes(IDEAL, drift=1.0)
    fresh, minute, year = (conductances(part, "m", LARGE, t)[0] for t in (0.0, 60.0, YEAR))
    assert (fresh == 25.0).all()
    nu = -np.log(year / 25.0) / math.log((YEAR + FIRST_READ) / FIRST_READ)
    assert nu.mean() == pytest.approx(0.049, abs=2e-4)
    assert nu.std() == pytest.approx(0.008, rel=0.02)
    np.testing.assert_allclose(minute, 25.0 * (80 / 20) ** -nu, rtol=1e-12)
    small = conductances(part, "m", np.ones_like(LARGE), YEAR)[0] / (25 / 127)
    exponents = -np.log(small) / math.log((YEAR + FIRST_READ) / FIRST_READ)
    assert exponents.mean() == pytest.approx(min(0.1, 0.0155 * math.log(127) + 0.0244), rel=0.02)


def test_drift_only_falls(chip: ChipModel) -> None:
    part = with_changes(IDEAL, drift=1.0, compensation=False)
    sizes = [
        np.mean([np.abs(b.cell).mean() for b in crossbars(chip, part, t, {}).values()]) for t in (0, 1, 60, 3600, YEAR)
    ]
    assert all(a > b for a, b in itertools.pairwise(sizes))
    assert sizes[-1] < 0.55 * sizes[0]


def test_compensation_restores_the_mean(chip: ChipModel) -> None:
    spread = column_spread(chip, b"abc")
    for name, bar in crossbars(chip, with_changes(IDEAL, drift=1.0, adc_bits=8), YEAR, spread).items():
        weight = matrices(chip)[name].weight
        assert np.abs(bar.cell).mean() == pytest.approx(256 * np.abs(weight).mean(), rel=1e-3)
        unaged = max(1, round(4 * spread[name] * 256 / 128))
        assert bar.adc_step[0] > 1.5 * unaged  # the gain comes after the ADC, so its step grows with it


def test_flicker_noise_is_the_published_formula() -> None:
    part = with_changes(IDEAL, flicker_noise=1.0)
    g = conductances(part, "m", LARGE, 80.0)[0]
    assert g.std() / 25 == pytest.approx(0.0088 * math.sqrt(math.log(100 / 5e-7)), rel=0.008)
    small = conductances(part, "m", np.full_like(LARGE, 32), 80.0)[0] / (25 * 32 / 127)
    assert small.std() == pytest.approx(0.0088 * (127 / 32) ** 0.65 * math.sqrt(math.log(100 / 5e-7)), rel=0.008)


def test_mismatch_is_a_relative_spread() -> None:
    g = conductances(with_changes(IDEAL, mismatch=0.07), "m", LARGE, 0.0)[0]
    assert g.std() / g.mean() == pytest.approx(0.07, rel=0.02)


def test_stuck_devices_are_counted() -> None:
    g = conductances(with_changes(IDEAL, stuck_low=0.1, stuck_high=0.2, g_min=1.0), "m", LARGE // 2, YEAR)
    assert (g == 1.0).mean() == pytest.approx(0.1 + 0.7 / 2, abs=0.005)  # half of the devices carry nothing
    assert (g == 25.0).mean() == pytest.approx(0.2, abs=0.005)
    all_high = conductances(with_changes(PCM, stuck_high=1.0), "m", LARGE, YEAR)
    assert (all_high == 25.0).all()


def test_wire_drop_in_numbers() -> None:
    drop = 10.0 * 0.25e-6  # r times the activity, 1 / uS
    np.testing.assert_allclose(wire_drop(np.array([4.0]), 10.0), [4 * (1 - drop * 4)])
    g = np.array([[4.0, 2.0, 8.0]])  # shared wires: 1 with all; 2 with those from the second on; 3 with the third
    expected = [4 * (1 - drop * 14), 2 * (1 - drop * (14 + 10)), 8 * (1 - drop * (14 + 10 + 8))]
    np.testing.assert_allclose(wire_drop(g, 10.0)[0], expected)
    assert (wire_drop(np.full((1, 4096), 25.0), 1000.0) >= 0).all()


def error(chip: ChipModel, part: AnalogPart, seconds: float, data: bytes, spread: dict[str, float]) -> float:
    """Root mean square of the logits' error against the digital chip, over three parts."""
    exact = Emulator(chip).session().trace(data).astype(float)
    parts = [with_changes(part, seed=seed) for seed in range(3)]
    got = [Emulator(chip, crossbars(chip, p, seconds, spread)).session().trace(data) for p in parts]
    return float(np.sqrt(np.mean([(g - exact) ** 2 for g in got])))


@pytest.mark.parametrize(
    ("knob", "weak", "strong"),
    [
        ("programming_noise", 0.3, 3.0), ("drift", 0.3, 3.0), ("flicker_noise", 0.5, 5.0), ("read_noise", 0.02, 0.3),
        ("mismatch", 0.03, 0.3), ("wire", 100.0, 1000.0), ("stuck_low", 0.02, 0.3), ("stuck_high", 0.005, 0.1),
        ("dac_bits", 6, 3), ("adc_bits", 8, 4),
    ],
)  # fmt: skip
def test_each_fault_alone_hurts(knob: str, weak: float, strong: float, chip: ChipModel, some_bytes: Bytes) -> None:
    data, spread = some_bytes(60, 3), column_spread(chip, some_bytes(60, 4))
    errors = [error(chip, with_changes(IDEAL, **{knob: value}), YEAR, data, spread) for value in (weak, strong)]
    assert 0 < errors[0] < 0.6 * errors[1]


def test_a_narrow_adc_clips(chip: ChipModel, some_bytes: Bytes) -> None:
    data, spread = some_bytes(60, 3), column_spread(chip, some_bytes(60, 4))
    errors = [error(chip, with_changes(IDEAL, adc_bits=10, adc_range=r), 0.0, data, spread) for r in (4.0, 1.0, 0.3)]
    assert errors[0] < errors[1] < errors[2]


def test_compensation_helps(chip: ChipModel, some_bytes: Bytes) -> None:
    data = some_bytes(60, 3)
    part = with_changes(IDEAL, drift=1.0)
    kept, lost = (error(chip, with_changes(part, compensation=on), YEAR, data, {}) for on in (True, False))
    assert kept < 0.6 * lost


def test_compensation_has_a_largest_gain() -> None:
    chip = random_chip(2, system="int8")
    bar = crossbars(chip, with_changes(IDEAL, drift=10.0), 1e30)["head"]
    assert np.abs(bar.cell).max() < 256 * 127 * MOST_GAIN


@pytest.mark.parametrize("changes", [
    {"programming_noise": 100.0, "drift": 10.0, "flicker_noise": 100.0, "read_noise": 10.0, "mismatch": 1.0},
    {"programming_noise": 100.0, "flicker_noise": 100.0, "read_noise": 10.0, "g_min": 24.99},
    {"adc_bits": 2, "adc_range": 1000.0, "drift": 10.0, "stuck_high": 0.01, "g_min": 24.9},
    {"g_max": 1e-6}, {"g_max": 1e6, "wire": 1000.0}, {"stuck_low": 1.0}, {"stuck_high": 1.0}, {"dac_bits": 1},
])  # fmt: skip
def test_the_worst_part_still_runs(changes: dict[str, Any], some_bytes: Bytes) -> None:
    chip, data = random_chip(3, system="int8"), some_bytes(3)
    bars = crossbars(chip, with_changes(PCM, **changes), 1e12, column_spread(chip, data))
    expected = trace(with_crossbars(chip, bars), data)
    np.testing.assert_array_equal(Emulator(chip, bars).session().trace(data), expected)


def test_training_meets_the_programming_noise() -> None:
    noise = weight_noise(with_changes(PCM, mismatch=0.05))
    mx.random.seed(1)
    first, second = (np.array(noise("head", mx.full((300, 300), 127.0))) for _ in range(2))
    assert (first != second).any()
    assert first.std() == pytest.approx(127 * math.hypot(1.05538 / 25, 0.05, 0.154 / 25), rel=0.02)  # 0.154: cut at 0
    mx.random.seed(1)
    np.testing.assert_array_equal(np.array(noise("head", mx.full((300, 300), 127.0))), first)
    whole = mx.arange(-127, 128).astype(mx.float32)
    np.testing.assert_allclose(np.array(weight_noise(IDEAL)("head", whole)), np.array(whole), atol=1e-4)
    gradient = mx.grad(lambda w: (3 * noise("head", w)).sum())(whole)
    np.testing.assert_array_equal(np.array(gradient), np.full(255, 3.0))


def test_training_noise_is_that_of_a_part() -> None:
    weight = np.random.default_rng(0).integers(-127, 128, (600, 600))
    mx.random.seed(0)
    trained = np.array(weight_noise(PCM)("head", mx.array(weight.astype(np.float32)))) - weight
    g = conductances(with_changes(IDEAL, programming_noise=1.0), "head", weight, 0.0)
    made = 127 / 25 * (g[0] - g[1]) - weight
    for low, high in ((-128, -60), (-60, 0), (0, 60), (60, 128)):
        here = (weight >= low) & (weight < high)
        assert trained[here].std() == pytest.approx(made[here].std(), rel=0.05)
        assert trained[here].mean() == pytest.approx(made[here].mean(), abs=0.2)


def test_fake_quantisation_takes_the_noise(las: Callable[..., LAS], some_bytes: Bytes) -> None:
    model, windows = las(), np.frombuffer(some_bytes(256), np.uint8).reshape(4, 64)
    units, x = measure_units(model, windows, Options(), "mse"), mx.array(windows)
    plain, ideal, noisy = (
        np.array(FakeQuantized(model, units, noise)(x)[0]) for noise in (None, weight_noise(IDEAL), weight_noise(PCM))
    )
    np.testing.assert_allclose(ideal, plain, atol=1e-3)
    assert np.abs(noisy - plain).max() > 0.05


def test_forms() -> None:
    assert AnalogPart.parse("pcm") == AnalogPart()
    part = AnalogPart.parse(" ideal , adc_bits=6, read_noise = 0.01,compensation=false,seed=7")
    assert part == with_changes(IDEAL, adc_bits=6, read_noise=0.01, compensation=False, seed=7)
    assert AnalogPart.from_dict(json.loads(json.dumps(part.to_dict()))) == part
    assert AnalogPart.from_dict({"g_max": 50}) == AnalogPart(g_max=50.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rram", "'rram' is not one of pcm, ideal"), ("", "'' is not one of"),
        ("pcm,adc_bits", "'adc_bits' is no change"),
        ("pcm,adc_bit=8", "did you mean adc_bits"), ("pcm,adc_bits=8.5", "adc_bits is 8.5, expected an integer"),
        ("pcm,adc_bits=1", "adc_bits is 1, expected 0 or 2 to 24"), ("pcm,adc_bits=25", "expected 0 to 24"),
        ("pcm,dac_bits=0", "dac_bits is 0, expected 1 to 8"), ("pcm,drift=-1", "drift is -1.0, expected 0 to 10"),
        ("pcm,read_noise=nan", "read_noise is nan"), ("pcm,flicker_noise=inf", "flicker_noise is inf"),
        ("pcm,g_max=0", "g_max is 0.0"), ("pcm,g_min=25", "g_min is 25.0, expected 0 to below g_max = 25.0"),
        ("pcm,adc_range=0", "adc_range is 0.0"), ("pcm,compensation=1", "expected true or false"),
        ("pcm,stuck_low=0.6,stuck_high=0.6", "stuck_low + stuck_high is 1.2, expected 1 at most"),
        ("pcm,mismatch=2", "mismatch is 2.0"), ("pcm,wire=x", "wire is 'x', expected a number"),
        ("pcm,rows=0", "rows is 0"),
        ("pcm,seed=-1", "seed is -1"), ("pcm,programming_noise=1000", "programming_noise is 1000.0"),
    ],
)  # fmt: skip
def test_no_part_from(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AnalogPart.parse(text)
    assert message in str(caught.value)


def test_refusals() -> None:
    chip = random_chip(0, system="int8", layers=1, d=20, e=30)
    with pytest.raises(ValueError, match="the chip is q16, expected int8"):
        crossbars(random_chip(0, system="q16"), PCM)
    for seconds in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"crossbars: seconds is .*, expected 0 or more"):
            crossbars(chip, PCM, seconds)
    with pytest.raises(ValueError, match=r"layers\.0\.x_proj has 30 inputs, the array 29 rows"):
        crossbars(chip, with_changes(PCM, rows=29))
    with pytest.raises(ValueError, match=r"spread lacks head, layers\.0\.dt_proj"):
        crossbars(chip, PCM, 0.0, {"layers.0.in_proj": 1.0, "layers.0.out_proj": 1.0, "layers.0.x_proj": 1.0})
    with pytest.raises(ValueError, match="data has 0 bytes"):
        column_spread(chip, b"")
