"""Windows of training bytes, or tokens."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lasmlx.data.errors import DataError
from lasmlx.data.source import Elements, Source


@dataclass(frozen=True)
class Batch:
    """A batch of windows: `y[i, k]` is the element after `x[i, k]`."""

    x: Elements  # (b, t)
    y: Elements  # (b, t)
    fresh: bool  # the lanes start again here: begin from the initial state


@dataclass(frozen=True)
class Windows:
    """Training windows as a pure function of the step, so that a resumed run needs no stored position.

    The elements (bytes or tokens) are cut into stretches of `stretch` windows of t. Each epoch visits all stretches
    once, b at a time, in an order drawn from (seed, epoch), and moves their starts by a draw of its own. Lane i of step
    k + 1 begins where lane i of step k ended, so a recurrent state can be carried until `fresh` says that new stretches
    begin. `stretch` is shortened so that the stretches come out even; a stretch of one window is plain shuffling.

    Args:
        source: the elements, `(size,)`.
        batch_size: lanes, b.
        seq_len: elements a window, t.
        seed: of the order and the starts.
        stretch: windows in a row, about.

    Raises:
        DataError: the source is shorter than one window for each lane, `b t + 1`.
    """

    source: Source
    batch_size: int
    seq_len: int
    seed: int
    stretch: int = 16

    def __post_init__(self) -> None:
        check_sizes(self.batch_size, self.seq_len)
        if self.stretch < 1:
            raise DataError(f"the windows in a row are {self.stretch}, expected 1 or more.")
        size, needed, unit = len(self.source), self.elements_per_step + 1, self.source.unit
        if size < needed:
            raise DataError(
                f"the training data has {size} {unit}, but {self.batch_size} windows of {self.seq_len} {unit} need "
                f"{needed}: {_lower(size, self.batch_size, self.seq_len)}give more data."
            )

    @property
    def elements_per_step(self) -> int:
        return self.batch_size * self.seq_len

    @property
    def steps_per_epoch(self) -> int:
        return self._rounds * self._windows_in_a_row

    @cached_property
    def _rounds(self) -> int:
        """Times b stretches an epoch: near the length asked for, and such that little is left over."""
        windows = (len(self.source) - 1) // self.elements_per_step
        asked = max(1, round(windows / self.stretch))
        near = range(max(1, asked - min(asked // 4, 64)), min(windows, asked + min(asked // 4, 64)) + 1)
        return min(near, key=lambda rounds: (windows % rounds, abs(rounds - asked)))

    @property
    def _windows_in_a_row(self) -> int:
        return (len(self.source) - 1) // (self.elements_per_step * self._rounds)

    def batch(self, step: int) -> Batch:
        """Args: step, from 0. Returns: the step's batch, x and y `(b, t)`. Raises: ValueError if step < 0."""
        if step < 0:
            raise ValueError(f"Windows.batch: step is {step}, expected 0 or more.")
        epoch, within = divmod(step, self.steps_per_epoch)
        turn, k = divmod(within, self._windows_in_a_row)
        room = len(self.source) - 1 - self.steps_per_epoch * self.elements_per_step
        stretches = self._rounds * self.batch_size
        offset, a, c = _draw(self.seed, epoch, room, stretches)
        lanes = [(a * i + c) % stretches for i in range(turn * self.batch_size, (turn + 1) * self.batch_size)]
        starts = [offset + (lane * self._windows_in_a_row + k) * self.seq_len for lane in lanes]
        rows = np.stack([self.source[start : start + self.seq_len + 1] for start in starts])  # (b, t + 1)
        return Batch(np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, 1:]), fresh=k == 0)


def _draw(seed: int, epoch: int, room: int, stretches: int) -> tuple[int, int, int]:
    """An epoch's offset, within what is left over, and its order: stretch (a i + c) mod stretches comes i-th.

    With a and the number of stretches coprime every stretch comes once, in constant memory for any file; neighbours in
    time are far apart in the file. Raw bits, so that every machine and NumPy draws the same.
    """
    bits = [int(v) for v in np.random.PCG64([seed % 2**64, epoch]).random_raw(3)]
    a = bits[1] % stretches
    while math.gcd(a, stretches) != 1:
        a += 1
    return bits[0] % (room + 1), a, bits[2] % stretches


def check_sizes(batch_size: int, seq_len: int) -> None:
    """Raises: DataError if the batch size or the sequence length is below 1."""
    for name, value in (("batch size", batch_size), ("sequence length", seq_len)):
        if value < 1:
            raise DataError(f"the {name} is {value}, expected 1 or more.")


def _lower(size: int, batch_size: int, seq_len: int) -> str:
    choices = []
    if (size - 1) // seq_len > 0:
        choices.append(f"lower the batch size to {(size - 1) // seq_len}")
    if (size - 1) // batch_size > 0:
        choices.append(f"lower the sequence length to {(size - 1) // batch_size}")
    return "".join(f"{choice}, or " for choice in choices)
