"""Does plasticity help? The same questions to models with and without it, several seeds, intervals."""

from lasmlx.benchmark.plasticity.arms import ARMS, MAIN, Arm, make_arms
from lasmlx.benchmark.plasticity.run import TASKS, Plan, Score, measure_plasticity
from lasmlx.benchmark.statistics import Interval, interval

__all__ = ["ARMS", "MAIN", "TASKS", "Arm", "Interval", "Plan", "Score", "interval", "make_arms", "measure_plasticity"]
