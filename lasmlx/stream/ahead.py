"""A thread that makes bytes before they are needed, and the times its steps took."""

import threading
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from lasmlx.stream.generate import CHUNK, Producer

CAPACITY = 4096  # bytes made before anybody asked; a hiccup of the producer shorter than these goes unseen


class StepTimes:
    """A histogram of nanoseconds with 64 bins an octave: constant memory, quantiles within 0.6 %."""

    def __init__(self) -> None:
        self._counts = np.zeros(32 * 64, np.int64)

    def add(self, nanoseconds: NDArray[np.uint32]) -> None:
        """Count some steps."""
        bins = (np.log2(np.maximum(nanoseconds, 1)) * 64).astype(np.int64)
        self._counts += np.bincount(bins, minlength=len(self._counts))[: len(self._counts)]

    def quantile(self, q: float) -> float:
        """Microseconds that a share q of the steps kept to; 0 if there were none."""
        total = self._counts.cumsum()
        if not total[-1]:
            return 0.0
        found = int(np.searchsorted(total, q * int(total[-1])))
        return float(2 ** ((found + 0.5) / 64) / 1e3)


class Ahead:
    """A bounded queue of bytes that a thread of its own fills; leaving the `with` stops and joins it."""

    def __init__(self, produce: Producer, count: int | None, capacity: int = CAPACITY) -> None:
        self.times = StepTimes()
        self._produce = produce
        self._count = count
        self._capacity = capacity
        self._made = bytearray()
        self._changed = threading.Condition()
        self._stopped = self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="lasmlx-stream", daemon=True)

    def __enter__(self) -> "Ahead":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def wait(self, count: int) -> bool:
        """Until `count` bytes are there, or all that ever will be; False if none. Raises what the producer did."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._made) >= min(count, self._capacity) or self._ended)
            if not self._made and self._error is not None:
                raise self._error
            return bool(self._made)

    def take(self, most: int | None) -> bytes:
        """Up to `most` of the bytes that are there, oldest first."""
        with self._changed:
            taken = bytes(self._made[:most])
            del self._made[:most]
            self._changed.notify_all()
            return taken

    def _run(self) -> None:
        made = 0
        try:
            while not self._stopped and (self._count is None or made < self._count):
                chunk, nanoseconds = self._produce(CHUNK if self._count is None else min(CHUNK, self._count - made))
                if not chunk:
                    break
                made += len(chunk)
                self.times.add(nanoseconds)
                with self._changed:
                    self._made += chunk
                    self._changed.notify_all()
                    if len(self._made) >= self._capacity:
                        # rest until half is gone: steps in a row find their caches warm
                        self._changed.wait_for(lambda: self._stopped or len(self._made) <= self._capacity // 2)
        except BaseException as error:  # the caller's thread raises it
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
