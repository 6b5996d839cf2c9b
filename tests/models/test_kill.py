"""SIGKILL at any moment of saving leaves one of the two checkpoints whole."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from lasmlx.models import load

KILLS = 20

SAVE_FOR_EVER = """
import os, signal, sys, time
import lasmlx
import mlx.core as mx
from mlx.utils import tree_map
from lasmlx.models import LASConfig, make_model

model = make_model(LASConfig(d=96, layers=1))
ones = tree_map(mx.ones_like, model.parameters())
print("ready", flush=True)
for step in range(10**9):
    model.update(tree_map(lambda v: v * (1 + step % 2), ones))
    model.save(sys.argv[1])
    if step == 1:
        print("saving", flush=True)
"""


def test_a_kill_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    waiting = [start(tmp_path / str(i)) for i in range(2)]
    seen = set()
    for kill in range(KILLS):
        folder, child = waiting.pop(0)
        assert child.stdout is not None
        assert [child.stdout.readline(), child.stdout.readline()] == ["ready\n", "saving\n"]
        time.sleep(random.uniform(0, 0.03))
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        child.stdout.close()
        values = {v.item() for _, a in tree_flatten(load(folder).parameters()) for v in (mx.min(a), mx.max(a))}
        assert values in ({1.0}, {2.0}), f"kill {kill}: parameters of both models, or of none: {values}"
        seen |= values
        if kill + 2 < KILLS:
            waiting.append(start(tmp_path / str(kill % 2)))
    assert seen == {1.0, 2.0}


def start(folder: Path) -> tuple[Path, subprocess.Popen[str]]:
    command = [sys.executable, "-c", SAVE_FOR_EVER, str(folder)]
    return folder, subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
