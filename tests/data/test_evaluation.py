from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.data import ByteSource, DataError, EvalBatch, eval_windows

sizes = st.tuples(st.integers(2, 251), st.integers(1, 9), st.integers(1, 20))


def counting(size: int) -> ByteSource:
    return ByteSource([("n", np.arange(size, dtype=np.uint8))])


def predicted(batches: list[EvalBatch]) -> list[int]:
    return sorted(int(place) for batch in batches for place in batch.y[batch.mask == 1])


@settings(deadline=None)
@given(sizes)
def test_every_byte_but_the_first_is_predicted_once(sizes: tuple[int, int, int]) -> None:
    size, b, t = sizes
    batches = list(eval_windows(counting(size), b, t))
    assert predicted(batches) == list(range(1, size))
    assert sum(batch.count for batch in batches) == size - 1


@settings(deadline=None)
@given(sizes, st.integers(1, 300))
def test_max_bytes_bounds_the_count_and_repeats_nothing(sizes: tuple[int, int, int], most: int) -> None:
    size, b, t = sizes
    batches = list(eval_windows(counting(size), b, t, max_bytes=most))
    places = predicted(batches)
    assert len(places) == len(set(places)) == sum(batch.count for batch in batches) == min(most, size - 1)


@settings(deadline=None)
@given(sizes, st.one_of(st.none(), st.integers(1, 300)))
def test_lanes_are_contiguous_and_one_shape(sizes: tuple[int, int, int], most: int | None) -> None:
    size, b, t = sizes
    batches = list(eval_windows(counting(size), b, t, most))
    assert [batch.fresh for batch in batches] == [True, *[False] * (len(batches) - 1)]
    lanes = batches[0].x.shape[0]
    assert 1 <= lanes <= b
    assert all(batch.x.shape == (lanes, t) for batch in batches[:-1])
    last = batches[-1]
    assert last.x.shape[0] == lanes and 1 <= last.x.shape[1] <= t
    for batch in batches:
        assert batch.x.shape == batch.y.shape == batch.mask.shape
        assert (batch.x.dtype, batch.y.dtype, batch.mask.dtype) == (np.uint8, np.uint8, np.float32)
        kept = batch.mask == 1
        np.testing.assert_array_equal(batch.y[kept], batch.x[kept] + 1)
    for batch, following in pairwise(batches):
        kept = following.mask[:, 0] == 1
        np.testing.assert_array_equal(following.x[kept, 0], batch.y[kept, -1])


def test_max_bytes_is_spread_over_the_source() -> None:
    (batch,) = eval_windows(counting(201), batch_size=4, seq_len=5, max_bytes=20)
    assert batch.x[:, 0].tolist() == [0, 50, 100, 150]


def test_errors_come_with_the_call() -> None:
    with pytest.raises(DataError, match="the held-out data has 1 bytes, expected at least 2"):
        eval_windows(counting(1), 4, 8)
    with pytest.raises(DataError, match="the bytes to evaluate are 0, expected 1 or more"):
        eval_windows(counting(9), 4, 8, max_bytes=0)
    with pytest.raises(DataError, match="the batch size is 0"):
        eval_windows(counting(9), 0, 8)
