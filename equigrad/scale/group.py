"""Several processes that train one network together, as one Backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.interface import Backend, LayerTrace, Weights
from ..common.errors import TrainingError, UsageError
from .summation import ranges


class RankError(TrainingError):
    """A rank was lost, or failed; the text names it, in one line."""


def refuse_others(rank: int, found: dict[str, str], expected: dict[str, str]) -> None:
    """Raise UsageError, naming what differs, for a rank that cannot train with the others."""
    for name, value in expected.items():
        if found.get(name) != value:
            raise UsageError(f"rank {rank} differs from rank 0 in {name}: {found.get(name)}, not {value}")


class Group(ABC):
    """Ranks that have met, and hold the rows of one problem at a time."""

    size: int
    held: tuple[Any, ...] = ()

    @abstractmethod
    def ask(self, name: str, *arguments: Sequence[Any]) -> list[Any]:
        """What each rank answers to `name` with its own of each argument, of which there is one for every rank.

        Raises RankError.
        """

    def hold(self, x: np.ndarray, y: np.ndarray) -> None:
        """Give each rank its rows."""
        rows = ranges(len(x), self.size)
        self.ask("hold", [len(x)] * self.size, [x[r] for r in rows], [y[r] for r in rows])


@dataclass(frozen=True)
class OverProcesses(Backend):
    """A backend on several processes. What has no samples to add up is computed here, by one."""

    name = "processes"

    one: Any = None
    """The same backend in this process alone; arrays are of its kind."""
    group: Any = None
    """A function that gives the Group, which is started when it is first needed."""

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu",)

    @classmethod
    def environment(cls) -> dict[str, Any]:
        return {}

    def from_numpy(self, array: np.ndarray) -> Any:
        return self.one.from_numpy(array)

    def to_numpy(self, array: Any) -> np.ndarray:
        return self.one.to_numpy(array)

    def device_of(self, array: Any) -> str:
        return self.one.device_of(array)

    def predict(self, weights: Weights, x: Any) -> Any:
        return self.one.predict(weights, x)

    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        return self.one.gradient(weights, x, y)

    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return self.train(weights, x, y, lr, 1)

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        """Raises RankError where a rank fails, or holds other weights than rank 0 in the end."""
        group = self.group()
        if not (group.held and group.held[0] is x and group.held[1] is y):
            group.hold(self.to_numpy(x), self.to_numpy(y))
            group.held = (x, y)
        given = [self.dtype, self.arithmetic, tuple(map(self.to_numpy, weights)), lr, n]
        answers = group.ask("train", *([value] * group.size for value in given))
        for rank, (digest, _, _) in enumerate(answers):
            if digest != answers[0][0]:
                raise RankError(f"rank {rank} of {group.size} holds other weights than rank 0")
        return tuple(map(self.from_numpy, answers[0][1]))

    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        return self.one.trace(weights, x, y, lr)

    def synchronize(self, value: Any) -> Any:
        return self.one.synchronize(value)
