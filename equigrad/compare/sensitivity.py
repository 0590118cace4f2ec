"""How far rounding may carry the weights of this very problem, and whether a missing update would show beside it.

Weights computed natively differ from NumPy's by rounding alone, and how far training carries that depends on the
problem: large inputs cancel in the sums, saturated units jump, converging training forgets. So it is measured, on
NumPy's own training: a few runs whose weights are moved on the way, up or down at random, by as much as one
gradient may be off through rounding (`referee.roundoff`), element by element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from ..common.agreement import BOUNDS, FEW, distance
from ..referee import roundoff
from ..session import Matrices, Progress, Session

RUNS = 4
"""So many runs are disturbed, each in a direction of its own."""
FACTOR = 4
"""Allowed is this many times what the farthest of them does. Correct engines use less than a tenth of that, by
tests/compare/test_native.py."""
STRETCHES = 48
"""The updates are cut into about this many parts, each of which begins with a disturbance."""
SHARE = 32
"""An agreement after fewer than this part of the updates says too little about the rest."""
CEILING = 1e-3
"""Where rounding may do more than this to the largest weight, all digits are its own: nothing is compared."""


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """What rounding and what a missing update do to NumPy's weights."""

    session: Session
    """NumPy's, native."""
    weights: Callable[[int], Matrices]
    """NumPy's weights after that number of updates."""
    progress: Progress | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", cache(self.noise))  # long work, for the same few numbers of updates

    def lag(self, updates: int) -> float:
        """How far the last of `updates` moves the weights: what an engine that leaves it out is off by."""
        return distance(self.weights(updates - 1), self.weights(updates))

    def noise(self, updates: int) -> float:
        """How far a correct engine's weights may be from NumPy's after `updates`; inf if that cannot be told."""
        with np.errstate(all="ignore"):
            runs = [distance(self.disturbed(updates, seed), self.weights(updates)) for seed in range(RUNS)]
        return FACTOR * max(runs)

    def disturbed(self, updates: int, seed: int) -> Matrices:
        """The weights after a run disturbed at the beginning of each stretch.

        The errors of the k updates of a stretch add up like a random walk, to sqrt(k) times one.
        """
        session, generator, weights = self.session, np.random.RandomState(seed), self.session.first
        unit = float(np.finfo(session.backend.dtype).eps) / 2
        for start, stop in pairwise(disturbances(updates)):
            bounds = roundoff.bounds(weights, session.inputs, session.targets, session.backend.dtype)
            moved = []
            for w, bound in zip(weights, bounds, strict=True):
                error = session.lr * bound.gradient.bound + 2 * unit * np.abs(w).astype(float)
                sign = generator.choice([-1.0, 1.0], w.shape)
                moved.append((w + np.sqrt(stop - start) * sign * error).astype(w.dtype))
            weights = session.numpy(session.train(session.hold_all(moved), stop - start))
            if self.progress:
                what = f"measuring what rounding does in {updates:,} updates"
                self.progress(what, seed * updates + stop, RUNS * updates)
        return weights

    def usual(self, updates: int) -> float:
        """The bound that suffices on well-conditioned problems."""
        return BOUNDS[self.session.backend.dtype, "few" if updates <= FEW else "all"].bound

    def allowed(self, updates: int, weights: Matrices) -> float:
        """How far `weights` may be from NumPy's: as usual, or more where the problem needs it."""
        usual = self.usual(updates)
        return usual if distance(weights, self.weights(updates)) <= usual else max(usual, self.noise(updates))

    def has_power(self, updates: int, bound: float) -> bool:
        """Whether under this bound an engine one update short would be told from a correct one."""
        return bound <= CEILING and self.lag(updates) > 2 * bound

    def untold(self, updates: int, bound: float) -> list[int]:
        """The layers, from 1, that training moves so little that under this bound they might as well stay."""
        moved = (distance([w], [first]) for w, first in zip(self.weights(updates), self.session.first, strict=True))
        return [layer for layer, by in enumerate(moved, 1) if 0 < by <= 2 * bound]


def disturbances(updates: int) -> Iterator[int]:
    """Where each part ends, from 0: single updates at first, then ever longer parts."""
    done = 0
    yield done
    while done < updates:
        done = min(updates, done + (1 if done < FEW else max(1, min(done // 4, -(-updates // STRETCHES)))))
        yield done
