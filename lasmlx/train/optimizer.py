"""AdamW with clipping inside, so that a step reads and writes every parameter once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim

from lasmlx.models.tree import flat
from lasmlx.ops import adamw
from lasmlx.train.config import TrainConfig


class AdamW(optim.Optimizer):
    """AdamW on gradients scaled to a global norm of at most ``max_norm``; see :func:`lasmlx.ops.adamw`.

    Weight decay is for arrays of two axes or more; vectors (norms, biases, D) keep their size.
    """

    def __init__(
        self,
        learning_rate: float | Callable[[mx.array], mx.array],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        max_norm: float = float("inf"),
    ) -> None:
        super().__init__()
        self._maybe_schedule("learning_rate", learning_rate)
        self.betas, self.eps, self.weight_decay, self.max_norm = betas, eps, weight_decay, max_norm
        self.state["grad_norm"] = mx.zeros(())

    def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None:
        """Moments of zero."""
        state["m"] = mx.zeros_like(parameter)
        state["v"] = mx.zeros_like(parameter)

    def apply_gradients(self, gradients: Any, parameters: Any) -> Any:
        """The parameters after one step."""
        norm = global_norm(gradients)
        self.state["grad_norm"] = norm
        self._scale = mx.minimum(1.0, self.max_norm / (norm + 1e-6))
        return super().apply_gradients(gradients, parameters)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
        """One parameter after one step."""
        b1, b2 = self.betas
        step = self.step.astype(mx.float32)
        parameter, state["m"], state["v"] = adamw(
            parameter,
            gradient,
            state["m"],
            state["v"],
            lr=self.learning_rate,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay if parameter.ndim >= 2 else 0.0,
            scale=self._scale,
            bias_correction=mx.sqrt(1 - b2**step) / (1 - b1**step),
        )
        return parameter


def global_norm(tree: Any) -> mx.array:
    """``sqrt(sum of squares)`` over all arrays; the sums are inner products, which a BLAS does at memory speed."""
    vectors = [v.reshape(-1) for v in flat(tree).values()]
    return mx.sqrt(sum((v[None] @ v[:, None] for v in vectors), mx.zeros(())).reshape(()))


def schedule(config: TrainConfig) -> Callable[[mx.array], mx.array]:
    """The learning rate of step i = 0, 1, ...: linear from lr / warmup to lr, then a cosine to final_lr lr."""
    warmup = min(config.warmup, max(config.steps - 1, 0))
    low = config.lr * config.final_lr

    def rate(step: mx.array) -> mx.array:
        done = mx.minimum(mx.maximum(step - warmup, 0) / max(config.steps - 1 - warmup, 1), 1.0)
        cosine = low + (config.lr - low) * 0.5 * (1 + mx.cos(mx.pi * done))
        return mx.where(step < warmup, config.lr * (step + 1) / max(warmup, 1), cosine)

    return rate
