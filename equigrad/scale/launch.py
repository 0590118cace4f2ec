"""Several processes on this machine: started, watched, and ended, all of them, whatever happens.

Each calls back at a socket in a folder of the user's own, so that nothing listens on the network for our sake; the
engines themselves are kept to the loopback interface.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing.connection import Connection, Listener, wait
from pathlib import Path
from typing import Any

from ..common.errors import MissingError, install
from ..common.machine import cores
from .group import Group, RankError, refuse_others
from .memory import forget
from .rank import facts

RANK = [sys.executable, "-m", "equigrad.scale.rank"]
PATIENCE = 8.0
"""Seconds without a sign of life, or in which all others wait for one, after which a rank counts as hung."""
STANDSTILL = 2.0
"""Seconds between two looks at the ranks, four a second, after which this process stood still, as when a container is
paused: no rank is to blame for them."""
STARTING = 60.0
"""Seconds that all ranks may take to call back."""
GRACE = 0.5
"""Seconds to hear of others after a first rank has failed, since the loss of one makes the others fail too."""
TRIES = 3
"""Ports that are tried, one after the other."""
IN_USE = ("Failed to start RPC server", "Failed to add port", "address already in use", "Address already in use")
"""What engines say then."""
FORKED = ("torch", "jax") if sys.platform == "linux" else ()
"""Backends of which one process loads the framework, and forks into the ranks. An import starts no threads but
OpenBLAS's, which end at a fork, and uses no GPU; those on a GPU, and macOS, whose frameworks may start threads, get a
process for each rank."""
LEAVING = 5.0
"""Seconds that ranks may take to end in good order."""
MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**28), "MALLOC_MMAP_THRESHOLD_": str(2**25)}
"""glibc's: keep the memory of NumPy's temporary arrays, instead of giving it back and fetching it in each update."""


class PortError(RankError):
    """Somebody took the port between our look and the engine's: worth another try."""


class Local(Group):
    """`size` processes of this machine for the backend `spec`."""

    def __init__(self, spec: str, size: int) -> None:
        self.spec, self.size = spec, size
        self.pids: dict[int, int] = {}
        self.connections: dict[int, Connection] = {}
        self.children: dict[int, subprocess.Popen[bytes]] = {}
        self.entered: dict[int, int] = dict.fromkeys(range(size), 0)
        self.longest = 0.0
        self.looked = self.stood = 0.0
        self.joined = False
        for left in reversed(range(TRIES)):
            self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the ranks
            try:
                self.folder = Path(tempfile.mkdtemp(prefix="equigrad-"))
            except OSError:
                self.errors.close()
                raise
            try:
                self._start()
                return
            except PortError:
                if not left:
                    raise
            except BaseException:
                self.end()
                raise

    def _start(self) -> None:
        with Listener(str(self.folder / "ranks"), "AF_UNIX", backlog=self.size) as listener:
            self._launch(str(self.folder / "ranks"))
            self._meet(listener)
        meeting = f"127.0.0.1:{free_port()}" if self.spec.startswith("jax") else f"file://{self.folder / 'meeting'}"
        self.ask("join", [meeting] * self.size)
        self.joined = True
        shutil.rmtree(self.folder)  # they have met; a kill -9 leaves nothing behind from here on

    @property
    def alive(self) -> bool:
        return bool(self.connections)

    def _launch(self, address: str) -> None:
        threads = str(max(1, cores() // self.size))
        loopback = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), "lo")
        environment = {
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads),
            **(MEMORY if self.spec == "numpy" else {}),
            **os.environ,
            "GLOO_SOCKET_IFNAME": loopback,
            "UCX_TLS": "self,sm",  # processes of one machine share memory
            "FI_PROVIDER": "shm",
        }
        together = {"numpy": "-", **dict.fromkeys(FORKED, "+")}.get(self.spec)
        for i, rank in enumerate([together] if together else map(str, range(self.size))):
            command = [*RANK, address, self.spec, str(self.size), rank]
            if rank == "-":
                command = [*mpiexec(), "-n", str(self.size), *command]
            self.children[i] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.errors,
                start_new_session=True,
            )  # fmt: skip

    def _meet(self, listener: Listener) -> None:
        """Wait for each to call back, with the same versions of everything."""
        expected, until = facts(None), time.monotonic() + STARTING
        server = listener._listener._socket  # type: ignore[attr-defined]
        server.settimeout(0.2)
        while len(self.connections) < self.size:
            try:
                connection = listener.accept()
            except TimeoutError:
                ended = [child.returncode for child in self.children.values() if child.poll() is not None]
                if ended or time.monotonic() > until:
                    missing = next(rank for rank in range(self.size) if rank not in self.connections)
                    raise self._lost(
                        missing, self._why("ended before it began" if ended else "did not start")
                    ) from None
                continue
            _, rank, pid, found = connection.recv()
            self.connections[rank], self.pids[rank] = connection, pid
            refuse_others(rank, found, expected)

    def ask(self, name: str, *arguments: Sequence[Any]) -> list[Any]:
        self.looked = time.monotonic()
        start = self._now()
        for rank, given in enumerate(zip(*arguments, strict=True)):
            try:
                self.connections[rank].send((name, *given))
            except OSError:
                raise self._fail({rank: self._why("was lost")}) from None
        answers: dict[int, Any] = {}
        self.awaited: dict[int, float] = {}
        alive = dict.fromkeys(range(self.size), start)
        moved = dict.fromkeys(range(self.size), start)
        bad: dict[int, str] = {}
        until = None
        while len(answers) < self.size:
            ready = wait([self.connections[r] for r in range(self.size) if r not in answers and r not in bad], 0.25)
            now = self._now()
            for rank in [r for r, c in self.connections.items() if c in ready]:
                try:
                    kind, value = self.connections[rank].recv()
                except (EOFError, OSError):
                    bad.setdefault(rank, self._ending(rank))
                    continue
                alive[rank] = now
                if kind == "alive":
                    if value != self.entered[rank]:
                        self.longest = max(self.longest, now - moved[rank]) if self.entered[rank] else 0.0
                        self.entered[rank], moved[rank] = value, now
                elif kind == "done":
                    answers[rank], moved[rank] = value, now
                else:
                    bad.setdefault(rank, value)
            if not bad:
                bad = self._hung(name, answers, alive, moved, now)
            if bad:
                until = until or now + GRACE
                if now > until or len(bad) + len(answers) == self.size:
                    raise self._fail(bad)
        return [answers[rank] for rank in range(self.size)]

    def _now(self) -> float:
        """Seconds on a clock that stands still while this process does."""
        before, self.looked = self.looked, time.monotonic()
        if self.looked - before > STANDSTILL:
            self.stood += self.looked - before
        return self.looked - self.stood

    def _hung(
        self, name: str, answers: dict[int, Any], alive: dict[int, float], moved: dict[int, float], now: float
    ) -> dict[int, str]:
        """The ranks that give no sign of life, or for which all others wait."""
        starting = name == "join"  # a framework that is being loaded gives no sign of life
        silence = STARTING if starting else PATIENCE
        patience = STARTING if starting else max(PATIENCE, 3 * self.longest)
        for rank in (rank for rank in range(self.size) if rank not in answers):
            others = [r for r in range(self.size) if r != rank]
            awaited = all(r in answers or self.entered[r] > self.entered[rank] for r in others)
            if now - alive[rank] > silence:
                return {rank: f"hangs: no sign of life for {silence:g} seconds"}
            if not (others and awaited):
                self.awaited.pop(rank, None)
            elif now - max(self.awaited.setdefault(rank, now), moved[rank]) > patience:
                return {rank: f"hangs: the others have waited for it for {patience:.0f} seconds"}
        return {}

    def _ending(self, rank: int) -> str:
        """How a rank came to its end."""
        if self.spec == "numpy":  # mpiexec has a status of its own
            return self._why("was killed, or crashed")
        child = self.children[0 if len(self.children) == 1 else rank]
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
        code = child.returncode
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return self._why("was lost" if code is None else f"ended with status {code}")

    def _why(self, what: str) -> str:
        """With the last line that the ranks wrote."""
        lines = self._stderr().strip().splitlines()
        return f"{what}: {lines[-1][:300]}" if lines else what

    def _stderr(self) -> str:
        return os.pread(self.errors.fileno(), 2**16, 0).decode(errors="replace")

    def _fail(self, bad: dict[int, str]) -> RankError:
        """The error that names the first rank that was lost, or else the first that failed; the others are ended."""
        lost = [rank for rank, what in bad.items() if what.startswith(("was ", "ended ", "hangs"))]
        rank = [*lost, *bad][0]
        said = "".join([*bad.values(), self._stderr()])
        what = bad[rank]
        self.end()
        if not self.joined and any(words in said for words in IN_USE):
            return PortError(f"rank 0 of {self.size} tried {TRIES} ports, and each was in use")
        return self._lost(rank, what if rank in lost else f"raised {what}")

    def _lost(self, rank: int, what: str) -> RankError:
        return RankError(f"rank {rank} of {self.size} {what}")

    def leave(self) -> None:
        """End in good order: each rank leaves the others by itself."""
        with suppress(OSError):
            for connection in self.connections.values():
                connection.send(("leave",))
            until = time.monotonic() + LEAVING
            for child in self.children.values():
                with suppress(subprocess.TimeoutExpired):
                    child.wait(max(0, until - time.monotonic()))
        self.end()

    def end(self) -> None:
        """Leave no process behind, and no file."""
        for pid in self.pids.values() if not self.joined else ():  # one killed before all have met has left its name
            forget(pid)
        for child in self.children.values():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        for rank, connection in self.connections.items():
            if not _closed(connection):  # mpiexec may have put it into a session of its own
                with suppress(ProcessLookupError):
                    os.kill(self.pids[rank], signal.SIGKILL)
            connection.close()
        self.children, self.connections = {}, {}
        shutil.rmtree(self.folder, ignore_errors=True)
        self.errors.close()


def _closed(connection: Connection, seconds: float = 1.0) -> bool:
    """Whether the other end is gone; what it still had to say is dropped."""
    until = time.monotonic() + seconds
    try:
        while connection.poll(max(0, until - time.monotonic())):
            connection.recv()
    except (EOFError, OSError):
        return True
    return False


def mpiexec() -> list[str]:
    """The command that starts processes for MPI on this machine; raises MissingError."""
    if find_spec("mpi4py") is None:
        raise MissingError(f"NumPy over processes needs mpi4py: {install('processes')}")
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for name in ("mpiexec.gforker", "mpiexec"):  # the first stays on this machine and opens no port
        found = shutil.which(name, path=folders)
        if found:
            return [found]
    raise MissingError(f"NumPy over processes needs an mpiexec: {install('processes')}")


def free_port() -> int:
    """A port that is free on the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
