"""Which implementation of an op runs."""

from __future__ import annotations

from typing import Literal

import mlx.core as mx

from lasmlx.ops import native

Impl = Literal["auto", "metal", "cuda", "cpu", "reference"]


class ImplError(ValueError):
    """The implementation asked for cannot run here."""


def choose(op: str, impl: Impl, *, kernel: bool = False, on_gpu: Impl | None = None) -> Impl:
    """Resolve ``impl`` for the default device.

    On a CPU ``auto`` takes the CPU primitive. On a GPU it takes the kernel where the op has one, else the reference:
    plain MLX, for what that does well. What cannot run falls back to the reference.

    Args:
        op: the op's name, for the error.
        kernel: whether the op has a GPU kernel, one text for Metal and for CUDA.
        on_gpu: what ``auto`` means on a GPU for arguments that the kernel does not take: ``"cpu"`` where the reference
            is a loop over time (memory is shared, so the CPU primitive reads the GPU's arrays).

    Raises:
        ImplError: ``impl`` is unknown or cannot run here.
    """
    reasons: dict[Impl, str] = {
        "metal": _no_gpu("Metal", kernel, mx.metal.is_available()),
        "cuda": _no_gpu("CUDA", kernel, mx.cuda.is_available()),
        "cpu": native.absent,
        "reference": "",
    }
    if impl == "auto":
        wanted: Impl = (
            "cpu" if mx.default_device() == mx.Device(mx.cpu) else on_gpu or ("cuda" if reasons["metal"] else "metal")
        )
        return "reference" if reasons[wanted] else wanted
    if impl not in reasons:
        names = ", ".join(f'"{name}"' for name in reasons)
        raise ImplError(f'{op}: impl is {impl!r}, expected "auto", {names}.')
    if reasons[impl]:
        raise ImplError(f'{op}: impl="{impl}" cannot run: {reasons[impl]}. Use impl="auto" or impl="reference".')
    return impl


def _no_gpu(name: str, kernel: bool, available: bool) -> str:
    if not kernel:
        return f"no {name} kernel yet"
    return "" if available else f"no {name} device here"


def check_shape(op: str, name: str, array: mx.array, expected: tuple[int, ...]) -> None:
    """Raise ``ValueError`` unless ``array`` has the expected shape."""
    if array.shape != expected:
        raise ValueError(f"{op}: {name} has shape {array.shape}, expected {expected}.")


def check_floating(op: str, **arrays: mx.array | None) -> None:
    """Raise ``ValueError`` unless every array given is float32, float16 or bfloat16."""
    for name, array in arrays.items():
        if array is not None and array.dtype not in (mx.float32, mx.float16, mx.bfloat16):
            raise ValueError(f"{op}: {name} has dtype {array.dtype}, expected float32, float16 or bfloat16.")
