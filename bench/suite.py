"""What `equigrad bench` does: choose who takes part, time them, and say with what."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from typing import Any

from ..backends import FRAMEWORKS, everything, usable
from ..backends.interface import ARITHMETICS, DTYPES
from ..common.agreement import GOOD, Disagreement
from ..common.errors import EquigradError, MissingError, UsageError
from ..common.machine import cores, machine
from ..common.nearest import check_known
from ..common.values import count
from ..scale import spread
from ..session import Progress, arithmetics_of, canonical_names, loaded
from . import calls, sizes
from . import process as whole
from .calls import Calls
from .clock import Table, measure
from .contestants import floors, roster
from .results import Result
from .worker import THREAD_VARIABLES, environment
from .workload import Contestant, Workload

WHO = ("backends", "floors", "headline", "everyone")


def bench(
    names: Sequence[str] = ("one-layer",),
    backends: Sequence[str] | None = None,
    *,
    dtype: str = "float64",
    arithmetic: str = "both",
    updates: int | None = None,
    who: str = "everyone",
    rounds: int = 7,
    threads: int | None = None,
    patience: float = 120.0,
    anatomy: bool = False,
    process: bool = False,
    sweep: bool = False,
    processes: Sequence[int] | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Result:
    """Time `train` of each backend on each problem, side by side with floors, idioms and peers.

    `names` are problems or sizes, see `sizes.chosen`; `sweep` times those of `sizes.SWEEP`, backends alone.
    `who` is backends, floors (these too), headline (each framework as people write it too) or everyone (on a small
    problem, all other ways to write it and what others write).
    `threads` is everyone's; by default one for a small problem, all cores for others. `anatomy` times imports too,
    `process` the whole of `equigrad compare`. With `processes` the backends alone are timed, on one process and on each
    of these numbers, one thread each unless `threads` says otherwise, and a sweep is over samples, which they share.
    Ctrl-C keeps the rounds that are complete.

    Raises UsageError, before anything is timed, for an argument that cannot be used, a device that is not here
    and a size that does not fit into memory.
    """
    check_known("dtype", dtype, (*DTYPES, "both"))
    check_known("arithmetic", arithmetic, (*ARITHMETICS, "both"))
    check_known("--who", who, WHO)
    rounds = count("--rounds", rounds)
    if not patience > 0:
        raise UsageError(f"--patience must be more than 0 seconds, not {patience}")
    if threads is not None and not 1 <= threads <= cores():
        raise UsageError(f"--threads must be between 1 and {cores()}, the cores of this machine, not {threads}")
    numbers = list(dict.fromkeys([1, *(processes or ())]))
    if max(numbers) * (threads or 1) > cores():
        raise UsageError(f"{max(numbers)} processes of {threads or 1} threads need more than the {cores()} cores here")
    if sweep and names:
        raise UsageError("--sweep has its own sizes: give no problem with it")
    axes = ["samples"] if processes else [*sizes.SWEEP]
    chosen = sizes.sweep(axes) if sweep else [sizes.chosen(name) for name in names or ("one-layer",)]
    chosen = [problem.with_(updates=updates) for problem in {each.name: each for each in chosen}.values()]
    for problem in chosen:
        spread.checked(processes, problem.samples)
    specs = _checked(canonical_names(backends), dtype) if backends else _elsewhere(everything)
    modes = ARITHMETICS if arithmetic == "both" else (arithmetic,)
    own = [spec for spec in specs if spec.partition(":")[0] not in FRAMEWORKS]
    lacking = {(spec, mode) for spec in own for mode in {*modes} - {*_elsewhere(arithmetics_of, spec, arithmetic)}}
    each = (
        len(modes) * sum(1 + (n > 1) for n in numbers) + 1 + (who == "headline")
    )  # of several, the parent holds it too
    sizes.check_memory([sizes.Shape(p.samples, p.layers) for p in chosen], each * len(specs), modes)
    result = Result([], machine() | {"compiler": floors.version()}, command, sweep=sweep)
    frameworks = [name for name in FRAMEWORKS if name in specs]
    try:
        if anatomy:
            result.imports = {name: imports(name) for name in frameworks}
        for problem, kind in [
            (problem, kind) for kind in (DTYPES if dtype == "both" else (dtype,)) for problem in chosen
        ]:
            workload = Workload.of(problem, kind)
            field = roster.chosen("backends" if sweep or processes else who, workload, specs, modes, numbers, lacking)
            allowed = threads or (1 if sweep or processes or roster.small(workload) else cores())
            table = _measured(workload, field, rounds, allowed, patience, progress or _silent)
            result.tables.append(table)
            for row in table.rows:
                if row.environment:
                    result.passport.setdefault("backends", {})[row.name.partition(" ")[0]] = row.environment
            if table.interrupted:
                raise KeyboardInterrupt
            if anatomy and not sweep and roster.small(workload):
                result.calls += _calls(workload, specs, rounds)
        if process:
            here = [name for name in frameworks if name in _elsewhere(usable)]
            result.process = whole.measure("one-layer", here, rounds, progress)
    except KeyboardInterrupt:
        result.interrupted = True
    return result


def _calls(workload: Workload, specs: Sequence[str], rounds: int) -> list[Calls]:
    """What each call costs in the two frameworks whose `train` repeats calls, where they are."""
    found = []
    with environment(dict.fromkeys(THREAD_VARIABLES, "1")):
        for spec in specs:
            if spec in ("numpy", "torch"):
                try:
                    found.append(_elsewhere(calls.measure, workload, spec, rounds))
                except Disagreement as error:
                    found.append(Calls(workload.name, spec, refused=str(error)))
                except EquigradError:
                    pass  # its row in the table says so
    return found


def status(result: Result, asked: Sequence[str] = ()) -> int:
    """0; 3 if a backend asked for by name is missing; 1 if one failed or did not agree; 130 after Ctrl-C."""
    rows = [row for table in result.tables for row in table.rows if row.group == "backend"]
    if any(row.outcome == "missing" and row.name.partition(" ")[0] in canonical_names(asked) for row in rows):
        return 3
    if result.interrupted:
        return 130
    whole_failed = result.process is not None and result.process.outcome not in GOOD
    return int(whole_failed or any(row.outcome not in (*GOOD, "missing") for row in rows))


def _checked(backends: Sequence[str], dtype: str) -> list[str]:
    """The same, if each can be used or is merely not installed. NumPy, torch and JAX are left for their own process."""
    for spec in backends:
        if spec not in FRAMEWORKS:
            with suppress(MissingError):
                _elsewhere(check_backend, spec, "float64" if dtype == "both" else dtype)
    return list(backends)


def check_backend(spec: str, dtype: str) -> None:
    """Raises what `session.loaded` raises."""
    loaded(spec, dtype)


def _elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's result from another process: to look for devices would start a framework in this one."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _silent(what: str, done: int, total: int) -> None:
    """Nobody looks."""


def _measured(
    workload: Workload, field: list[Contestant], rounds: int, threads: int, patience: float, progress: Progress
) -> Table:
    def report(what: str, done: int, total: int) -> None:
        progress(f"{workload.name} {workload.dtype}: {what}", done, total)

    return measure(workload, field, rounds=rounds, threads=threads, patience=patience, progress=report)


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
