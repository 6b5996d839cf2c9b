"""Any model of text one token at a time, through MLX: for the families without a native step."""

import time
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lasmlx.data import BYTES, Tokenizer
from lasmlx.ops import cross_entropy

PIECE = 512  # tokens of a prompt in one pass, fewer of a large vocabulary
LOGITS = 1 << 22  # the most logits of a pass


class StepwiseSession:
    """One stream through a model: ``logits, state = model(token, state)``, in constant memory.

    What goes in and comes out is bytes. A token may be several: those that were not asked for yet are kept for later,
    and forgotten when something else is fed, so that the model has always read what was fed and handed out.

    Args:
        model: tokens (b, t) and a state to logits (b, t, vocab) and a state, with ``init_state``.
        seed: of the random numbers.
        tokenizer: that of the model.
    """

    def __init__(self, model: Any, seed: int = 0, tokenizer: Tokenizer = BYTES) -> None:
        self._model, self._tokenizer, self._random = model, tokenizer, np.random.default_rng(seed)
        self._silent = tokenizer.lengths == 0
        self._piece = max(1, min(PIECE, LOGITS // tokenizer.size))
        self._state = self._before = model.init_state(1)
        self._prediction: NDArray[np.float32] | None = None
        self._said, self._rest = b"", b""  # of the last token: handed out, and not yet; _before is the state before it
        self._share = 0  # nanoseconds, of each of its bytes

    @property
    def state(self) -> Any:
        """What the model keeps of all that was fed and handed out.

        Setting it also discards the prediction: feed a byte before generating.
        """
        if not self._rest:
            return self._state
        return self._read(self._tokenizer.encode(self._said), self._before)[1]

    @state.setter
    def state(self, state: Any) -> None:
        self._state, self._prediction, self._rest = state, None, b""

    def feed(self, data: bytes) -> NDArray[np.float32]:
        """logits (vocab,) after all of data, whose tokens are of this call alone: a split in two may give others."""
        self._take_back()
        ids = self._tokenizer.encode(data)
        if ids.size:
            self._prediction, self._state = self._read(ids, self._state)
        return self._predicted()

    def log_loss(self, data: bytes) -> float:
        """sum of -ln p(token | those before) over the tokens of data, in nats, and the stream moves to its end.

        A new session has no prediction for the first token, so it scores the others; one that was fed scores all.
        """
        self._take_back()
        ids, nats = self._tokenizer.encode(data), 0.0
        for start in range(0, ids.size, self._piece):
            x = mx.array(ids[start : start + self._piece])
            logits, self._state = self._model(x[None], self._state)
            before = [] if self._prediction is None else [mx.array(self._prediction)[None]]
            rows = mx.concatenate([*before, logits[0]])  # (n + 1, vocab): what predicts the last n tokens, and the next
            if n := rows.shape[0] - 1:
                nats += float(np.array(cross_entropy(rows[:-1], x[x.size - n :])).sum(dtype=np.float64))
            mx.eval(self._state)
            self._prediction = np.array(rows[-1].astype(mx.float32))
        return nats

    def generate(self, count: int, temperature: float = 0.8, top_k: int = 0) -> tuple[bytes, NDArray[np.uint32]]:
        """token ~ softmax(logits / temperature) among the top_k, each fed back, until there are ``count`` bytes.

        Returns:
            The bytes, and the nanoseconds (count,) each took: a share of its token's.
        """
        made, taken = bytearray(), np.zeros(count, np.uint32)
        while len(made) < count:
            if not self._rest:
                self._speak(temperature, top_k)
            piece = self._rest[: count - len(made)]
            taken[len(made) : len(made) + len(piece)] = self._share
            made += piece
            self._said, self._rest = self._said + piece, self._rest[len(piece) :]
        return bytes(made), taken

    def _speak(self, temperature: float, top_k: int) -> None:
        start = time.perf_counter_ns()
        token = self._draw(temperature, top_k)
        self._before, self._said, self._rest = self._state, b"", self._tokenizer.decode([token])
        self._prediction, self._state = self._read([token], self._state)
        self._share = min((time.perf_counter_ns() - start) // len(self._rest), 2**32 - 1)

    def _take_back(self) -> None:
        """Where the last token was handed out in part, go on from that part."""
        if self._rest:
            self._prediction, self._state = self._read(self._tokenizer.encode(self._said), self._before)
            self._rest = b""

    def _read(self, ids: ArrayLike, state: Any) -> tuple[NDArray[np.float32], Any]:
        tokens = np.asarray(ids, np.int32)
        for start in range(0, tokens.size, self._piece):
            logits, state = self._model(mx.array(tokens[start : start + self._piece])[None], state)
            mx.eval(logits, state)
        return np.array(logits[0, -1].astype(mx.float32)), state

    def _predicted(self) -> NDArray[np.float32]:
        if self._prediction is None:
            raise ValueError("StepwiseSession: there is no prediction to continue from; feed at least one byte first.")
        return self._prediction

    def _draw(self, temperature: float, top_k: int) -> int:
        logits = np.where(self._silent, -np.inf, self._predicted())
        if temperature == 0:
            return int(logits.argmax())
        scores = logits.astype(np.float64) / temperature
        if 0 < top_k < scores.size:
            least = np.partition(scores, -top_k)[-top_k]
            scores[np.flatnonzero(scores == least)[top_k - np.count_nonzero(scores > least) :]] = -np.inf
            scores[scores < least] = -np.inf
        shares = np.exp(scores - scores.max())
        return int(self._random.choice(scores.size, p=shares / shares.sum()))
