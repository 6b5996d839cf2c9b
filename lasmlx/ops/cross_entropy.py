"""Cross-entropy of logits against class numbers."""

from __future__ import annotations

import mlx.core as mx

from lasmlx.ops import native
from lasmlx.ops.dispatch import Impl, check_floating, check_shape, choose


def cross_entropy(logits: mx.array, targets: mx.array, *, impl: Impl = "auto") -> mx.array:
    """``loss = log(sum_j exp(logits_j)) - logits_target``, in nats, one a target.

    Args:
        logits: (..., classes).
        targets: integers in 0 .. classes - 1, (...).

    Returns:
        The losses, (...), float32. A target out of range gives NaN on the CPU primitive and is undefined elsewhere.

    Raises:
        ValueError: a shape or dtype is not as above.

    Error: 2e-6 of the largest loss in float32, and the rounding of the largest logit
    (``tests/ops/test_cross_entropy.py``).
    """
    if logits.ndim < 1 or logits.size == 0:
        raise ValueError(f"cross_entropy: logits has shape {logits.shape}, expected (..., classes) and not empty.")
    check_shape("cross_entropy", "targets", targets, logits.shape[:-1])
    check_floating("cross_entropy", logits=logits)
    if not mx.issubdtype(targets.dtype, mx.integer):
        raise ValueError(f"cross_entropy: targets has dtype {targets.dtype}, expected integers.")
    if choose("cross_entropy", impl) == "cpu":
        return native.module.cross_entropy(logits, targets)
    logits = logits.astype(mx.float32)
    picked = mx.take_along_axis(logits, targets[..., None].astype(mx.int32), axis=-1).squeeze(-1)
    return mx.logsumexp(logits, axis=-1) - picked
