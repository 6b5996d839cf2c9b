"""Sessions of models that read tokens: bytes go in and come out."""

from dataclasses import dataclass
from itertools import islice
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.data import BYTES, ByteSource, DataError, load_tokenizer, train_sentencepiece
from lasmlx.stream import generate, producer, stepwise
from lasmlx.stream.stepwise import StepwiseSession

TEXT = b"".join(b"%d squared is %d, and so on\n" % (i, i * i) for i in range(400))
LEARNT = train_sentencepiece(ByteSource.from_bytes("squares", TEXT), 320)
LONG = int(LEARNT.lengths.argmax())


@dataclass
class Remembering:
    """Its state is every token it read; its logits are random numbers of that past."""

    vocab: int = 320
    tokenizer: str = "sentencepiece"
    favourite: int | None = None

    @property
    def config(self) -> Any:
        return SimpleNamespace(model_type="remembering", vocab=self.vocab, tokenizer=self.tokenizer)

    def init_state(self, b: int) -> mx.array:
        return mx.zeros((b, 0), mx.int32)

    def __call__(self, x: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
        read = mx.concatenate([state, x], 1)
        logits = [self.logits(read[0, : state.shape[1] + i + 1].tolist()) for i in range(x.shape[1])]
        return mx.array(np.stack(logits))[None], read

    def logits(self, read: list[int]) -> np.ndarray:
        made = 3 * np.random.default_rng(read).standard_normal(self.vocab).astype(np.float32)
        if self.favourite is not None:
            made[self.favourite] = 100
        return made


def read(session: StepwiseSession) -> list[int]:
    return session.state[0].tolist()


def ids(*parts: bytes) -> list[int]:
    return [i for part in parts for i in LEARNT.encode(part).tolist()]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 9), max_size=6), st.sampled_from([0.0, 0.8]), st.sampled_from([0, 5]))
def test_any_number_of_bytes_at_a_time(counts: list[int], temperature: float, top_k: int) -> None:
    options = {"temperature": temperature, "top_k": top_k, "seed": 3, "tokenizer": LEARNT}
    whole, taken = producer(Remembering(), "and so", **options)(sum(counts))
    assert len(whole) == sum(counts) and taken.shape == (sum(counts),)
    pieces = producer(Remembering(), "and so", **options)
    assert b"".join(pieces(n)[0] for n in counts) == whole
    assert bytes(islice(generate(Remembering(), "and so", **options), sum(counts))) == whole


def test_the_likeliest_tokens_are_said() -> None:
    model, past, expected = Remembering(), ids(b"and so"), b""
    while len(expected) < 40:
        past.append(int(np.argmax(np.where(LEARNT.lengths > 0, model.logits(past), -np.inf))))
        expected += LEARNT.decode(past[-1:])
    said = bytes(generate(model, "and so", bytes=40, temperature=0, tokenizer=LEARNT))
    assert said == expected[:40]


def test_a_token_without_bytes_is_never_said() -> None:
    assert LEARNT.lengths[0] == 0
    for temperature in (0.0, 0.8):
        assert len(bytes(generate(Remembering(favourite=0), "x", bytes=9, temperature=temperature, tokenizer=LEARNT)))


def test_a_token_that_was_half_said_is_half_read() -> None:
    session = StepwiseSession(Remembering(favourite=LONG), tokenizer=LEARNT)
    word = LEARNT.decode([LONG])
    session.feed(b"is 1")
    assert len(word) > 3
    assert session.generate(2, 0)[0] == word[:2]
    assert read(session) == ids(b"is 1", word[:2])
    assert session.generate(1, 0)[0] == word[2:3], "reading the state changes nothing"
    session.feed(b" and")
    assert read(session) == ids(b"is 1", word[:3], b" and")
    assert session.generate(len(word), 0)[0] == word, "what was left of the word is forgotten"
    assert read(session) == [*ids(b"is 1", word[:3], b" and"), LONG]
    assert session.generate(1, 0)[0] == word[:1]


def test_the_bytes_of_a_token_share_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**9, 1000 * len(LEARNT.decode([LONG]))))
    monkeypatch.setattr(stepwise.time, "perf_counter_ns", lambda: next(clock))
    session = StepwiseSession(Remembering(favourite=LONG), tokenizer=LEARNT)
    session.feed(b"1")
    taken = [*session.generate(2, 0)[1], *session.generate(20, 0)[1]]
    assert taken == [1000] * 22


def test_a_state_goes_from_session_to_session() -> None:
    first, second = (StepwiseSession(Remembering(), tokenizer=LEARNT) for _ in range(2))
    first.feed(b"is 12")
    first.generate(3)
    second.state = first.state
    with pytest.raises(ValueError, match="no prediction to continue from; feed at least one byte first"):
        second.generate(1)
    logits = second.feed(b" and")
    assert (logits == first.feed(b" and")).all() and read(first) == read(second)
    half = StepwiseSession(Remembering(favourite=LONG), tokenizer=LEARNT)
    half.feed(b"1")
    half.generate(1)
    half.state = first.state
    half.feed(b"1")
    assert read(half) == [*read(first), *ids(b"1")]


def test_feeding_takes_pieces_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = StepwiseSession(Remembering(), tokenizer=LEARNT)
    expected = whole.feed(TEXT[:200])
    monkeypatch.setattr(stepwise, "LOGITS", 320 * 7)
    short = StepwiseSession(Remembering(), tokenizer=LEARNT)
    assert (short.feed(TEXT[:200]) == expected).all() and read(short) == read(whole)


@pytest.mark.parametrize("piece", [1, 3, 512])
def test_log_loss_is_of_tokens(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(stepwise, "PIECE", piece)
    model, text = Remembering(), TEXT[:60]

    def nats(before: list[int], after: list[int]) -> float:
        total = 0.0
        for i, token in enumerate(after):
            if past := before + after[:i]:
                logits = model.logits(past).astype(np.float64)
                total += np.log(np.exp(logits).sum()) - logits[token]
        return total

    session = StepwiseSession(model, tokenizer=LEARNT)
    assert session.log_loss(text) == pytest.approx(nats([], ids(text)), rel=1e-5)
    assert session.log_loss(b"and so") == pytest.approx(nats(ids(text), ids(b"and so")), rel=1e-5)
    assert read(session) == ids(text, b"and so")
    assert (session.feed(b"x") == model.logits(ids(text, b"and so", b"x"))).all()
    assert session.log_loss(b"") == 0


def test_bytes_go_as_they_did() -> None:
    model = Remembering(256, "bytes")
    assert len(bytes(generate(model, "val: ", bytes=20))) == 20
    session = StepwiseSession(model, seed=2)
    session.feed(b"val")
    said = session.generate(5)[0]
    assert read(session) == [*b"val", *said]
    assert bytes(generate(model, "val", bytes=5, seed=2, tokenizer=BYTES)) == said


def test_top_k_takes_the_first_of_equals() -> None:
    class Even(Remembering):
        def logits(self, read: list[int]) -> np.ndarray:
            made = np.zeros(256, np.float32)
            made[ord("y")] = 1
            return made

    for top_k, allowed in ((1, b"y"), (3, b"\0\1y"), (256, bytes(range(256)))):
        said = bytes(generate(Even(256, "bytes"), "x", bytes=60, top_k=top_k))
        assert set(said) <= set(allowed) and len(set(said)) >= min(3, top_k)


def test_the_tokenizer_is_found_or_asked_for() -> None:
    assert len(bytes(generate(Remembering(50257, "gpt2"), "Call me", bytes=9, top_k=300))) == 9
    with pytest.raises(DataError, match="the model's tokenizer is a file beside it: give tokenizer="):
        generate(Remembering(), "x")
    with pytest.raises(DataError, match="generate: the tokenizer has 50257 tokens, the model 320"):
        generate(Remembering(), "x", tokenizer=load_tokenizer("gpt2"))
    with pytest.raises(ValueError, match=r"top_k is 321, expected 0 \(all\) to 320"):
        generate(Remembering(), "x", top_k=321, tokenizer=LEARNT)
    with pytest.raises(ValueError, match="feed at least one byte first"):
        StepwiseSession(Remembering(), tokenizer=LEARNT).generate(1)
