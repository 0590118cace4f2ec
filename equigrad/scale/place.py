"""Which of several processes this is, if mpiexec, srun or torchrun has started it."""

from __future__ import annotations

import os

VARIABLES = (
    ("PMI_RANK", "PMI_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMIX_RANK", "SLURM_NTASKS"),
    ("RANK", "WORLD_SIZE"),
)
"""Rank and number of processes, as MPICH, Open MPI, Slurm with PMIx and torchrun tell them."""


def place() -> tuple[int, int] | None:
    """(rank, number of processes) if a launcher has started several, else None."""
    for rank, size in VARIABLES:
        if rank in os.environ and int(os.environ.get(size, "1")) > 1:
            return int(os.environ[rank]), int(os.environ[size])
    return None


def be_silent_unless_first() -> None:
    """Rank 0 prints, for all; of the others only what they `say` is seen."""
    global _errors
    if (place() or (0, 1))[0] == 0:
        return
    _errors = os.dup(2)
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


_errors = 2


def say(line: str) -> None:
    os.write(_errors, f"equigrad: {' '.join(line.split())}\n".encode())
