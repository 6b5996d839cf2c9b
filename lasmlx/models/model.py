"""What every model family shares: state in and out, saving, counting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map

from lasmlx.models.config import Config
from lasmlx.models.files import FileError, load_arrays, save_arrays, write_atomically
from lasmlx.models.tree import flat

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


class Model(nn.Module):
    """A sequence model: ``model(x, state) -> (y, state)``; the state is a tree of arrays that belongs to the caller."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config

    @property
    def config(self) -> Any:
        """The configuration it was made from."""
        return self._config

    def learn(self, x: mx.array, state: Any = None, **where: Any) -> tuple[mx.array, Any, mx.array]:
        """As calling, with what the family adds to the loss of a task beside: nothing, unless it says otherwise."""
        y, state = self(x, state, **where)
        return y, state, mx.zeros(())

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(v.size for v in flat(self.parameters()).values())

    def save(
        self, folder: str | Path, *, dtype: mx.Dtype | None = None, metadata: dict[str, str] | None = None
    ) -> None:
        """Write ``config.json`` and ``model.safetensors``, each atomically.

        Args:
            folder: made if absent.
            dtype: store the parameters in this type (float16 halves the file); their own by default.
            metadata: plain text kept in the header of the weights.

        Raises:
            FileError: the folder cannot be written.
        """
        folder = Path(folder)
        arrays = flat(self.parameters())
        stored = arrays if dtype is None else tree_map(lambda v: v.astype(dtype), arrays)
        write_atomically(folder / CONFIG_FILE, json.dumps(self.config.to_dict(), indent=2).encode() + b"\n")
        save_arrays(folder / WEIGHTS_FILE, stored, metadata or {})

    def load_parameters(self, path: Path) -> Self:
        """Take the parameters from a safetensors file, as float32.

        Raises:
            FileError: the file is damaged, or its names or shapes are not this model's.
        """
        arrays, _ = load_arrays(path)
        self.set_parameters(arrays, str(path))
        return self

    def set_parameters(self, arrays: dict[str, mx.array], source: str) -> None:
        """Take the parameters from ``arrays``; ``source`` names them in errors."""
        mine = flat(self.parameters())
        for missing in sorted(mine.keys() - arrays.keys()):
            raise FileError(f"{source} has no parameter {missing!r}: it is of another model than its config.json says.")
        for name in sorted(arrays.keys() - mine.keys()):
            raise FileError(f"{source} has a parameter {name!r} that a {self.config.model_type} model lacks.")
        for name, value in mine.items():
            if arrays[name].shape != value.shape:
                raise FileError(f"{source}: {name} has shape {arrays[name].shape}, expected {value.shape}.")
        self.load_weights([(name, v.astype(mx.float32)) for name, v in arrays.items()])
