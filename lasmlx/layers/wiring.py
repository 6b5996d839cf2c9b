"""Who talks to whom in a liquid network: sparse, signed, drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Adjacency = NDArray[np.int8]
"""(from, to): 1 excites, -1 inhibits, 0 where there is no synapse."""


class NeuronLayer(NamedTuple):
    """Neurons ``start .. stop - 1`` that receive from the layer before."""

    name: str
    start: int
    stop: int


class Wiring(Protocol):
    """What the cells ask of a wiring. The first ``outputs`` neurons are the motor neurons."""

    @property
    def inputs(self) -> int:
        """Sensory neurons."""

    @property
    def units(self) -> int:
        """Neurons with a state."""

    @property
    def outputs(self) -> int:
        """Motor neurons."""

    @property
    def sensory(self) -> Adjacency:
        """(inputs, units)."""

    @property
    def recurrent(self) -> Adjacency:
        """(units, units)."""

    @property
    def layers(self) -> tuple[NeuronLayer, ...]:
        """In the order in which a signal passes them."""


@dataclass(frozen=True, eq=False)
class Explicit:
    """A wiring given as matrices: ``sensory`` (inputs, units) and ``recurrent`` (units, units) of -1, 0 and 1."""

    sensory: Adjacency
    recurrent: Adjacency
    outputs: int
    layers: tuple[NeuronLayer, ...] = ()  # one layer of all neurons if empty

    def __post_init__(self) -> None:
        units = self.recurrent.shape[0]
        if self.recurrent.shape != (units, units) or self.sensory.ndim != 2 or self.sensory.shape[1] != units:
            raise ValueError(
                f"Explicit: sensory has shape {self.sensory.shape} and recurrent {self.recurrent.shape}, expected "
                "(inputs, units) and (units, units)."
            )
        for name, matrix in (("sensory", self.sensory), ("recurrent", self.recurrent)):
            if not np.isin(matrix, (-1, 0, 1)).all():
                raise ValueError(f"Explicit: {name} holds {np.unique(matrix)}, expected -1, 0 and 1 only.")
        _check_outputs("Explicit", self.outputs, units)
        if not self.layers:
            object.__setattr__(self, "layers", (NeuronLayer("neurons", 0, units),))

    @property
    def inputs(self) -> int:
        return self.sensory.shape[0]

    @property
    def units(self) -> int:
        return self.sensory.shape[1]


@dataclass(frozen=True)
class FullyConnected:
    """Every input to every neuron, every neuron to every neuron; two synapses in three excite."""

    inputs: int
    units: int
    outputs: int
    self_connections: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        _check_positive("FullyConnected", inputs=self.inputs, units=self.units)
        _check_outputs("FullyConnected", self.outputs, self.units)

    @cached_property
    def sensory(self) -> Adjacency:
        return _signs(np.random.default_rng([self.seed, 0]), (self.inputs, self.units), exciting=2 / 3)

    @cached_property
    def recurrent(self) -> Adjacency:
        signs = _signs(np.random.default_rng([self.seed, 1]), (self.units, self.units), exciting=2 / 3)
        return signs if self.self_connections else signs * (1 - np.eye(self.units, dtype=np.int8))

    @property
    def layers(self) -> tuple[NeuronLayer, ...]:
        return (NeuronLayer("neurons", 0, self.units),)


@dataclass(frozen=True)
class Random:
    """A share ``1 - sparsity`` of all synapses, chosen evenly; two in three excite."""

    inputs: int
    units: int
    outputs: int
    sparsity: float = 0.5  # share of synapses that are absent, 0 <= sparsity < 1
    seed: int = 0

    def __post_init__(self) -> None:
        _check_positive("Random", inputs=self.inputs, units=self.units)
        _check_outputs("Random", self.outputs, self.units)
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"Random: sparsity is {self.sparsity}, expected 0 <= sparsity < 1.")

    @cached_property
    def sensory(self) -> Adjacency:
        return self._some(np.random.default_rng([self.seed, 0]), self.inputs)

    @cached_property
    def recurrent(self) -> Adjacency:
        return self._some(np.random.default_rng([self.seed, 1]), self.units)

    @property
    def layers(self) -> tuple[NeuronLayer, ...]:
        return (NeuronLayer("neurons", 0, self.units),)

    def _some(self, random: np.random.Generator, sources: int) -> Adjacency:
        size = sources * self.units
        matrix = np.zeros(size, dtype=np.int8)
        chosen = random.choice(size, round(size * (1 - self.sparsity)), replace=False)
        matrix[chosen] = _signs(random, chosen.shape, exciting=2 / 3)
        return matrix.reshape(sources, self.units)


@dataclass(frozen=True)
class NCP:
    """A neural circuit policy: sensory -> inter -> command (recurrent) -> motor, each synapse +1 or -1 evenly.

    Each sensory neuron has ``sensory_fanout`` targets, each inter neuron ``inter_fanout``, each motor neuron
    ``motor_fanin`` sources. A neuron that would be left out gets the mean number of partners. Neurons are numbered
    motor first, then command, then inter.

    Source: Lechner et al. 2020, Neural circuit policies enabling auditable autonomy, methods, "Designing NCP networks".
    """

    inputs: int  # sensory neurons
    inter: int
    command: int
    motor: int
    sensory_fanout: int
    inter_fanout: int
    recurrent_command: int  # synapses among the command neurons; two that meet count once
    motor_fanin: int
    seed: int = 0

    def __post_init__(self) -> None:
        _check_positive("NCP", inputs=self.inputs, inter=self.inter, command=self.command, motor=self.motor)
        for name, fan, partners in (
            ("sensory_fanout", self.sensory_fanout, self.inter),
            ("inter_fanout", self.inter_fanout, self.command),
            ("motor_fanin", self.motor_fanin, self.command),
        ):
            if not 1 <= fan <= partners:
                raise ValueError(f"NCP: {name} is {fan}, expected 1 to {partners}, the neurons on the other side.")
        if self.recurrent_command < 0:
            raise ValueError(f"NCP: recurrent_command is {self.recurrent_command}, expected >= 0.")

    @property
    def units(self) -> int:
        return self.motor + self.command + self.inter

    @property
    def outputs(self) -> int:
        return self.motor

    @property
    def layers(self) -> tuple[NeuronLayer, ...]:
        first = self.motor + self.command
        return (
            NeuronLayer("inter", first, self.units),
            NeuronLayer("command", self.motor, first),
            NeuronLayer("motor", 0, self.motor),
        )

    @cached_property
    def sensory(self) -> Adjacency:
        matrix = np.zeros((self.inputs, self.units), dtype=np.int8)
        random = np.random.default_rng([self.seed, 0])
        matrix[:, self.motor + self.command :] = _bipartite(random, self.inputs, self.inter, self.sensory_fanout)
        return matrix

    @cached_property
    def recurrent(self) -> Adjacency:
        matrix = np.zeros((self.units, self.units), dtype=np.int8)
        random = np.random.default_rng([self.seed, 1])
        inter, command, motor = (slice(layer.start, layer.stop) for layer in self.layers)
        matrix[inter, command] = _bipartite(random, self.inter, self.command, self.inter_fanout)
        pairs = random.integers(self.motor, self.motor + self.command, (2, self.recurrent_command))
        matrix[pairs[0], pairs[1]] = _signs(random, (self.recurrent_command,))
        matrix[command, motor] = _bipartite(random, self.motor, self.command, self.motor_fanin).T
        return matrix


@dataclass(frozen=True)
class AutoNCP:
    """An :class:`NCP` from its size: 40 % of the neurons that are not motor command, fans of ``1 - sparsity``."""

    inputs: int
    units: int
    outputs: int
    sparsity: float = 0.5  # 0.1 to 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        _check_positive("AutoNCP", inputs=self.inputs, units=self.units, outputs=self.outputs)
        if self.outputs >= self.units - 2:
            raise ValueError(f"AutoNCP: outputs is {self.outputs}, expected less than units - 2 = {self.units - 2}.")
        if not 0.1 <= self.sparsity <= 0.9:
            raise ValueError(f"AutoNCP: sparsity is {self.sparsity}, expected 0.1 to 0.9.")

    @cached_property
    def policy(self) -> NCP:
        """The circuit these sizes mean."""
        hidden, density = self.units - self.outputs, 1 - self.sparsity
        command = max(int(0.4 * hidden), 1)
        fan = max(int(command * density), 1)
        sensory_fanout = max(int((hidden - command) * density), 1)
        recurrent = max(int(2 * command * density), 1)
        return NCP(self.inputs, hidden - command, command, self.outputs, sensory_fanout, fan, recurrent, fan, self.seed)

    @property
    def sensory(self) -> Adjacency:
        return self.policy.sensory

    @property
    def recurrent(self) -> Adjacency:
        return self.policy.recurrent

    @property
    def layers(self) -> tuple[NeuronLayer, ...]:
        return self.policy.layers


class LayerPicture(NamedTuple):
    """One layer in numbers: mean synapses into and out of a neuron."""

    name: str
    neurons: int
    fan_in: float
    fan_out: float


class WiringPicture(NamedTuple):
    """A wiring to draw: a row for each sensory neuron and each neuron, a column for each neuron."""

    layers: tuple[LayerPicture, ...]  # sensory neurons first
    density: float  # share of all possible synapses
    rows: tuple[str, ...]  # what each row is called
    columns: tuple[str, ...]
    cells: tuple[str, ...]  # "+" excites, "-" inhibits, "." no synapse


def picture(wiring: Wiring) -> WiringPicture:
    """The wiring as data to draw, its neurons in the order in which a signal passes them."""
    order = [i for layer in wiring.layers for i in range(layer.start, layer.stop)]
    columns = [f"{layer.name} {i}" for layer in wiring.layers for i in range(layer.stop - layer.start)]
    matrix = np.concatenate([wiring.sensory, wiring.recurrent[order]])[:, order]
    present = matrix != 0
    fan_in, fan_out = present.sum(0), present.sum(1)
    layers, at = [LayerPicture("sensory", wiring.inputs, 0.0, float(fan_out[: wiring.inputs].mean()))], 0
    for layer in wiring.layers:
        there = slice(at, at := at + layer.stop - layer.start)
        out = fan_out[wiring.inputs :][there].mean()
        layers.append(LayerPicture(layer.name, layer.stop - layer.start, float(fan_in[there].mean()), float(out)))
    rows = [f"sensory {i}" for i in range(wiring.inputs)] + columns
    cells = ["".join(".+-"[sign] for sign in row.tolist()) for row in matrix]
    return WiringPicture(tuple(layers), float(present.mean()), tuple(rows), tuple(columns), tuple(cells))


def _bipartite(random: np.random.Generator, rows: int, columns: int, fan: int) -> Adjacency:
    """Signs (rows, columns): each row has ``fan`` partners; a column left out gets the mean number of them."""
    present = np.zeros((rows, columns), dtype=bool)
    for row in range(rows):
        present[row, random.choice(columns, fan, replace=False)] = True
    mean = min(max(rows * fan // columns, 1), rows)
    for column in np.flatnonzero(~present.any(0)):
        present[random.choice(rows, mean, replace=False), column] = True
    return present * _signs(random, (rows, columns))


def _signs(random: np.random.Generator, shape: Sequence[int], exciting: float = 0.5) -> Adjacency:
    return np.where(random.random(shape) < exciting, 1, -1).astype(np.int8)


def _check_positive(wiring: str, **sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{wiring}: {name} is {size}, expected at least 1.")


def _check_outputs(wiring: str, outputs: int, units: int) -> None:
    if not 1 <= outputs <= units:
        raise ValueError(f"{wiring}: outputs is {outputs}, expected 1 to units = {units}.")
