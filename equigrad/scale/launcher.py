"""Processes that a launcher of the user's has started: mpiexec, srun or torchrun, on one machine or many.

Every one of them runs the same command. Rank 0 does what the command says, and tells the others what to do; they
say nothing.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ..backends import FRAMEWORKS
from ..common.errors import MissingError, UsageError, install
from ..common.problem import Problem
from .group import Group, refuse_others
from .launch import free_port
from .place import place, say
from .rank import Rank, answer, facts

NAP = 0.001
"""Seconds between two looks at whether there is something to do; MPI alone would look all the time."""
LAST_WORDS = 0.5
"""Seconds that the launcher has to pass on what a rank said: it hears of the end by another way, and drops the rest."""


@dataclass
class World(Group):
    """All processes of the launcher, this one, rank 0, among them."""

    rank: int
    size: int
    scatter: Callable[[Any], Any]
    """Gives each rank its own of the list that rank 0 has."""
    gather: Callable[[Any], Any]
    """Gives rank 0 the list of what the ranks have."""
    abort: Callable[[], None]
    """Ends all of them."""
    through: str = ""
    """The backend whose engine the three above use, so that it is left last."""

    def __post_init__(self) -> None:
        self.ranks: dict[str, Rank] = {}
        self.spec = ""

    def ask(self, name: str, *arguments: Sequence[Any]) -> list[Any]:
        mine = self.scatter([(self.spec, name, *given) for given in zip(*arguments, strict=True)])
        return list(self.gather(self.do(mine)))

    def do(self, message: tuple[Any, ...]) -> Any:
        """What one rank does. Where it fails the others wait for it in vain, so it ends them all."""
        spec, *order = message
        kind, value = answer(self.ranks.setdefault(spec, Rank(spec, self.rank, self.size)), tuple(order))
        if kind == "raised":
            say(f"{spec}: rank {self.rank} of {self.size} raised {value}")
            time.sleep(LAST_WORDS)
            self.abort()
        return value

    def serve(self) -> None:
        """Do as rank 0 says, until it is done."""
        while (message := self.scatter(None)) is not None:
            self.gather(self.do(message))
        self.close()

    def leave(self) -> None:
        """Tell the others that this was all."""
        for spec in [] if self.through else list(self.ranks):
            self.gather(self.do(self.scatter([(spec, "leave")] * self.size)))
        self.scatter([None] * self.size)
        self.close()

    def close(self) -> None:
        if self.through:
            self.ranks[self.through].leave()


def _over_mpi() -> tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[], None]]:
    if find_spec("mpi4py") is None:
        raise MissingError(f"to work with other processes over MPI, equigrad needs mpi4py: {install('processes')}")
    from mpi4py import MPI

    world = MPI.COMM_WORLD

    def scatter(values: Any) -> Any:
        together = world.Ibarrier()
        while not together.Test():
            time.sleep(NAP)
        return world.scatter(values)

    os.environ.setdefault("LOCAL_RANK", str(world.Split_type(MPI.COMM_TYPE_SHARED).rank))
    return scatter, world.gather, lambda: world.Abort(1)


def _over_torch(backends: Sequence[str]) -> tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[], None]]:
    import torch.distributed as dist

    from .torch_engine import join

    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    join(rank, size, "env://", "cuda" if "torch:cuda" in backends else "cpu")

    def scatter(values: Any) -> Any:
        mine: list[Any] = [None]
        dist.scatter_object_list(mine, values)
        return mine[0]

    def gather(value: Any) -> Any:
        values = [None] * size if rank == 0 else None
        dist.gather_object(value, values)
        return values

    return scatter, gather, lambda: os._exit(1)


world: World | None = None
"""On rank 0, once the others are there."""


def take_part(problem: Problem, backends: Sequence[str] | None) -> None:
    """On rank 0 `world` is there after this; on every other rank it does what rank 0 says, and ends the process.

    Raises UsageError on rank 0 if a rank has other data or versions.
    """
    global world
    found = place()
    assert found is not None
    rank, size = found
    torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if (torchrun and set(backends or ()) - {"torch", "torch:cuda"}) or (torchrun and not backends):
        raise UsageError("torchrun starts processes for PyTorch alone: add -b torch")
    three = _over_torch(backends or ()) if torchrun else _over_mpi()
    here = World(rank, size, *three, through=(backends or [""])[0] if torchrun else "")
    told = here.gather((facts(problem), socket.gethostname()))
    if rank:
        here.serve()
        sys.stdout.flush()
        sys.exit(0)
    world = here
    print_alone()
    for other, (known, _) in enumerate(told):
        refuse_others(other, known, told[0][0])
    one_machine = len({name for _, name in told}) == 1
    host = "127.0.0.1" if one_machine else socket.getfqdn()
    asked = backends or [name for name in FRAMEWORKS if find_spec(name)]
    for spec in (each for each in asked if each.partition(":")[0] in FRAMEWORKS):  # others train in one process
        here.spec = spec
        with tempfile.TemporaryDirectory(prefix="equigrad-") as folder:
            port = f"{host}:{free_port()}"
            meeting = port if spec.startswith("jax") else f"file://{folder}/meeting" if one_machine else f"tcp://{port}"
            here.ask("join", [meeting] * size)


def print_alone() -> None:
    """Keep standard output to what Python prints: gloo says there, from C++, whom it is connected to."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout = open(kept, "w", encoding=sys.stdout.encoding, errors="replace")  # noqa: SIM115 - to the very end


@contextmanager
def together(problem: Problem, backends: Sequence[str] | None) -> Iterator[None]:
    """Where a launcher has started several processes, rank 0 goes on and the others do as it says; see `take_part`."""
    global world
    if place() is None:
        yield
        return
    try:
        take_part(problem, backends)
        yield
    finally:
        if world is not None:
            world.leave()
            world = None
