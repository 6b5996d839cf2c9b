import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lasmlx.data import ByteSource, DataError, Windows

sizes = st.tuples(st.integers(2, 251), st.integers(1, 7), st.integers(1, 17), st.integers(-3, 1000))


def counting(size: int) -> ByteSource:
    """Bytes that name their own place."""
    return ByteSource([("n", np.arange(size, dtype=np.uint8))])


def made(size: int, b: int, t: int, seed: int) -> Windows:
    assume(size >= b * t + 1)
    return Windows(counting(size), b, t, seed)


@settings(deadline=None)
@given(sizes)
def test_y_is_x_shifted_and_windows_join(sizes: tuple[int, int, int, int]) -> None:
    windows = made(*sizes)
    for step in range(2 * windows.steps_per_epoch):
        batch, following = windows.batch(step), windows.batch(step + 1)
        assert batch.x.shape == batch.y.shape == (windows.batch_size, windows.seq_len)
        assert batch.x.dtype == batch.y.dtype == np.uint8
        np.testing.assert_array_equal(batch.y[:, :-1], batch.x[:, 1:])
        np.testing.assert_array_equal(batch.y, batch.x + 1)
        if not following.fresh:
            np.testing.assert_array_equal(following.x[:, 0], batch.y[:, -1])


@settings(deadline=None)
@given(sizes, st.integers(0, 3))
def test_an_epoch_shows_every_byte_once_but_the_left_over(sizes: tuple[int, int, int, int], epoch: int) -> None:
    size, b, t, seed = sizes
    windows = made(size, b, t, seed)
    steps = range(epoch * windows.steps_per_epoch, (epoch + 1) * windows.steps_per_epoch)
    seen = np.sort(np.concatenate([windows.batch(step).x.ravel() for step in steps]))
    np.testing.assert_array_equal(seen, np.arange(seen[0], seen[0] + len(steps) * b * t))
    assert size - 1 - seen.size < b * t * max(1, len(steps) // 8)
    assert windows.elements_per_step == b * t


@settings(deadline=None)
@given(sizes, st.integers(1, 9))
def test_stretches_have_one_length_and_start_afresh(sizes: tuple[int, int, int, int], stretch: int) -> None:
    size, b, t, seed = sizes
    assume(size >= b * t + 1)
    windows = Windows(counting(size), b, t, seed, stretch)
    n = windows.steps_per_epoch
    starts = [step for step in range(2 * n) if windows.batch(step).fresh]
    gaps = set(np.diff([*starts, 2 * n]).tolist())
    assert starts[0] == 0 and n in starts
    assert len(gaps) == 1 and gaps.pop() <= max(1, 2 * stretch)


def test_stretches_are_visited_in_a_new_order_each_epoch() -> None:
    windows = Windows(counting(250), 2, 4, seed=0, stretch=3)
    n = windows.steps_per_epoch
    orders = [tuple(int(windows.batch(e * n + k).x[0, 0]) for k in range(n)) for e in range(3)]
    assert len(set(orders)) == 3
    assert list(orders[0]) != sorted(orders[0])


@settings(deadline=None)
@given(sizes, st.integers(0, 10**9))
def test_a_batch_depends_on_the_step_alone(sizes: tuple[int, int, int, int], step: int) -> None:
    windows = made(*sizes)
    once = windows.batch(step)
    windows.batch(step + 1)
    again = Windows(windows.source, windows.batch_size, windows.seq_len, windows.seed).batch(step)
    np.testing.assert_array_equal(once.x, again.x)
    np.testing.assert_array_equal(once.y, again.y)
    assert once.fresh == again.fresh


def test_epochs_are_cut_at_other_places_and_seeds_differ() -> None:
    windows = Windows(counting(251), 2, 16, seed=0)
    starts = {int(windows.batch(epoch * windows.steps_per_epoch).x[0, 0]) for epoch in range(40)}
    assert len(starts) > 10
    assert {int(Windows(counting(251), 2, 16, seed).batch(0).x[0, 0]) for seed in range(10)} != {min(starts)}


def test_the_draw_is_the_same_on_every_machine() -> None:
    windows = Windows(counting(251), 2, 16, seed=1, stretch=2)
    assert [int(windows.batch(step).x[0, 0]) for step in range(0, 16, 2)] == [49, 113, 177, 101, 37, 165, 193, 129]


def test_the_least_data_gives_one_step() -> None:
    windows = Windows(counting(25), 4, 6, seed=0)
    assert windows.steps_per_epoch == 1
    np.testing.assert_array_equal(np.sort(windows.batch(7).x.ravel()), np.arange(24))


def test_data_shorter_than_a_window_says_what_to_lower() -> None:
    with pytest.raises(
        DataError,
        match=r"has 100 bytes, but 8 windows of 16 bytes need 129: lower the batch size to 6, "
        r"or lower the sequence length to 12, or give more data\.",
    ):
        Windows(counting(100), 8, 16, seed=0)
    with pytest.raises(DataError, match=r"need 513: lower the sequence length to 99, or give more data"):
        Windows(counting(100), 1, 512, seed=0)
    with pytest.raises(DataError, match=r"has 0 bytes, but 1 windows of 1 bytes need 2: give more data"):
        Windows(counting(0), 1, 1, seed=0)


def test_sizes_and_steps_out_of_range() -> None:
    with pytest.raises(DataError, match="the batch size is 0, expected 1 or more"):
        Windows(counting(100), 0, 16, seed=0)
    with pytest.raises(DataError, match="the sequence length is -1, expected 1 or more"):
        Windows(counting(100), 8, -1, seed=0)
    with pytest.raises(ValueError, match="step is -1, expected 0 or more"):
        Windows(counting(100), 1, 1, seed=0).batch(-1)
