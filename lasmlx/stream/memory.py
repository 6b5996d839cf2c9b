"""What a model remembers, in a file: a stream that ends today goes on tomorrow."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_map_with_path

from lasmlx.data import FileError, Tokenizer
from lasmlx.models.files import load_arrays, save_arrays
from lasmlx.models.tree import flat
from lasmlx.stream.native import SUPPORTED
from lasmlx.stream.stepwise import StepwiseSession

KIND = "lasmlx-memory-1"


def save_memory(path: Path, model: Any, state: Any) -> None:
    """Write a state, traces included, with the name of the model it belongs to; atomically.

    Args:
        state: of a batch of one.

    Raises:
        FileError: it cannot be written.
    """
    save_arrays(path, flat(state), about(model))


def load_memory(path: Path, model: Any) -> Any:
    """The state in a file of :func:`save_memory`.

    Raises:
        FileError: it is missing, damaged, no memory, or of another model: a state means nothing to other weights.
    """
    return _load(path, model, about(model))


def _load(path: Path, model: Any, owner: dict[str, str]) -> Any:
    arrays, written = load_arrays(path)
    if written.get("kind") != KIND:
        raise FileError(f"{path} is no memory file: it was not written by --memory.")
    if written.get("model") != owner["model"]:
        kind = written.get("model_type", "unknown")
        raise FileError(
            f"{path} is the memory of another model (a {kind}), and means nothing to this one "
            f"(a {model.config.model_type}): name the run it belongs to with --run."
        )
    wanted = flat(state := model.init_state(1))
    wrong = [name for name in wanted if name not in arrays or arrays[name].shape != wanted[name].shape]
    if wrong or arrays.keys() != wanted.keys() or not all(mx.isfinite(v).all().item() for v in arrays.values()):
        raise FileError(f"{path} is damaged: its arrays are not those of its model. Restore it from a copy.")
    return tree_map_with_path(lambda name, like: arrays[name].astype(like.dtype), state)


def about(model: Any) -> dict[str, str]:
    """Whose memory it is, for the header of the file; it reads every parameter."""
    return {"kind": KIND, "model_type": model.config.model_type, "model": fingerprint(model)}


def fingerprint(model: Any) -> str:
    """16 hexadecimal digits of a SHA-256 over the configuration and every parameter."""
    digest = hashlib.sha256(json.dumps(model.config.to_dict(), sort_keys=True).encode())
    for name, value in sorted(flat(model.parameters()).items()):
        digest.update(f"{name}\0{value.shape}\0".encode())
        digest.update(memoryview(mx.contiguous(value.astype(mx.float32))))  # type: ignore[arg-type]
    return digest.hexdigest()[:16]


class Remembering:
    """A model whose sessions begin with what a file remembers, and which can be asked to write it back.

    Args:
        model: a family that streams through MLX.
        path: the file; where it does not exist yet a session begins from nothing.
        tokenizer: that of the model.

    Raises:
        FileError: see :func:`load_memory`. ValueError: the family streams by a native step, or the name is wrong.
    """

    def __init__(self, model: Any, path: Path, tokenizer: Tokenizer) -> None:
        if path.suffix != ".safetensors":
            raise ValueError(f"the memory file is {str(path)!r}, expected a name that ends in .safetensors.")
        family = model.config.model_type
        if family in SUPPORTED:
            raise ValueError(
                f"--memory: a {family} model streams by its native step; it is for those without: plastic-lm."
            )
        self.tokenizer, self._model, self._path = tokenizer, model, path
        self._about = about(model)  # once: a chat saves after each line
        self._state = _load(path, model, self._about) if path.exists() else None
        self._session: StepwiseSession | None = None

    def session(self, seed: int = 0) -> StepwiseSession:
        """A stream that goes on from what is remembered."""
        self._session = StepwiseSession(self._model, seed, self.tokenizer)
        if self._state is not None:
            self._session.state = self._state
        return self._session

    def save(self) -> None:
        """Write what the session has come to."""
        if self._session is not None:
            save_arrays(self._path, flat(self._session.state), self._about)

    def forget(self) -> None:
        """Go on from the state before the first token."""
        self._state = self._model.init_state(1)
        if self._session is not None:
            self._session.state = self._state
