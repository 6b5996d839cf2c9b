"""The public implementations measured beside ours: mambapy, and PyTorch that it stands on. Both are optional."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

INSTALL = "pip install 'lasmlx[bench]'"


class PeerError(ValueError):
    """A peer was asked for that is not installed, or its process failed."""


class Peers:
    """The process of ``peer_process.py``; idle between requests, so that it does not disturb ours."""

    def __init__(self) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_THREAD_TIMEOUT"}  # set for our own BLAS
        command = [sys.executable, "-P", str(Path(__file__).with_name("peer_process.py"))]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            self.about: dict[str, Any] = self.request("start")
        except PeerError:
            self.close()
            raise

    def new(self, kind: str, *arguments: Any) -> PeerObject:
        """An object of a class of ``peer_process.py``."""
        return PeerObject(self, self.request("new", 0, kind, arguments))

    def request(self, action: str, index: int = 0, name: str = "", arguments: tuple[Any, ...] = ()) -> Any:
        """The answer to one request.

        Raises:
            PeerError: it failed, or the process ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            pickle.dump((action, index, name, arguments), self._process.stdin)
            self._process.stdin.flush()
            succeeded, value = pickle.load(self._process.stdout)
        except (EOFError, OSError):
            raise PeerError(
                "bench: the process of the peers ended; is the memory full? --no-peer goes without."
            ) from None
        if not succeeded:
            raise PeerError(f"bench: a peer failed: {value}")
        return value

    def close(self) -> None:
        """End the process."""
        with self._process as process:
            assert process.stdin is not None
            with suppress(OSError):  # it may have ended
                process.stdin.close()


@dataclass(frozen=True)
class PeerObject:
    """An object in the process of the peers."""

    peers: Peers
    index: int

    def call(self, method: str, *arguments: Any) -> Any:
        """What the method returns."""
        return self.peers.request("call", self.index, method, arguments)

    def function(self, method: str) -> PeerFunction:
        """The method, to be timed."""
        return PeerFunction(self, method)


@dataclass(frozen=True)
class PeerFunction:
    """A method without arguments, timed inside the process of the peers; its result stays there."""

    owner: PeerObject
    method: str

    def __call__(self) -> None:
        self.owner.peers.request("run", self.owner.index, self.method)

    def turn(self, seconds: float) -> list[float]:
        """See :func:`lasmlx.benchmark.timer.take_turn`."""
        taken: list[float] = self.owner.peers.request("turn", self.owner.index, self.method, (seconds,))
        return taken


@contextmanager
def open_peers(wanted: bool | None = None) -> Iterator[tuple[Peers | None, str]]:
    """The peers, or None and why.

    Args:
        wanted: True demands them, False leaves them out, None takes them if they are installed.

    Raises:
        PeerError: they are demanded and cannot be had.
    """
    peers, reason = None, ""
    if wanted is not False:
        try:
            missing = [name for name in ("torch", "mambapy") if find_spec(name) is None]
            if missing:
                raise PeerError(f"bench: {' and '.join(missing)} not installed")
            peers = Peers()
        except PeerError as error:
            reason = f"{str(error).removeprefix('bench: ')}: {INSTALL}"
    if wanted and peers is None:
        raise PeerError(f"bench: {reason}")
    try:
        yield peers, f"The rows of mambapy and PyTorch are left out: {reason}" if reason else ""
    finally:
        if peers is not None:
            peers.close()
