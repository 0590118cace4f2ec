"""What `equigrad bench` does: choose who takes part, time them, and say with what."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from ..backends import FRAMEWORKS, everything
from ..common.errors import UsageError
from ..common.machine import machine
from ..common.problem import Problem
from . import contestants, sizes
from .case import Case, Contestant
from .clock import Progress, Table, measure
from .results import Result


def bench(
    problems: Sequence[Problem],
    specs: Sequence[str] | None = None,
    *,
    dtypes: Sequence[str] = ("float64",),
    arithmetics: Sequence[str] = ("native", "reproducible"),
    who: str = "everyone",
    rounds: int = 7,
    threads: int | None = None,
    patience: float = 120.0,
    anatomy: bool = False,
    command: str = "",
    progress: Progress = lambda what, done, total: None,
) -> Result:
    """Time `train` of each backend on each problem in each dtype: `who` is backends, floors (these too) or everyone,
    which on a small problem are the idioms and the peers too.

    `threads` for everyone; by default one for small problems, all cores for others. `anatomy` also times imports.
    Ctrl-C keeps the tables that were begun.

    Raises UsageError for a problem that does not fit into memory, before any is timed.
    """
    if rounds < 1:
        raise UsageError(f"--rounds must be at least 1, not {rounds}")
    if threads is not None and not 1 <= threads <= cores():
        raise UsageError(f"--threads must be between 1 and {cores()}, the cores of this machine, not {threads}")
    specs = list(specs) if specs else everything()
    passport = machine()
    result = Result([], passport, command)
    if anatomy:
        result.imports = {name: imports(name) for name in FRAMEWORKS if name in {s.partition(":")[0] for s in specs}}
    sizes.check_memory([sizes.Shape(p.samples, p.layers) for p in problems], 2 * len(specs))
    for dtype in dtypes:
        for problem in problems:
            case = Case.of(problem, dtype)
            field = contestants.chosen(who, case, specs, arithmetics)
            table = _measured(case, field, rounds, threads, patience, progress)
            result.tables.append(table)
            for row in table.rows:
                if row.environment:
                    passport.setdefault("backends", {})[row.name.partition(" ")[0]] = row.environment
            if table.interrupted:
                return result
    return result


def _measured(
    case: Case, field: list[Contestant], rounds: int, threads: int | None, patience: float, progress: Progress
) -> Table:
    chosen = threads or (1 if contestants.small(case) else cores())

    def report(what: str, done: int, total: int) -> None:
        progress(f"{case.name} {case.dtype}: {what}", done, total)

    return measure(case, field, rounds=rounds, threads=chosen, patience=patience, progress=report)


def cores() -> int:
    return int(machine()["cores"] or 1)


def imports(module: str, times: int = 3) -> list[float]:
    """Seconds that a fresh interpreter takes to import `module`, a few times; empty if it cannot."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    found = []
    for _ in range(times):
        done: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if done.returncode:
            return []
        found.append(float(done.stdout.split()[-1]))
    return found
