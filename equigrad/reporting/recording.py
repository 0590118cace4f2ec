"""What every backend holds inside, written down at some updates of one training, for the replay and the charts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ..backends.interface import LayerTrace
from ..common.errors import MissingError, UsageError, said
from ..common.problem import Problem
from ..common.ulp import sha256
from ..diverge.result import Distance
from ..session import Fault, LayerTraces, Matrices, Progress, Session, sessions

FIRST = 10
"""How many first updates are recorded one by one."""
LAST = 5
"""And how many last ones."""
CUTS = ((8, 10, 12), (6, 8, 12), (4, 6, 8), (4, 4, 6), (2, 2, 4), (1, 1, 2))
"""How many samples, units of each layer and stops in each power of ten are written down: the first that fits.
The training always has all of them."""
MOST_BYTES = 500_000
"""The largest recording that a page holds."""
LONGER = 10
"""How many times its updates the training goes on for, where that takes no longer than LONGER_SECONDS."""
LONGER_SECONDS = 5.0

QUANTITIES = ("weight", *LayerTrace._fields, "after")
"""What is written down of each layer; the weight is the one before the update, after is the one after it."""

Moment = list[tuple[np.ndarray, ...]]
"""For each layer its QUANTITIES in one update, cut down to what is shown."""


@dataclass
class Track:
    """One backend, dtype and arithmetic along the training."""

    backend: str
    dtype: str
    arithmetic: str
    moments: list[Moment] = field(default_factory=list)
    """One per stop; fewer where something went wrong."""
    distances: list[Distance] = field(default_factory=list)
    """From NumPy, after each stop; empty for NumPy itself."""
    errors: list[float] = field(default_factory=list)
    """Mean absolute error over all samples and outputs, at each stop before its update."""
    weights_sha256: str = ""
    """After the last update; empty if it did not get there."""
    seconds: float = 0.0
    """Of all updates."""
    trouble: str = ""
    """What went wrong, in one line."""


@dataclass
class Iterations:
    """Outputs and error by update, beyond the problem's own updates where that is quick."""

    backend: str
    updates: list[int]
    """Counted from 1; each output is what that update's own prediction gives."""
    outputs: list[np.ndarray]
    """(samples shown, units shown) each."""
    errors: list[float]
    """Mean absolute error over all samples and outputs."""


@dataclass
class Replay:
    """All tracks of one problem, at the same stops."""

    problem: Problem
    stops: list[int]
    """Updates, counted from 1."""
    samples: list[int]
    """Which samples are written down."""
    units: list[list[int]]
    """Which units of each layer, the inputs first."""
    tracks: list[Track]
    iterations: Iterations


def stops(updates: int, per_decade: int, more: Sequence[int] = ()) -> list[int]:
    """The updates to look at, from 1: the first and the last ones singly, `more`, between them on a log scale."""
    decades = range(int(per_decade * np.log10(max(updates, 1))) + 1)
    spread = {round(10 ** (k / per_decade)) for k in decades}
    ends = {*range(1, FIRST + 1), *range(updates - LAST + 1, updates + 1)}
    return sorted(i for i in spread | ends | set(more) if 1 <= i <= updates)


def shown(count: int, most: int) -> list[int]:
    """All of `count`, or `most` of them, spread evenly."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most))})


def cut(problem: Problem, backends: int, dtypes: Sequence[str]) -> tuple[list[int], list[list[int]], int]:
    """Which samples and units to write down, and how many stops in each power of ten, so that they fit into a page."""
    for most_samples, most_units, per_decade in CUTS:
        samples = shown(problem.samples, most_samples)
        units = [shown(size, most_units) for size in problem.layers]
        weights = sum(len(a) * len(b) for a, b in pairwise(units))
        numbers = 3 * weights + 4 * len(samples) * sum(map(len, units[1:]))
        size = sum(np.dtype(dtype).itemsize for dtype in dtypes) * 4 / 3  # as base64
        tracks = backends + 1  # reproducible ones are one and the same
        if numbers * size * tracks * len(stops(problem.updates, per_decade)) <= MOST_BYTES:
            break
    return samples, units, per_decade


def record(
    problem: Problem,
    backends: Sequence[str],
    dtypes: Sequence[str],
    arithmetics: Sequence[str],
    more: Sequence[int] = (),
    progress: Progress | None = None,
) -> Replay:
    """Train `problem` in all `backends`, NumPy first, in every dtype and arithmetic, and look inside at `stops`.

    `more` are further updates to look at. What goes wrong inside one backend ends its track, with the reason.
    Raises UsageError if NumPy, which the others are compared with, fails at the first update.
    """
    samples, units, per_decade = cut(problem, len(backends), dtypes)
    at = stops(problem.updates, per_decade, more)
    tracks: list[Track] = []
    for dtype in dtypes:
        for arithmetic in arithmetics:
            tracks += _together(problem, backends, dtype, arithmetic, at, (samples, units), progress)
    if not tracks or not tracks[0].moments:
        reason = tracks[0].trouble if tracks else "no arithmetic was asked for"
        raise UsageError(f"'{problem.name}' cannot be replayed: {reason}")
    return Replay(problem, at, samples, units, tracks, _iterations(problem, tracks, at, samples, units[-1]))


def _together(
    problem: Problem,
    backends: Sequence[str],
    dtype: str,
    arithmetic: str,
    at: Sequence[int],
    part: tuple[list[int], list[list[int]]],
    progress: Progress | None,
) -> list[Track]:
    """All backends from stop to stop side by side, so that their weights can be compared there."""
    tracks, held = [], []
    for name in backends:
        track = Track(name, dtype, arithmetic)
        try:
            (side,) = sessions(problem, [name], dtype, arithmetic)
            held.append([track, side, side.weights])
            tracks.append(track)
        except MissingError:
            continue  # an arithmetic that this backend does not have
        except Exception as error:  # a broken install, a class that cannot be made
            track.trouble = _trouble(error)
            tracks.append(track)
    done = 0
    for update in at:
        reference: Matrices | None = None
        for entry in held:
            track, side, weights = entry
            if track.trouble or (track.backend != "numpy" and held[0][0].trouble):
                continue
            try:
                start = time.perf_counter()
                if update - 1 > done:
                    weights = side.train(weights, update - 1 - done)
                track.seconds += time.perf_counter() - start
                before, traced = side.numpy(weights), side.trace(weights)
                entry[2] = side.train(weights, 1)
                after = side.numpy(entry[2])
                moment = _part(before, traced, after, *part)
            except UsageError as error:
                track.trouble = _trouble(error)
                continue
            if not all(np.isfinite(a).all() for a in (*before, *after, *(v for layer in traced for v in layer))):
                track.trouble = f"the weights leave the finite numbers by update {update:,}"
                continue
            track.moments.append(moment)
            track.errors.append(_error(problem, traced[-1].activation))
            if reference is None:
                reference = after
            else:
                track.distances.append(Distance.between(update, reference, after))
            if update == problem.updates:
                track.weights_sha256 = sha256(after)
        done = update
        if (
            progress and 100 * done >= problem.updates
        ):  # the first stops lie close together: they say nothing of the rest
            progress(f"recording the replay in {dtype}, {arithmetic}", done, problem.updates)
    return tracks


def _trouble(error: Exception) -> str:
    """What went wrong, without the backend's name, which stands before it."""
    if isinstance(error, Fault):
        return error.message
    return str(error) if isinstance(error, UsageError) else said(error)


def _part(before: Matrices, traces: LayerTraces, after: Matrices, samples: list[int], units: list[list[int]]) -> Moment:
    """The elements that are shown; copies, so that the rest can be freed."""
    moment = []
    for i, (w, layer) in enumerate(zip(before, traces, strict=True)):
        by_weight, by_sample = np.ix_(units[i], units[i + 1]), np.ix_(samples, units[i + 1])
        moment.append((w[by_weight], *(v[by_sample] for v in layer[:-1]), layer.change[by_weight], after[i][by_weight]))
    return moment


def _error(problem: Problem, outputs: np.ndarray) -> float:
    return float(np.abs(problem.targets - outputs).mean())


def _iterations(
    problem: Problem, tracks: Sequence[Track], at: Sequence[int], samples: list[int], units: list[int]
) -> Iterations:
    """What NumPy recorded, and what the quickest backend makes of more updates, if that takes only seconds."""
    first = tracks[0]
    outputs = [moment[-1][QUANTITIES.index("activation")] for moment in first.moments]
    found = Iterations(first.backend, list(at[: len(outputs)]), outputs, list(first.errors))
    able = [t for t in tracks if t.weights_sha256 and t.dtype == first.dtype and t.arithmetic == "native"]
    quickest = min(able, key=lambda track: track.seconds, default=None)
    if quickest is None or quickest.seconds * LONGER > LONGER_SECONDS:
        return found
    (side,) = sessions(problem, [quickest.backend], quickest.dtype, quickest.arithmetic)
    with suppress(Fault):  # of predict, which nothing else here calls: then the curve ends with the training
        for update, activation, error in _longer(problem, side):
            found.updates.append(update)
            found.outputs.append(activation[np.ix_(samples, units)])
            found.errors.append(error)
    found.backend = first.backend if quickest is first else f"{first.backend}, then {quickest.backend}"
    return found


def _longer(problem: Problem, side: Session) -> Iterator[tuple[int, np.ndarray, float]]:
    weights: Any = side.train(side.weights, problem.updates)
    done = problem.updates
    for update in (i for i in stops(problem.updates * LONGER, CUTS[0][2]) if i > problem.updates):
        weights, done = side.train(weights, update - 1 - done), update - 1
        outputs = side.predict(weights)
        if not np.isfinite(outputs).all():
            return
        yield update, outputs, _error(problem, outputs)
