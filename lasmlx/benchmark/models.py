"""Families side by side on labelled sequences: what one costs over a whole sequence, what it learns in a given time."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from lasmlx.benchmark.memory import peak_mb
from lasmlx.benchmark.modes import of_size
from lasmlx.benchmark.records import Note, Row, Stage
from lasmlx.benchmark.sequences import train_and_judge
from lasmlx.benchmark.statistics import interval
from lasmlx.benchmark.timer import Timing, measure_together
from lasmlx.data import SequenceData, SequenceSet
from lasmlx.data.sequence_set import whole
from lasmlx.models import Config, make_model
from lasmlx.train import SequenceTask, TrainConfig, Trainer
from lasmlx.train.sequences import answers, fit_scales

MOST_MB = 14_000.0  # a step that would take more is not tried
LENGTHS = (1_000, 3_000, 10_000, 30_000, 100_000)
PROBES = (128, 256, 512)  # elements at which memory is counted, to know what longer sequences would take


class Contender(NamedTuple):
    """A family at a size."""

    settings: dict[str, Any]
    parameters: int
    lr: float  # for a model of the size above; smaller ones take more


CONTENDERS: Mapping[str, Contender] = {
    "transformer": Contender({"model_type": "transformer", "layers": 6, "heads": 4}, 12_000_000, 5e-4),
    "lstm": Contender({"model_type": "lstm", "layers": 2}, 12_000_000, 1e-3),
    "mamba-kan": Contender({"model_type": "mamba-kan", "layers": 4}, 3_500_000, 2e-3),
    "mlp twin": Contender({"model_type": "mamba-kan", "layers": 4, "kan": "mlp"}, 3_500_000, 2e-3),
}


@dataclass(frozen=True)
class ModelRow(Row):
    """One model on one set of data."""

    data: str
    model: str
    parameters: int
    length: int  # elements of a whole sequence
    inference: Timing | None  # of one whole sequence; None where memory does not suffice
    step: Timing | None  # of training on one whole sequence
    step_mb: float | None  # the most that such a step takes beside parameters, optimizer and inputs
    lr: float
    steps: int  # of each training
    window: int  # elements of the stretches it was trained on
    seen: int  # stretches
    seconds: float  # of each training, the mean
    scores: tuple[float, ...]  # on whole test sequences, a seed each: accuracy, or root mean square error

    @property
    def mean(self) -> float:
        """Of the scores; NaN without any."""
        return interval(self.scores or (math.nan,)).mean

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval of the mean."""
        return interval(self.scores or (math.nan,)).half


@dataclass(frozen=True)
class LengthRow(Row):
    """One model on one sequence of some length."""

    model: str
    parameters: int
    length: int
    inference: Timing
    step: Timing
    inference_mb: float  # the most it takes beside what it starts with
    step_mb: float


def measure_models(
    data: SequenceData,
    *,
    contenders: Mapping[str, Contender] = CONTENDERS,
    seconds: float = 120.0,
    steps: int = 0,
    seeds: int = 5,
    window: int = 256,
    batch_size: int = 8,
    jitter: float = 0.0,
    repeats: int = 3,
) -> Iterator[ModelRow | Note | Stage]:
    """Costs first, in turn; then each model is trained on random stretches, once a seed, and judged on whole ones.

    How many steps ``seconds`` have room for is measured at the start, when nothing else runs, and is then fixed: what
    happens on the machine later does not change what is learnt.

    Args:
        seconds: of training, each model and seed; not looked at if ``steps`` are given.
        window: elements of a stretch.

    Raises:
        ValueError: a size is out of range.
    """
    if seconds <= 0 or steps < 0 or seeds < 0 or window < 1 or not contenders:
        raise ValueError(
            f"bench models: seconds {seconds}, steps {steps}, seeds {seeds}, window {window}, models "
            f"{list(contenders)}: expected above 0, 0 or more, 0 or more, at least 1, and a model."
        )
    length = int(data.train.x.shape[1])
    configs = {name: _config(c, data, length) for name, c in contenders.items()}
    costs: dict[str, Callable[[], Any]] = {}
    peaks: dict[str, float] = {}
    for name, config in configs.items():
        yield Stage(f"{name}: memory at {length} elements")
        wanted = _wanted_mb(config, data, length)
        if wanted > MOST_MB:
            yield Note(f"{name} would take {wanted / 1e3:.0f} GB to train on {length} elements: it is not tried.")
            continue
        answer, step = _costs(config, _first(data, length))
        peaks[name] = peak_mb(step)
        answer()  # and so warm
        costs |= {f"{name} inference": answer, f"{name} step": step}
    yield Stage("time of whole sequences, in turn")
    timings = measure_together(costs, warmup=0, repeats=repeats)
    costs.clear()
    plan = TrainConfig(batch_size=batch_size, crop=window, jitter=jitter, seq_len=window, eval_every=0, save_every=0)
    plans = {name: dataclasses.replace(plan, lr=contenders[name].lr) for name in configs}
    for name, config in configs.items():
        yield Stage(f"{name}: pace of training")
        found = steps or (max(10, round(seconds / _pace(config, data, plans[name]))) if seeds else 0)
        if not found:
            continue
        plans[name] = dataclasses.replace(plans[name], steps=found, warmup=min(40, found // 10))
    for name, config in configs.items():
        scores, spent = [], [0.0] * (not seeds)
        for seed in range(seeds):
            yield Stage(f"{name}: {plans[name].steps} steps, seed {seed}")
            score, _, took = train_and_judge(config, data, dataclasses.replace(plans[name], seed=seed))
            scores.append(score)
            spent.append(took)
        yield ModelRow(
            data=data.name,
            model=name,
            parameters=make_model(config).size,
            length=length,
            inference=timings.get(f"{name} inference"),
            step=timings.get(f"{name} step"),
            step_mb=peaks.get(name),
            lr=plans[name].lr,
            steps=plans[name].steps if seeds else 0,
            window=min(window, length),
            seen=plans[name].steps * batch_size if seeds else 0,
            seconds=float(np.mean(spent)),
            scores=tuple(scores),
        )


def measure_lengths(name: str, config: Any, lengths: Sequence[int], *, repeats: int = 3) -> Iterator[Any]:
    """Inference and a training step on one sequence of each length, time and memory, and the exponents of t.

    Yields:
        :class:`LengthRow`, :class:`Stage`, and at the end a :class:`Note`.

    Raises:
        ValueError: there is no length, or one below 1.
    """
    if not lengths or min(lengths) < 1:
        raise ValueError(f"bench length: lengths are {list(lengths)}, expected at least one, of at least 1.")
    rows = []
    for length in sorted(lengths):
        yield Stage(f"{name}: {length} elements")
        answer, step = _costs(config, _made_up(config, length))
        least, most = peak_mb(answer), peak_mb(step)
        timings = measure_together({"inference": answer, "step": step}, warmup=0, repeats=repeats)
        rows.append(
            LengthRow(name, make_model(config).size, length, timings["inference"], timings["step"], least, most)
        )
        yield rows[-1]
    if len(rows) > 1:
        yield Note(
            f"{name} grows with t to the power of {_exponent(rows, 'inference_mb'):.3f} (memory of inference), "
            f"{_exponent(rows, 'step_mb'):.3f} (memory of a step), {_exponent(rows, 'step'):.3f} (time of a step)."
        )


def sized_contenders(parameters: int, names: Sequence[str] = ()) -> dict[str, Contender]:
    """The contenders, or some of them, at their own sizes (0) or all at one.

    Raises:
        ValueError: a name is unknown.
    """
    unknown = [name for name in names if name not in CONTENDERS]
    if unknown:
        raise ValueError(f"bench models: {unknown[0]!r} is no model; {', '.join(CONTENDERS)} go.")
    chosen = {name: CONTENDERS[name] for name in names or CONTENDERS}
    if not parameters:
        return chosen
    return {
        name: c._replace(
            settings=c.settings | {"layers": 2},
            parameters=parameters,
            lr=min(5e-3, c.lr * math.sqrt(c.parameters / parameters)),
        )
        for name, c in chosen.items()
    }


def _config(contender: Contender, data: SequenceData, length: int) -> Config:
    attends = {"window": length} if contender.settings["model_type"] == "transformer" else {}
    return of_size(contender.settings, contender.parameters, **data.sizes, **attends)


def _costs(config: Config, data: SequenceData) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The answer to the first training sequence, and a training step on it."""
    mx.random.seed(0)
    model, plan = make_model(config), TrainConfig(batch_size=1)
    fit_scales(model, data)
    task = SequenceTask(data, plan)
    trainer, (arrays, fresh) = Trainer(model, plan, task), task.batch(0)
    mx.eval(arrays, model.parameters())
    return lambda: mx.eval(answers(model, *arrays[:-1])), partial(trainer.step, *arrays, fresh=fresh)


def _first(data: SequenceData, length: int) -> SequenceData:
    """The first training sequence alone, or the head of it."""
    one = data.train.take(np.arange(1))
    head = SequenceSet(one.x[:, :length], np.minimum(one.lengths, length), one.dt[:, :length], one.y)
    return dataclasses.replace(data, train=head)


def _made_up(config: Any, length: int) -> SequenceData:
    """One sequence of noise."""
    x = np.random.default_rng(0).standard_normal((1, length, config.inputs)).astype(np.float32)
    part = whole(x, np.zeros(1, np.int64))
    return SequenceData("noise", part, part, tuple(str(i) for i in range(config.outputs)))


def _wanted_mb(config: Config, data: SequenceData, length: int) -> float:
    """What a step would take, by a parabola through what three short ones do."""
    lengths = [n for n in PROBES if n < length]
    if len(lengths) < len(PROBES):
        return 0.0
    taken = [peak_mb(_costs(config, _first(data, n))[1]) for n in lengths]
    return float(np.polyval(np.polyfit(lengths, taken, 2), length))


def _exponent(rows: Sequence[LengthRow], field: str) -> float:
    values = [getattr(row, field) for row in rows]
    logs = np.log([v.median if isinstance(v, Timing) else v for v in values])
    return float(np.polyfit(np.log([row.length for row in rows]), logs, 1)[0])


def _pace(config: Config, data: SequenceData, plan: TrainConfig) -> float:
    """Seconds a step, by a few of a model that is thrown away, the first left out."""
    mx.random.seed(0)
    model = make_model(config)
    task = SequenceTask(data, plan)
    trainer = Trainer(model, plan, task)
    taken: list[float] = []
    while len(taken) < 4 or (sum(taken) < 6 and len(taken) < 40):
        arrays, fresh = task.batch(len(taken))
        start = time.perf_counter()
        trainer.step(*arrays, fresh=fresh)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken[1:]))
