"""Pure differentiable maths: each op a reference, fast kernels and one dispatch."""

from lasmlx.ops.adamw import adamw
from lasmlx.ops.causal_conv1d import causal_conv1d
from lasmlx.ops.cross_entropy import cross_entropy
from lasmlx.ops.dispatch import Impl, ImplError
from lasmlx.ops.rms_norm import rms_norm
from lasmlx.ops.selective_scan import selective_scan
from lasmlx.ops.time_step import bounded_time_step, softplus_time_step

__all__ = [
    "Impl",
    "ImplError",
    "adamw",
    "bounded_time_step",
    "causal_conv1d",
    "cross_entropy",
    "rms_norm",
    "selective_scan",
    "softplus_time_step",
]
