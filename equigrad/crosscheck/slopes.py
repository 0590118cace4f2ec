"""The referee that needs no derivative: difference quotients, extrapolated to a step of zero, with their own error."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

STEP = 0.0197
"""The first step, for numbers of order one; no round number, which might be a whole period of the function."""
HALVINGS = 44
"""The steps are halved this often at most, down to 1e-15: below, nothing but rounding is left."""
EPS, EPS32 = float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps)
FINER = EPS / EPS32
"""What rounding does in float64, as a share of what it does in float32: 2^-29."""
SURE = 100
"""How many times its uncertainty a number has to be to be none by chance."""
CLEAR = 1e-3
"""An uncertainty up to this, relative to the slope over that step, is that of a slope; else the step is too long."""


class Slope(NamedTuple):
    """The derivative of a function of one number at 0."""

    value: float
    """NaN where no step gave a number."""
    uncertainty: float
    """Absolute; inf where no step gave a number."""
    jump: float
    """The slope to the right minus the slope to the left: 0 unless there is a kink."""
    jump_uncertainty: float
    nearby: float
    """The slope over a step of the size of the numbers that are moved, or less; 0 where that gives none."""

    @property
    def kinked(self) -> bool:
        """Whether the slopes to both sides differ by more than rounding and the steps' length explain."""
        return bool(abs(self.jump) > SURE * self.jump_uncertainty)


def slope(
    f: Callable[[float], float], step: float = STEP, *, size: float = 0.0, eps: float = EPS, rounding: float = 0.0
) -> Slope:
    """The derivative of f at 0 by central differences over ever smaller steps, extrapolated.

    `step` is the first one, `size` that of the numbers among which one is moved, `eps` the rounding of one operation
    inside f, and `rounding` that of f itself, absolute, where it is known.

    C. Ridders, Advances in Engineering Software 4, 1982. The second difference over the step, extrapolated
    alike, is the jump of the slope.
    """
    here, first = f(0.0), step
    central, second, both = _Extrapolation(first=2), _Extrapolation(first=1), _Extrapolation(first=2)
    for _ in range(HALVINGS):
        high, low = f(step), f(-step)
        if np.isfinite(high) and np.isfinite(low):
            steep = max(abs(high - here), abs(low - here)) / step
            # terms that cancel in f are rounded too: they are about as large as what moves them times its slope
            noise = 4 * max(eps * max(abs(high), abs(low), abs(here), steep * size), rounding) / step
            second.add((high - 2 * here + low) / step, noise, steep)
            both.add((high - low) / (2 * step), noise, steep)
            # where f(0) does not follow from both sides, neither does the slope: they are too far away
            central.add((high - low) / (2 * step), noise, steep, second.latest)
            # what looks like a kink from afar may be round at a closer look
            if central.exhausted and second.exhausted and not second.sure:
                break
        else:  # outside the function's domain
            central, second, both = _Extrapolation(first=2), _Extrapolation(first=1), _Extrapolation(first=2)
        step /= 2
    if not central.clear:  # f(0) follows from no step at all: a value of that point alone, as of `label == 1`
        central = both
    near = min(first, 10 * STEP * size or first)
    nearby = max(abs(f(near) - here), abs(f(-near) - here)) / near
    return Slope(*central.found, *second.found, nearby if np.isfinite(nearby) else 0.0)


class _Found(NamedTuple):
    """What the rows of one step say."""

    value: float = np.nan
    uncertain: float = np.inf
    steep: float = 0.0
    """The slope to either side over that step."""
    rounding: bool = False
    """Whether rounding is all that is uncertain."""

    @property
    def clear(self) -> bool:
        """Whether that step is not too long: uncertain is little of the slope over it, or rounding alone."""
        return self.rounding or self.uncertain <= CLEAR * self.steep

    @property
    def rank(self) -> tuple[bool, float]:
        """The least is the best."""
        return not self.clear, self.uncertain


class _Extrapolation:
    """Neville's table in steps that are halved; `first` and first + 2, ... are the powers of the step to remove."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.above: list[float] = []
        self.best = _Found()
        self.latest = np.inf
        """The uncertainty of what the latest step says."""
        self.earlier: list[_Found] = []
        """What was found with longer steps, before shorter ones contradicted it."""
        self.worse = 0

    def add(self, quotient: float, noise: float, steep: float, least: float = 0.0) -> None:
        """Another row, uncertain by rounding, `noise`, and by `least`."""
        row = [quotient]
        self.latest = np.inf
        for column, old in enumerate(self.above[:8]):
            row.append(row[-1] + (row[-1] - old) / (2.0 ** (self.first + 2 * column) - 1))
            error = max(abs(row[-1] - row[-2]), abs(row[-1] - old), noise, least)
            self.latest = min(self.latest, error)
            self.best = min(self.best, _Found(row[-1], error, steep, error == noise), key=lambda found: found.rank)
        if abs(row[-1] - self.best.value) > 10 * SURE * max(noise, self.best.uncertain):
            self.earlier.append(self.best)
            self.best, self.worse, row = _Found(), 0, [quotient]
        self.worse = self.worse + 1 if self.latest > 3 * self.best.uncertain else 0
        self.above = row

    @property
    def found(self) -> tuple[float, float]:
        """The value and its uncertainty: what the shortest steps say that are not lost in rounding."""
        all_ = [*self.earlier, self.best]
        sharp = [found for found in all_ if found.uncertain <= CLEAR**2 * found.steep]
        return (sharp[-1] if sharp else min(all_, key=lambda found: found.rank))[:2]

    @property
    def clear(self) -> bool:
        return any(found.clear for found in (*self.earlier, self.best))

    @property
    def sure(self) -> bool:
        """Whether it is certainly not zero."""
        return bool(abs(self.best.value) > SURE * self.best.uncertain)

    @property
    def exhausted(self) -> bool:
        """Whether a slope was found, and smaller steps have only made it worse for some time."""
        return self.worse >= 5 and self.best.clear
