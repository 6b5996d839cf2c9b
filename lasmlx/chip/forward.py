"""The forward pass of a ``las`` model with a tap at every tensor that a chip rounds."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx

from lasmlx.layers import Mamba, MambaState
from lasmlx.models.byte_model import ByteState
from lasmlx.models.las import LAS
from lasmlx.ops import causal_conv1d, selective_scan

Tap = Callable[[str, mx.array], mx.array]
"""(name, tensor) to the tensor to go on with. Names are those of docs/chip.md, "layers.0.gate" and so on."""


def forward(model: LAS, x: mx.array, state: ByteState, tap: Tap) -> tuple[mx.array, ByteState]:
    """Logits (b, t, 256) and the state after x (b, t), as ``model(x, state)``, through ``tap``."""
    u = tap("embedding", model.embedding.table())[x]
    after = []
    for i, (block, past) in enumerate(zip(model.blocks, state, strict=True)):
        added, past = _mixer(block.mixer, block.norm(u), past, _within(tap, f"layers.{i}."))
        u = tap("u", u + added)
        after.append(past)
    return tap("norm", model.norm(u)) @ tap("head.weight", model.head_weight()).T, after


def _within(tap: Tap, layer: str) -> Tap:
    return lambda name, x: tap(layer + name, x)


def _mixer(m: Mamba, u: mx.array, state: MambaState, tap: Tap) -> tuple[mx.array, MambaState]:
    tail, h = state
    n, rank = m.A_log.shape[1], m.dt_proj.weight.shape[1]
    x, z = mx.split(tap("norm", u) @ tap("in_proj.weight", m.in_proj.weight).T, 2, axis=-1)
    x, tail = causal_conv1d(tap("conv", x), tap("conv.weight", m.conv.weight), m.conv.bias, tail, activation="silu")
    low, B, C = mx.split(tap("x", x) @ tap("x_proj.weight", m.x_proj.weight).T, [rank, rank + n], axis=-1)
    dt = _time_step(m, tap("low", low), tap("dt_proj.weight", m.dt_proj.weight))
    tap("drive", dt * x / min(m._substeps, 1e9))
    y, h = selective_scan(x, dt, -mx.exp(m.A_log), tap("B", B), tap("C", C), m.D, None, h, substeps=m._substeps)
    tap("h", h)
    gated = tap("gate", tap("y", y) * (z * mx.sigmoid(z)))
    return gated @ tap("out_proj.weight", m.out_proj.weight).T, MambaState(tail, h)


def _time_step(m: Mamba, low: mx.array, weight: mx.array) -> mx.array:
    dt_min, dt_max = m.dt_proj._bounds
    return dt_min + (dt_max - dt_min) * mx.sigmoid(low @ weight.T + m.dt_proj.bias)
