"""The pieces of the definition against closed forms."""

import numpy as np
import pytest

from lasmlx.chip import ChipConfig, random_chip, twin
from lasmlx.chip.tables import exp2_table, rsqrt_table, sigmoid_table


@pytest.mark.parametrize("fraction", [10, 16])
def test_sigmoid(fraction: int) -> None:
    v = np.arange(-40 << fraction, 40 << fraction, 37)
    got = twin.sigmoid(v, sigmoid_table().astype(np.int64), fraction) / 65536
    assert np.abs(got - 1 / (1 + np.exp(-v / 2.0**fraction))).max() < 8e-5
    assert (np.diff(got) >= 0).all()


def test_sigmoid_is_symmetric() -> None:
    v, table = np.arange(0, 20000), sigmoid_table().astype(np.int64)
    assert (twin.sigmoid(v, table, 10)[1:] + twin.sigmoid(-v, table, 10)[1:] == 65536).all()


def test_exp2() -> None:
    exponent = np.arange(0, 20 << 16, 101)
    got = twin.exp2(exponent, exp2_table().astype(np.int64))
    assert np.abs(got - 65536 * np.exp2(-exponent / 65536)).max() < 3
    assert got[0] == 65536 and (np.diff(got) <= 0).all()


@pytest.mark.parametrize(("right", "fraction", "scale"), [(0, 15, 3000), (0, 15, 3), (8, 20, 3e6)])
def test_direction(right: int, fraction: int, scale: float) -> None:
    u = np.random.default_rng(0).normal(0, scale, 50).astype(np.int64)
    got = twin.direction(u, 1, rsqrt_table().astype(np.int64), right, fraction) / 2.0**fraction
    exact = u / np.sqrt((u.astype(float) ** 2).sum() + 4.0**right)
    assert np.abs(got - exact).max() < 1e-4


def test_direction_of_nothing_is_nothing() -> None:
    u = np.zeros(7, np.int64)
    assert not twin.direction(u, 1, rsqrt_table().astype(np.int64), 0, 15).any()


@pytest.mark.parametrize("largest", [0, 1, 127, 128, 255, 256, 32767, -32768])
def test_block_keeps_its_largest_within_a_rounding(largest: int) -> None:
    t = np.array([largest, largest // 3, -largest // 7])
    q, e = twin.block(t, 8)
    assert (q >= -128).all() and (q <= 127).all()
    assert np.abs(q * 2.0**e - t).max() <= 2.0**e
    assert e == 0 or np.abs(t).max() >= 64 << e


def test_scale_rounds_half_up() -> None:
    v = np.array([-3, -2, -1, 0, 1, 2, 3])
    assert twin.scale(v, (np.int64(1), np.int64(1))).tolist() == [-1, -1, 0, 0, 1, 1, 2]


def test_stochastic_rounding_is_right_on_average() -> None:
    chip = random_chip(0, state_bits=16, rounding="stochastic", n=4)
    random = twin.init_state(chip).random.reshape(-1)
    h = np.full(random.shape, 12345 * 32768 + 9830)  # 0.3 of a step above
    total = np.mean([twin.keep(chip, h, random) for _ in range(4000 // len(random) + 400)]) / 32768
    assert abs(total - 12345.3) < 0.02


def test_nearest_rounding_stalls_where_stochastic_does_not() -> None:
    """Why there is stochastic rounding: a slow decay of a narrow state is rounded away."""
    chips = [random_chip(0, state_bits=16, rounding=rounding, n=4) for rounding in ("nearest", "stochastic")]
    ends = []
    for chip in chips:
        random = twin.init_state(chip).random.reshape(-1)
        h = np.full(random.shape, 500 * 32768)
        for _ in range(2000):
            h = twin.keep(chip, h * (65536 - 30) + 32768 >> 16, random)  # loses 0.23 of a step each time
        ends.append(h.mean() / 32768)
    assert ends[0] == 500
    assert abs(ends[1] - 500 * (1 - 30 / 65536) ** 2000) < 15


def test_xorshift_is_marsaglias() -> None:
    x = np.array([1], np.uint32)
    assert twin.xorshift(x).tolist() == [270369]  # his first number from 1


def test_config_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"state_bits is 40, expected 2 to 31"):
        ChipConfig(state_bits=40)
    with pytest.raises(ValueError, match=r"dt_range is 65000, expected 0 to 64880"):
        ChipConfig(dt_range=65000)
