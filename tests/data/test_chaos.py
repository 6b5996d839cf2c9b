"""Ten chaotic systems: their equations, the solver, what a set is made of, settings and what is wrong with them."""

import numpy as np
import pytest

from lasmlx.data import DataError, SequenceData, absolute_sequences, load_sequences, names_sequences
from lasmlx.data.chaos import PERIOD, STEPS, SYSTEMS, ChaosSettings, parse_chaos, trajectories

SPEC = "chaos:length=1024,noise=0,train=40,test=23"
POINTS = ((1, 2, 3), (-0.5, 0.25, 1.5), (2, -3, 0.75))
RATES = {  # at these points, by dysts 0.96 (pip install dysts): dysts.flows.NAME().rhs(point, 0)
    "Aizawa": ((-4.7, 8.1, -14.0), (-1.275, -1.55, 0.4515625), (10.6, 6.85, -13.665625)),
    "Chen": ((35.0, 46.0, -7.0), (26.25, 11.25, -4.625), (-175.0, -99.5, -8.25)),
    "Dadras": ((15.2, 3.4, -23.0), (2.7625, 2.675, -13.75), (-15.075, -5.85, -18.75)),
    "Halvorsen": ((-25.4, -27.8, -17.2), (-6.3625, -6.6, -1.35), (-2.8, -7.3625, -1.05)),
    "Lorenz": ((10.0, 23.0, -6.001), (7.5, -13.5, -4.1255), (-50.0, 57.5, -8.00025)),
    "Lorenz84": ((-7.9444, -19.536, 15.82), (4.7231, 9.7515, -3.23875), (-5.8269, -10.671, -46.71)),
    "Rossler": ((-5.0, 1.4, -13.9), (-1.75, -0.45, -9.1), (2.25, 1.4, -2.575)),
    "Rucklidge": ((5.4, 1.0, 1.0), (2.3, -0.5, -1.4375), (-21.85, 2.0, 8.25)),
    "SprottB": ((6.0, -1.0, -1.0), (0.375, -0.75, 1.125), (-2.25, 5.0, 7.0)),
    "Thomas": (
        (7.24297427, -2.28879992, 2.86470985),
        (3.39903959, 9.51244987, -7.56925539),
        (-5.11120008, 12.3663876, 7.70547427),
    ),
}


@pytest.fixture(scope="module")
def clean() -> SequenceData:
    return load_sequences(SPEC)


@pytest.fixture(scope="module")
def starts() -> np.ndarray:
    centre = np.array([s.start for s in SYSTEMS.values()])[..., None]
    spread = np.array([s.spread for s in SYSTEMS.values()])[:, None, None]
    return centre + spread * np.random.default_rng(0).uniform(-1, 1, (10, 3, 20))


@pytest.mark.parametrize("name", SYSTEMS)
def test_equations(name: str) -> None:
    rates = SYSTEMS[name].rates(*np.array(POINTS, np.float64).T)
    np.testing.assert_allclose(np.transpose(rates), RATES[name], rtol=1e-8)


def test_half_the_step_says_the_same_and_errs_16_times_less(starts: np.ndarray) -> None:
    coarse, fine, finest = (trajectories(starts, 2 * PERIOD, STEPS * k) for k in (1, 2, 4))
    scale = finest.std((1, 2))[:, None]
    errors = np.abs(coarse - fine)[..., :PERIOD].max(2) / scale  # over the first period
    assert np.isfinite(finest).all() and errors.max() < 1e-3
    assert np.median(np.abs(coarse - fine).max(2) / scale, axis=1).max() < 5e-3  # over two
    ratio = errors / (np.abs(fine - finest)[..., :PERIOD].max(2) / scale)
    np.testing.assert_allclose(np.median(ratio, axis=1), 16, rtol=0.3)


def test_neighbours_part(starts: np.ndarray) -> None:
    near = trajectories(np.concatenate([starts, starts + 1e-9], 2), 64 * PERIOD)
    apart = np.abs(near[:, :20] - near[:, 20:]).reshape(10, 20, 64, PERIOD).max(3)
    assert (apart[..., -2:].max(2) > 10 * apart[..., :2].max(2)).all()  # on a torus or a cycle they would stay


def test_shapes_and_balance(clean: SequenceData) -> None:
    assert (clean.name, clean.channels, clean.outputs, clean.classes) == ("chaos", 1, 10, tuple(SYSTEMS))
    assert clean.train.x.shape == (40, 1024, 1) and clean.test.x.shape == (23, 1024, 1)
    assert clean.train.x.dtype == np.float32 and clean.train.dt.min() == clean.test.dt.max() == 1
    assert clean.train.lengths.tolist() == [1024] * 40
    assert np.bincount(clean.train.y).tolist() == [4] * 10
    assert np.bincount(clean.test.y).tolist() == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]


def test_trajectories_are_standard_bounded_and_all_different(clean: SequenceData) -> None:
    x = np.concatenate([clean.train.x, clean.test.x])[..., 0].astype(np.float64)
    assert np.isfinite(x).all() and np.abs(x).max() < 8
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(1), 1, atol=1e-6)
    alike = x @ x.T / x.shape[1]
    assert np.abs(alike - np.eye(len(x))).max() < 0.9999


def test_a_sequence_spans_tens_of_periods(clean: SequenceData) -> None:
    x = clean.train.x[..., 0]
    turns = ((x[:, 1:-1] > x[:, :-2]) & (x[:, 1:-1] > x[:, 2:])).sum(1)
    assert turns.min() >= 12 and turns.max() <= 70


def test_the_settings_decide_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lasmlx.data.chaos.TRANSIENT", 0)
    spec = "chaos:length=64,noise=0,train=10,test=23"
    one, again, other = (load_sequences(spec + more) for more in ("", ",seed=0", ",seed=1"))
    assert one.fingerprint == again.fingerprint
    assert np.abs(other.test.x - one.test.x).max((1, 2)).min() > 0.01
    noisy = load_sequences("chaos:test=23,train=40,noise=0.5,length=64")
    noise = noisy.test.x - one.test.x  # neither noise nor the size of the training set changes the test's trajectories
    assert abs(noise.std() - 0.5) < 0.03 and abs(noise.mean()) < 0.03
    assert np.abs(noise[0] - noise[10]).max() > 0.1


def test_a_forecast_is_how_the_trajectory_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lasmlx.data.chaos.TRANSIENT", 0)
    kept = load_sequences("chaos:length=64,noise=0.5,train=10,test=23")
    ahead = load_sequences("chaos:length=64,noise=0.5,train=10,test=23,horizon=9")
    whole = load_sequences("chaos:length=73,noise=0,train=10,test=23").test.x[..., 0].astype(np.float64)
    seen = whole[:, :64]
    expected = (whole[:, 64:] - seen.mean(1, keepdims=True)) / seen.std(1, keepdims=True)
    np.testing.assert_allclose(ahead.test.y, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(ahead.test.x, kept.test.x)
    assert (ahead.classes, ahead.targets, ahead.horizon, ahead.outputs, ahead.ordered) == ((), (0,), 9, 9, False)
    assert ahead.test.y.dtype == np.float32 and kept.horizon == 0 and kept.targets == ()
    np.testing.assert_array_equal(ahead.persistence(ahead.test), np.repeat(ahead.test.x[:, -1], 9, axis=1))


def test_names() -> None:
    assert names_sequences("chaos") and names_sequences("chaos:seed=1") and not names_sequences("chaos.txt")
    assert absolute_sequences("chaos:seed=1") == "chaos:seed=1" and absolute_sequences("chaos") == "chaos"
    assert parse_chaos("chaos") == ChaosSettings(1024, 1.0, 500, 500, 0)
    assert parse_chaos("chaos:noise=.5, seed=3") == ChaosSettings(noise=0.5, seed=3)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("chaos:", "there is no setting ''; length, noise, train, test, seed, horizon go, as in chaos:noise=1,seed=0"),
        ("chaos:size=3", "there is no setting 'size'; length, noise, train, test, seed, horizon go"),
        ("chaos:seed=1,seed=2", "seed is given twice"),
        ("chaos:length=1.5", "length is '1.5', expected a whole number of 16 to 8192"),
        ("chaos:noise", "noise is '', expected a number of 0 to 100"),
        ("chaos:noise=nan", "noise=nan is out of range; 0 to 100 goes"),
        ("chaos:noise=-1", "noise=-1.0 is out of range; 0 to 100 goes"),
        ("chaos:length=15", "length=15 is out of range; 16 to 8192 goes"),
        ("chaos:train=9", "train=9 is out of range; 10 to 10000 goes"),
        ("chaos:test=10001", "test=10001 is out of range; 10 to 10000 goes"),
        ("chaos:horizon=1025", "horizon=1025 is out of range; 0 to 1024 goes"),
        ("chaos:seed=-1", "seed=-1 is out of range; 0 to 4294967295 goes"),
    ],
)
def test_wrong_settings_are_named(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_sequences(spec)
