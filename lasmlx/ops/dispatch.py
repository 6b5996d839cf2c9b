"""Which implementation of an op runs."""

from __future__ import annotations

from typing import Literal

import mlx.core as mx

from lasmlx.ops import native

Impl = Literal["auto", "metal", "cpu", "reference"]


class ImplError(ValueError):
    """The implementation asked for cannot run here."""


def choose(op: str, impl: Impl, *, on_gpu: Impl = "reference", kernel: bool = False) -> Impl:
    """Resolve ``impl`` for the default device.

    On a CPU ``auto`` takes the CPU primitive. On a GPU it takes ``on_gpu``: ``"reference"`` for what plain MLX does
    well there, ``"metal"`` for an op with a kernel, ``"cpu"`` for one whose kernel no Mac has run and whose reference
    is a loop over time (memory is shared, so the CPU primitive reads the GPU's arrays). What cannot run falls back to
    the reference.

    Args:
        op: the op's name, for the error.
        on_gpu: what ``auto`` means on a GPU.
        kernel: whether the op has a Metal kernel; ``on_gpu="metal"`` says so too.

    Raises:
        ImplError: ``impl`` is unknown or cannot run here.
    """
    no_kernel = "" if kernel or on_gpu == "metal" else "no Metal kernel yet"
    no_metal = no_kernel or ("" if mx.metal.is_available() else "no Metal device here")
    reasons: dict[Impl, str] = {"metal": no_metal, "cpu": native.absent, "reference": ""}
    if impl == "auto":
        wanted = "cpu" if mx.default_device() == mx.Device(mx.cpu) else on_gpu
        return "reference" if reasons[wanted] else wanted
    if impl not in reasons:
        raise ImplError(f'{op}: impl is {impl!r}, expected "auto", "metal", "cpu" or "reference".')
    if reasons[impl]:
        raise ImplError(f'{op}: impl="{impl}" cannot run: {reasons[impl]}. Use impl="auto" or impl="reference".')
    return impl


def check_shape(op: str, name: str, array: mx.array, expected: tuple[int, ...]) -> None:
    """Raise ``ValueError`` unless ``array`` has the expected shape."""
    if array.shape != expected:
        raise ValueError(f"{op}: {name} has shape {array.shape}, expected {expected}.")


def check_floating(op: str, **arrays: mx.array | None) -> None:
    """Raise ``ValueError`` unless every array given is float32, float16 or bfloat16."""
    for name, array in arrays.items():
        if array is not None and array.dtype not in (mx.float32, mx.float16, mx.bfloat16):
            raise ValueError(f"{op}: {name} has dtype {array.dtype}, expected float32, float16 or bfloat16.")
