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
    central, second = _Extrapolation(first=2), _Extrapolation(first=1)
    for _ in range(HALVINGS):
        high, low = f(step), f(-step)
        if np.isfinite(high) and np.isfinite(low):
            steep = max(abs(high - here), abs(low - here)) / step
            # terms that cancel in f are rounded too: they are about as large as what moves them times its slope
            noise = 4 * max(eps * max(abs(high), abs(low), abs(here), steep * size), rounding) / step
            central.add((high - low) / (2 * step), noise, steep)
            second.add((high - 2 * here + low) / step, noise, steep)
            # what looks like a kink from afar may be round at a closer look
            if central.exhausted and second.exhausted and not second.sure:
                break
        else:  # outside the function's domain
            central, second = _Extrapolation(first=2), _Extrapolation(first=1)
        step /= 2
    near = min(first, 10 * STEP * size or first)
    nearby = max(abs(f(near) - here), abs(f(-near) - here)) / near
    return Slope(*central.found, *second.found, nearby if np.isfinite(nearby) else 0.0)


class _Extrapolation:
    """Neville's table in steps that are halved; `first` and first + 2, ... are the powers of the step to remove."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.above: list[float] = []
        self.best, self.uncertain, self.steep = np.nan, np.inf, 0.0
        """What was found, its uncertainty, and the slope to either side over that step."""
        self.earlier: list[tuple[float, float, float]] = []
        """The same, found with longer steps, before shorter ones contradicted it."""
        self.worse = 0
        self.rounding = False
        """Whether rounding is all that is uncertain."""

    def add(self, quotient: float, noise: float, steep: float) -> None:
        row = [quotient]
        found = np.inf
        for column, old in enumerate(self.above[:8]):
            row.append(row[-1] + (row[-1] - old) / (2.0 ** (self.first + 2 * column) - 1))
            error = max(abs(row[-1] - row[-2]), abs(row[-1] - old), noise)
            found = min(found, error)
            if error < self.uncertain:
                self.best, self.uncertain, self.steep, self.rounding = row[-1], error, steep, error == noise
        if abs(row[-1] - self.best) > 10 * SURE * max(noise, self.uncertain):
            self.earlier.append((self.best, self.uncertain, self.steep))
            self.best, self.uncertain, self.worse, row = np.nan, np.inf, 0, [quotient]
        self.worse = self.worse + 1 if found > 3 * self.uncertain else 0
        self.above = row

    @property
    def found(self) -> tuple[float, float]:
        """The value and its uncertainty: what the shortest steps say that are not lost in rounding."""
        all_ = [*self.earlier, (self.best, self.uncertain, self.steep)]
        clear = [each for each in all_ if each[1] <= CLEAR**2 * each[2]]
        return (clear[-1] if clear else min(all_, key=lambda each: each[1]))[:2]

    @property
    def sure(self) -> bool:
        """Whether it is certainly not zero."""
        return bool(abs(self.best) > SURE * self.uncertain)

    @property
    def exhausted(self) -> bool:
        """Whether a slope was found, and smaller steps have only made it worse for some time."""
        return self.worse >= 5 and (self.rounding or self.uncertain <= CLEAR * self.steep)
