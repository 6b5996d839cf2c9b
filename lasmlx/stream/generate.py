"""Bytes that continue a prompt."""

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lasmlx.data import BYTES, DataError, Tokenizer, tokenizer_of
from lasmlx.stream.native import SUPPORTED, NativeModel, Weights
from lasmlx.stream.stepwise import StepwiseSession

CHUNK = 32  # bytes a native call makes: long enough to hide Python, short enough to stop at once
EMPTY_PROMPT = b"\n"


class Producer(Protocol):
    """Makes the next `count` bytes, and the nanoseconds each took; fewer only at the end."""

    def __call__(self, count: int, /) -> tuple[bytes, NDArray[np.uint32]]: ...


def producer(
    model: Any,
    prompt: bytes | str,
    *,
    temperature: float = 0.8,
    top_k: int = 0,
    seed: int = 0,
    weights: Weights = "float32",
    tokenizer: Tokenizer | None = None,
) -> Producer:
    """A session that was fed the prompt, as a function that makes what follows it.

    Args:
        model: a model of text, or what makes sessions and keeps its own weights: a NativeModel, a chip's Emulator.
            `las` and `mamba` models take their native step, others go through MLX.
        prompt: a str is UTF-8; an empty one is a line feed.
        temperature: 0 (the most likely byte, or token) to 100.
        top_k: how many of the likeliest to choose from; 0 is all.
        seed: the same seed gives the same bytes, however many are asked for at a time.
        weights: "float32" or "int8" of the native step, for a model that is not packed yet.
        tokenizer: that of a model which reads tokens; by default what its configuration names, where that is enough.

    Raises:
        ValueError: an argument out of range, int8 without a native step, or a model that does not read text.
    """
    if not (math.isfinite(temperature) and 0 <= temperature <= 100):
        raise ValueError(f"generate: temperature is {temperature}, expected 0 (the most likely byte) to 100.")
    makes_sessions = hasattr(model, "session")
    reader = getattr(model, "tokenizer", BYTES) if makes_sessions else _tokenizer(model.config, tokenizer)
    if not 0 <= top_k <= reader.size:
        raise ValueError(f"generate: top_k is {top_k}, expected 0 (all) to {reader.size}.")
    session = _session(model, weights, seed, reader)
    data = prompt.encode() if isinstance(prompt, str) else prompt
    session.feed(data or EMPTY_PROMPT)
    return lambda count: session.generate(count, temperature, top_k)


def _tokenizer(config: Any, given: Tokenizer | None) -> Tokenizer:
    if given is None:
        return tokenizer_of(config)
    vocab = getattr(config, "vocab", 256)
    if given.size != vocab:
        raise DataError(f"generate: the tokenizer has {given.size} tokens, the model {vocab}: give the model's own.")
    return given


def _session(model: Any, weights: Weights, seed: int, tokenizer: Tokenizer) -> Any:
    if hasattr(model, "session"):
        return model.session(seed)
    family = getattr(model.config, "model_type", "")
    if family in SUPPORTED or weights != "float32":
        return NativeModel.from_model(model, weights).session(seed)
    if getattr(model.config, "inputs", 0):
        raise ValueError(f"generate: this {family} model reads vectors of {model.config.inputs} numbers, not bytes.")
    return StepwiseSession(model, seed, tokenizer)


def generate(
    model: Any,
    prompt: bytes | str = b"",
    *,
    bytes: int | None = None,
    temperature: float = 0.8,
    top_k: int = 0,
    seed: int = 0,
    weights: Weights = "float32",
    tokenizer: Tokenizer | None = None,
) -> Iterator[int]:
    """byte ~ softmax(logits / temperature), or token, one at a time, each fed back.

    Args:
        bytes: how many; None is without end.
        model, prompt, temperature, top_k, seed, weights, tokenizer: as for `producer`.

    Returns:
        An iterator of integers 0 .. 255.

    Raises:
        ValueError: at the call, not at the first byte.
    """
    if bytes is not None and bytes < 0:
        raise ValueError(f"generate: bytes is {bytes}, expected 0 or more, or None for no end.")
    options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "seed": seed, "weights": weights}
    produce = producer(model, prompt, tokenizer=tokenizer, **options)
    return _one_at_a_time(produce, bytes)


def _one_at_a_time(produce: Producer, count: int | None) -> Iterator[int]:
    made = 0
    while count is None or made < count:
        chunk, _ = produce(CHUNK if count is None else min(CHUNK, count - made))
        made += len(chunk)
        yield from chunk
