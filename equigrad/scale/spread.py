"""Backends in several numbers of processes, each group of processes started once and ended for certain."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..backends import FRAMEWORKS
from ..backends.interface import Backend
from ..common.errors import MissingError, UsageError
from ..common.values import count, several
from ..session import Fault, Loaded
from . import launcher
from .group import Group, OverProcesses
from .launch import Local, mpiexec


class Groups:
    """The processes of one backend at a time, started when it trains."""

    def __init__(self) -> None:
        self.key: tuple[str, int] | None = None
        self.group: Any = None

    def get(self, spec: str, size: int) -> Group:
        if launcher.world is not None:
            if launcher.world.spec != spec:
                launcher.world.spec, launcher.world.held = spec, ()
            return launcher.world
        if self.key != (spec, size) or not self.group.alive:
            self.end()
            self.group, self.key = Local(spec, size), (spec, size)
        return self.group

    def end(self) -> None:
        if self.group is not None:
            self.group.leave()
        self.group = self.key = None


@contextmanager
def groups() -> Iterator[Groups]:
    """Groups that are gone in the end, whatever happens."""
    found = Groups()
    try:
        yield found
    finally:
        found.end()


def entries(groups: Groups, loaded: Sequence[Loaded], numbers: Sequence[int], asked: bool) -> list[tuple[Loaded, int]]:
    """Each backend on each number of processes, those of one arithmetic together.

    The first of each arithmetic is the reference, on one process; unless `asked` for it is nothing else.
    """
    found = []
    seen: set[str] = set()
    for entry in loaded:
        first = entry.arithmetic not in seen
        seen.add(entry.arithmetic)
        counts = list(dict.fromkeys([1, *(numbers if asked else ())])) if first else numbers
        found += [(_on(groups, entry, n), n) for n in counts]
    return found


def _on(groups: Groups, entry: Loaded, size: int) -> Loaded:
    if isinstance(entry.backend, Fault):
        return entry
    try:
        return entry._replace(backend=over(groups, entry.name, size, entry.backend))
    except MissingError as error:
        return entry._replace(backend=Fault("missing", str(error)))


def turn(entry: Loaded, size: int) -> tuple[int, str]:
    """What to sort by, so that a group of processes is started once: all that one process does comes first."""
    return size, entry.name if size > 1 else ""


def over(groups: Groups, spec: str, size: int, one: Backend) -> Backend:
    """`one` on `size` processes; itself if that is one.

    Raises MissingError if what it needs is not here, and for a backend that knows of no other processes.
    """
    if size == 1:
        return one
    if spec.partition(":")[0] not in FRAMEWORKS:
        raise MissingError(f"{spec} trains in one process only")
    if launcher.world is None and not hasattr(socket, "AF_UNIX"):
        raise MissingError("several processes are started on Linux and macOS only")
    if spec == "numpy" and launcher.world is None:
        mpiexec()
    return OverProcesses(one.device, one.dtype, one.arithmetic, one=one, group=partial(groups.get, spec, size))


def checked(processes: int | Sequence[int] | None, samples: int) -> list[int]:
    """The numbers of processes, each once, 1 unless given; the launcher's where one has started this process.

    Raises UsageError for one that `samples` cannot be shared out to.
    """
    if launcher.world is not None:
        if processes is not None:
            raise UsageError(f"--processes: the launcher has started {launcher.world.size} already, leave it out")
        processes = [launcher.world.size]
    counts = [count("the number of processes", n) for n in several(1 if processes is None else processes)]
    for n in counts:
        if n > samples:
            raise UsageError(f"{samples} samples cannot be shared among {n} processes: each needs at least one")
    return list(dict.fromkeys(counts)) or [1]


def process_counts(text: str | None) -> list[int] | None:
    """The numbers in a text such as "1,2,4"; raises UsageError."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--processes takes whole numbers with commas between, such as 1,2,4, not '{text}'") from None
