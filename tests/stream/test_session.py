"""A session's state and its random numbers."""

import os
import signal
import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lasmlx.stream import NativeModel, generate, producer

per_example = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def model(arrays: Callable[..., Any]) -> NativeModel:
    return NativeModel.from_arrays(arrays(sharp=4.0), bounded=True, dt_min=0.001, dt_max=0.5, substeps=4)


@per_example
@given(text=st.binary(min_size=2, max_size=40), data=st.data(), weights=st.sampled_from(["float32", "int8"]))
def test_one_pass_is_any_split(arrays: Callable[..., Any], text: bytes, data: st.DataObject, weights: Any) -> None:
    k = data.draw(st.integers(1, 4))
    model = NativeModel.from_arrays(arrays(d=5, e=7, n=3, k=k), bounded=False, weights=weights)
    whole = model.session()
    expected = whole.feed(text)
    cut = data.draw(st.integers(1, len(text) - 1))
    first, second = model.session(), model.session()
    first.feed(text[:cut])
    second.state = first.state
    assert (second.feed(text[cut:]) == expected).all()
    for (tail, h), (tail_whole, h_whole) in zip(second.state, whole.state, strict=True):
        assert tail.shape == (1, k - 1, 7) and h.shape == (1, 7, 3)
        assert (tail == tail_whole).all() and (h == h_whole).all()


def test_reset_is_a_new_session(model: NativeModel) -> None:
    session = model.session()
    expected = session.feed(b"abc")
    session.reset()
    assert not any(h.any() or tail.any() for tail, h in session.state)
    assert (session.feed(b"abc") == expected).all()


def test_the_state_is_a_copy(model: NativeModel) -> None:
    session = model.session()
    session.feed(b"abc")
    before = session.state
    kept = [h.copy() for _, h in before]
    session.feed(b"def")
    assert all((h == copy).all() for (_, h), copy in zip(before, kept, strict=True))


@pytest.mark.parametrize("temperature", [0.0, 0.8, 2.0])
@pytest.mark.parametrize("top_k", [0, 7])
def test_bytes_do_not_depend_on_the_chunks(model: NativeModel, temperature: float, top_k: int) -> None:
    whole = producer(model, "val: ", temperature=temperature, top_k=top_k, seed=3)(300)[0]
    pieces = producer(model, b"val: ", temperature=temperature, top_k=top_k, seed=3)
    assert b"".join(pieces(n)[0] for n in (1, 0, 99, 7, 193)) == whole
    endless = generate(model, "val: ", temperature=temperature, top_k=top_k, seed=3)
    assert bytes(islice(endless, 300)) == whole
    assert bytes(generate(model, "val: ", bytes=300, temperature=temperature, top_k=top_k, seed=3)) == whole


def test_another_seed_gives_other_bytes(model: NativeModel) -> None:
    runs = {bytes(generate(model, "a", bytes=50, seed=seed)) for seed in range(5)}
    assert len(runs) == 5


def test_an_empty_prompt_is_a_line_feed(model: NativeModel) -> None:
    assert list(generate(model, "", bytes=20)) == list(generate(model, b"\n", bytes=20))
    assert list(generate(model, "x", bytes=0)) == []


@pytest.mark.parametrize(("temperature", "top_k"), [(0.0, 0), (1.0, 1), (0.0, 5)])
def test_greedy_is_argmax(model: NativeModel, temperature: float, top_k: int) -> None:
    session = model.session()
    logits = session.feed(b"abc")
    expected = []
    for _ in range(60):
        expected.append(int(logits.argmax()))
        logits = session.step(expected[-1])
    assert list(generate(model, b"abc", bytes=60, temperature=temperature, top_k=top_k)) == expected


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, 0), (0.5, 0), (1.5, 10)])
def test_bytes_are_drawn_from_the_softmax(model: NativeModel, temperature: float, top_k: int) -> None:
    """Chi-square of 20,000 first bytes stays below its mean plus five standard deviations."""
    session = model.session(seed=11)
    logits = session.feed(b"q").astype(np.float64)
    p = np.exp((logits - logits.max()) / temperature)
    if top_k:
        p[np.argsort(-logits)[top_k:]] = 0
    p /= p.sum()
    draws = 20_000
    counts = np.zeros(256)
    for _ in range(draws):
        session.reset()
        session.feed(b"q")
        counts[session.generate(1, temperature, top_k)[0][0]] += 1
    assert counts[p == 0].sum() == 0
    likely = p * draws >= 5
    chi = ((counts - p * draws) ** 2 / np.maximum(p * draws, 1e-9))[likely].sum()
    freedom = likely.sum() - 1
    assert chi < freedom + 5 * (2 * freedom) ** 0.5


def test_every_byte_has_its_time(model: NativeModel) -> None:
    session = model.session()
    session.feed(b"a")
    made, nanoseconds = session.generate(10)
    assert len(made) == 10 and nanoseconds.shape == (10,) and (nanoseconds > 0).all()


def test_a_tiny_temperature_is_greedy(model: NativeModel) -> None:
    greedy = bytes(generate(model, "a", bytes=30, temperature=0))
    assert bytes(generate(model, "a", bytes=30, temperature=1e-300)) == greedy


def test_a_second_thread_is_refused(model: NativeModel) -> None:
    session = model.session()
    session.feed(b"a")
    busy = threading.Event()

    def work() -> None:
        busy.set()
        session.generate(20_000)

    thread = threading.Thread(target=work)
    thread.start()
    busy.wait()
    time.sleep(0.01)
    with pytest.raises(RuntimeError, match="in use by another thread; give each thread its own session"):
        session.step(0)
    thread.join()
    session.step(0)


def test_ctrl_c_ends_a_long_call(model: NativeModel) -> None:
    session = model.session()
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        session.feed(bytes(5_000_000))
    assert time.monotonic() - began < 2
    timer.join()
    session.step(0)


def test_output_that_is_not_finite_is_refused(arrays: Callable[..., Any]) -> None:
    broken = arrays()
    broken["head.weight"][7] = 3e38
    session = NativeModel.from_arrays(broken, bounded=False).session()
    session.feed(b"a")
    with pytest.raises(RuntimeError, match="the model's output is not finite"):
        session.generate(10)


def wrong(model: NativeModel) -> dict[str, Callable[[], object]]:
    session = model.session()
    session.feed(b"a")
    fresh = model.session()

    def set_state(state: Any) -> None:
        session.state = state

    return {
        r"temperature is nan, expected 0": lambda: generate(model, temperature=float("nan")),
        r"temperature is -0.1, expected 0": lambda: generate(model, temperature=-0.1),
        r"temperature is 101, expected 0": lambda: generate(model, temperature=101),
        r"temperature is -1.0+, expected 0": lambda: session.generate(1, -1.0),
        r"top_k is 257, expected 0 \(all\) to 256": lambda: generate(model, top_k=257),
        r"top_k is -1, expected": lambda: session.generate(1, 1.0, -1),
        r"bytes is -1, expected 0 or more": lambda: generate(model, bytes=-1),
        r"count is -1, expected 0 or more": lambda: session.generate(-1),
        r"seed is -1, expected 0 to 2\^64 - 1": lambda: generate(model, seed=-1),
        r"step: byte is 256, expected 0 to 255": lambda: session.step(256),
        r"feed at least one byte first": lambda: fresh.generate(1),
        r"feed at least one byte": lambda: fresh.logits,
        r"state: got 1 layers, expected 2": lambda: set_state(session.state[:1]),
        r"layer 1's entry must be a pair": lambda: set_state([session.state[0], 3]),
        r"layer 0's h has shape \(1, 40, 5, 1\), expected float32 of shape \(1, 40, 5\)": lambda: set_state(
            [(tail, h[..., None]) for tail, h in session.state]
        ),
        r"layer 0's tail is no float32 array": lambda: set_state([(None, h) for _, h in session.state]),
    }


def test_mistakes_say_what_to_do(model: NativeModel) -> None:
    for message, call in wrong(model).items():
        with pytest.raises(ValueError, match=message):
            call()


def test_weights_that_cannot_be_used(arrays: Callable[..., Any]) -> None:
    def pack(change: Callable[[dict[str, Any]], object], **options: Any) -> None:
        broken = arrays()
        change(broken)
        NativeModel.from_arrays(broken, **{"bounded": True, "dt_min": 0.001, "dt_max": 0.1} | options)

    def spoil(a: dict[str, Any]) -> None:
        a["blocks.1.mixer.D"][3] = np.nan

    with pytest.raises(ValueError, match=r"have no 'head\.weight'"):
        pack(lambda a: a.pop("head.weight"))
    with pytest.raises(ValueError, match=r"have no 'blocks\.0\.norm\.weight'"):
        pack(lambda a: a.pop("blocks.0.norm.weight"))
    with pytest.raises(ValueError, match=r"blocks\.1\.mixer\.D has shape \(39,\), expected \(40,\)"):
        pack(lambda a: a.update({"blocks.1.mixer.D": a["blocks.1.mixer.D"][1:]}))
    with pytest.raises(ValueError, match=r"blocks\.1\.mixer\.D holds a value that is not finite"):
        pack(spoil)
    with pytest.raises(ValueError, match="weights is 'int4', expected 'float32' or 'int8'"):
        pack(lambda a: None, weights="int4")
    with pytest.raises(ValueError, match=r"substeps is 0, expected at least 1"):
        pack(lambda a: None, substeps=0)
    with pytest.raises(ValueError, match=r"dt_min is 0\.001 and dt_max 0\.0001"):
        pack(lambda a: None, dt_max=0.0001)
    with pytest.raises(ValueError, match=r"isa: got 'mmx', this processor runs baseline"):
        pack(lambda a: None, isa="mmx")


def test_a_family_without_a_native_step() -> None:
    class Other:
        class config:  # noqa: N801
            model_type = "lstm"

    with pytest.raises(ValueError, match="no native step for a 'lstm' model, expected one of las, mamba"):
        NativeModel.from_model(Other())
