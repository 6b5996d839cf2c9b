"""The emulator gives the twin's bits: every instruction set, both number systems, any sizes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasmlx.chip import ChipState, Emulator, feed_many, random_chip, supported_isas
from lasmlx.chip.twin import init_state, step, trace

Bytes = Callable[..., bytes]
SETTINGS = [
    *({"system": system, "decay": decay, "rounding": rounding} for system in ("int8", "q16")
      for decay in ("table", "euler") for rounding in ("nearest", "stochastic")),
    *({"state_bits": bits} for bits in (2, 8, 16, 30, 31)),
    {"d": 1, "e": 1, "n": 1, "k": 1, "rank": 1, "layers": 1},
    {"d": 65, "e": 130, "n": 33, "k": 5, "rank": 17},
    {"d": 16, "e": 16, "n": 16, "rank": 16, "k": 2},
    {"substeps": 7},
    {"embedding_shift": 8, "dt_min": 65535, "dt_range": 0, "decay_shift": 0},
    {"dt_min": 0, "dt_range": 65535, "decay_shift": 31},
]  # fmt: skip


def name(settings: dict[str, object]) -> str:
    return ",".join(f"{k}={v}" for k, v in settings.items())


@pytest.mark.parametrize("changes", SETTINGS, ids=name)
@pytest.mark.parametrize("seed", range(3))
def test_bits_of_the_twin(changes: dict[str, Any], seed: int, some_bytes: Bytes) -> None:
    chip, data = random_chip(seed, **changes), some_bytes(12, seed)
    expected = trace(chip, data)
    sessions = [Emulator(chip).session(plain=True)]
    if chip.config.system == "int8":
        sessions += [Emulator(chip, isa=isa).session() for isa in supported_isas()]
        assert all(s.fast for s in sessions[1:])
    for session in sessions:
        np.testing.assert_array_equal(session.trace(data), expected)
    states = [s.state for s in sessions]
    for state in states[1:]:
        for field in ("tail", "h", "random"):
            np.testing.assert_array_equal(getattr(state, field), getattr(states[0], field))


def test_state_of_the_twin(some_bytes: Bytes) -> None:
    chip = random_chip(5, rounding="stochastic", state_bits=12)
    session, state = Emulator(chip).session(), init_state(chip)
    for byte in some_bytes(9):
        session.step(byte)
        _, state = step(chip, state, byte)
    for field in ("tail", "h", "random"):
        np.testing.assert_array_equal(getattr(session.state, field), getattr(state, field))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 20), st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=5))
def test_one_pass_equals_any_split(seed: int, pieces: list[bytes]) -> None:
    emulator = Emulator(random_chip(seed, layers=2))
    whole = emulator.session()
    whole.feed(b"".join(pieces))
    state = emulator.session().state
    for piece in pieces:
        session = emulator.session()
        session.state = state
        session.feed(piece)
        state = session.state
    np.testing.assert_array_equal(session.logits, whole.logits)
    np.testing.assert_array_equal(state.h, whole.state.h)


@pytest.mark.parametrize("system", ["int8", "q16"])
def test_extreme_states_and_inputs(system: str) -> None:
    chip = random_chip(3, system=system, state_bits=32 if system == "q16" else 31, embedding_shift=0)
    w = chip.system
    top, activation = 1 << (w.state - 1), 1 << (w.activation - 1)
    state = init_state(chip)
    for sign in (1, -1):
        h = np.where(np.indices(state.h.shape).sum(0) % 2, top - 1, -top) if sign > 0 else np.full(state.h.shape, -top)
        tail = np.full(state.tail.shape, activation - 1 if sign > 0 else -activation)
        extreme = ChipState(tail, h, state.random)
        expected, _ = step(chip, extreme, 255)
        for session in (Emulator(chip).session(), Emulator(chip).session(plain=True)):
            session.state = extreme
            np.testing.assert_array_equal(session.step(255), expected)


def test_ranges_count_what_saturates(some_bytes: Bytes) -> None:
    chip, data = random_chip(2, layers=1, d=9, e=10), some_bytes(20)
    session = Emulator(chip).session(counting=True)
    logits = session.trace(data)
    np.testing.assert_array_equal(logits, trace(chip, data))
    seen = session.ranges["logits"]
    assert seen.count == logits.size
    inside = np.clip([seen.low, seen.high], -32768, 32767)
    assert logits.min() == inside[0] and logits.max() == inside[1]
    assert seen.saturated <= ((logits == 32767) | (logits == -32768)).sum()
    assert session.ranges["layers.0.h"].count == 20 * 10 * chip.config.n * chip.config.substeps
    with pytest.raises(ValueError, match="counting=True"):
        _ = Emulator(chip).session().ranges


def test_streams_side_by_side(some_bytes: Bytes) -> None:
    chip = random_chip(4)
    emulator = Emulator(chip)
    data = [some_bytes(40 + i, i) for i in range(5)]
    sessions = [emulator.session() for _ in data]
    feed_many(sessions, data)
    for session, piece in zip(sessions, data, strict=True):
        expected = trace(chip, piece)[-1] * np.float32(2.0**-chip.config.logit_fraction)
        np.testing.assert_array_equal(session.logits, expected)
    with pytest.raises(RuntimeError, match="another thread"):
        feed_many([sessions[0], sessions[0]], data[:2])


def test_generation_repeats_with_its_seed() -> None:
    emulator = Emulator(random_chip(6))

    def text(seed: int) -> bytes:
        session = emulator.session(seed)
        session.feed(b"a")
        return session.generate(50)[0]

    assert text(1) == text(1) != text(2)


def test_states_of_other_chips_are_refused() -> None:
    session = Emulator(random_chip(0, d=5, e=6, n=2, layers=1, k=3)).session()
    state = session.state
    with pytest.raises(ValueError, match=r"h is int64 of shape \(1, 6, 1\), expected integers \(1, 6, 2\)"):
        session.state = ChipState(state.tail, state.h[..., :1], state.random)
    with pytest.raises(ValueError, match="h is float64"):
        session.state = ChipState(state.tail, state.h * 1.0, state.random)
    with pytest.raises(ValueError, match="tail holds 0 to 400, expected -128 to 127"):
        session.state = ChipState(state.tail + np.arange(2)[None, :, None] * 400, state.h, state.random)
    with pytest.raises(ValueError, match="feed at least one byte"):
        session.generate(1)
    with pytest.raises(ValueError, match="byte is 256"):
        session.step(256)


def test_instruction_sets_are_named() -> None:
    with pytest.raises(ValueError, match="this processor runs baseline"):
        Emulator(random_chip(0), isa="avx1024")
