"""The readable definition of a step in integers. NumPy, no floats; docs/chip.md says the same in words.

Every other realisation (the emulator, the exported C++ and HLS, the RTL) gives the bits that this one gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lasmlx.chip.chip_model import ChipModel
from lasmlx.chip.tables import EXP2_PIECES, ONE, SIGMOID_REACH

Ints = NDArray[np.int64]


@dataclass
class ChipState:
    """What a chip keeps between two bytes."""

    tail: Ints  # (layers, k - 1, e), the last inputs of the convolution, oldest first
    h: Ints  # (layers, e, n)
    random: NDArray[np.uint32]  # (layers, e), one generator a channel


def init_state(chip: ChipModel) -> ChipState:
    """The state before the first byte."""
    c = chip.config
    seeds = np.arange(1, c.layers * c.e + 1, dtype=np.uint32) * np.uint32(0x9E3779B9) ^ np.uint32(c.seed)
    random = np.where(seeds == 0, np.uint32(1), seeds).reshape(c.layers, c.e)
    return ChipState(np.zeros((c.layers, c.k - 1, c.e), np.int64), np.zeros((c.layers, c.e, c.n), np.int64), random)


def saturate(v: Ints, bits: int) -> Ints:
    """v within -2^(bits - 1) .. 2^(bits - 1) - 1."""
    return np.clip(v, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def scale(v: Ints, by: tuple[Ints, Ints]) -> Ints:
    """floor(v m / 2^s + 1/2), m and s of each channel."""
    m, s = by
    return (v * m + (1 << (s - 1))) >> s


def sigmoid(v: Ints, table: Ints, fraction: int) -> Ints:
    """0 .. 65536 for v in 2^-fraction; symmetric, so the table holds v >= 0."""
    a = np.minimum(np.abs(v), (SIGMOID_REACH << fraction) - 1)
    piece = fraction - 4  # a piece is 1/16 wide
    i, r = a >> piece, a & ((1 << piece) - 1)
    p = table[i] + ((table[i + 1] - table[i]) * r >> piece)
    return np.where(v < 0, ONE - p, p)


def silu(v: Ints, table: Ints, fraction: int) -> Ints:
    """v sigmoid(v), rounded."""
    return (v * sigmoid(v, table, fraction) + ONE // 2) >> 16


def block(t: Ints, bits: int) -> tuple[Ints, int]:
    """Lanes as activations with one shared exponent: t is about q 2^e, e as small as the largest of t allows."""
    e = max(0, int(np.abs(t).max()).bit_length() - (bits - 1))
    return saturate((t + (1 << e >> 1)) >> e, bits), e


def exp2(exponent: Ints, table: Ints) -> Ints:
    """65536 * 2^(-exponent / 65536)."""
    i, r = (exponent >> 10) & (EXP2_PIECES - 1), exponent & 1023
    return (table[i] - ((table[i] - table[i + 1]) * r >> 10)) >> np.minimum(exponent >> 16, 31)


def direction(u: Ints, eps: int, table: Ints, right: int, fraction: int) -> Ints:
    """u / sqrt(sum u^2 + eps), in 2^-fraction."""
    power = int(((u >> right) ** 2).sum()) + eps
    e = (power.bit_length() - 1) // 2  # 4^e <= power < 4^(e + 1)
    m = power << 30 >> 2 * e  # in 2^30 .. 2^32
    i, r = (m >> 24) - 64, m >> 8 & 0xFFFF
    p = int(table[i]) - (int(table[i] - table[i + 1]) * r >> 16)  # 2^16 2^e / sqrt(power)
    return u * p >> (e + right + 16 - fraction)


def step(chip: ChipModel, state: ChipState, byte: int) -> tuple[Ints, ChipState]:
    """Logits (256,) of the byte after ``byte``, in 2^-logit_fraction, and the state after it."""
    new = ChipState(state.tail.copy(), state.h.copy(), state.random.copy())
    return logits_of(chip, residuals(chip, new, byte)[-1]), new


def residuals(chip: ChipModel, state: ChipState, byte: int) -> list[Ints]:
    """u (d,) after each layer; ``state`` moves on."""
    seen = [chip.embedding[byte] << chip.config.embedding_shift]
    for i in range(chip.config.layers):
        seen.append(saturate(seen[-1] + layer_step(chip, i, seen[-1], state), chip.system.lane))
    return seen[1:]


def logits_of(chip: ChipModel, u: Ints) -> Ints:
    """Logits (256,) from u after the last layer."""
    return saturate(scale(chip.head.weight @ norm(chip, u, chip.norm), chip.head.scale), chip.system.lane)


def trace(chip: ChipModel, data: bytes) -> Ints:
    """Logits (len(data), 256) after each byte of ``data``, from the first state on."""
    state, rows = init_state(chip), np.empty((len(data), 256), np.int64)
    for i, byte in enumerate(data):
        rows[i], state = step(chip, state, byte)
    return rows


def norm(chip: ChipModel, u: Ints, by: tuple[Ints, Ints]) -> Ints:
    """Activations of the width of u: its direction, scaled a channel."""
    w = chip.system
    t = direction(u, chip.config.eps, chip.tables.rsqrt, w.norm_right, w.norm_fraction)
    return saturate(scale(t, by), w.activation)


def layer_step(chip: ChipModel, index: int, u: Ints, state: ChipState) -> Ints:
    """What layer ``index`` adds to u; its part of ``state`` moves on."""
    c, w, table, layer = chip.config, chip.system, chip.tables, chip.layers[index]
    xz = scale(layer.in_proj.weight @ norm(chip, u, layer.norm), layer.in_proj.scale)
    x, z = saturate(xz[: c.e], w.activation), saturate(xz[c.e :], w.lane)
    window = np.concatenate([state.tail[index], x[None]])  # (k, e)
    state.tail[index] = window[1:]
    v = saturate(scale((layer.conv * window.T).sum(1) + layer.conv_bias, layer.conv_scale), w.lane)
    s = silu(v, table.sigmoid, w.fraction)
    mixed = scale(layer.x_proj.weight @ saturate(scale(s, layer.x_scale), w.activation), layer.x_proj.scale)
    low, B, C = np.split(mixed, [c.rank, c.rank + c.n])
    B, C = saturate(B, w.mix), saturate(C, w.mix)
    q, e = block(saturate(low, w.lane), w.activation)
    p = (layer.dt_proj.weight @ q << e) + layer.dt_bias
    p = saturate(scale(p, layer.dt_proj.scale), w.lane)
    dt = c.dt_min + (c.dt_range * sigmoid(p, table.sigmoid, w.fraction) >> 16)
    drive = saturate(scale(dt * s, layer.drive_scale), w.drive)
    h = scan(chip, layer.A, dt, drive, B, state, index)
    read = ((h >> w.read_right) * C).sum(1)
    y = saturate(scale(read, layer.read_scale) + scale(s, layer.skip_scale), w.lane)
    gated = saturate(scale(y * silu(z, table.sigmoid, w.fraction), layer.gate_scale), w.lane)
    q, e = block(gated, w.activation)
    return scale(layer.out_proj.weight @ q << e, layer.out_proj.scale)


def scan(chip: ChipModel, A: Ints, dt: Ints, drive: Ints, B: Ints, state: ChipState, index: int) -> Ints:
    """h (e, n) after ``substeps`` times ``h = decay h + drive B``."""
    c, w = chip.config, chip.system
    exponent = dt[:, None] * A >> c.decay_shift  # 1/65536 of a halving, or of a nat for euler
    decay = exp2(exponent, chip.tables.exp2) if c.decay == "table" else np.maximum(ONE - exponent, 0)
    fed = drive[:, None] * B << w.drive_left >> w.drive_right
    h = state.h[index]
    for j in range(c.n):
        for _ in range(c.substeps):
            h[:, j] = keep(chip, ((decay[:, j] * h[:, j] + ONE // 2) >> 16) + fed[:, j], state.random[index])
    return h


def keep(chip: ChipModel, h: Ints, random: NDArray[np.uint32]) -> Ints:
    """h as it is stored: its low bits rounded off, its range kept."""
    drop, top = chip.system.state - chip.config.state_bits, 1 << (chip.system.state - 1)
    if drop and chip.config.rounding == "stochastic":
        random[:] = xorshift(random)
        h = h + (random >> np.uint32(32 - drop)).astype(np.int64)
    elif drop:
        h = h + (1 << (drop - 1))
    return np.clip(h >> drop << drop, -top, top - (1 << drop))


def xorshift(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A linear-feedback shift register of 32 bits that moves by 32 bits at once (Marsaglia 2003)."""
    x = x ^ x << np.uint32(13)
    x = x ^ x >> np.uint32(17)
    return x ^ x << np.uint32(5)
