"""Memory files: yesterday's stream goes on bit by bit; what is damaged or foreign is refused by name and left alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.data import BYTES, FileError
from lasmlx.models import LAS, LASConfig
from lasmlx.models.plastic_lm import PlasticLM, PlasticLMConfig
from lasmlx.stream import Remembering, load_memory, producer, save_memory

TINY = PlasticLMConfig(d=8, heads=2, fast=1, deep=1)


@pytest.fixture
def model() -> PlasticLM:
    mx.random.seed(4)
    return PlasticLM(TINY)


def remember(model: Any, path: Path) -> Any:
    return Remembering(model, path, BYTES)


def test_a_stream_that_was_saved_goes_on_as_if_it_never_stopped(model: PlasticLM, tmp_path: Path) -> None:
    path = tmp_path / "memory.safetensors"
    today = remember(model, path)
    today.session().feed(b"A zephyr-9 is a copper whale. ")
    today.save()
    tomorrow = remember(model, path).session().feed(b"A zephyr-9 is")
    unbroken = remember(model, tmp_path / "none.safetensors").session()
    unbroken.feed(b"A zephyr-9 is a copper whale. ")
    assert np.array_equal(tomorrow, unbroken.feed(b"A zephyr-9 is"))
    assert not np.array_equal(tomorrow, remember(model, tmp_path / "none.safetensors").session().feed(b"A zephyr-9 is"))


def test_what_was_generated_is_remembered_too(model: PlasticLM, tmp_path: Path) -> None:
    path = tmp_path / "memory.safetensors"
    first = remember(model, path)
    text, _ = producer(first, "tell ", seed=1)(40)
    first.save()
    state = load_memory(path, model)
    assert state.position.item() == len(b"tell ") + len(text)
    _, expected = model(mx.array(np.frombuffer(b"tell " + text, np.uint8))[None])
    for a, b in zip(model.traces(state), model.traces(expected), strict=True):
        assert mx.abs(a - b).max().item() < 1e-5


def test_forgetting_begins_anew(model: PlasticLM, tmp_path: Path) -> None:
    remembering = remember(model, tmp_path / "memory.safetensors")
    session = remembering.session()
    new = session.feed(b"x")
    session.feed(b"much else")
    remembering.forget()
    assert np.array_equal(session.feed(b"x"), new)


def test_a_damaged_memory_is_refused_by_name_and_kept(model: PlasticLM, tmp_path: Path) -> None:
    path = tmp_path / "memory.safetensors"
    save_memory(path, model, model.init_state(1))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match=r"memory.safetensors is damaged"):
        remember(model, path)
    assert path.read_bytes() == whole[: len(whole) // 2]


def test_a_memory_with_other_arrays_or_without_numbers_is_damaged(model: PlasticLM, tmp_path: Path) -> None:
    path, state = tmp_path / "memory.safetensors", model.init_state(1)
    save_memory(path, model, state._replace(position=mx.zeros((2, 1), mx.int32)))
    with pytest.raises(FileError, match="is damaged: its arrays are not those"):
        load_memory(path, model)
    save_memory(path, model, state._replace(layers=(state.layers[0] * mx.array(float("nan")), *state.layers[1:])))
    with pytest.raises(FileError, match="is damaged"):
        load_memory(path, model)


def test_the_memory_of_another_model_is_refused(model: PlasticLM, tmp_path: Path) -> None:
    path = tmp_path / "memory.safetensors"
    save_memory(path, model, model.init_state(1))
    mx.random.seed(5)
    with pytest.raises(FileError, match="is the memory of another model"):
        load_memory(path, PlasticLM(TINY))  # the same configuration, other weights
    with pytest.raises(FileError, match="is the memory of another model"):
        load_memory(path, PlasticLM(replace(TINY, lag=0)))
    model.save(tmp_path)
    with pytest.raises(FileError, match="is no memory file"):
        load_memory(tmp_path / "model.safetensors", model)
    with pytest.raises(FileError, match="does not exist"):
        load_memory(tmp_path / "absent", model)


def test_families_with_a_native_step_have_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a las model streams by its native step"):
        remember(LAS(LASConfig(d=8, layers=1)), tmp_path / "memory.safetensors")


def test_a_memory_file_is_named_for_what_it_is(model: PlasticLM, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"memory', expected a name that ends in .safetensors"):
        remember(model, tmp_path / "memory")
