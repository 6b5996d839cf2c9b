"""Where a number was taken: without that it means nothing."""

from __future__ import annotations

import dataclasses
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lasmlx
from lasmlx.benchmark.peers import Peers
from lasmlx.ops import native
from lasmlx.system import output_of, package_version, processor


@dataclass(frozen=True)
class Provenance:
    """How to take the number again, and on what it was taken."""

    command: str
    cpu: str
    cores: int
    os: str
    load: float | None  # processes that wanted to run, mean over the last minute
    versions: dict[str, str]
    threads: dict[str, int]
    blas: str
    isa: str
    commit: str  # empty outside a git checkout; "-dirty" where files differ from it

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        """One line."""
        versions = ", ".join(f"{name} {v}" for name, v in self.versions.items())
        threads = ", ".join(f"{name} {n}" for name, n in self.threads.items())
        parts = [self.command, f"{self.cpu}, {self.cores} cores, {self.os}"]
        parts += [] if self.load is None else [f"load {self.load:.2f}"]
        parts += [versions, f"threads: {threads}", self.blas, self.isa, f"commit {self.commit}" if self.commit else ""]
        return " · ".join(part for part in parts if part)


def provenance(command: str, peers: Peers | None = None) -> Provenance:
    """Of a number taken here and now by ``command``."""
    threads = {"lasmlx": native.module.threads()} if native.module else {}
    return Provenance(
        command=command,
        cpu=processor(),
        cores=os.cpu_count() or 1,
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        versions={name: package_version(name) for name in ("lasmlx", "mlx", "numpy")}
        | (peers.about["versions"] if peers else {}),
        threads=threads | (peers.about["threads"] if peers else {}),
        blas=lasmlx.BLAS.name,
        isa=native.module.isa() if native.module else "no compiled kernels",
        commit=_commit(Path(lasmlx.__file__).parent),
    )


def _commit(package: Path) -> str:
    tracked = output_of("git", "-C", str(package), "ls-files", "--error-unmatch", "__init__.py")
    return output_of("git", "-C", str(package), "describe", "--always", "--dirty", "--exclude=*") if tracked else ""
