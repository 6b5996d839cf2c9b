"""Any byte model one byte at a time, through MLX: for the families without a native step."""

import time
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

PIECE = 512  # bytes of a prompt in one pass


class StepwiseSession:
    """One stream through a model: ``logits, state = model(byte, state)``, in constant memory.

    Args:
        model: bytes (b, t) and a state to logits (b, t, 256) and a state, with ``init_state``.
        seed: of the random numbers.
    """

    def __init__(self, model: Any, seed: int = 0) -> None:
        self._model, self._random = model, np.random.default_rng(seed)
        self._state = model.init_state(1)
        self._logits = np.zeros(256, np.float32)

    def feed(self, data: bytes) -> NDArray[np.float32]:
        """logits (256,) after all of data."""
        for start in range(0, len(data), PIECE):
            x = mx.array(np.frombuffer(data[start : start + PIECE], np.uint8))[None]
            logits, self._state = self._model(x, self._state)
            mx.eval(logits, self._state)
            self._logits = np.array(logits[0, -1].astype(mx.float32))
        return self._logits

    def generate(self, count: int, temperature: float = 0.8, top_k: int = 0) -> tuple[bytes, NDArray[np.uint32]]:
        """byte ~ softmax(logits / temperature) among the top_k, ``count`` times, each fed back.

        Returns:
            The bytes, and the nanoseconds (count,) each took.
        """
        made, taken = bytearray(), np.zeros(count, np.uint32)
        for i in range(count):
            start = time.perf_counter_ns()
            made.append(self._draw(temperature, top_k))
            self.feed(bytes(made[-1:]))
            taken[i] = min(time.perf_counter_ns() - start, 2**32 - 1)
        return bytes(made), taken

    def _draw(self, temperature: float, top_k: int) -> int:
        if temperature == 0:
            return int(self._logits.argmax())
        scores = self._logits.astype(np.float64) / temperature
        if top_k:
            scores[np.argsort(-scores, kind="stable")[top_k:]] = -np.inf
        shares = np.exp(scores - scores.max())
        return int(self._random.choice(256, p=shares / shares.sum()))
