"""NumPy over processes: mpi4py, https://mpi4py.readthedocs.io, on whichever MPI is here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from mpi4py import MPI

from ..backends.numpy_arithmetic import Space
from ..backends.numpy_backend import NumpyBackend
from .memory import forget
from .summation import Shards


def join(rank: int, size: int, meeting: str, device: str) -> None:
    """MPI has met already, when its module was imported."""
    if (MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size) != (rank, size):
        found = f"rank {MPI.COMM_WORLD.rank} of {MPI.COMM_WORLD.size}"
        raise RuntimeError(f"mpi4py is {found}: is this the mpiexec of another MPI?")
    MPI.COMM_WORLD.Barrier()  # all have attached to the shared memory
    forget()


def leave() -> None:
    """MPI leaves by itself, at the end of the process."""


class Rows(np.ndarray):
    """This process's rows of a matrix with one row for each sample; so is what is computed from it row by row."""

    @property
    def T(self) -> Columns:  # type: ignore[override]
        return self.view(np.ndarray).T.view(Columns)


class Columns(np.ndarray):
    """Rows, transposed: a product with it contracts over the samples."""


class NumpyShards(Shards):
    def __init__(self, samples: int) -> None:
        super().__init__(samples, MPI.COMM_WORLD.size)

    def maximum(self, x: np.ndarray) -> np.ndarray:
        return self._reduced(x, MPI.MAX)

    def total(self, x: np.ndarray) -> np.ndarray:
        return self._reduced(x, MPI.SUM)

    def _reduced(self, x: np.ndarray, operation: Any) -> np.ndarray:
        x = np.ascontiguousarray(x)
        self.entering(x.nbytes)
        MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, x, operation)
        return x

    def gathered(self, x: np.ndarray) -> np.ndarray:
        whole = np.empty((self.samples, x.shape[1]), x.dtype)
        self.entering(whole.nbytes)
        MPI.COMM_WORLD.Allgatherv(np.ascontiguousarray(x), [whole, [n * x.shape[1] for n in self.counts]])
        return whole


class Operations:
    """The backend's own, but for the products: their way is the whole problem's, and one adds over processes."""

    def __init__(self, ops: Any, shards: NumpyShards, arithmetic: str) -> None:
        self.product, self.own, self.shards, self.native = ops.product, ops, shards, arithmetic == "native"

    def sigmoid(self, x: np.ndarray) -> np.ndarray:
        return self.own.sigmoid(x.view(np.ndarray)).view(Rows)

    def dot(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        over_samples = isinstance(a, Columns)
        a, b = a.view(np.ndarray), b.view(np.ndarray)
        if over_samples:
            return self.shards.total(self.own.dot(a, b)) if self.native else self.shards.gradient_dot(Space, a, b)
        return (self.own.dot(a, b) if self.native else self.shards.dot(Space, a, b)).view(Rows)


@dataclass(frozen=True)
class RankBackend(NumpyBackend):
    """The backend on one of several processes."""

    samples: int = 0

    @cached_property
    def shards(self) -> NumpyShards:
        return NumpyShards(self.samples)

    @cached_property
    def ops(self) -> Any:
        return Operations(super().ops, self.shards, self.arithmetic)

    def rows(self, array: np.ndarray) -> np.ndarray:
        """This process's rows of the data."""
        return self.from_numpy(array).view(Rows)
