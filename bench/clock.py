"""The clock: interleaved rounds, a gate in front of every number, and a verdict on the machine's quiet.

One round runs every contestant once, so that a machine that is slow for a second is slow for all of them; a
ratio is taken within each round and its median over the rounds. The control, one contestant that runs at the
start and at the end of each round, says how much of a ratio is noise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from ..backends import load
from ..common.agreement import BOUNDS, FEW, Disagreement, assert_agreement, distance
from ..common.headline import shown
from ..common.ulp import max_ulp, sha256
from ..common.words import counted
from ..scale.summation import bytes_per_update
from ..session import Progress
from .contestants.floors import numpy_products
from .worker import Refused, Worker
from .workload import Arrays, Contestant, Workload

RUN_SECONDS = 0.2
"""A run has as many of the problem's updates as fit into this."""
ONCE = 0.05
"""The part of a run that may go to what each call of `train` does once, such as recording an update: the time per
update has it in it."""
LONGEST = 1.0
"""A run in which that takes more is made longer, up to these seconds and the problem's updates; so is one of fewer
updates than RECORDED."""
LEAST = 5
"""The fewest updates of a run: from this many on PyTorch's are recorded and repeated, and those of larger networks.
And threads that slept are slow to wake."""
RECORDED = 100
"""From this many updates on, those of every backend are recorded and repeated."""
SAMPLE_SECONDS = 0.02
"""A sample is one run, or the mean of as many runs as take this long together."""
NOISE = 0.1
"""A control whose ratio to itself has a wider middle half than this, or is as far from 1, is too noisy to rank by."""
SHARE = 0.01
"""Of how far training has moved a layer's weights: they may be as far from NumPy's, if that is less than the bound."""
ULPS = 2
"""Of a layer's largest weight: rounding alone may do that, however little the weights have moved."""
SHOWS = 4
"""A mistake shows where a layer's weights have moved by this many times what is allowed."""
KEPT = 10
"""A backend whose run takes more than this many times as long from weights that it has not seen keeps its results."""
HICCUP = 0.005
"""Seconds that a single run may take longer for no reason of its own."""
COLD = 1.5
"""The first round may take this many times the median of the others, or the warm-up was too short."""


@dataclass
class Row:
    """One contestant, and what came of it. Without an outcome of 'identical' or 'agree' it has no samples."""

    name: str
    group: str
    arithmetic: str = "native"
    about: str = ""
    outcome: str = "failed"
    message: str = ""
    updates: int = 0
    """In each run."""
    repeats: int = 1
    """Runs in each sample, every one from the first weights."""
    samples: list[float] = field(default_factory=list)
    """Seconds per update, one for each round, in order. All of them."""
    import_seconds: float | None = None
    prepare_seconds: float | None = None
    """Building it and moving the data to its device."""
    first_call_seconds: float | None = None
    """One update, compilation included."""
    second_call_seconds: float | None = None
    """One update, nothing left to compile."""
    once_seconds: float | None = None
    """What every call of `train` takes beyond its updates; None where that was not measured."""
    settled: bool = True
    """Whether that is at most ONCE of a run."""
    weights_sha256: str | None = None
    """Of the result of every timed run."""
    distance: float | None = None
    """max |w - r| / max |r| to NumPy's result after the same number of updates."""
    max_ulp: int | None = None
    moved: float | None = None
    """How far NumPy's weights are from the first ones by then, in the same measure."""
    peak_bytes: int | None = None
    processes: int = 1
    bytes_per_update: int = 0
    """That each process hands to the engine to be added up; 0 on one process."""
    device: str = "cpu"
    """Where it was to compute. That it did is asserted, or made so by hiding every GPU."""
    transfer_seconds: float | None = None
    """Moving data and weights to the device once it is up."""
    threads: dict[str, int] = field(default_factory=dict)
    precision: dict[str, str] = field(default_factory=dict)
    """Of the products of float32 matrices, as each library has it."""
    versions: dict[str, str] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def timed(self) -> bool:
        return bool(self.samples)

    @property
    def shown(self) -> str:
        """Its name in tables."""
        return shown(self.name, self.group)

    @property
    def compile_seconds(self) -> float:
        """What the first update took beyond the second, and what each call of `train` does once, such as recording."""
        compiling = (self.first_call_seconds or 0.0) - (self.second_call_seconds or 0.0)
        return max(0.0, compiling) + (self.once_seconds or 0.0)

    @property
    def warm(self) -> bool:
        """Whether the first round took no longer than the others, which is what a warm-up is for."""
        return len(self.samples) < 3 or self.samples[0] <= COLD * statistics.median(self.samples[1:])

    def refuse(self, outcome: str, message: str) -> None:
        self.outcome, self.message, self.samples = outcome, message, []


def unlike(one: Row, other: Row) -> str:
    """Why times of the two say little about each other, '' if they do: runs of other lengths."""
    few, many = sorted((one.updates, other.updates))
    return f"runs of {one.updates:,} and {other.updates:,} updates" if many > 2 * few else ""


@dataclass
class Table:
    """All rows of one problem in one dtype, measured in the same rounds."""

    problem: str
    dtype: str
    samples: int
    layers: list[int]
    updates: int
    threads: int
    rounds: int
    work: int
    bytes_needed: int
    rows: list[Row] = field(default_factory=list)
    base: str = ""
    """The row that ratios are taken to, and that runs twice in each round."""
    control: list[float] = field(default_factory=list)
    """The base at the end of each round over the base at its start."""
    interrupted: bool = False

    def row(self, name: str) -> Row | None:
        return next((row for row in self.rows if row.name == name), None)

    @property
    def timed(self) -> list[Row]:
        return [row for row in self.rows if row.timed]

    @property
    def noisy(self) -> bool:
        """Whether the control, against itself, shows that the machine was busy with something else."""
        if len(self.control) < 2:
            return False
        control = spread(self.control)
        return control.high - control.low > NOISE or abs(control.median - 1) > NOISE


@dataclass(frozen=True)
class Spread:
    """Of seconds or ratios: the median over the rounds, and the quartiles that say how sure it is."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{rounded(self.median)} [{rounded(self.low)}, {rounded(self.high)}]"

    @property
    def decided(self) -> bool:
        """Whether the middle half of a ratio is on one side of 1."""
        return not self.low <= 1 <= self.high


def scaling(table: Table) -> list[tuple[Row, Spread]]:
    """Each row of several processes that was timed, and its parallel efficiency, t(1) / (n t(n)), round by round."""
    one = {row.name: row for row in table.rows if row.processes == 1 and row.timed}
    pairs = [(row, one.get(row.name.removesuffix(f" x{row.processes}"))) for row in table.rows if row.processes > 1]
    return [
        (row, ratio(base.samples, [row.processes * s for s in row.samples]))
        for row, base in pairs
        if base is not None and row.timed
    ]


def rounded(value: float) -> str:
    """Three digits, without an exponent where that is readable."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1e}"


def ratio(a: Sequence[float], b: Sequence[float]) -> Spread:
    """a over b, round by round."""
    return spread([x / y for x, y in zip(a, b, strict=False)])


def spread(values: Sequence[float]) -> Spread:
    if len(values) < 2:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def verdict(table: Table) -> str:
    """One sentence: too noisy, or which backend is fastest and which are within the noise of it."""
    if table.interrupted:
        return "interrupted: what was measured until then"
    if len(table.control) < 2:
        why = "one round does not show the noise" if table.control else "no control was timed"
        return f"{why}, so nothing is ranked"
    control = spread(table.control)
    if table.noisy:
        return f"too noisy to rank: the control took {control} times as long the second time"
    rows = sorted((row for row in table.timed if row.group == "backend"), key=lambda r: statistics.median(r.samples))
    if len(rows) < 2:
        return f"quiet: the control took {control} times as long the second time"
    best = rows[0]
    ties = [row.name for row in rows[1:] if not ratio(row.samples, best.samples).decided]
    also = f", {' and '.join(ties)} within the noise" if ties else ""
    return f"fastest backend: {best.name}{also}; the control took {control} times as long the second time"


def measure(
    workload: Workload,
    contestants: Sequence[Contestant],
    *,
    rounds: int = 7,
    threads: int = 1,
    patience: float = 120.0,
    progress: Progress = lambda what, done, total: None,
) -> Table:
    """Time the contestants on the workload, each in a process of its own, in interleaved rounds.

    A contestant that is missing, crashes, is silent for `patience` seconds, uses more than `threads` threads,
    or whose weights do not agree with NumPy's in any of its runs, gets a row that says so and no number.
    Ctrl-C ends the rounds and keeps those that are complete.
    """
    table = Table(
        workload.name, workload.dtype, len(workload.x), list(workload.layers), workload.updates, threads, rounds,
        workload.work, workload.bytes_needed,
    )  # fmt: skip
    gate = Gate(workload)
    heats: list[Heat] = []
    try:
        for i, contestant in enumerate(contestants):
            progress("starting processes", i, len(contestants))
            heat = Heat(contestant, gate)
            table.rows.append(heat.row)
            heats.append(heat)
            heat.start(workload, threads, patience)
        progress("starting processes", len(contestants), len(contestants))
        _rounds(table, [heat for heat in heats if heat.running], rounds, progress)
        others = [Gate(replace(workload, weights=weights)) for weights in other_weights(workload)]
        for i, heat in enumerate(heats):
            progress("starting from other weights", i, len(heats))
            if heat.running:
                heat.ask(threads, workload.dtype)
            if heat.running and heat.row.group == "backend":
                heat.renew(others)
        progress("starting from other weights", len(heats), len(heats))
    except KeyboardInterrupt:
        table.interrupted = True
    finally:
        for heat in heats:
            heat.close()
    return table


def _rounds(table: Table, heats: list[Heat], rounds: int, progress: Progress) -> None:
    base = next((h for h in heats if h.row.group in ("floor", "backend") and h.row.name != "null"), None)
    table.base = base.row.name if base else ""
    laps = len(heats) + (base is not None)
    for i in range(rounds):
        times = {}
        for j, heat in enumerate(heats):
            progress("timing", i * laps + j, rounds * laps)
            if heat.running:
                times[id(heat)] = heat.lap()
        progress("timing", i * laps + len(heats), rounds * laps)
        again = base.lap() if base and base.running else None
        for heat in heats:  # only a whole round counts, so that all sides have the same rounds
            if heat.running:
                heat.row.samples.append(times[id(heat)])
        if again is not None and base is not None and base.running:
            table.control.append(again / times[id(base)])
    progress("timing", rounds * laps, rounds * laps)


class Gate:
    """Nothing is timed unless it agrees with NumPy: identical where that is promised, else within the bound."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.reference = cache(self._reference)

    def _reference(self, expect: str, arithmetic: str, n: int) -> Arrays:
        workload = self.workload
        if expect == "first weights":
            return workload.weights
        if expect == "products":
            return numpy_products(workload)(1)
        numpy = load("numpy", workload.dtype, arithmetic)
        trained: Arrays = numpy.train(workload.weights, workload.x, workload.y, workload.rate, n)
        return trained

    def check(self, row: Row, expect: str, result: Arrays, n: int) -> None:
        """Write outcome, hash and distance into the row; raises Disagreement."""
        if {str(w.dtype) for w in result} != {self.workload.dtype}:
            raise Disagreement("wrong-dtype", f"computed in {result[0].dtype} instead of {self.workload.dtype}")
        bound = 0.0 if expect == "first weights" else self._bound(row.arithmetic, n)
        reference = self.reference(expect, row.arithmetic, n if expect == "weights" else 0)
        row.outcome = assert_agreement(result, reference, bound, counted(n, "update"))
        if expect == "weights":
            row.moved = distance(self.workload.weights, reference)
            for layer, (w, r, (moved, allowed)) in enumerate(
                zip(result, reference, self._room(row.arithmetic, n), strict=True), 1
            ):
                if (apart := distance([w], [r])) > allowed:
                    raise Disagreement(
                        "disagree",
                        f"after {counted(n, 'update')} layer {layer} is {apart:.1e} of its largest weight from the "
                        f"reference, which has moved by {moved:.1e}; {allowed:.0e} is allowed",
                    )
        row.weights_sha256 = sha256(result)
        row.distance, row.max_ulp = distance(result, reference), max_ulp(result, reference)

    def shows(self, arithmetic: str, n: int) -> bool:
        """Whether the weights have moved so far that a mistake would show after `n` updates."""
        return any(moved > SHOWS * allowed for moved, allowed in self._room(arithmetic, n))

    def _bound(self, arithmetic: str, n: int) -> float:
        return BOUNDS[self.workload.dtype, "few" if n <= FEW else "all"].bound if arithmetic == "native" else 0.0

    def _room(self, arithmetic: str, n: int) -> list[tuple[float, float]]:
        """How far each layer of the reference has moved, and how far from it the layer may be."""
        reference, bound = self.reference("weights", arithmetic, n), self._bound(arithmetic, n)
        found = []
        for first, r in zip(self.workload.weights, reference, strict=True):
            largest, moved = np.abs(r).max(), distance([first], [r])
            found.append((moved, min(bound, max(ULPS * float(np.spacing(largest) / largest), SHARE * moved))))
        return found


class Heat:
    """One contestant's way through the measurement."""

    def __init__(self, contestant: Contestant, gate: Gate) -> None:
        self.contestant, self.gate = contestant, gate
        self.row = Row(contestant.name, contestant.group, contestant.arithmetic, contestant.about)
        self.row.device, self.row.processes = contestant.device, contestant.processes
        if contestant.processes > 1:
            w = gate.workload
            self.row.bytes_per_update = bytes_per_update(len(w.x), w.layers, w.x.itemsize, contestant.arithmetic)
        self.worker: Worker | None = None
        self.running = False

    def start(self, workload: Workload, threads: int, patience: float) -> None:
        """Import, prepare, first call, second call, and then more updates until a run is long enough."""
        row = self.row
        try:
            self.worker = Worker(self.contestant, threads, patience)
            row.import_seconds = self.worker.import_seconds
            row.prepare_seconds = self.worker.prepare(workload)
            self.running = True
            row.first_call_seconds = self._run(1)
            row.second_call_seconds = self._run(1)
            runs = {1: row.second_call_seconds}
            for n in ladder(workload.updates):
                seconds, alone = runs[max(runs)], row.once_seconds or 0.0
                expected = alone + (seconds - alone) * n / max(runs)
                long = expected > (RUN_SECONDS if row.settled and row.updates >= RECORDED else LONGEST)
                if row.updates and long and self._shows():
                    break
                row.weights_sha256 = None
                row.updates = n
                runs[n] = self._run(n)
                compiled = runs[n] > 2 * expected  # the first run of a length may
                if compiled or row.second_call_seconds * LEAST <= RUN_SECONDS:
                    runs[n] = min(runs[n], self._run(n))
                row.once_seconds = once(runs)
                row.settled = row.once_seconds is not None and row.once_seconds <= ONCE * runs[n]
            if not self._shows():
                raise Disagreement(
                    "inconclusive",
                    f"{counted(row.updates, 'update')} move the weights by {row.moved:.1e}, so little that a mistake "
                    "would look like rounding: give more --updates",
                )
            row.settled |= self.contestant.expect == "first weights"  # it does nothing, and that once
            seconds = runs[row.updates]
            row.repeats = min(max(1, math.ceil(SAMPLE_SECONDS / max(seconds, 1e-9))), 1000)
            self.ask(threads, workload.dtype)
        except (Refused, Disagreement) as reason:
            self._out(reason)

    def lap(self) -> float:
        """One run; seconds per update. The row is refused if it fails or gives other bits than before."""
        try:
            return self._run(self.row.updates, self.row.repeats) / self.row.updates
        except (Refused, Disagreement) as reason:
            self._out(reason)
            return float("nan")

    def renew(self, others: Sequence[Gate]) -> None:
        """Run it from other first weights too; a row that only repeats what it has kept is refused."""
        assert self.worker is not None
        row, usual = self.row, min(self.row.samples) * self.row.updates
        first, *untried = others
        try:
            self.worker.begin(first.workload.weights)
            few = ladder(first.workload.updates)[0]
            first.check(Row(row.name, row.group, row.arithmetic), "weights", self.worker.run(few)[1], few)
            for other in untried:
                self.worker.begin(other.workload.weights)
                seconds, result = self.worker.run(row.updates)
                if sha256(result) == row.weights_sha256:
                    raise Refused("disagree", "from other first weights it has the same result")
                if seconds <= KEPT * usual or seconds <= usual + HICCUP:
                    return
            raise Refused(
                "failed",
                f"takes {rounded(seconds)} s from first weights that it has not seen and {rounded(usual)} s otherwise: "
                "it keeps results",
            )
        except (Refused, Disagreement) as reason:
            self._out(reason)

    def ask(self, threads: int, dtype: str) -> None:
        """Ask what it held and used; more threads than allowed, or products of lower precision, are found out here."""
        assert self.worker is not None
        try:
            facts = self.worker.facts()
        except Refused as reason:
            self._out(reason)
            return
        self.row.threads = facts["threads"]
        if self.row.processes == 1:  # of several, nobody has asked the others
            self.row.peak_bytes = facts["peak_bytes"]
        self.row.versions, self.row.environment = facts["versions"], facts.get("environment", {})
        self.row.transfer_seconds, self.row.precision = facts["transfer_seconds"], facts["precision"]
        lower = {name: p for name, p in self.row.precision.items() if not p.startswith("highest")}
        if lower and dtype == "float32" and self.row.device == "cuda":
            settings = ", ".join(f"{name} '{p}'" for name, p in lower.items())
            self._out(
                Refused("failed", f"multiplies float32 matrices in another precision than the others: {settings}")
            )
        used = max(self.row.threads.values(), default=threads)
        if used > threads * self.contestant.processes:
            self._out(Refused("failed", f"uses {used} threads where {threads} were allowed"))

    def close(self) -> None:
        self.running = False
        if self.worker is not None:
            with suppress(ValueError, OSError):
                self.worker.close()

    def _run(self, n: int, repeats: int = 1) -> float:
        assert self.worker is not None
        seconds, result = self.worker.run(n, repeats)
        if self.row.weights_sha256 is None or n != self.row.updates:
            self.gate.check(self.row, self.contestant.expect, result, n)
        elif sha256(result) != self.row.weights_sha256:
            raise Disagreement("nondeterministic", "the same run gave other bits than the one before")
        return seconds

    def _shows(self) -> bool:
        return self.contestant.expect != "weights" or self.gate.shows(self.row.arithmetic, self.row.updates)

    def _out(self, reason: Refused | Disagreement) -> None:
        self.row.refuse(reason.outcome, str(reason))
        self.close()


def ladder(updates: int) -> list[int]:
    """The lengths a run may have: the problem's updates, a tenth of them, a hundredth ..., shortest first."""
    return sorted({max(min(LEAST, updates), updates // 10**k) for k in range(8)})


def other_weights(workload: Workload) -> list[Arrays]:
    """First weights that are not the workload's, a few times."""
    return [tuple(w * w.dtype.type(1 - k / 8) for w in workload.weights) for k in range(1, 5)]


def once(runs: dict[int, float]) -> float | None:
    """What a run takes beyond its updates, by the seconds of runs of some lengths; None if these are too much alike.

    It is where the line through the longest and a shorter one begins: the shortest that is recorded, if there is one,
    since it hides the least in the noise of its updates.
    """
    longest = max(runs)
    shorter = [n for n in sorted(runs) if 3 * n <= longest]
    if not shorter:
        return None
    n = next((n for n in shorter if n >= RECORDED), shorter[-1])
    slope = (runs[longest] - runs[n]) / (longest - n)
    return max(0.0, runs[n] - n * slope)
