"""A whole training step: forward, loss, backward, clipping, AdamW."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from lasmlx.benchmark.parity import check_parity
from lasmlx.benchmark.peers import PeerFunction, PeerObject, Peers
from lasmlx.benchmark.records import Row, Stage
from lasmlx.benchmark.timer import Timing, measure_together
from lasmlx.models import ByteModel, Config, MambaConfig, make_model
from lasmlx.models.tree import flat
from lasmlx.ops import cross_entropy
from lasmlx.stream import NativeModel
from lasmlx.train import TrainConfig, Trainer

TOLERANCE = 1e-4  # of the largest logit and of the largest value of each gradient
PARITY_BYTES = 64  # a window of so many bytes, twice


@dataclass(frozen=True)
class TrainRow(Row):
    """One model and the library that trains it."""

    impl: str
    parameters: int
    batch_size: int
    seq_len: int
    step: Timing
    bytes_per_second: float
    ratio: float  # of the medians, to the first row
    error: float  # of the logits, and for a peer of the gradients, against ours


def measure_training(
    config: Any, train: TrainConfig, *, peers: Peers | None = None, repeats: int = 10, budget_seconds: float = 60.0
) -> Iterator[TrainRow | Stage]:
    """The model of ``config``, our ``mamba`` and mambapy's model of the same sizes, one step each in turn.

    Before the clock starts our logits are held to the native step's, which shares no code with them, and mambapy's
    logits and gradients to those of our ``mamba`` with the same weights.

    Args:
        config: of a ``las`` or ``mamba`` model.
        train: batch size, window and optimizer, for all of them.

    Raises:
        ParityError: they differ; nothing is yielded then.
    """
    yield Stage("checking parity")
    models = {f"lasmlx {config.model_type}": new_model(config)}
    models["lasmlx mamba"] = mamba = new_model(mamba_of_size(config))
    errors = {name: _native_error(name, model) for name, model in models.items()}
    sizes = {name: model.size for name, model in models.items()}
    steps: dict[str, Callable[[], Any]] = {name: _our_step(model, train) for name, model in models.items()}
    if peers:
        peer = mambapy_model(peers, mamba)
        sizes["mambapy"] = peer.call("size")
        errors["mambapy"] = _peer_error(peer, mamba)
        steps["mambapy"] = _peer_step(peer, train)
    yield Stage(f"timing {', '.join(steps)}")
    timings = measure_together(steps, warmup=2, repeats=repeats, budget_seconds=budget_seconds, turn_seconds=0.5)
    first = next(iter(timings.values())).median
    for name, timing in timings.items():
        yield TrainRow(
            impl=name,
            parameters=sizes[name],
            batch_size=train.batch_size,
            seq_len=train.seq_len,
            step=timing,
            bytes_per_second=train.batch_size * train.seq_len / timing.median,
            ratio=timing.median / first,
            error=errors[name],
        )


def new_model(config: Config, seed: int = 0) -> ByteModel:
    """A freshly initialised model, evaluated."""
    mx.random.seed(seed)
    model: ByteModel = make_model(config)
    mx.eval(model.parameters())
    return model


def mamba_of_size(config: Any) -> MambaConfig:
    """The ``mamba`` model as wide, deep and large in state as the ``las`` model of ``config``."""
    return MambaConfig(d=config.d, layers=config.layers, n=config.n, expand=config.expand, k=config.k, rank=config.rank)


def mambapy_model(peers: Peers, model: ByteModel) -> PeerObject:
    """mambapy's model with the weights of our ``mamba``."""
    config = model.config
    sizes = {
        "d_model": config.d,
        "n_layers": config.layers,
        "dt_rank": config.dt_rank,
        "d_state": config.n,
        "expand_factor": config.expand,
        "d_conv": config.k,
    }
    return peers.new("Model", sizes, {_peer_name(k): np.array(v) for k, v in flat(model.parameters()).items()})


def _peer_name(name: str) -> str:
    changes = {"blocks.": "mamba.layers.", "mixer.conv.": "mixer.conv1d.", "head.": "lm_head."}
    name = f"norm_f.{name[5:]}" if name.startswith("norm.") else name
    for ours, theirs in changes.items():
        name = name.replace(ours, theirs)
    return name


def _our_step(model: ByteModel, config: TrainConfig) -> Callable[[], Any]:
    trainer = Trainer(model, config)
    x, y = (mx.array(v) for v in _windows(config.batch_size, config.seq_len))
    return lambda: trainer.step(x, y, fresh=False)


def _peer_step(peer: PeerObject, config: TrainConfig) -> PeerFunction:
    x, y = _windows(config.batch_size, config.seq_len)
    peer.call("start_training", x, y, config.lr, config.betas, config.weight_decay, config.clip)
    return peer.function("train")


def _windows(b: int, t: int) -> tuple[Any, Any]:
    data = np.random.default_rng(0).integers(0, 256, (b, t + 1), dtype=np.uint8)
    return data[:, :-1], data[:, 1:]


def _native_error(name: str, model: ByteModel) -> float:
    x = _windows(1, PARITY_BYTES)[0]
    session = NativeModel.from_model(model).session()
    expected = np.stack([session.step(int(byte)) for byte in x[0]])
    logits = np.array(model(mx.array(x))[0][0])
    return check_parity(f"{name} and its native step", {"logits": logits}, {"logits": expected}, TOLERANCE)


def _peer_error(peer: PeerObject, model: ByteModel) -> float:
    x, y = _windows(2, PARITY_BYTES)

    def loss_and_logits(x: mx.array, y: mx.array) -> tuple[mx.array, mx.array]:
        logits, _ = model(x)
        return cross_entropy(logits, y).mean(), logits

    (_, logits), gradients = nn.value_and_grad(model, loss_and_logits)(mx.array(x), mx.array(y))
    expected = {_peer_name(k): np.array(g) for k, g in flat(gradients).items()} | {"logits": np.array(logits)}
    got = {k: g.reshape(expected[k].shape) for k, g in peer.call("gradients", x, y).items()}
    return check_parity("mambapy and lasmlx mamba", got, expected, TOLERANCE)
