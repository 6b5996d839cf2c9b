import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lasmlx.data.errors import DataError
from lasmlx.data.source import Elements, Source
from lasmlx.data.windows import check_sizes


@dataclass(frozen=True)
class EvalBatch:
    """A batch of evaluation windows. Only where `mask` is 1 does a prediction count."""

    x: Elements  # (b, t)
    y: Elements  # (b, t)
    mask: npt.NDArray[np.float32]  # (b, t), 1 or 0
    fresh: bool  # the first window: begin from the initial state
    count: int  # predictions that count, the sum of the mask


def eval_windows(source: Source, batch_size: int, seq_len: int, max_bytes: int | None = None) -> Iterator[EvalBatch]:
    """Windows for exact bits per byte: all elements (bytes or tokens) but the very first are predicted exactly once.

    The source is cut into lanes that overlap by one element, at most `batch_size` and each at least a window long where
    there is more than one. Windows of a lane are contiguous, so the state is carried from the first to the last. The
    last may be shorter, and lanes differ by at most one element, which is padded and masked.

    Args:
        source: the elements, `(size,)`.
        batch_size: the most lanes, b.
        seq_len: elements a window, t.
        max_bytes: the most bytes to predict, of tokens about as many; lanes then keep their starts spread over the
            source, and end sooner.

    Raises:
        DataError: fewer than 2 elements.
    """
    check_sizes(batch_size, seq_len)
    available = len(source) - 1
    if available < 1:
        raise DataError(f"the held-out data has {len(source)} {source.unit}, expected at least 2; give more data.")
    if max_bytes is not None and max_bytes < 1:
        raise DataError(f"the bytes to evaluate are {max_bytes}, expected 1 or more.")
    wanted = available if max_bytes is None else min(math.ceil(max_bytes / source.bytes_each), available)
    lanes = max(1, min(batch_size, wanted // seq_len))
    starts = np.cumsum([0, *_shares(available, lanes)[:-1]])
    return _windows(source, starts.tolist(), _shares(wanted, lanes), seq_len)


def _shares(total: int, lanes: int) -> list[int]:
    return [total // lanes + (lane < total % lanes) for lane in range(lanes)]


def _windows(source: Source, starts: list[int], lengths: list[int], seq_len: int) -> Iterator[EvalBatch]:
    for begin in range(0, max(lengths), seq_len):
        width = min(seq_len, max(lengths) - begin)
        rows = np.zeros((len(starts), width + 1), dtype=source[:0].dtype)
        mask = np.zeros((len(starts), width), dtype=np.float32)
        for lane, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            kept = min(width, length - begin)
            rows[lane, : kept + 1] = source[start + begin : start + begin + kept + 1]
            mask[lane, :kept] = 1
        x, y = np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, 1:])
        yield EvalBatch(x, y, mask, fresh=begin == 0, count=int(np.count_nonzero(mask)))
