"""A layer whose weights are functions: one spline for every pair of an input and an output."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from lasmlx.ops import bspline_metal, native
from lasmlx.ops.dispatch import Impl, check_floating, check_shape, choose

HIGHEST_DEGREE = 5


def bspline_linear(
    x: mx.array, C: mx.array, W: mx.array | None, knots: mx.array, *, degree: int = 3, impl: Impl = "auto"
) -> mx.array:
    """``y_j = sum_i (W_ji silu(x_i) + sum_k C_ikj B_ik(x_i))``, B as :func:`bspline_basis` has it.

    Only ``degree + 1`` functions are not zero at a point, so the kernels hold nothing of size (..., d, K): on a CPU and
    on a GPU ``auto`` takes them.

    Args:
        x: (..., d).
        C: coefficients, (d, K, out), K = number of knots - degree - 1.
        W: (out, d), or none.
        knots: (d, K + degree + 1), strictly increasing along each row, which is not checked; no gradient reaches them.
        degree: 0 to 5.
        impl: see :func:`lasmlx.ops.dispatch.choose`.

    Returns:
        y (..., out), in the dtype of ``x``; computed in float32. NaN where an input is not finite.

    Raises:
        ValueError: a shape, dtype or value is not as above; :class:`ImplError` for ``impl``.

    Error: 2e-6 of the largest value in float32, gradients 4e-6 (``tests/ops/test_bspline.py``).

    Source: Liu et al. 2024, KAN: Kolmogorov-Arnold networks, eqs. 2.10-2.12; B: de Boor 1978, A practical guide to
    splines, IX (14) and X (8).
    """
    op = "bspline_linear"
    _check(op, x, knots, degree)
    d, many = knots.shape
    if C.ndim != 3 or C.shape[:2] != (d, many - degree - 1) or C.shape[2] < 1:
        raise ValueError(
            f"{op}: C has shape {C.shape}, expected ({d}, {many - degree - 1}, out): "
            f"{many} knots - degree {degree} - 1 functions an input."
        )
    if W is not None:
        check_shape(op, "W", W, (C.shape[2], d))
    check_floating(op, C=C, W=W)
    knots = mx.stop_gradient(knots)
    chosen = choose(op, impl, kernel=True)
    if chosen == "metal" or chosen == "cuda":
        return bspline_metal.bspline_linear(x, C, W, knots, degree, chosen)
    if chosen == "cpu":
        return native.module.bspline_linear(x, C, W, knots, degree)
    return reference(x, C, W, knots, degree)


def reference(x: mx.array, C: mx.array, W: mx.array | None, knots: mx.array, degree: int) -> mx.array:
    """The definition: every function of every input, (..., d, K), and two products."""
    xf, Cf = x.astype(mx.float32), C.astype(mx.float32)
    B = _basis(xf, knots.astype(mx.float32), degree)
    y = B.reshape(*x.shape[:-1], -1) @ Cf.reshape(-1, C.shape[2])
    y = y if W is None else y + nn.silu(xf) @ W.astype(mx.float32).T
    return y.astype(x.dtype)


def bspline_basis(x: mx.array, knots: mx.array, degree: int = 3) -> mx.array:
    """``B_k(x) = (x - t_k) / (t_{k+p} - t_k) B_k,p-1(x) + (t_{k+p+1} - x) / (t_{k+p+1} - t_{k+1}) B_k+1,p-1(x)``.

    Of degree 0 ``B_k`` is 1 on ``[t_k, t_{k+1})`` and else 0: the last knot belongs to none. The functions add up to
    one between knot p and knot K, fade away towards the first and the last, and are zero beyond.

    Args:
        x: (..., d). knots: (d, K + degree + 1), strictly increasing along each row, which is not checked.
        degree: p, 0 to 5.

    Returns:
        B (..., d, K), float32.

    Raises:
        ValueError: a shape, dtype or value is not as above.

    Error: 1e-6 against scipy's BSpline (``tests/ops/test_bspline.py``).

    Source: de Boor 1978, A practical guide to splines, IX (14); the half-open intervals as in pykan 0.2.8.
    """
    _check("bspline_basis", x, knots, degree)
    return _basis(x.astype(mx.float32), mx.stop_gradient(knots).astype(mx.float32), degree)


def _basis(x: mx.array, t: mx.array, degree: int) -> mx.array:
    x = x[..., None]
    nothing = mx.stop_gradient(x - x)  # NaN where x is not finite
    B = mx.where(mx.logical_and(x >= t[:, :-1], x < t[:, 1:]), 1.0, nothing)
    for p in range(1, degree + 1):
        span = t[:, p:] - t[:, :-p]
        rise = (x - t[:, : -p - 1]) / span[:, :-1]
        fall = (t[:, p + 1 :] - x) / span[:, 1:]
        B = rise * B[..., :-1] + fall * B[..., 1:]
    return B


def _check(op: str, x: mx.array, knots: mx.array, degree: int) -> None:
    if degree not in range(HIGHEST_DEGREE + 1):
        raise ValueError(f"{op}: degree is {degree}, expected a whole number from 0 to {HIGHEST_DEGREE}.")
    if x.ndim < 1 or x.size == 0:
        raise ValueError(f"{op}: x has shape {x.shape}, expected (..., d) and not empty.")
    d = x.shape[-1]
    if knots.ndim != 2 or knots.shape[0] != d or knots.shape[1] < degree + 2:
        raise ValueError(
            f"{op}: knots has shape {knots.shape}, expected ({d}, K + {degree + 1}) with K at least 1, degree {degree}."
        )
    check_floating(op, x=x, knots=knots)
