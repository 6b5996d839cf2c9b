"""What is compared: one model with its rule taken away, exchanged, moved, or paid for in fixed synapses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from lasmlx.models import make_model
from lasmlx.models.plastic_lm import PlasticLMConfig

ARMS: dict[str, dict[str, Any]] = {
    "off": {"rule": "none"},
    "static": {"rule": "none"},  # wider, see make_arms
    "hebb": {"rule": "hebb"},
    "oja": {"rule": "oja"},
    "delta": {"rule": "delta"},
    "off-deep": {"rule": "none", "deep": 2},
    "delta-deep": {"rule": "delta", "deep": 2},
    "delta-mapped": {"rule": "delta", "rank": 64},
    "hebb-at-once": {"rule": "hebb", "lag": 0},
    "delta-at-once": {"rule": "delta", "lag": 0},
    "hebb-in-drive": {"rule": "hebb", "lag": 0, "place": "drive", "update": "substep"},
    "delta-in-drive": {"rule": "delta", "lag": 1, "place": "drive"},
}
MAIN = ("off", "static", "hebb", "oja", "delta")


@dataclass(frozen=True)
class Arm:
    """A model to train."""

    name: str
    config: PlasticLMConfig
    parameters: int


def make_arms(base: PlasticLMConfig, names: tuple[str, ...] = MAIN) -> list[Arm]:
    """The arms of these names. ``static`` has the width at which its parameters come nearest to those of ``delta``.

    Raises:
        ValueError: a name is unknown.
    """
    unknown = [name for name in names if name not in ARMS]
    if unknown:
        raise ValueError(f"eval plasticity: arm {unknown[0]!r} is unknown, expected some of {', '.join(ARMS)}.")
    made = []
    for name in names:
        config = replace(base, **ARMS[name])
        if name == "static":
            config = _as_large_as(replace(base, rule="delta"), config)
        made.append(Arm(name, config, make_model(config).size))
    return made


def _as_large_as(plastic: PlasticLMConfig, fixed: PlasticLMConfig) -> PlasticLMConfig:
    wanted = make_model(plastic).size
    widths = [replace(fixed, heads=1, d=d) for d in range(fixed.d, fixed.d + fixed.d // 4 + 2, 2)]
    return min(widths, key=lambda config: abs(make_model(config).size - wanted))
