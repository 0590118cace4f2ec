"""What each call of an update costs: the calls that `train` repeats, timed one by one in interleaved rounds."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any

from ..backends import load
from ..backends.tape.tape import Bound, Tape
from ..common.agreement import Disagreement
from ..common.ulp import sha256
from .contestants.peers import trask
from .workload import Workload

BURST = 1000
"""Times that a call is made in a row; as many updates are timed in each round."""


@dataclass
class Calls:
    """The calls of one update. All times are seconds, one for each round."""

    problem: str
    spec: str
    names: list[str] = field(default_factory=list)
    seconds: list[list[float]] = field(default_factory=list)
    """Of each call, made again and again, the loop around it included."""
    empty: list[float] = field(default_factory=list)
    """Of a call that does nothing, the loop around it included."""
    update: list[float] = field(default_factory=list)
    """Of a whole update, as `train` repeats it."""
    seed: list[float] = field(default_factory=list)
    """Of the seed's own loop, a NumPy script."""
    weights_sha256: str = ""
    """Of what was trained while it was timed; the same as without."""
    refused: str = ""
    """Why there are no times."""

    @property
    def total(self) -> list[float]:
        """The calls together, round by round."""
        return [sum(each) for each in zip(*self.seconds, strict=True)]


def measure(workload: Workload, spec: str, rounds: int) -> Calls:
    """Time the calls that the backend's `train` makes of the workload, in this process.

    Raises Disagreement if the weights that were trained meanwhile are not those of `train`.
    """
    backend, found = load(spec, workload.dtype), Calls(workload.name, spec)
    x, y, *weights = (backend.from_numpy(a) for a in (workload.x, workload.y, *workload.weights))
    given = (tuple(weights), x, y, workload.rate, rounds * (BURST + 1) + 1)
    expected = sha256(tuple(map(backend.to_numpy, backend.train(*given))))
    seed, run = trask(workload), Tape.run

    def timed(calls: Sequence[Bound], n: int) -> None:
        alone = list(map(_elsewhere, calls))
        found.names = list(map(_name, calls))
        found.seconds = [[] for _ in calls]
        for _ in range(rounds):
            for call, again, seconds in zip(calls, alone, found.seconds, strict=True):
                seconds.append(_burst(again))
                call()
            found.empty.append(_burst(partial(bool)))
            found.update.append(_each(partial(run, calls)))
            found.seed.append(_each(seed))
        run(calls, n - rounds * (BURST + 1))

    Tape.run = staticmethod(timed)  # type: ignore[method-assign]
    try:
        found.weights_sha256 = sha256(tuple(map(backend.to_numpy, backend.train(*given))))
    finally:
        Tape.run = staticmethod(run)  # type: ignore[method-assign]
    if found.weights_sha256 != expected:
        raise Disagreement("nondeterministic", f"{spec}: the calls one by one gave other bits than train")
    return found


def _burst(call: Bound) -> float:
    start = time.perf_counter()
    for _ in repeat(None, BURST):
        call()
    return (time.perf_counter() - start) / BURST


def _each(loop: Callable[[int], Any]) -> float:
    start = time.perf_counter()
    loop(BURST)
    return (time.perf_counter() - start) / BURST


def _elsewhere(call: Any) -> Bound:
    """The same call into another array, so that it may be repeated and changes nothing."""
    if call.keywords:
        return partial(call.func, *call.args, **{name: copy.deepcopy(into) for name, into in call.keywords.items()})
    return partial(call.func, *call.args[:-1], copy.deepcopy(call.args[-1])) if len(call.args) > 1 else call


def _name(call: Any) -> str:
    into = [*call.args, *call.keywords.values()][-1]
    return f"{call.func.__name__.partition('.')[0]} -> {'x'.join(map(str, into.shape))}"
