"""Memory that processes of one machine share under a name, which must not outlive them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def forget(pid: int | str = "self") -> None:
    """Take the names away from what this process shares by MPI; those who have it keep it.

    MPICH takes the name from its launcher's process number and removes it only in good order: what a killed run leaves
    keeps its memory, and stops the start of a later launcher with that number.
    """
    with suppress(OSError):  # elsewhere than on Linux, or no such process any more
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            path = Path(line.split()[-1])
            if path.match("/dev/shm/mpich_shm_*"):
                path.unlink(missing_ok=True)
