"""Who is right, without trusting a backward pass: differences of the function itself, and its forward mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from ..common.errors import UsageError
from ..referee.exact import ElementIndex, complex_step, elements
from .differences import LEAST_SHARE, largest
from .nesting import Leaves
from .slopes import EPS, STEP, Slope, slope

SMOOTH = 1e-4
"""The referee's own uncertainty, relative to the largest derivative, above which it gives no answer."""


@dataclass(frozen=True)
class Truth:
    """The derivative at some elements of each leaf, found without a backward pass."""

    name: str
    """`complex step` or `central differences`."""
    places: dict[str, list[ElementIndex]]
    slopes: dict[str, np.ndarray]
    uncertain: dict[str, float]
    """Absolute, the largest of each leaf's."""
    nearby: dict[str, float]
    """The steepest slope in each leaf's neighbourhood: what counts as large there, at an optimum too."""
    whole: dict[str, tuple[np.ndarray, float, float]]
    """For a leaf with more elements than were looked at: (direction, slope along it, uncertainty)."""

    @property
    def largest(self) -> float:
        """The largest derivative, or the steepest slope nearby where there is next to none."""
        found = max((float(np.abs(s).max(initial=0.0)) for s in self.slopes.values()), default=0.0)
        return max(found, 0.1 * max(self.nearby.values(), default=0.0)) or 1.0

    @property
    def error(self) -> float:
        """The uncertainty, relative to the largest derivative."""
        return max(self.uncertain.values(), default=0.0) / self.largest

    def scale(self, path: str, bound: float) -> float:
        """What an error in this leaf is measured by; so large that its own uncertainty is within the bound."""
        own = float(np.abs(self.slopes[path]).max(initial=0.0))
        return max(own, LEAST_SHARE * self.largest, 0.1 * self.nearby[path], 10 * self.uncertain[path] / bound)


def along(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """A direction through every element of a leaf, none as far as another, always the same for the same path."""
    draw = np.random.RandomState(sum((i + 1) * ord(c) for i, c in enumerate(path)) % 2**32)
    return np.asarray(draw.choice((-1.0, 1.0), shape) * draw.uniform(0.5, 1.5, shape))


def moved(points: Leaves, path: str, direction: np.ndarray) -> Callable[[float], Leaves]:
    """The points with one leaf moved along a direction."""
    return lambda t: {**points, path: points[path] + t * direction}


def size_of(values: np.ndarray) -> float:
    """The root of the mean square, 0 without a value."""
    most = largest(values) or 1.0
    return most * float(np.sqrt(((values / most) ** 2).mean())) if values.size else 0.0


def step_for(size: float) -> float:
    """The first step among numbers of that size."""
    return STEP * max(1.0, size)


def numpy_truth(
    loss: Callable[[Leaves], Any], points: Leaves, varied: Sequence[str], most: int, rounding: float
) -> Truth:
    """The derivative of a NumPy function, by complex step where differences confirm it to their own precision.

    `rounding` is that of the loss, absolute, as far as it is known.

    Raises UsageError for a function that has no derivative here which differences could find.
    """
    places = {path: elements([points[path]], most) for path in varied}
    slopes: dict[str, np.ndarray] = {}
    uncertain: dict[str, float] = {}
    nearby: dict[str, float] = {}
    whole = {}
    errors: dict[str, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for path in varied:
            leaf, found, size = points[path], [], size_of(points[path])

            def through(
                direction: np.ndarray, step: float, rounding: float = rounding, path: str = path, size: float = size
            ) -> Slope:
                at = moved(points, path, direction)
                return slope(lambda t: float(loss(at(t))), step, size=size, rounding=rounding)

            overall = cache(partial(through, along(path, leaf.shape), step_for(size)))
            for _, index in places[path]:
                unit = np.zeros_like(leaf)
                unit[index] = 1.0
                step = step_for(abs(leaf[index]))
                found.append(through(unit, step))
                if found[-1].kinked:  # or the others' terms cancel, and what is left is their rounding
                    found[-1] = through(unit, step, max(rounding, EPS * size * overall().nearby))
                if found[-1].kinked:
                    raise UsageError(
                        f"the NumPy function has a kink at these inputs, in {path} at {list(index)}: move them"
                    )
            slopes[path] = np.array([s.value for s in found])
            errors[path] = np.array([s.uncertainty for s in found])
            uncertain[path] = float(errors[path].max(initial=0.0))
            nearby[path] = max((s.nearby for s in found), default=0.0)
            if len(places[path]) < leaf.size and not overall().kinked:
                whole[path] = (along(path, leaf.shape), overall().value, overall().uncertainty)
    truth = Truth("central differences", places, slopes, uncertain, nearby, whole)
    if not truth.error <= SMOOTH:
        worst = max(uncertain, key=lambda path: uncertain[path])
        raise UsageError(
            f"the NumPy function has no clear derivative here, differences in {worst} scatter by {truth.error:.0e}: "
            "is there a kink or a jump at these inputs, or does rounding decide, beside a large constant or in an "
            "ill-conditioned matrix?"
        )
    stepped = _complex_steps(loss, points, places)
    if stepped is not None and all(
        (np.abs(stepped[p] - slopes[p]) <= 10 * errors[p] + 1e-15 * truth.largest).all() for p in varied
    ):
        exact = Truth("complex step", places, stepped, uncertain, nearby, whole)
        return exact if exact.error <= SMOOTH else truth
    return truth


def _complex_steps(
    loss: Callable[[Leaves], Any], points: Leaves, places: dict[str, list[ElementIndex]]
) -> dict[str, np.ndarray] | None:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error")  # such as for an imaginary part that is discarded
            return {
                path: complex_step(lambda arrays: loss({**points, path: arrays[0]}), [points[path]], where)  # noqa: B023
                for path, where in places.items()
            }
    except Exception:  # many a function takes no complex numbers, and says so in many ways
        return None
