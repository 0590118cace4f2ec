"""What every contestant is given, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..common.problem import Problem, bytes_needed


class Unsuitable(Exception):
    """This contestant cannot compute this problem; the text says why. Its row says so and has no number."""


@dataclass(frozen=True, eq=False)
class Workload:
    """A problem in one dtype, as NumPy arrays: the same bytes for every contestant."""

    name: str
    x: np.ndarray
    """(samples, inputs)"""
    y: np.ndarray
    """(samples, outputs)"""
    weights: tuple[np.ndarray, ...]
    """The first weights. Every run starts from these."""
    rate: float
    updates: int

    @classmethod
    def of(cls, problem: Problem, dtype: str) -> Workload:
        return cls(
            problem.name,
            problem.inputs.astype(dtype),
            problem.targets.astype(dtype),
            problem.first_weights(dtype),
            problem.rate(dtype),
            problem.updates,
        )

    @property
    def dtype(self) -> str:
        return str(self.x.dtype)

    @property
    def layers(self) -> tuple[int, ...]:
        return (self.x.shape[1], *(w.shape[1] for w in self.weights))

    @property
    def work(self) -> int:
        """Multiplications in the matrix products of one update: three per weight and sample, less the first
        layer's, whose input needs no gradient."""
        per_sample = 3 * sum(w.size for w in self.weights) - self.weights[0].size
        return len(self.x) * per_sample

    @property
    def bytes_needed(self) -> int:
        return bytes_needed(len(self.x), self.layers, self.x.itemsize)


Arrays = tuple[np.ndarray, ...]
Loop = Callable[[int], Arrays]
"""run(n): the weights after n updates from the first weights, as NumPy arrays, so that nothing is still under way."""


@dataclass(frozen=True)
class Moved:
    """A run of a backend, and how long its data took to the device once the device was up."""

    run: Loop
    transfer_seconds: float
    begin: Callable[[Arrays], None]
    """Lets the runs that follow start from these weights."""


@dataclass(frozen=True)
class Contestant:
    """One way to run the updates. It lives in a process of its own."""

    name: str
    group: str
    """floor, backend, numpy, torch, jax (the idioms of each) or peer."""
    maker: str
    """'module:function' below equigrad.bench.contestants; function(workload, *arguments) returns a Loop, or Moved."""
    arguments: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()
    """The modules it is made of. They are imported first, apart from everything else."""
    environment: tuple[tuple[str, str], ...] = ()
    """Environment variables of its process."""
    device: str = "cpu"
    """Where it computes. From the process of one on the cpu, GPUs are hidden."""
    expect: str = "weights"
    """What must come back: 'weights' after the updates, the 'first weights', or the matrix 'products'."""
    arithmetic: str = "native"
    about: str = ""
    processes: int = 1
    """That it trains on, each with as many threads as a row may have."""
