"""A model packed for one processor, and sessions that take it one byte at a time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

import lasmlx._stream as _stream

Floats = NDArray[np.float32]
Weights = Literal["float32", "int8"]
State = list[tuple[Floats, Floats]]

SUPPORTED = {"las": True, "mamba": False}  # model_type -> is dt bounded


class Session(Protocol):
    """One stream through a model: h' = step(h, byte). Its state belongs to the caller; one thread at a time uses it."""

    state: State
    """A list with a pair (tail (1, k - 1, e), h (1, e, n)) a layer; tail is the last inputs of conv, oldest first.

    Reading copies. Setting it also discards the last logits: feed a byte before generating.
    """

    @property
    def logits(self) -> Floats:
        """The scores (256,) of the byte to come."""

    @property
    def dt(self) -> Floats:
        """The time steps (layers, e) that the last byte gave."""

    def step(self, byte: int) -> Floats:
        """logits (256,) after one more byte."""

    def feed(self, data: bytes) -> Floats:
        """logits (256,) after all of data."""

    def log_loss(self, data: bytes) -> float:
        """sum of -ln p(byte | those before), in nats, and the stream moves to the end of data.

        A new session has no prediction for the first byte, so it scores len(data) - 1; one that was fed scores all.
        """

    def generate(self, count: int, temperature: float = 0.8, top_k: int = 0) -> tuple[bytes, NDArray[np.uint32]]:
        """byte ~ softmax(logits / temperature) among the top_k, `count` times, each fed back.

        Returns:
            The bytes, and the nanoseconds (count,) each took. Python's lock is released meanwhile.
        """

    def reset(self) -> None:
        """Back to a state of zeros; the random numbers go on."""

    def seed(self, seed: int) -> None:
        """Start the random numbers again."""


class NativeModel:
    """logits, state = step(byte, state), without MLX and without allocation.

    Weights are float32, or int8 with one scale an output channel in the four large matrices (activations are then
    quantised vector by vector); the convolution, dt, A, D and norms stay float32.

    Error: float32 within 1e-5 of the largest logit (tests/stream/test_step.py).
    """

    def __init__(self, packed: Any, weights: Weights) -> None:
        self._packed = packed
        self.weights: Weights = weights
        self.layers: int = packed.layers
        self.d: int = packed.d
        self.e: int = packed.e
        self.n: int = packed.n
        self.k: int = packed.k
        self.isa: str = packed.isa
        self.nbytes: int = packed.nbytes

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, Floats],
        *,
        bounded: bool,
        dt_min: float = 0.0,
        dt_max: float = 0.0,
        substeps: float = 1,
        weights: Weights = "float32",
        isa: str = "",
    ) -> "NativeModel":
        """Pack arrays that carry a model's parameter names.

        Args:
            arrays: `table` (256, d), `norm.weight` (d,), `head.weight` (256, d), and under `blocks.i.` for each layer i
                `norm.weight`, `mixer.{in_proj,conv,x_proj,dt_proj,out_proj}.weight`, `mixer.{conv,dt_proj}.bias`,
                `mixer.{A_log,D}`, as the models lay them out.
            bounded: dt = dt_min + (dt_max - dt_min) sigmoid(.), else softplus(.).
            dt_min, dt_max: the bounds, where bounded.
            substeps: K of the step; math.inf is exact zero-order hold.
            weights: how the large matrices are kept.
            isa: instruction set; empty picks the best of this processor.

        Raises:
            ValueError: a missing array, a wrong shape, a value that is not finite, bounds or substeps out of range.
        """
        if weights not in ("float32", "int8"):
            raise ValueError(f"stream: weights is {weights!r}, expected 'float32' or 'int8'.")
        if bounded and not 0 <= dt_min <= dt_max < math.inf:
            raise ValueError(f"stream: dt_min is {dt_min} and dt_max {dt_max}, expected 0 <= dt_min <= dt_max.")
        if not substeps >= 1:
            raise ValueError(f"stream: substeps is {substeps}, expected at least 1, or math.inf for the exact step.")
        packed = _stream.Model(
            {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()},
            int8=weights == "int8",
            bounded=bounded,
            dt_min=dt_min,
            dt_max=dt_max,
            substeps=substeps,
            isa=isa,
        )
        return cls(packed, weights)

    @classmethod
    def from_model(cls, model: Any, weights: Weights = "float32", isa: str = "") -> "NativeModel":
        """Pack a `las` or `mamba` model of lasmlx.models.

        Raises:
            ValueError: another family.
        """
        config = model.config
        family = getattr(config, "model_type", type(model).__name__)
        if family not in SUPPORTED:
            known = ", ".join(SUPPORTED)
            raise ValueError(f"stream: there is no native step for a '{family}' model, expected one of {known}.")
        arrays = {
            "table": _float32(model.embedding.table()),
            "norm.weight": _float32(model.norm.weight),
            "head.weight": _float32(model.head_weight()),
        }
        for i, block in enumerate(model.blocks):
            arrays[f"blocks.{i}.norm.weight"] = _float32(block.norm.weight)
            for path in _MIXER:
                arrays[f"blocks.{i}.mixer.{path}"] = _float32(_at(block.mixer, path))
        bounded = SUPPORTED[family]
        return cls.from_arrays(
            arrays,
            bounded=bounded,
            dt_min=config.dt_min if bounded else 0.0,
            dt_max=config.dt_max if bounded else 0.0,
            substeps=getattr(config, "substeps", 1),
            weights=weights,
            isa=isa,
        )

    def session(self, seed: int = 0) -> Session:
        """A new stream with a state of zeros; `seed` is that of its random numbers."""
        return cast(Session, _stream.Session(self._packed, check_seed(seed)))


def check_seed(seed: int) -> int:
    """seed, if it is in 0 .. 2^64 - 1; else a ValueError."""
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"stream: seed is {seed}, expected 0 to 2^64 - 1.")
    return seed


def supported_isas() -> Sequence[str]:
    """The instruction sets that this processor runs, slowest first."""
    return cast(Sequence[str], _stream.supported_isas())


_MIXER = (
    "in_proj.weight",
    "conv.weight",
    "conv.bias",
    "x_proj.weight",
    "dt_proj.weight",
    "dt_proj.bias",
    "A_log",
    "D",
    "out_proj.weight",
)


def _at(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name)
    return module


def _float32(array: Any) -> Floats:
    import mlx.core as mx

    return np.array(array.astype(mx.float32))
