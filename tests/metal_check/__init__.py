"""Checks Metal kernels for MLX on a machine without Metal: compiles them strictly, runs them thread by thread.

``metal_check.Kernel`` takes what mx.fast.metal_kernel takes; ``with metal_check.install():`` puts it in its place.
``metal_check.run_source`` runs a ``[[kernel]]`` function as it stands in a file.
A kernel that is wrong raises ``Fault``; without a compiler everything raises ``NoCompiler``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx

from .compiler import find_compiler as find_compiler
from .faults import Fault as Fault
from .faults import NoCompiler as NoCompiler
from .launch import Settings as Settings
from .raw import Output as Output
from .raw import run_source as run_source
from .runner import Kernel as Kernel

kernel = Kernel


@contextmanager
def settings(**values: Any) -> Iterator[None]:
    """Change how kernels run, for a while: ``with settings(order="random", fuzz=1.0, offset=1): ...``."""
    unknown = [name for name in values if not hasattr(Settings, name)]
    if unknown:
        raise ValueError(f"metal_check.settings: no setting {unknown[0]!r}.")
    before = {name: getattr(Settings, name) for name in values}
    try:
        for name, value in values.items():
            setattr(Settings, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(Settings, name, value)


@contextmanager
def install(**values: Any) -> Iterator[None]:
    """mx.fast.metal_kernel builds checked kernels inside the block; ``values`` as for ``settings``."""
    real = mx.fast.metal_kernel
    mx.fast.metal_kernel = Kernel  # type: ignore[assignment]
    try:
        with settings(**values):
            yield
    finally:
        mx.fast.metal_kernel = real
