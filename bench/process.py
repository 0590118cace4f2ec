"""`equigrad compare` as a whole process, beside one that imports the frameworks and runs their loops alone.

python -m equigrad.bench.process PROBLEM BACKEND... is the second of them; it prints the hash of each loop's weights.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..backends.interface import ARITHMETICS
from ..common.problem import problem
from ..common.ulp import sha256
from ..session import Session, loaded

PATIENCE = 600


@dataclass
class Process:
    """Both processes in interleaved rounds. Without an outcome of 'identical' there are no samples."""

    problem: str
    backends: list[str]
    compare_seconds: list[float] = field(default_factory=list)
    alone_seconds: list[float] = field(default_factory=list)
    outcome: str = "failed"
    message: str = ""
    weights_sha256: dict[str, str] = field(default_factory=dict)
    """By backend and arithmetic, the same in both processes of every round."""


def measure(
    name: str, specs: Sequence[str], rounds: int, progress: Callable[[str, int, int], None] | None = None
) -> Process:
    """Time both on the built-in problem of that name."""
    specs = list(dict.fromkeys(["numpy", *specs]))  # `compare` always runs it
    found = Process(name, specs)
    try:
        for i in range(rounds):
            if progress:
                progress("timing equigrad compare as a whole", i, rounds)
            compared, hashes = _compare(name, specs)
            alone, own = _alone(name, specs)
            if hashes != own or hashes != (found.weights_sha256 or hashes):
                found.outcome, found.message = "disagree", "the weights of the two processes have other bits"
                found.compare_seconds, found.alone_seconds = [], []
                return found
            found.weights_sha256, found.outcome = hashes, "identical"
            found.compare_seconds.append(compared)
            found.alone_seconds.append(alone)
        if progress:
            progress("timing equigrad compare as a whole", rounds, rounds)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        found.outcome, found.message = "failed", " ".join(str(error).split())[-300:]
        found.compare_seconds, found.alone_seconds = [], []
    return found


def _compare(name: str, specs: Sequence[str]) -> tuple[float, dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        chosen = [argument for spec in specs for argument in ("--backend", spec)]
        seconds, _ = _timed(["-m", "equigrad", "compare", name, *chosen, "--json", str(path)])
        runs = json.loads(path.read_text())["runs"]
    return seconds, {f"{run['backend']} {run['arithmetic']}": run["weights_sha256"] for run in runs}


def _alone(name: str, specs: Sequence[str]) -> tuple[float, dict[str, str]]:
    seconds, printed = _timed(["-m", "equigrad.bench.process", name, *specs])
    return seconds, dict(line.rsplit(" ", 1) for line in printed.splitlines())


def _timed(arguments: list[str]) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise ValueError(
            (done.stderr.strip() or f"{arguments[1]} ended with status {done.returncode}").splitlines()[-1]
        )
    return seconds, done.stdout


def alone(name: str, specs: Sequence[str]) -> dict[str, str]:
    """The training loops and nothing else: no look at the numbers on the way, no table."""
    task, hashes = problem(name), {}
    for arithmetic in ARITHMETICS:
        for spec in specs:
            session = Session.of(task, loaded(spec, "float64", arithmetic))
            trained = session.train(session.weights, task.updates)
            hashes[f"{spec} {arithmetic}"] = sha256(session.numpy(trained))
    return hashes


if __name__ == "__main__":
    for run, digest in alone(sys.argv[1], sys.argv[2:]).items():
        print(run, digest)
