"""One byte through a whole model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from lasmlx.benchmark.parity import check_parity
from lasmlx.benchmark.peers import Peers
from lasmlx.benchmark.records import Row, Stage
from lasmlx.benchmark.timer import Timing, measure_together
from lasmlx.benchmark.training import mamba_of_size, mambapy_model, new_model
from lasmlx.models import ByteModel
from lasmlx.stream import NativeModel, Weights

TEXT = np.random.default_rng(0).integers(0, 256, 128, dtype=np.uint8)
TOLERANCE: dict[Weights, float] = {"float32": 1e-4, "int8": 0.1}  # of the largest logit over TEXT
Floats = NDArray[np.float32]
Step = Callable[[int], Any]


@dataclass(frozen=True)
class StepRow(Row):
    """One way to take one byte; times are microseconds a byte."""

    unit: ClassVar[str] = "us"

    preset: str
    impl: str
    parameters: int
    byte: Timing
    ratio: float  # of the medians, to the first row of the preset
    error: float  # of the logits over 128 bytes


def measure_step(
    preset: str, config: Any, *, peers: Peers | None = None, repeats: int = 10, budget_seconds: float = 30.0
) -> Iterator[StepRow | Stage]:
    """The native step in float32 and int8, the same model stepped in MLX, and mambapy's step at the same sizes.

    Every one is called from Python, a byte a call, and returns the logits.

    Raises:
        ParityError: the logits over 128 bytes differ; nothing is yielded then.
    """
    yield Stage(f"{preset}: checking parity")
    model = new_model(config)
    functions: dict[str, Callable[[], Any]] = {}
    errors: dict[str, float] = {}
    for weights in TOLERANCE:
        session, error = checked_session(preset, model, weights)
        functions[f"native {weights}"], errors[f"native {weights}"] = _over_text(session.step), error
    expected = mlx_logits(model)
    errors["mlx"] = _error(f"{preset}: MLX by bytes and in one pass", _logits(mlx_step(model)), expected)
    functions["mlx"] = _over_text(mlx_step(model))
    sizes = dict.fromkeys(functions, model.size)
    if peers:
        mamba = new_model(mamba_of_size(config))
        peer = mambapy_model(peers, mamba)
        got = np.stack(peer.call("steps", TEXT.tobytes()))
        errors["mambapy"] = _error(f"{preset}: mambapy's step and lasmlx mamba", got, mlx_logits(mamba))
        functions["mambapy"], sizes["mambapy"] = peer.function("next_byte"), mamba.size
    yield Stage(f"{preset}: timing {', '.join(functions)}")
    timings = measure_together(functions, warmup=20, repeats=repeats, budget_seconds=budget_seconds, turn_seconds=0.1)
    first = next(iter(timings.values())).median
    for name, timing in timings.items():
        yield StepRow(preset, name, sizes[name], timing, timing.median / first, errors[name])


def checked_session(name: str, model: ByteModel, weights: Weights) -> tuple[Any, float]:
    """A native session whose logits were held to the MLX model's, and their error.

    Raises:
        ParityError: they differ.
    """
    native = NativeModel.from_model(model, weights)
    what = f"{name}: the native {weights} step and MLX"
    return native.session(), _error(what, _logits(native.session().step), mlx_logits(model), TOLERANCE[weights])


def mlx_logits(model: ByteModel) -> Floats:
    """Of the whole of TEXT in one pass, (128, 256)."""
    return np.array(model(mx.array(TEXT[None]))[0][0])


def mlx_step(model: ByteModel) -> Step:
    """A stream through the MLX model, op by op."""
    state = model.init_state(1)

    def step(byte: int) -> mx.array:
        nonlocal state
        logits, state = model(mx.array([[byte]]), state)
        mx.eval(logits, state)
        return logits[0, 0]

    return step


def _logits(step: Step) -> Floats:
    return np.stack([np.array(step(int(byte))) for byte in TEXT])


def _error(what: str, got: Floats, expected: Floats, tolerance: float = TOLERANCE["float32"]) -> float:
    return check_parity(what, {"logits": got}, {"logits": expected}, tolerance)


def _over_text(step: Step) -> Callable[[], Any]:
    text = TEXT.tolist()
    count = 0

    def next_byte() -> Any:
        nonlocal count
        count += 1
        return step(text[count % len(text)])

    return next_byte
