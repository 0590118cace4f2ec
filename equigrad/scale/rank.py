"""One of several processes: what it says of itself, and what it does when it is told to.

python -m equigrad.scale.rank ADDRESS BACKEND SIZE RANK is one that `launch` starts. RANK is '-' where MPI knows it, and
'+' for all ranks at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Client, Connection
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from ..common.errors import said
from ..common.garbage import importing, keep_imports
from ..common.machine import machine
from ..common.problem import Problem
from ..common.ulp import sha256
from .memory import forget
from .summation import Shards

HEARTBEAT = 0.5
"""Seconds between two signs of life."""


def facts(problem: Problem | None) -> dict[str, str]:
    """What must be the same on every rank before they train together, by what it is called."""
    here = machine()
    known = {"equigrad": here["equigrad"], "Python": here["python"], **here["versions"]}
    if problem is not None:
        known["data"] = sha256([problem.inputs, problem.targets, *problem.first_weights()])[:12]
        training = (problem.updates, problem.learning_rate, problem.layers)
        known["training"] = "{} updates, learning rate {}, layers {}".format(*training)
    return {name: str(value) for name, value in known.items()}


class Rank:
    """One backend on one of several processes; each method is what it may be told to do."""

    def __init__(self, spec: str, rank: int, size: int) -> None:
        self.framework, _, device = spec.partition(":")
        self.device, self.rank, self.size = device or "cpu", rank, size
        self.backends: dict[tuple[str, str], Any] = {}

    def join(self, meeting: str) -> None:
        """Meet the others."""
        self.engine = engine(self.framework)
        self.engine.join(self.rank, self.size, meeting, self.device)

    def hold(self, samples: int, x: np.ndarray, y: np.ndarray) -> None:
        """This process's rows of inputs and targets, of `samples` in all."""
        self.samples, self.x, self.y = samples, x, y
        self.backends.clear()

    def train(
        self, dtype: str, arithmetic: str, weights: tuple[np.ndarray, ...], lr: float, n: int
    ) -> tuple[str, tuple[np.ndarray, ...], int]:
        """The hash of the weights after n updates, the weights themselves from rank 0, and the bytes sent."""
        Shards.entered += 1
        if (dtype, arithmetic) not in self.backends:
            backend = self.engine.RankBackend(self.device, dtype, arithmetic, samples=self.samples)
            self.backends[dtype, arithmetic] = backend, backend.rows(self.x), backend.rows(self.y)
        backend, x, y = self.backends[dtype, arithmetic]
        before = backend.shards.sent
        trained = backend.train(tuple(map(backend.from_numpy, weights)), x, y, lr, n)
        arrays = tuple(map(backend.to_numpy, backend.synchronize(trained)))
        return sha256(arrays), arrays if self.rank == 0 else (), backend.shards.sent - before

    def leave(self) -> None:
        if hasattr(self, "engine"):
            self.engine.leave()


def engine(framework: str) -> ModuleType:
    """What trains that framework over processes."""
    with importing():
        return import_module(f".{framework}_engine", __package__)


def forked(framework: str, size: int) -> int:
    """The rank of each fork of this process, which loads the framework once for all of them.

    This process itself ends as the first of them that comes to a bad end, or with the last.
    """
    engine(framework)
    for rank in range(size):
        if not os.fork():
            return rank
    for _ in range(size):
        code = os.waitstatus_to_exitcode(os.wait()[1])
        if code < 0:
            os.kill(os.getpid(), -code)
        if code:
            os._exit(code)
    os._exit(0)


def answer(rank: Rank, message: tuple[Any, ...]) -> tuple[str, Any]:
    """('done', value) or ('raised', one line)."""
    name, *arguments = message
    try:
        return "done", getattr(rank, name)(*arguments)
    except Exception as error:
        return "raised", said(error)


def main() -> None:
    """Do what the process at the other end says, and end with it."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # it ends us, by the connection; mpiexec would hide who died first
        signal.signal(ending, signal.SIG_IGN)
    keep_imports()
    address, spec, size, number = sys.argv[1:]
    if number == "+":
        number = str(forked(spec, int(size)))
    rank = Rank(spec, int(os.environ["PMI_RANK"] if number == "-" else number), int(size))
    keep_to_own_cores(rank)
    try:
        connection = Client(address)
    except OSError:
        alone(address)
    sending = threading.Lock()

    def send(message: tuple[Any, ...]) -> None:
        with sending:
            connection.send(message)

    def live() -> None:
        """Without whoever started us there is nothing left to do, whatever the main thread is at."""
        try:
            while not threading.Event().wait(HEARTBEAT):
                send(("alive", Shards.entered))
        except OSError:
            alone(address)

    send(("hello", rank.rank, os.getpid(), facts(None)))
    threading.Thread(target=live, daemon=True).start()
    _serve(connection, send, rank)


def alone(address: str) -> NoReturn:
    """Whoever started us was killed. Until all have met there is a folder, and nobody else is left to remove it."""
    for path in (Path(address), Path(address).with_name("meeting")):
        path.unlink(missing_ok=True)
    forget()
    with suppress(OSError):
        Path(address).parent.rmdir()
    os._exit(1)


def keep_to_own_cores(rank: Rank) -> None:
    """The one setting that every library obeys, XLA included; where cores are fewer than ranks they are shared."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        share = len(cores) // rank.size
        if share:
            os.sched_setaffinity(0, cores[rank.rank * share : (rank.rank + 1) * share])


def _serve(connection: Connection, send: Any, rank: Rank) -> None:
    try:
        while (message := connection.recv())[0] != "leave":
            send(answer(rank, message))
        rank.leave()
    except (EOFError, OSError):
        os._exit(1)


if __name__ == "__main__":
    main()
