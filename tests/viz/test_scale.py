"""Colours that can be read, ticks that are round."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasmlx.viz import LEVEL, LogScale, Scale, colour, even_ticks, ink, log_ticks, luminance, three_digits, time_unit


def test_the_ramp_goes_from_red_to_green_and_grows_lighter() -> None:
    ramp = colour(np.linspace(0, 1, 33))
    assert ramp.dtype == np.uint8 and ramp.shape == (33, 3)
    assert ramp[0, 0] > 2 * ramp[0, 1] and ramp[-1, 1] > 1.5 * ramp[-1, 0]
    assert (np.diff(luminance(ramp)) > 0).all()  # readable without telling red from green
    np.testing.assert_array_equal(colour([-1, 2]), ramp[[0, -1]])


def test_text_on_the_ramp_has_contrast() -> None:
    ramp = colour(np.linspace(0, 1, 201))
    ground, text = luminance(ramp), luminance(ink(ramp))
    contrast = (np.maximum(ground, text) + 0.05) / (np.minimum(ground, text) + 0.05)
    assert contrast.min() >= 4.5


def test_a_scale_spans_percentiles() -> None:
    scale = Scale.of(np.arange(101))
    assert (scale.low, scale.high) == (2, 98)
    assert scale.share([0, 50, 100]).tolist() == [0, 0.5, 1]
    assert Scale.of([3, 3]).share([3, 9]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("seconds", "unit"), [(12, "s"), (1, "s"), (0.1, "ms"), (2e-5, "µs"), (1e-8, "ns")])
def test_units(seconds: float, unit: str) -> None:
    assert time_unit(seconds)[0] == unit


def test_log_ticks() -> None:
    assert log_ticks(0.001, 0.1) == pytest.approx([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1])
    assert log_ticks(0.001, 0.1, most=3) == pytest.approx([0.001, 0.01, 0.1])


@given(low=st.floats(1e-9, 1), span=st.floats(2, 1e6), most=st.integers(2, 12))
def test_log_ticks_fit(low: float, span: float, most: int) -> None:
    ticks = log_ticks(low, low * span, most)
    assert len(ticks) <= most and ticks == sorted(ticks)
    assert all(low * 0.99 <= tick <= low * span * 1.01 for tick in ticks)


@given(high=st.integers(1, 10**7), most=st.integers(1, 20))
def test_even_ticks(high: int, most: int) -> None:
    ticks = even_ticks(high, most)
    assert ticks[0] == 0 and len(ticks) <= most and ticks[-1] < high
    assert len(set(np.diff(ticks).tolist())) <= 1


def test_even_ticks_finer_than_one() -> None:
    assert even_ticks(0.5, most=5, finest=-3) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert even_ticks(3, most=10, finest=-3)[1] == 0.5 and even_ticks(3, most=10) == [0, 1, 2]


def test_a_scale_may_be_logarithmic_or_upside_down() -> None:
    assert LogScale(1, 100).share([0.1, 1, 10, 100, 200]) == pytest.approx([0, 0, 0.5, 1, 1])
    assert LogScale(100, 1).share([100, 10, 1]) == pytest.approx([0, 0.5, 1])
    assert Scale(4, 2).share([5, 4, 3.5, 2, 1]).tolist() == [0, 0, 0.25, 1, 1]
    assert LogScale(3, 3).share([3, 9]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123456, "0.0123"), (99.96, "100"), (999.7, "1000"), (-54321, "-54321"), (2e6, "2e+06")]
)
def test_three_digits(value: float, text: str) -> None:
    assert three_digits(value) == text


def test_other_ramps() -> None:
    light = luminance(colour(np.linspace(0, 1, 50), LEVEL))
    assert tuple(colour(0.0, LEVEL)) == LEVEL[0] and (np.diff(light) > 0).all()
