"""``python -m metal_check.mutate [OP...]``: does a slip in a kernel show? Changes every token, prints who noticed.

Each mutant of ``metal/<op>.metal`` runs through the public op on the cases of ``mutation_cases.py`` until something
notices: the compiler, the checker, or a number that is not the reference's. The exit status is 1 if one survives that
``equivalents.py`` does not explain. Verdicts are kept in a file, so a run that was stopped goes on where it was.
"""

import argparse
import hashlib
import json
import multiprocessing
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from . import mutants as texts
from .compiler import cache_folder, find_compiler
from .equivalents import reason
from .mutants import Mutant
from .mutation_cases import cases
from .mutation_worker import READY, serve

LIMIT = 60.0  # seconds a mutant
START_LIMIT = 400.0  # seconds until a worker is ready: it builds the runtime and runs every case
SERVED = 200  # mutants until a worker is replaced: loaded libraries stay loaded
CRASHES = {-signal.SIGILL: "past the end of a private array"}  # clang checks these by a trap, which ends the process
WAYS = ("compile", "checker", "numbers", "survived")


@dataclass
class Worker:
    process: BaseProcess
    pipe: Connection
    mutant: Mutant | None = None  # the one it runs; None until it is ready
    deadline: float = field(default_factory=lambda: time.monotonic() + START_LIMIT)
    served: int = 0


def ops() -> list[str]:
    """The ops that have a kernel file."""
    return sorted(file.stem for file in Path(str(files("lasmlx").joinpath("metal"))).glob("*.metal"))


def all_mutants(op: str) -> list[Mutant]:
    return list(texts.mutants(op, files("lasmlx").joinpath("metal", f"{op}.metal").read_text()))


def run(todo: list[Mutant], processes: int, check: bool = True) -> Iterator[tuple[Mutant, str, str]]:
    """(mutant, way, detail) as they come; ``check``: the unchanged kernels must pass first."""
    queue = list(reversed(todo))
    needed = sorted({mutant.op for mutant in todo}) if check else []
    workers = [_start(needed) for _ in range(min(processes, len(queue)))]
    try:
        while workers:
            now = time.monotonic()
            ready = wait([w.pipe for w in workers], timeout=max(0.0, min(w.deadline for w in workers) - now))
            for worker in [w for w in workers if w.pipe in ready or time.monotonic() > w.deadline]:
                answer = _answer(worker)
                if worker.mutant:
                    yield worker.mutant, *answer
                elif answer != READY:
                    raise RuntimeError(f"the unchanged kernels fail: {answer[1]}")
                _next(workers, worker, queue, needed)
    finally:
        for worker in workers:
            _stop(worker)


def _start(needed: list[str]) -> Worker:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, needed), daemon=True)
    process.start()
    theirs.close()
    return Worker(process, ours)


def _stop(worker: Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


def _answer(worker: Worker) -> tuple[str, str]:
    try:
        return worker.pipe.recv() if worker.pipe.poll() else ("checker", "the time limit")
    except EOFError:
        worker.process.join()
        return "checker", CRASHES.get(worker.process.exitcode or 0, f"crash, status {worker.process.exitcode}")


def _next(workers: list[Worker], worker: Worker, queue: list[Mutant], needed: list[str]) -> None:
    """Give the worker its next mutant, or end it; a worker that hangs, died or is old is replaced."""
    dead = not worker.process.is_alive() or time.monotonic() > worker.deadline
    if not queue or dead or worker.served >= SERVED:
        _stop(worker)
        workers.remove(worker)
        if queue and len(workers) < len(queue):
            workers.append(_start(needed))
        return
    worker.mutant = queue.pop()
    worker.served += 1
    worker.deadline = time.monotonic() + LIMIT
    worker.pipe.send(worker.mutant)


class Verdicts:
    """What earlier runs found, by the mutant's whole text, the cases and the compiler."""

    def __init__(self, path: Path) -> None:
        self.path = path
        here = Path(__file__).parent
        sources = "".join((here / name).read_text() for name in ("mutation_cases.py", "mutation_worker.py"))
        self.setting = sources + " ".join(find_compiler().command)
        lines = path.read_text().splitlines() if path.exists() else []
        self.known: dict[str, tuple[str, str]] = {k: (way, detail) for k, way, detail in map(json.loads, lines)}

    def get(self, mutant: Mutant) -> tuple[str, str] | None:
        return self.known.get(self._key(mutant))

    def add(self, mutant: Mutant, way: str, detail: str) -> None:
        self.known[self._key(mutant)] = way, detail
        with self.path.open("a") as file:
            file.write(json.dumps([self._key(mutant), way, detail]) + "\n")

    def _key(self, mutant: Mutant) -> str:
        return hashlib.sha256((mutant.op + mutant.text + self.setting).encode()).hexdigest()[:20]


def table(found: dict[Mutant, tuple[str, str]]) -> str:
    """A row a kernel: mutants, killed at compile, by the checker, by numbers, equivalent, survivors."""
    rows: dict[str, Counter[str]] = {}
    for mutant, (way, _) in found.items():
        row = rows.setdefault(f"{mutant.op} {mutant.kernel}", Counter())
        row["mutants"] += 1
        row["equivalent" if way == "survived" and reason(mutant) else way] += 1
    total = sum(rows.values(), Counter())
    columns = ["mutants", "compile", "checker", "numbers", "equivalent", "survived"]
    lines = ["| kernel | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for name, row in [*rows.items(), ("all", total)]:
        lines.append(f"| {name} | " + " | ".join(str(row[column]) for column in columns) + " |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="metal_check.mutate", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("ops", nargs="*", metavar="OP", help=f"of {', '.join(ops())}; all if none is named")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--verdicts", type=Path, default=cache_folder() / "mutants.jsonl")
    chosen = parser.parse_args(arguments)
    named = chosen.ops or ops()
    bare = [op for op in named if not cases(op)]
    every = [m for op in named if op not in bare for m in all_mutants(op)]
    verdicts = Verdicts(chosen.verdicts)
    todo = [m for m in every if verdicts.get(m) is None]
    for n, (mutant, way, detail) in enumerate(run(todo, chosen.processes), start=1):
        verdicts.add(mutant, way, detail)
        if way == "survived" and not reason(mutant):
            print(f"[{n}/{len(todo)}] survived: {mutant}", flush=True)
    found = {m: verdicts.get(m) or ("survived", "") for m in every}
    survivors = [m for m, (way, _) in found.items() if way == "survived" and not reason(m)]
    print(table(found))
    for mutant in survivors:
        print(f"survived: {mutant}")
    for op in bare:
        print(f"no cases: {op}, add some to mutation_cases.py")
    return 1 if survivors or bare else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
