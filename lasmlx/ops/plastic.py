"""Fast weights: synapses that a rule changes at every element, and what they pass on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import mlx.core as mx

from lasmlx.ops import native, plastic_metal
from lasmlx.ops.dispatch import Impl, check_floating, check_shape, choose
from lasmlx.ops.plastic_chunked import chunk_for, plastic_chunked

Rule = Literal["hebb", "oja", "delta"]


def hebb(H: mx.array, k: mx.array, p: mx.array, rate: mx.array, keep: mx.array) -> mx.array:
    """``keep H + rate p k^T``: what fires together wires together, and fades.

    Args:
        H: the trace, (..., m, n). k: activity before the synapse, (..., n). p: behind it, (..., m).
        rate, keep: (...).

    Source: Miconi, Clune & Stanley 2018, Differentiable plasticity, eq. 2.
    """
    return _over(keep) * H + _over(rate) * _outer(p, k)


def oja(H: mx.array, k: mx.array, p: mx.array, rate: mx.array, keep: mx.array) -> mx.array:
    """``keep H_ij + rate p_i (k_j - p_i H_ij)``: the second term forgets where the unit is active.

    Source: Oja 1982, A simplified neuron model, eq. 3; Miconi, Clune & Stanley 2018, eq. 3.
    """
    p = p[..., None]
    return _over(keep) * H + _over(rate) * p * (k[..., None, :] - p * H)


def delta(H: mx.array, k: mx.array, p: mx.array, rate: mx.array, keep: mx.array) -> mx.array:
    """``keep H + rate (p - keep H k) k^T``: only what the trace gets wrong is written, so a key can be overwritten.

    Source: Widrow & Hoff 1960; Schlag, Irie & Schmidhuber 2021, Linear transformers are secretly fast weight
    programmers, eq. 24; with a decay: Yang, Kautz & Hatamizadeh 2024, Gated delta networks, eq. 10.
    """
    kept = _over(keep) * H
    return kept + _over(rate) * _outer(p - _product(kept, k), k)


RULES: dict[Rule, Callable[..., mx.array]] = {"hebb": hebb, "oja": oja, "delta": delta}


def plastic_scan(
    u: mx.array,
    x: mx.array,
    alpha: mx.array,
    H0: mx.array | None = None,
    *,
    rate: mx.array,
    keep: mx.array,
    rule: Rule = "hebb",
    key: mx.array | None = None,
    target: mx.array | None = None,
    chunk: int | None = None,
    impl: Impl = "auto",
) -> tuple[mx.array, mx.array]:
    """``y_t = u_t + (alpha * H_{t-1}) x_t``, ``H_t = rule(H_{t-1}, key_t, p_t)``, one trace H a sequence and head.

    ``p = target`` where one is given, else ``tanh(y)``. Where every ``|key| <= 1``, ``|p| <= 1`` and
    ``keep = 1 - c rate`` with ``0 < c <= 1/2`` and ``rate <= 1``, each rule keeps ``|H_t| <= max(|H_0|, sqrt(m) / c)``
    (Frobenius).

    Args:
        u: what the fixed synapses pass on, (b, t, g, m): g heads with traces of their own.
        x: what is read with, (b, t, g, n).
        alpha: how plastic each synapse is, (g, m, n), or a number an output, (g, m, 1).
        H0: the trace before the first element, (b, g, m, n), zeros if absent.
        rate, keep: of the rule, (b, t, g).
        rule: see :func:`hebb`, :func:`oja`, :func:`delta`.
        key: what is written with, (b, t, g, n); x if absent.
        target: what is written, (b, t, g, m).
        chunk: elements a block of the chunked form, in which a target, an alpha (g, m, 1) and hebb or delta are
            matrix products; it needs ``keep > 0``. 0: element after element; None: by the shape.
        impl: see :func:`lasmlx.ops.dispatch.choose`.

    Returns:
        y (b, t, g, m) in the dtype of ``u``; the last trace (b, g, m, n) in float32.

    Raises:
        ValueError: a shape, a dtype, ``rule`` or ``chunk`` is not as above; :class:`ImplError` for ``impl``.

    Kernels keep the trace every few elements and compute those in between again on the way back.

    Error: kernels and chunks against the reference, 2e-6 of the largest value, gradients 1e-5
    (``tests/ops/test_plastic.py``).
    """
    _check(u, x, alpha, H0, rate, keep, rule, key, target)
    linear = target is not None and rule != "oja" and alpha.shape[2] == 1
    if chunk is not None and (chunk < 0 or (chunk and not linear)):
        raise ValueError(
            f"plastic_scan: chunk is {chunk}, expected 0, or more for hebb or delta with a target and alpha (g, m, 1)."
        )
    size = chunk_for(rule, u.shape, x.shape[3]) if chunk is None and linear and impl == "auto" else chunk
    if size and target is not None:
        y, last = plastic_chunked(u, x, alpha, H0, rate, keep, rule, x if key is None else key, target, size)
        return y.astype(u.dtype), last
    chosen = choose("plastic_scan", impl, kernel=True, on_gpu=None if plastic_metal.takes(x.shape[3]) else "cpu")
    if chosen == "reference":
        return reference(u, x, alpha, H0, rate, keep, rule, key, target)
    if chosen == "metal" or chosen == "cuda":
        y, last = plastic_metal.plastic_scan(u, x, alpha, H0, rate, keep, rule, key, target, chosen)
    else:
        scan: Any = native.module.plastic_scan
        y, last = scan(u, x, mx.broadcast_to(alpha, (*alpha.shape[:2], x.shape[3])), H0, rate, keep, key, target, rule)
    return y.astype(u.dtype), last


def reference(
    u: mx.array,
    x: mx.array,
    alpha: mx.array,
    H0: mx.array | None,
    rate: mx.array,
    keep: mx.array,
    rule: Rule,
    key: mx.array | None,
    target: mx.array | None,
) -> tuple[mx.array, mx.array]:
    """The definition: a loop over time in float32."""
    b, t, g, m = u.shape
    uf, xf, alphaf, ratef, keepf = (v.astype(mx.float32) for v in (u, x, alpha, rate, keep))
    kf = xf if key is None else key.astype(mx.float32)
    H = mx.zeros((b, g, m, x.shape[3])) if H0 is None else H0.astype(mx.float32)
    outputs = []
    for i in range(t):
        y = uf[:, i] + _product(alphaf * H, xf[:, i])
        p = mx.tanh(y) if target is None else target[:, i].astype(mx.float32)
        H = RULES[rule](H, kf[:, i], p, ratef[:, i], keepf[:, i])
        outputs.append(y)
    return mx.stack(outputs, 1).astype(u.dtype), H


def _over(a: mx.array) -> mx.array:
    return a[..., None, None]


def _outer(p: mx.array, k: mx.array) -> mx.array:
    return p[..., None] * k[..., None, :]


def _product(H: mx.array, k: mx.array) -> mx.array:
    return (H * k[..., None, :]).sum(-1)


def check_rule(op: str, rule: str) -> None:
    """Raise ``ValueError`` unless it is one of them."""
    if rule not in get_args(Rule):
        raise ValueError(f"{op}: rule is {rule!r}, expected one of {', '.join(get_args(Rule))}.")


def _check(
    u: mx.array,
    x: mx.array,
    alpha: mx.array,
    H0: mx.array | None,
    rate: mx.array,
    keep: mx.array,
    rule: Rule,
    key: mx.array | None,
    target: mx.array | None,
) -> None:
    op = "plastic_scan"
    check_rule(op, rule)
    if u.ndim != 4 or 0 in u.shape:
        raise ValueError(f"{op}: u has shape {u.shape}, expected (b, t, g, m) and not empty.")
    if x.ndim != 4 or x.shape[:3] != u.shape[:3] or not x.shape[3]:
        raise ValueError(f"{op}: x has shape {x.shape}, expected {(*u.shape[:3], 'n')}.")
    b, t, g, m = u.shape
    n = x.shape[3]
    if alpha.shape not in ((g, m, n), (g, m, 1)):
        raise ValueError(f"{op}: alpha has shape {alpha.shape}, expected {(g, m, n)} or {(g, m, 1)}.")
    expected = {"H0": (H0, (b, g, m, n)), "rate": (rate, (b, t, g)), "keep": (keep, (b, t, g))}
    expected |= {"key": (key, x.shape), "target": (target, u.shape)}
    for name, (array, shape) in expected.items():
        if array is not None:
            check_shape(op, name, array, shape)
    check_floating(op, u=u, x=x, alpha=alpha, H0=H0, rate=rate, keep=keep, key=key, target=target)
