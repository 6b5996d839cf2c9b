"""Pure differentiable maths: each op a reference, fast kernels and one dispatch."""

from lasmlx.ops.adamw import adamw
from lasmlx.ops.adaptive import Adaptive, SolverError
from lasmlx.ops.bspline import bspline_basis, bspline_linear
from lasmlx.ops.causal_conv1d import causal_conv1d
from lasmlx.ops.cfc_scan import cfc_scan
from lasmlx.ops.cross_entropy import cross_entropy
from lasmlx.ops.dispatch import Impl, ImplError
from lasmlx.ops.lif_scan import LIF, LIFState, Neurons, Reset, lif_scan
from lasmlx.ops.liquid_scan import BoundedTau, SoftTau, adaptive_liquid_scan, liquid_scan
from lasmlx.ops.ltc_scan import Leak, Synapses, adaptive_ltc_scan, ltc_scan
from lasmlx.ops.ode import Solver, Steps, steps_from_times, time_steps
from lasmlx.ops.plastic import Rule, plastic_scan
from lasmlx.ops.plastic_liquid import Plasticity, adaptive_plastic_liquid_scan, plastic_liquid_scan
from lasmlx.ops.rms_norm import rms_norm
from lasmlx.ops.selective_scan import selective_scan
from lasmlx.ops.surrogate import Surrogate, spike, surrogate_slope
from lasmlx.ops.time_step import bounded_time_step, softplus_time_step

__all__ = [
    "LIF",
    "Adaptive",
    "BoundedTau",
    "Impl",
    "ImplError",
    "LIFState",
    "Leak",
    "Neurons",
    "Plasticity",
    "Reset",
    "Rule",
    "SoftTau",
    "Solver",
    "SolverError",
    "Steps",
    "Surrogate",
    "Synapses",
    "adamw",
    "adaptive_liquid_scan",
    "adaptive_ltc_scan",
    "adaptive_plastic_liquid_scan",
    "bounded_time_step",
    "bspline_basis",
    "bspline_linear",
    "causal_conv1d",
    "cfc_scan",
    "cross_entropy",
    "lif_scan",
    "liquid_scan",
    "ltc_scan",
    "plastic_liquid_scan",
    "plastic_scan",
    "rms_norm",
    "selective_scan",
    "softplus_time_step",
    "spike",
    "steps_from_times",
    "surrogate_slope",
    "time_steps",
]
