"""Bytes at the speed of a serial line: 8N1, ten bits a byte, on absolute deadlines."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from lasmlx.stream.ahead import Ahead
from lasmlx.stream.generate import Producer

BITS_PER_BYTE = 10  # a start bit, eight of data, a stop bit
MIN_BAUD, MAX_BAUD = 50, 10_000_000
MAX_LEAD = 0.05  # seconds
MAX_BURST = 0.002  # seconds
BUFFER = 4096  # bytes, as in a terminal's output queue


@dataclass(frozen=True)
class StreamReport:
    """What one stream did."""

    bytes: int
    baud: float | None  # asked for
    rate: float  # baud, reached: ten bits a byte over `seconds`
    late_bytes: int  # bytes the line had to wait for
    p50_us: float  # of the model's step, microseconds a byte
    p99_us: float
    seconds: float  # from the first byte's start on the line to the last one's end
    interrupted: bool = False  # by Ctrl-C
    closed: bool = False  # by the reader


@dataclass(frozen=True)
class Line:
    """Byte i is on the line from t_i = start + i * 10 / baud, and may be handed over `lead` seconds earlier."""

    start: float
    baud: float
    lead: float

    @property
    def byte_time(self) -> float:
        """Seconds a byte takes."""
        return BITS_PER_BYTE / self.baud

    def hand_over(self, i: int) -> float:
        """The earliest time for byte i."""
        return self.start - self.lead + i * self.byte_time

    def due(self, now: float) -> int:
        """How many bytes may have been handed over by now."""
        return max(0, math.floor((now - self.hand_over(0)) / self.byte_time + 1e-6) + 1)

    def overdue(self, now: float) -> int:
        """How many bytes the line has already asked for: any of them handed over now is late."""
        return max(0, math.ceil((now - self.start) / self.byte_time - 1e-6))

    def end(self, sent: int, last: float) -> float:
        """When the last of `sent` bytes leaves the line, if it was handed over at `last`."""
        return max(self.start + (sent - 1) * self.byte_time, last) + self.byte_time

    @property
    def burst(self) -> int:
        """Bytes to hand over at a time: one on slow lines; fast ones do not wake for each byte."""
        return max(1, int(min(self.lead / 4, MAX_BURST) / self.byte_time))


def stream(
    produce: Producer,
    write: Callable[[bytes], object],
    *,
    baud: float | None = None,
    count: int | None = None,
    buffer: int = BUFFER,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> StreamReport:
    """Byte i is handed to `write` no later than t_i = t_0 + i * 10 / baud, and no earlier than the buffer allows.

    A second thread makes the bytes ahead of time. Deadlines are absolute, so errors do not add up: after a hiccup that
    the buffer did not absorb, all bytes that are due leave at once and the rest keep their times. Ctrl-C and a reader
    that goes away end the stream and are told in the report.

    Args:
        produce: makes the bytes, `lasmlx.stream.producer` for one; an empty chunk ends the stream.
        write: takes bytes and is done with them when it returns.
        baud: bits a second, 50 to 10,000,000; None is as fast as possible.
        count: bytes to send; None is without end.
        buffer: how many bytes may be handed over before the line needs them, as in a UART's FIFO; at most 50 ms' worth.
        clock, sleep: seconds.

    Raises:
        ValueError: baud, count or buffer out of range. What `produce` or `write` raises is raised here.
    """
    line = _checked(baud, count, buffer)
    sent = late = 0
    began = last = 0.0
    interrupted = closed = False
    with Ahead(produce, count) as ahead:
        try:
            ahead.wait(math.ceil(line.lead / line.byte_time) if line else 1)
            began = last = clock()
            if line:
                line = Line(began + line.lead, line.baud, line.lead)
            while ahead.wait(1):
                if line:
                    goal = sent + line.burst if count is None else min(sent + line.burst, count)
                    _sleep_until(line.hand_over(goal - 1), clock, sleep)
                last = clock()
                data = ahead.take(line.due(last) - sent if line else None)
                try:
                    write(data)
                except BrokenPipeError:
                    closed = True
                    break
                if line:
                    late += max(0, min(sent + len(data), line.overdue(last)) - sent)
                sent += len(data)
            if line and sent and not closed:
                _sleep_until(line.end(sent, last), clock, sleep)
        except KeyboardInterrupt:
            interrupted = True
        seconds = 0.0
        if sent:
            seconds = line.end(sent, last) - line.start if line else clock() - began
    return StreamReport(
        bytes=sent,
        baud=baud,
        rate=sent * BITS_PER_BYTE / seconds if seconds > 0 else 0.0,
        late_bytes=late,
        p50_us=ahead.times.quantile(0.50),
        p99_us=ahead.times.quantile(0.99),
        seconds=seconds,
        interrupted=interrupted,
        closed=closed,
    )


def _checked(baud: float | None, count: int | None, buffer: int) -> Line | None:
    if count is not None and count < 0:
        raise ValueError(f"stream: count is {count}, expected 0 or more, or None for no end.")
    if buffer < 1:
        raise ValueError(f"stream: buffer is {buffer} bytes, expected at least 1.")
    if baud is None:
        return None
    if not MIN_BAUD <= baud <= MAX_BAUD:
        raise ValueError(f"stream: baud is {baud}, expected {MIN_BAUD} to {MAX_BAUD}, or None for as fast as possible.")
    return Line(0.0, baud, min(buffer * BITS_PER_BYTE / baud, MAX_LEAD))


def _sleep_until(then: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
    pause = then - clock()
    if pause > 0:
        sleep(pause)
