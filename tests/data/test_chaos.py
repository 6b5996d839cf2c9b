"""Ten chaotic systems: their equations, the solver, what a set is made of, settings and what is wrong with them."""

from math import sin

import numpy as np
import pytest

from lasmlx.data import DataError, SequenceData, absolute_sequences, load_sequences, names_sequences
from lasmlx.data.chaos import PERIOD, STEPS, SYSTEMS, ChaosSettings, parse_chaos, trajectories

SPEC = "chaos:length=1024,noise=0,train=40,test=23"
AT_1_2_3 = {  # by hand from the papers' equations
    "Aizawa": (-4.7, 8.1, -14.0),
    "Chen": (35, 46, -7),
    "Dadras": (15.2, 3.4, -23),
    "Halvorsen": (-25.27, -27.54, -16.81),
    "Lorenz": (10, 23, -6),
    "Lorenz84": (-11.25, -11, 8),
    "Rossler": (-5, 1.4, -13.9),
    "Rucklidge": (5.4, 1, 1),
    "SprottB": (6, -1, -1),
    "Thomas": (sin(2) - 0.18, sin(3) - 0.36, sin(1) - 0.54),
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
    rates = SYSTEMS[name].rates(*np.array([[1.0], [2.0], [3.0]]))
    np.testing.assert_allclose(np.ravel(rates), AT_1_2_3[name], rtol=1e-10)


def test_half_the_step_says_the_same_and_errs_16_times_less(starts: np.ndarray) -> None:
    coarse, fine, finest = (trajectories(starts, 2 * PERIOD, STEPS * k) for k in (1, 2, 4))
    scale = finest.std((1, 2))[:, None]
    errors = np.abs(coarse - fine)[..., :PERIOD].max(2) / scale  # over the first period
    assert np.isfinite(finest).all() and errors.max() < 1e-3
    assert np.median(np.abs(coarse - fine).max(2) / scale, axis=1).max() < 5e-3  # over two
    ratio = errors / (np.abs(fine - finest)[..., :PERIOD].max(2) / scale)
    np.testing.assert_allclose(np.median(ratio, axis=1), 16, rtol=0.3)


def test_neighbours_part(starts: np.ndarray) -> None:
    near = trajectories(np.concatenate([starts[..., :5], starts[..., :5] + 1e-7], 2), 16 * PERIOD)
    apart = np.abs(near[:, :5] - near[:, 5:])[..., -2 * PERIOD :].max((1, 2))
    assert (apart > 1e-6).all()


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


def test_names() -> None:
    assert names_sequences("chaos") and names_sequences("chaos:seed=1") and not names_sequences("chaos.txt")
    assert absolute_sequences("chaos:seed=1") == "chaos:seed=1" and absolute_sequences("chaos") == "chaos"
    assert parse_chaos("chaos") == ChaosSettings(1024, 1.0, 500, 500, 0)
    assert parse_chaos("chaos:noise=.5, seed=3") == ChaosSettings(noise=0.5, seed=3)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("chaos:", "there is no setting ''; length, noise, train, test, seed go, as in chaos:noise=1,seed=0"),
        ("chaos:size=3", "there is no setting 'size'; length, noise, train, test, seed go"),
        ("chaos:seed=1,seed=2", "seed is given twice"),
        ("chaos:length=1.5", "length is '1.5', expected a whole number of 16 to 8192"),
        ("chaos:noise", "noise is '', expected a number of 0 to 100"),
        ("chaos:noise=nan", "noise=nan is out of range; 0 to 100 goes"),
        ("chaos:noise=-1", "noise=-1.0 is out of range; 0 to 100 goes"),
        ("chaos:length=15", "length=15 is out of range; 16 to 8192 goes"),
        ("chaos:train=9", "train=9 is out of range; 10 to 10000 goes"),
        ("chaos:test=10001", "test=10001 is out of range; 10 to 10000 goes"),
        ("chaos:seed=-1", "seed=-1 is out of range; 0 to 4294967295 goes"),
    ],
)
def test_wrong_settings_are_named(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_sequences(spec)
