"""Pacing by a clock that the test moves, and once by a real one."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasmlx.stream import NativeModel, producer, stream
from lasmlx.stream.ahead import StepTimes
from lasmlx.stream.pace import Line

STEP_NS = 20_000


class Clock:
    """Seconds that pass only when somebody sleeps or says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.pauses.append(seconds)
        self.now += seconds


class Sink:
    """Keeps what was written and when."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.data = b""
        self.times: list[float] = []

    def __call__(self, data: bytes) -> None:
        assert data
        self.times += [self.clock.now] * len(data)
        self.data += data


class CountUp:
    """0, 1, 2, ... as bytes. The thread that makes them runs in real time, whatever the test's clock says."""

    def __init__(self) -> None:
        self.made = 0
        self._more = threading.Condition()

    def __call__(self, count: int) -> tuple[bytes, Any]:
        with self._more:
            data = bytes((self.made + i) % 256 for i in range(count))
            self.made += count
            self._more.notify_all()
        return data, np.full(count, STEP_NS, np.uint32)

    def stocked(self, count: int) -> None:
        """Return once `count` bytes were made."""
        with self._more:
            assert self._more.wait_for(lambda: self.made >= count, timeout=10)


def alive() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "lasmlx-stream"]


@pytest.mark.parametrize("baud", [50, 300, 9600, 115_200, 921_600, 10_000_000])
def test_every_byte_keeps_its_absolute_time(baud: int) -> None:
    clock = Clock()
    sink = Sink(clock)
    count, byte_time, lead = 2000, 10 / baud, min(64 * 10 / baud, 0.05)
    report = stream(CountUp(), sink, baud=baud, count=count, buffer=64, clock=clock, sleep=clock.sleep)
    assert sink.data == bytes(i % 256 for i in range(count))
    early = [1000.0 + lead + i * byte_time - at for i, at in enumerate(sink.times)]
    assert min(early) > 0.5 * lead and max(early) <= lead * 1.000001  # the same at the end as at the start
    assert (report.bytes, report.baud, report.late_bytes) == (count, baud, 0)
    assert report.rate == pytest.approx(baud) and report.seconds == pytest.approx(count * byte_time)
    assert clock.now == pytest.approx(1000.0 + lead + count * byte_time)  # the last byte has left the line
    assert report.p50_us == pytest.approx(STEP_NS / 1e3, rel=0.006) == report.p99_us
    assert not report.interrupted and not report.closed and not alive()


def test_a_fast_line_does_not_wake_for_each_byte() -> None:
    clock = Clock()
    sink, produce = Sink(clock), CountUp()

    def write(data: bytes) -> None:
        produce.stocked(4000)
        sink(data)

    stream(produce, write, baud=115_200, count=4000, buffer=64, clock=clock, sleep=clock.sleep)
    assert len(clock.pauses) <= 4000 / 16 + 3


def test_a_stalled_writer_is_late_and_catches_up() -> None:
    clock = Clock()
    sink = Sink(clock)
    produce = CountUp()
    byte_time, lead, stall = 1e-3, 0.016, 0.1

    def write(data: bytes) -> None:
        produce.stocked(1000)
        stalls = len(sink.data) < 500 <= len(sink.data) + len(data)
        sink(data)
        if stalls:
            clock.now += stall

    report = stream(produce, write, baud=10_000, count=1000, buffer=16, clock=clock, sleep=clock.sleep)
    due = [1000.0 + lead + i * byte_time for i in range(1000)]
    late = [i for i, at in enumerate(sink.times) if at > due[i] + 1e-9]
    assert report.late_bytes == len(late) == late[-1] - late[0] + 1  # one run of bytes
    assert (stall - lead) / byte_time - 1 <= len(late) <= stall / byte_time
    assert due[-1] - sink.times[-1] > 0.5 * lead  # the rest kept their times
    assert report.rate == pytest.approx(10_000)


def test_a_hiccup_within_the_buffer_is_not_seen() -> None:
    clock = Clock()
    sink, produce = Sink(clock), CountUp()

    def write(data: bytes) -> None:
        produce.stocked(500)
        sink(data)
        clock.now += 0.010

    assert stream(produce, write, baud=10_000, count=500, buffer=16, clock=clock, sleep=clock.sleep).late_bytes == 0


def test_a_stalled_producer_makes_late_bytes() -> None:
    clock = Clock()
    sink = Sink(clock)
    inner, made, drained = CountUp(), 0, threading.Event()

    def write(data: bytes) -> None:
        sink(data)
        if len(sink.data) >= 320:
            drained.set()

    def produce(count: int) -> tuple[bytes, Any]:
        nonlocal made
        if made == 320:
            assert drained.wait(10)
            clock.now += 1.0
        made += count
        return inner(count)

    report = stream(produce, write, baud=10_000, count=3200, buffer=16, clock=clock, sleep=clock.sleep)
    assert report.bytes == 3200 and sink.data == bytes(i % 256 for i in range(3200))
    assert 900 <= report.late_bytes <= 1016  # a second of 1 ms bytes, less what the buffer held


def test_a_producer_that_is_too_slow_sets_the_rate() -> None:
    clock = Clock()

    def produce(count: int) -> tuple[bytes, Any]:
        handed.wait(10)
        handed.clear()
        clock.now += count * 2e-3
        return b"x" * count, np.full(count, 2_000_000, np.uint32)

    def write(data: bytes) -> None:
        handed.set()

    handed = threading.Event()
    handed.set()
    report = stream(produce, write, baud=10_000, count=640, buffer=16, clock=clock, sleep=clock.sleep)
    assert report.rate == pytest.approx(5000, rel=0.1) and report.late_bytes > 500


def test_without_baud_all_there_is() -> None:
    clock = Clock()
    sink = Sink(clock)
    report = stream(CountUp(), sink, count=10_000, clock=clock, sleep=clock.sleep)
    assert len(sink.data) == report.bytes == 10_000
    assert not clock.pauses and report.baud is None and report.late_bytes == 0


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33])
def test_the_count_is_exact(count: int) -> None:
    clock = Clock()
    sink = Sink(clock)
    report = stream(CountUp(), sink, baud=9600, count=count, clock=clock, sleep=clock.sleep)
    assert len(sink.data) == report.bytes == count
    assert report.rate == pytest.approx(9600 if count else 0)


def test_a_producer_may_end() -> None:
    chunks = [b"abc", b"de", b""]
    clock = Clock()
    sink = Sink(clock)

    def produce(count: int) -> tuple[bytes, Any]:
        chunk = chunks.pop(0)
        return chunk, np.full(len(chunk), 1, np.uint32)

    assert stream(produce, sink, baud=9600, clock=clock, sleep=clock.sleep).bytes == 5
    assert sink.data == b"abcde"


def test_a_reader_that_goes_away_ends_the_stream() -> None:
    clock = Clock()
    sink = Sink(clock)

    def write(data: bytes) -> None:
        if len(sink.data) > 100:
            raise BrokenPipeError
        sink(data)

    report = stream(CountUp(), write, baud=9600, clock=clock, sleep=clock.sleep)
    assert report.closed and not report.interrupted and report.bytes == len(sink.data) > 100
    assert not alive()


@pytest.mark.parametrize("where", ["write", "sleep"])
def test_ctrl_c_ends_the_stream(where: str) -> None:
    clock = Clock()
    sink = Sink(clock)

    def write(data: bytes) -> None:
        if where == "write" and len(sink.data) > 100:
            raise KeyboardInterrupt
        sink(data)

    def sleep(seconds: float) -> None:
        if where == "sleep" and len(sink.data) > 100:
            raise KeyboardInterrupt
        clock.sleep(seconds)

    report = stream(CountUp(), write, baud=9600, clock=clock, sleep=sleep)
    assert report.interrupted and not report.closed and report.bytes == len(sink.data) > 100
    assert report.seconds > 0 and report.p50_us > 0 and not alive()


def test_what_the_producer_raises_is_raised_here() -> None:
    inner = CountUp()
    made = 0
    sink = Sink(Clock())

    def produce(count: int) -> tuple[bytes, Any]:
        nonlocal made
        if made >= 96:
            raise RuntimeError("no more")
        made += count
        return inner(count)

    with pytest.raises(RuntimeError, match="no more"):
        stream(produce, sink)
    assert len(sink.data) == 96 and not alive()  # what was made before it still went out


def test_what_write_raises_is_raised_here() -> None:
    def write(data: bytes) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        stream(CountUp(), write, baud=9600)
    assert not alive()


@pytest.mark.parametrize("baud", [0, 49, -9600, 10_000_001, float("nan"), float("inf")])
def test_baud_out_of_range(baud: float) -> None:
    with pytest.raises(ValueError, match=r"baud is .*, expected 50 to 10000000"):
        stream(CountUp(), lambda data: None, baud=baud)


def test_other_mistakes() -> None:
    with pytest.raises(ValueError, match="count is -1, expected 0 or more"):
        stream(CountUp(), lambda data: None, count=-1)
    with pytest.raises(ValueError, match="buffer is 0 bytes, expected at least 1"):
        stream(CountUp(), lambda data: None, baud=9600, buffer=0)


@given(i=st.integers(0, 10**9), baud=st.sampled_from([50, 9600, 115_200, 10_000_000]))
def test_a_byte_is_due_at_its_time_and_overdue_a_lead_later(i: int, baud: int) -> None:
    line = Line(start=5.0, baud=baud, lead=64 * 10 / baud)
    assert line.due(line.hand_over(i) + 0.1 * line.byte_time) == i + 1
    assert line.due(line.hand_over(i) - 0.1 * line.byte_time) == i
    assert line.overdue(line.hand_over(i) + line.lead + 0.1 * line.byte_time) == i + 1
    assert line.overdue(line.hand_over(i) + line.lead - 0.1 * line.byte_time) == i


@given(st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=200), st.sampled_from([0.5, 0.99]))
def test_quantiles_of_the_histogram(nanoseconds: list[int], q: float) -> None:
    times = StepTimes()
    for part in (nanoseconds[::2], nanoseconds[1::2]):
        times.add(np.array(part, np.uint32))
    exact = np.quantile(nanoseconds, q, method="inverted_cdf")
    assert times.quantile(q) == pytest.approx(exact / 1e3, rel=0.006)


def test_a_real_clock_and_a_real_model(arrays: Callable[..., Any]) -> None:
    model = NativeModel.from_arrays(arrays(), bounded=True, dt_min=0.001, dt_max=0.1)
    out = bytearray()
    began = time.monotonic()
    report = stream(producer(model, "val: ", seed=1), out.extend, baud=19_200, count=960)
    assert 0.5 <= time.monotonic() - began < 1.5
    assert bytes(out) == producer(model, "val: ", seed=1)(960)[0]
    assert report.rate <= 19_200 * 1.001 and report.p50_us > 0
