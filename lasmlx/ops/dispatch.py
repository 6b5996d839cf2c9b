"""Which implementation of an op runs."""

from __future__ import annotations

from typing import Literal

import mlx.core as mx

from lasmlx.ops import native

Impl = Literal["auto", "metal", "cpu", "reference"]


class ImplError(ValueError):
    """The implementation asked for cannot run here."""


def available(*, metal: bool = False) -> dict[Impl, str]:
    """Each implementation an op could have, with the reason why it cannot run here ("" where it can)."""
    no_metal = (
        "" if metal and mx.metal.is_available() else "no Metal kernel yet" if not metal else "no Metal device here"
    )
    return {"metal": no_metal, "cpu": native.absent, "reference": ""}


def choose(op: str, impl: Impl, *, metal: bool = False) -> Impl:
    """Resolve ``impl`` for the default device.

    ``auto`` takes the CPU primitive on a CPU, the Metal kernel on a GPU that has one, the reference otherwise.

    Args:
        op: the op's name, for the error.
        metal: whether the op has a Metal kernel.

    Raises:
        ImplError: ``impl`` is unknown or cannot run here.
    """
    reasons = available(metal=metal)
    on_cpu = mx.default_device() == mx.Device(mx.cpu)
    if impl == "auto":
        wanted: Impl = "cpu" if on_cpu else "metal"
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
