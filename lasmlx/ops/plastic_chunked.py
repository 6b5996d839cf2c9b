"""The plastic scan where it is linear in its trace: matrix products over blocks of elements."""

from __future__ import annotations

import mlx.core as mx

CHUNK = 64  # elements a block
LEAST_ON_CPU = 256 * 256  # synapses a head from which blocks of hebb take less time than the kernel
LEAST_ON_GPU = 32  # outputs and inputs of a head from which a GPU's matrix units have work; not measured


def chunk_for(rule: str, u_shape: tuple[int, ...], n: int) -> int:
    """Elements a block on the default device, or 0 where going element after element is faster.

    On a CPU (``las bench plastic``) the kernel, which never leaves the nearest cache, is ahead but for hebb in large
    traces: blocks take 0.8 of its time at 256 x 256 and 0.7 at 512 x 512; those of delta twice and 0.9 of it.
    """
    _, t, _, m = u_shape
    if mx.default_device() == mx.Device(mx.cpu):
        worth = rule == "hebb" and m * n >= LEAST_ON_CPU
    else:
        worth = min(m, n) >= LEAST_ON_GPU
    return CHUNK if worth and t >= CHUNK else 0


def plastic_chunked(
    u: mx.array,
    x: mx.array,
    alpha: mx.array,
    H0: mx.array | None,
    rate: mx.array,
    keep: mx.array,
    rule: str,
    key: mx.array,
    target: mx.array,
    chunk: int,
) -> tuple[mx.array, mx.array]:
    """:func:`lasmlx.ops.plastic.plastic_scan` with a target, an alpha (g, m, 1) and hebb or delta; float32.

    Inside a block that begins with the trace H, with ``c_i`` the product of keep up to element i: what is written is
    ``e_i = p_i - c_i H k_i - sum_{s<i} c_i / c_s rate_s (k_s . k_i) e_s`` for delta, a triangular system, and
    ``e_i = p_i`` for hebb; ``y_i = u_i + alpha (c_{i-1} H x_i + sum_{s<i} c_{i-1} / c_s rate_s (k_s . x_i) e_s)``.

    Source: Yang et al. 2024, Parallelizing linear transformers with the delta rule, section 3.2, with decays.
    """
    b, t, g, m = u.shape
    H = mx.zeros((b, g, m, x.shape[3])) if H0 is None else H0.astype(mx.float32)
    gain = alpha.astype(mx.float32)[..., 0][:, None]  # (g, 1, m)
    arrays = [v.astype(mx.float32).swapaxes(1, 2) for v in (u, x, key, target, rate[..., None], keep[..., None])]
    outputs = []
    for start in range(0, t, chunk):
        uc, xc, kc, pc, rc, lc = (v[:, :, start : start + chunk] for v in arrays)  # (b, g, c, .)
        logs = mx.cumsum(mx.log(lc), 2)  # (b, g, c, 1)
        c, before = mx.exp(logs), mx.exp(logs - mx.log(lc))
        wrote = pc
        if rule == "delta":
            system = _below(kc @ kc.swapaxes(-1, -2), logs, logs) * rc.swapaxes(-1, -2)
            wrote = _inverse_of_one_plus(system) @ (pc - c * (kc @ H.swapaxes(-1, -2)))
        wrote = rc * wrote
        seen = _below(xc @ kc.swapaxes(-1, -2), logs - mx.log(lc), logs)
        outputs.append(uc + gain * (before * (xc @ H.swapaxes(-1, -2)) + seen @ wrote))
        left = mx.exp(logs[:, :, -1:] - logs)
        H = c[:, :, -1:] * H + (left * wrote).swapaxes(-1, -2) @ kc
    return mx.concatenate(outputs, 2).swapaxes(1, 2), H


def _below(scores: mx.array, row_logs: mx.array, column_logs: mx.array) -> mx.array:
    """Strictly below the diagonal ``scores exp(row - column)``, zero elsewhere, with no overflow above it."""
    size = scores.shape[-1]
    below = mx.arange(size)[:, None] > mx.arange(size)
    return mx.where(below, scores * mx.exp(mx.where(below, row_logs - column_logs.swapaxes(-1, -2), 0.0)), 0.0)


def _inverse_of_one_plus(lower: mx.array) -> mx.array:
    """``(1 + L)^-1`` of a strictly lower triangular L (..., c, c): inverses of diagonal blocks, merged two and two."""
    size = lower.shape[-1]
    if size == 1:
        return mx.ones_like(lower)
    half = size // 2
    first, second = _inverse_of_one_plus(lower[..., :half, :half]), _inverse_of_one_plus(lower[..., half:, half:])
    corner = -(second @ lower[..., half:, :half] @ first)
    upper = mx.zeros((*corner.shape[:-2], half, size - half))
    return mx.concatenate([mx.concatenate([first, upper], -1), mx.concatenate([corner, second], -1)], -2)
