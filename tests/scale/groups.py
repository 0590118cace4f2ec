"""What the tests of processes share: a start, updates, and a look at what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equigrad.backends import load
from equigrad.common.problem import Problem, problem
from equigrad.common.ulp import sha256
from equigrad.scale import launch
from equigrad.scale.group import Group, OverProcesses, RankError
from equigrad.scale.launch import Local


def needing(spec: str) -> pytest.MarkDecorator:
    """What ranks of that framework load; this process does not."""
    return pytest.mark.needs("mpi4py" if spec == "numpy" else spec)


def trained(group: Group, problem: Problem, dtype: str, arithmetic: str, n: int) -> tuple[np.ndarray, ...]:
    """The weights that the group reaches after n updates. Here NumPy will do, whatever the ranks train with."""
    one = load("numpy", dtype, arithmetic)
    return after(OverProcesses("cpu", dtype, arithmetic, one=one, group=lambda: group), problem, n)


def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """Ranks that `change` something of ours before they start."""
    script = tmp_path / "rank.py"
    script.write_text(f"import os\nimport time\nfrom equigrad.scale import rank\n{change}\nrank.main()\n")
    monkeypatch.setattr(launch, "RANK", [sys.executable, str(script)])


LONG = 10**6


def failing(ranks: Local, hurt: str) -> tuple[str, float]:
    """The error's text, and the seconds from the signal to it, of a training in which the signal hurts rank 1."""
    pid, before, struck = ranks.pids[1], dict(ranks.entered), []

    def strike() -> None:
        until = time.monotonic() + 60
        while any(ranks.entered[r] == before[r] for r in before) and time.monotonic() < until:  # into the training
            time.sleep(0.05)
        os.kill(pid, getattr(signal, hurt))
        struck.append(time.monotonic())

    hit = threading.Thread(target=strike)
    hit.start()
    try:
        with pytest.raises(RankError) as caught:
            trained(ranks, problem("digits"), "float64", "reproducible", LONG)
        return str(caught.value), time.monotonic() - struck[0]
    finally:
        hit.join()
        ranks.end()


def after(backend: Any, problem: Problem, n: int) -> tuple[np.ndarray, ...]:
    dtype = backend.dtype
    x, y = (backend.from_numpy(a.astype(dtype)) for a in (problem.inputs, problem.targets))
    weights = tuple(map(backend.from_numpy, problem.first_weights(dtype)))
    return tuple(map(backend.to_numpy, backend.train(weights, x, y, problem.rate(dtype), n)))


def hashed(weights: tuple[np.ndarray, ...]) -> str:
    return sha256(weights)


def running(pids: list[int], seconds: float = 10.0) -> list[int]:
    """Which of the processes are still there after `seconds`; returns at once when none is."""
    until = time.monotonic() + seconds
    while (left := [pid for pid in pids if _alive(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ranks_of(parent: int) -> list[int]:
    """All processes that `parent` has started, and those have, by their command line."""
    table = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout.split("\n")[1:]
    children: dict[int, list[int]] = {}
    for line in filter(None, table):
        pid, ppid = map(int, line.split())
        children.setdefault(ppid, []).append(pid)
    found, todo = [], [parent]
    while todo:
        found += children.get(todo[0], [])
        todo += children.get(todo.pop(0), [])
    return found


def listening(pids: list[int]) -> set[str]:
    """The addresses, as /proc/net/tcp writes them, at which any of these processes waits for others."""
    waiting = {}
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                waiting[fields[9]] = fields[1].partition(":")[0]
    found = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(waiting.get(target[8:-1], ""))
    return found - {""}


def marked(mark: str) -> list[int]:
    """All processes with this in their environment, whoever is their parent by now."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found
