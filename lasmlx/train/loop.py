"""The training loop: a generator of records."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map, tree_map_with_path, tree_unflatten

from lasmlx.data import Corpus, Windows
from lasmlx.models import Model
from lasmlx.models.tree import flat
from lasmlx.ops import cross_entropy
from lasmlx.train.compile import compile_step
from lasmlx.train.config import TrainConfig
from lasmlx.train.evaluate import evaluate
from lasmlx.train.optimizer import AdamW, schedule
from lasmlx.train.records import (
    BITS_PER_NAT,
    CheckpointRecord,
    EndRecord,
    EvalRecord,
    Record,
    StartRecord,
    StepRecord,
)
from lasmlx.train.run import Checkpoint, Run


class Trainer:
    """A model, its optimizer and the recurrent state carried between windows; ``step`` moves them all by one batch.

    Args:
        compiled: through ``mx.compile`` (the default), or op by op, for tests.
    """

    def __init__(self, model: Model, config: TrainConfig, *, compiled: bool = True) -> None:
        self.model, self.config = model, config
        self.optimizer = AdamW(
            schedule(config), betas=config.betas, weight_decay=config.weight_decay, max_norm=config.clip
        )
        self.optimizer.init(model.trainable_parameters())
        self.carried = self._initial_state()
        value_and_grad = nn.value_and_grad(model, self._loss)
        wrap = compile_step if compiled else lambda f, _: f
        state = [model.state, self.optimizer.state, mx.random.state]
        self._gradients = wrap(value_and_grad, [model.state, mx.random.state])
        self._update = wrap(lambda gradients: self.optimizer.update(model, gradients), state)

    def step(self, x: mx.array, y: mx.array, *, fresh: bool) -> tuple[float, float]:
        """One update from windows x and y (b accumulate, t), bytes and the bytes after them.

        Args:
            fresh: the windows start anew: forget the carried state.

        Returns:
            The loss in nats a byte and the norm of the gradient before clipping.
        """
        if fresh:
            self.carried = self._initial_state()
        b, parts = self.config.batch_size, self.config.accumulate
        losses, total = [], None
        for i in range(parts):
            rows = slice(i * b, (i + 1) * b)
            (loss, self.carried[i]), gradients = self._gradients(x[rows], y[rows], self.carried[i])
            losses.append(loss)
            total = gradients if total is None else tree_map(mx.add, total, gradients)
            if parts > 1:
                mx.eval(total, loss, self.carried[i])
        self._update(total if parts == 1 else tree_map(lambda g: g / parts, total))
        mx.eval(losses, self.carried, self.model.state, self.optimizer.state)
        return sum(loss.item() for loss in losses) / parts, self.optimizer.state["grad_norm"].item()

    def _loss(self, x: mx.array, y: mx.array, state: Any) -> tuple[mx.array, Any]:
        logits, state = self.model(x, state)
        return cross_entropy(logits, y).mean(), state

    def _initial_state(self) -> list[Any]:
        return [self.model.init_state(self.config.batch_size) for _ in range(self.config.accumulate)]

    def arrays(self) -> dict[str, mx.array]:
        """All that moves, flat: parameters, optimizer, carried state, random state."""
        tree = {
            "model": self.model.parameters(),
            "optimizer": self.optimizer.state,
            "carried": self.carried,
            "random": cast(Any, mx.random.state)[0],
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


def training_windows(corpus: Corpus, config: TrainConfig) -> Windows:
    """The windows a run goes through.

    Raises:
        DataError: the data is too short for them.
    """
    lanes = config.batch_size * config.accumulate
    return Windows(corpus.train, lanes, config.seq_len, config.seed, config.carry)


def train(
    model: Model,
    corpus: Corpus,
    config: TrainConfig,
    run: Run | None = None,
    *,
    resume: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Record]:
    """Train ``model`` in place, yielding records.

    Args:
        run: where checkpoints and metrics go; None keeps nothing.
        resume: continue from the run's last checkpoint; the steps that follow are bit for bit those of an unbroken run.
        stop: when set, the run ends after the step in hand, with a checkpoint.

    Raises:
        DataError: the data is too short. FileError: a checkpoint is damaged or the disk full.
    """
    windows = training_windows(corpus, config)
    trainer = Trainer(model, config)
    done, best, began = 0, None, time.perf_counter()
    if resume and run is not None:
        checkpoint = run.load()
        trainer.restore(checkpoint.arrays, str(run.path))
        done, best = checkpoint.step, checkpoint.best
        run.rewind(done)
    yield StartRecord(done, config.steps, model.size, len(corpus.train), windows.steps_per_epoch)

    def save(step: int, better: bool) -> Iterator[Record]:
        if run is None:
            return
        if better:
            model.save(run.path, metadata={"step": str(step)})
        yield CheckpointRecord(step, run.save(Checkpoint(step, best, trainer.arrays())), better)

    def end(step: int, reason: Any, message: str = "") -> EndRecord:
        return EndRecord(step, reason, run.path if run else None, time.perf_counter() - began, message)

    while done < config.steps:
        if stop is not None and stop.is_set():
            yield from save(done, better=best is None)
            yield end(done, "stopped")
            return
        batch = windows.batch(done)
        start = time.perf_counter()
        loss, grad_norm = trainer.step(mx.array(batch.x), mx.array(batch.y), fresh=batch.fresh)
        done += 1
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            yield end(done, "diverged", _diverged(done, loss, run))
            return
        rate = batch.x.size / (time.perf_counter() - start)
        lr = trainer.optimizer.learning_rate.item()
        record = StepRecord(done, loss, loss * BITS_PER_NAT, rate, lr, grad_norm)
        if run is not None:
            run.log(record)
        yield record

        last = done == config.steps
        looks = last or (config.eval_every and done % config.eval_every == 0)
        better = False
        if looks and corpus.held_out:
            records = _evaluate(model, corpus, config, done, last)
            for record_ in records:
                if run is not None:
                    run.log(record_)
                yield record_
            bits = sum(r.bits_per_byte for r in records) / len(records)
            better = best is None or bits < best
            best = bits if better else best
        if last or better or (config.save_every and done % config.save_every == 0):
            yield from save(done, better or best is None)
    yield end(done, "done")


def _evaluate(model: Model, corpus: Corpus, config: TrainConfig, step: int, last: bool) -> list[EvalRecord]:
    most = None if last else config.eval_bytes
    return [
        evaluate(model, source, max_bytes=most, step=step, split=split) for split, source in corpus.held_out.items()
    ]


def _diverged(step: int, loss: float, run: Run | None) -> str:
    kept = "nothing was saved" if run is None else f"the last good checkpoint is kept in {run.path}"
    return f"the loss became {loss} at step {step}; {kept}. Lower lr, or raise warmup."
