"""The training loop: a generator of records."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map, tree_map_with_path, tree_unflatten

from lasmlx.data import Corpus, DataError, SequenceData, Tokenizer, tokenizer_of
from lasmlx.models import Model
from lasmlx.models.files import load_arrays
from lasmlx.models.model import WEIGHTS_FILE
from lasmlx.models.tree import flat
from lasmlx.train.compile import compile_step
from lasmlx.train.config import TrainConfig
from lasmlx.train.optimizer import AdamW, schedule
from lasmlx.train.precision import LossScale, computing_in
from lasmlx.train.records import CheckpointRecord, EndRecord, Record, StartRecord
from lasmlx.train.run import Checkpoint, Run
from lasmlx.train.task import Task, initial_language_state, language_loss, make_task

FIRST_LOOK = 10  # steps after which a network that does not work should be noticed


class Trainer:
    """A model, its optimizer and the state carried between batches; ``step`` moves them all by one batch.

    Args:
        task: gives the loss and the carried state; absent, those of text.
        compiled: through ``mx.compile`` (the default), or op by op, for tests.
    """

    def __init__(self, model: Model, config: TrainConfig, task: Task | None = None, *, compiled: bool = True) -> None:
        self.model, self.config, self._task = model, config, task
        self.optimizer = AdamW(
            schedule(config), betas=config.betas, weight_decay=config.weight_decay, max_norm=config.clip
        )
        self.optimizer.init(model.trainable_parameters())
        self.carried = self._initial_state()
        self.scale = LossScale(config.precision)
        value_and_grad = nn.value_and_grad(model, self._loss)
        wrap = compile_step if compiled else lambda f, _: f
        state = [model.state, self.optimizer.state, mx.random.state]
        self._gradients = wrap(value_and_grad, [model.state, mx.random.state])
        self._update = wrap(lambda gradients: self.optimizer.update(model, gradients), state)

    def step(self, *arrays: mx.array, fresh: bool) -> tuple[float, float]:
        """One update from a batch, arrays of b accumulate rows: of text, windows and the windows an element later.

        Args:
            fresh: the batch starts anew: forget the carried state.

        Returns:
            The mean loss and the norm of the gradient before clipping, 0 where it overflowed float16 and the step was
            left out.
        """
        if fresh:
            self.carried = self._initial_state()
        b, parts = self.config.batch_size, self.config.accumulate
        losses, total = [], None
        for i in range(parts):
            rows = slice(i * b, (i + 1) * b)
            (_, loss, self.carried[i]), gradients = self._gradients(
                [v[rows] for v in arrays], self.carried[i], self.scale.value
            )
            losses.append(loss)
            total = gradients if total is None else tree_map(mx.add, total, gradients)
            if parts > 1:
                mx.eval(total, loss, self.carried[i])
        total = self.scale.unscaled(total if parts == 1 else tree_map(lambda g: g / parts, total))
        taken = self.scale.accepts(total)
        if taken:
            self._update(total)
        mx.eval(losses, self.carried, self.model.state, self.optimizer.state)
        norm = self.optimizer.state["grad_norm"].item() if taken else 0.0
        return sum(loss.item() for loss in losses) / parts, norm

    def _loss(self, arrays: list[mx.array], state: Any, scale: mx.array) -> tuple[mx.array, mx.array, Any]:
        """What is differentiated, what is reported, and the state to carry on."""
        with computing_in(self.model, self.config.precision):
            loss, cost, state = (self._task.loss if self._task else language_loss)(self.model, arrays, state)
        return (loss + cost) * scale, loss, state

    def _initial_state(self) -> list[Any]:
        initial = self._task.initial_state if self._task else initial_language_state
        return [initial(self.model, self.config.batch_size) for _ in range(self.config.accumulate)]

    def arrays(self) -> dict[str, mx.array]:
        """All that moves, flat: parameters, optimizer, carried state, random state."""
        tree = {
            "model": self.model.parameters(),
            "optimizer": self.optimizer.state,
            "carried": self.carried,
            "random": cast(Any, mx.random.state)[0],
            "scale": self.scale.state,
        }
        return flat(tree)

    def restore(self, arrays: dict[str, mx.array], source: str) -> None:
        """The reverse of :meth:`arrays`; ``source`` names them in errors."""
        mine = self.arrays()
        if mine.keys() != arrays.keys() or any(mine[k].shape != arrays[k].shape for k in mine):
            raise ValueError(f"{source} is a checkpoint of another model: its arrays are not this model's.")
        tree = tree_unflatten(list(arrays.items()))
        self.model.update(tree["model"])
        _assign(self.optimizer.state, tree["optimizer"])
        _assign(self.scale.state, tree.get("scale", {}))
        self.carried = tree_map_with_path(lambda path, _: arrays[f"carried.{path}"], self.carried)
        high, low = tree["random"].tolist()
        mx.random.seed(high << 32 | low)  # a seed is a key's two halves, so this sets the key itself


def _assign(tree: dict[str, Any] | list[Any], values: Any) -> None:
    """Replace the arrays in ``tree`` by those of ``values``, in place: the compiled step captured its containers."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, dict | list):
            _assign(value, values[key])
        else:
            tree[key] = values[key]  # type: ignore[index]


def train(
    model: Model,
    data: Corpus | SequenceData | Task,
    config: TrainConfig,
    run: Run | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    resume: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Record]:
    """Train ``model`` in place, yielding records.

    Args:
        data: to learn from, or the task made of it.
        tokenizer: that of the model; found by its configuration, and in the run's folder, if absent.
        run: where checkpoints and metrics go; None keeps nothing.
        resume: continue from the run's last checkpoint; the steps that follow are bit for bit those of an unbroken run.
        stop: when set, the run ends after the step in hand, with a checkpoint.

    Raises:
        DataError: the data is too short, or the tokenizer another model's.
        FileError: a checkpoint is damaged or the disk full.
    """
    task: Task = _task(model, data, config, tokenizer, run) if isinstance(data, Corpus | SequenceData) else data
    trainer = Trainer(model, config, task)
    done, best, began = 0, Best(), time.perf_counter()
    if resume and run is not None:
        checkpoint = run.load()
        trainer.restore(checkpoint.arrays, str(run.path))
        done, best = checkpoint.step, Best(checkpoint.best, checkpoint.best_step)
        if task.restores and best.score is not None:
            best.arrays = load_arrays(run.path / WEIGHTS_FILE)[0]
        run.rewind(done)
    yield StartRecord(done, config.steps, model.size, task.size, task.unit, task.steps_per_epoch)

    def logged(records: Iterable[Any]) -> Iterator[Record]:
        for record in records:
            if run is not None:
                run.log(record)
            yield record

    def save(better: bool) -> Iterator[Record]:
        if run is None:
            return
        if better:
            model.save(run.path, metadata={"step": str(done)})
        arrays = trainer.arrays()
        yield CheckpointRecord(done, run.save(Checkpoint(done, best.score, best.step, arrays)), better)

    def end(reason: Any, message: str = "") -> EndRecord:
        return EndRecord(done, reason, run.path if run else None, time.perf_counter() - began, message)

    reason = "early" if best.given_up(done, config) else "done"
    while done < config.steps and reason == "done":
        if stop is not None and stop.is_set():
            yield from save(better=best.score is None)
            yield end("stopped")
            return
        arrays, fresh = task.batch(done)
        start = time.perf_counter()
        loss, grad_norm = trainer.step(*arrays, fresh=fresh)
        done += 1
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            yield end("diverged", _diverged(done, loss, run))
            return
        seconds = time.perf_counter() - start
        yield from logged([task.record(done, loss, seconds, trainer.optimizer.learning_rate.item(), grad_norm)])

        last = done == config.steps
        looks = last or (config.eval_every and done % config.eval_every == 0)
        records = task.evaluate(model, done, last) if looks else []
        yield from logged([*(task.observe(model, done) if looks or done == FIRST_LOOK else []), *records])
        better = bool(records) and best.improves(task.score(records), done, model if task.restores else None)
        if best.given_up(done, config):
            reason = "early"
        if last or better or reason == "early" or (config.save_every and done % config.save_every == 0):
            yield from save(better or best.score is None)
    if best.arrays is not None:
        model.load_weights(list(best.arrays.items()))
        yield from logged(task.conclude(model, best.step))
    yield end(reason, _given_up(best) if reason == "early" else "")


@dataclass
class Best:
    """The best model so far."""

    score: float | None = None  # lower is better
    step: int = 0  # after which it was found
    arrays: dict[str, mx.array] | None = None  # its parameters, where they are put back at the end

    def improves(self, score: float | None, step: int, model: Model | None) -> bool:
        """Whether the model of this step is the one to keep, as it is without a score; notes it if so.

        Args:
            model: to remember the parameters of, if any.
        """
        if score is not None and self.score is not None and score >= self.score:
            return False
        self.score, self.step = score, step
        if model is not None:
            self.arrays = flat(model.parameters())
        return True

    def given_up(self, step: int, config: TrainConfig) -> bool:
        """Whether there was no better model for as many looks as the patience allows."""
        waited = step - self.step
        return 0 < config.patience * config.eval_every <= waited and self.score is not None and step < config.steps


def _task(
    model: Model, data: Corpus | SequenceData, config: TrainConfig, tokenizer: Tokenizer | None, run: Run | None
) -> Task:
    if isinstance(data, SequenceData):
        return make_task(data, config)
    tokenizer = tokenizer or tokenizer_of(model.config, run.path if run else None)
    vocab = getattr(model.config, "vocab", 256)
    if tokenizer.size != vocab:
        raise DataError(f"the tokenizer has {tokenizer.size} tokens, the model {vocab}: give the model's own.")
    return make_task(data, config, tokenizer)


def _given_up(best: Best) -> str:
    return f"no better than after step {best.step}"


def _diverged(step: int, loss: float, run: Run | None) -> str:
    kept = "nothing was saved" if run is None else f"the last good checkpoint is kept in {run.path}"
    return f"the loss became {loss} at step {step}; {kept}. Lower lr, or raise warmup."
