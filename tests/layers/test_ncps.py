"""The cells against ncps 1.0.1: outputs, last state and every gradient; see ``fixtures/make_ncps.py``."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_unflatten

from lasmlx.layers.cfc import CfCCell, WiredCfCCell
from lasmlx.layers.liquid import LTCCell
from lasmlx.layers.sequence import MixedMemory, MixedMemoryState
from lasmlx.layers.wiring import Explicit, NeuronLayer

FOLDER = Path(__file__).parent / "fixtures" / "ncps"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))
TOLERANCE = 1e-5  # of the largest value of each array


def wiring_of(arrays: dict[str, Any]) -> Explicit:
    """ncps numbers the last layer first."""
    counts = [int(n) for n in arrays["layers"]]
    ends = np.cumsum(counts[::-1])[::-1].tolist()
    layers = tuple(NeuronLayer(f"layer {i}", end - n, end) for i, (n, end) in enumerate(zip(counts, ends, strict=True)))
    outputs = counts[-1]
    return Explicit(arrays["sensory"], arrays["recurrent"], outputs, layers)


def make(name: str, arrays: dict[str, Any]) -> nn.Module:
    kind, _, rest = name.partition("_")
    if kind == "wired":
        return WiredCfCCell(wiring_of(arrays), mode=rest.removeprefix("cfc_"))
    if kind == "cfc":
        mixed = rest == "mixed"
        cell = CfCCell(3, 5, mode="default" if mixed else rest, units=7, layers=1 if mixed else 2)
    else:
        mixed, cell = rest == "mixed", LTCCell(wiring_of(arrays))
    return MixedMemory(3, cell) if mixed else cell


def ours(weights: dict[str, Any]) -> dict[str, Any]:
    """Arrays under ncps' names to arrays under ours: the head's four matrices lie on top of each other."""
    renamed: dict[str, Any] = {}
    heads: dict[str, dict[str, Any]] = {}
    mixed = any(name.startswith("lstm") for name in weights)
    memory = {"lstm.input_map.weight": "W", "lstm.input_map.bias": "b", "lstm.recurrent_map.weight": "U"}
    for name, value in weights.items():
        if name in memory:
            renamed[memory[name]] = value
            continue
        path = name.removeprefix("rnn_cell.").replace("layer_", "layers.")
        path = f"cell.{path}" if mixed else path
        *parents, part, last = ["", *path.split(".")]
        prefix = "".join(f"{parent}." for parent in parents if parent)
        if part in ("ff1", "ff2", "time_a", "time_b"):
            heads.setdefault(f"{prefix}head.{last}", {})[part] = value
        elif last in ("w_tau", "A"):
            renamed[f"{prefix}{part + '.' if part else ''}head.{last}"] = value[0]
        elif part.isdigit():
            renamed[f"{prefix}{int(part) // 2}.{last}"] = value
        else:
            renamed[path] = value
    for name, parts in heads.items():
        renamed[name] = np.concatenate([parts[p] for p in ("ff1", "ff2", "time_a", "time_b") if p in parts])
    return renamed


def load(name: str) -> tuple[nn.Module, dict[str, Any], dict[str, Any]]:
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = dict(file)
    weights = {key.removeprefix("weight/"): v for key, v in arrays.items() if key.startswith("weight/")}
    cell = make(name, arrays)
    expected = {key: v.shape for key, v in tree_flatten(cell.parameters())}
    renamed = ours(weights)
    assert {key: v.shape for key, v in renamed.items()} == expected
    cell.update(tree_unflatten([(key, mx.array(v)) for key, v in renamed.items()]))
    return cell, arrays, weights


def split_like(flat: Any, weights: dict[str, Any]) -> dict[str, Any]:
    ends = np.cumsum([v.size for v in weights.values()])
    parts = np.split(flat, ends[:-1])
    return {name: part.reshape(v.shape) for (name, v), part in zip(weights.items(), parts, strict=True)}


def weighted(values: mx.array) -> mx.array:
    return (values * mx.cos(1 + mx.arange(values.size)).reshape(values.shape)).sum()


def check_close(name: str, actual: mx.array, expected: Any) -> None:
    values = np.array(actual)
    assert values.shape == expected.shape and np.isfinite(values).all(), name
    scale = max(np.abs(expected).max(), 1e-3)
    error = np.abs(values - expected).max() / scale
    assert error <= TOLERANCE, f"{name}: off by {error:.1e} of {scale:.3g}"


@pytest.mark.parametrize("time", ["regular", "irregular"])
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_ncps(name: str, time: str) -> None:
    cell, arrays, weights = load(name)
    x, dt = mx.array(arrays[f"{time}/x"]), mx.array(arrays[f"{time}/dt"])

    def run(x: mx.array) -> tuple[mx.array, tuple[mx.array, ...]]:
        y, state = cell(x, dt=dt)
        return y, tuple(state) if isinstance(state, MixedMemoryState) else (state,)

    def loss(parameters: Any, x: mx.array) -> mx.array:
        cell.update(parameters)
        y, states = run(x)
        return weighted(y) + sum(weighted(v) for v in states)

    y, states = run(x)
    check_close("y", y, arrays[f"{time}/y"])
    for i, value in enumerate(states):
        check_close(f"state {i}", value, arrays[f"{time}/state_{i}"])
    gradients, of_x = mx.grad(loss, argnums=(0, 1))(cell.trainable_parameters(), x)
    check_close("dx", of_x, arrays[f"{time}/grad_x"])
    expected = ours(split_like(arrays[f"{time}/grad"], weights))
    for key, gradient in tree_flatten(gradients):
        check_close(f"d{key}", gradient, expected[key])


def test_every_kind_of_cell_is_covered() -> None:
    assert len(NAMES) == 11
