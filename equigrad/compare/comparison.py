"""Train one problem in every backend, and hold the weights against NumPy's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backends.interface import DTYPES
from ..common.agreement import BOUNDS, FEW, Disagreement, assert_agreement, distance, holds_subnormal
from ..common.errors import TrainingError, UsageError
from ..common.nearest import nearest
from ..common.problem import Problem
from ..common.problem import problem as built_in
from ..common.ulp import any_differs, max_difference, max_ulp, sha256
from ..passport import passport
from ..session import Fault, Matrices, Progress, Session, load_all
from .result import Comparison, Run

STRETCH_SECONDS = 0.2
"""About how long the updates take between two looks at progress, finite numbers and Ctrl-C."""
NUDGE = 100
"""A problem may carry rounding this many times as far as it carries one ULP in the first weights."""


def compare(
    problem: str | Problem = "one-layer",
    backends: Sequence[str] | None = None,
    *,
    dtype: str = "float64",
    arithmetic: str = "both",
    predict: np.ndarray | None = None,
    watch: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Train `problem` from the same first weights in each backend and compare each with NumPy.

    `backends` are names as `equigrad.load` takes them, everything that is here unless given; NumPy always
    runs first, since it is the reference. `arithmetic` is 'native', 'reproducible' or 'both'. `predict`
    holds further inputs, (rows, inputs), for the trained networks. `watch` opens up the first and the last
    that many updates. What goes wrong inside one backend is its run's outcome and message.

    Raises UsageError for arguments that cannot be used, before anything is trained.
    """
    task = built_in(problem) if isinstance(problem, str) else problem
    if predict is not None and (predict.ndim != 2 or predict.shape[1] != task.layers[0]):
        raise UsageError(f"a row to predict needs {task.layers[0]} numbers for '{task.name}', not {predict.shape[-1]}")
    if watch < 0:
        raise UsageError(f"the number of updates to watch must not be negative, not {watch}")
    _check_fits(task, predict, dtype)
    loaded = load_all(backends, dtype, arithmetic, first="numpy")
    runs: list[Run] = []
    references: dict[str, _Training | None] = {}
    for name, device, mode, backend in loaded:
        run = Run(name.removesuffix(f":{device}"), device, dtype, mode)
        runs.append(run)
        if isinstance(backend, Fault):
            run.outcome, run.message = backend.outcome, backend.message
            continue
        training = _Training(Session.of(task, backend), task, run, watch, progress)
        try:
            training.go()
            run.predictions = None if predict is None else training.predict(predict)
            _judge(run, training, references.get(mode))
        except (Disagreement, Fault) as error:
            run.outcome, run.message = error.outcome, error.message
        except TrainingError as error:
            run.outcome, run.message = "failed", str(error)
        references.setdefault(mode, training)
    return Comparison(task, passport([entry.name for entry in loaded]), runs)


def _check_fits(task: Problem, predict: np.ndarray | None, dtype: str) -> None:
    """Raise UsageError for numbers that `dtype` cannot hold, and for an unknown dtype."""
    if dtype not in DTYPES:
        raise UsageError(f"unknown dtype '{dtype}'{nearest(dtype, DTYPES)}")
    with np.errstate(over="ignore", under="ignore"):
        if not 0 < task.rate(dtype) < np.inf:
            raise UsageError(f"the learning rate {task.learning_rate} does not fit into {dtype}")
        rows = task.inputs[:0] if predict is None else predict
        for what, values in (("the inputs", task.inputs), ("the targets", task.targets), ("a row to predict", rows)):
            if not np.isfinite(values.astype(dtype)).all():
                raise UsageError(f"{what} of '{task.name}' hold a number that does not fit into {dtype}")


def _judge(run: Run, training: _Training, reference: _Training | None) -> None:
    """Set the run's distance and outcome; raises Disagreement."""
    golden = training.problem.golden.get(run.dtype) if run.arithmetic == "reproducible" else None
    if reference is None:
        run.max_ulp, run.max_abs_difference, run.bound = 0, 0.0, 0.0
        if golden not in (None, run.weights_sha256):
            raise Disagreement("disagree", f"the weights' hash is not the published one, {golden}")
        run.outcome = "identical"
        return
    if not reference.final:
        raise Disagreement("failed", "NumPy, the reference, did not get to the end")
    native = run.arithmetic == "native"
    run.bound = BOUNDS[run.dtype, "all"].bound if native else 0.0
    run.max_ulp = max_ulp(training.final, reference.final)
    run.max_abs_difference = max_difference(training.final, reference.final)
    few = BOUNDS[run.dtype, "few"].bound if native else 0.0
    assert_agreement(training.few, reference.few, few, f"the first {min(FEW, training.problem.updates)} updates")
    try:
        run.outcome = assert_agreement(training.final, reference.final, run.bound)
    except Disagreement:
        moved = reference.sensitivity() if native else 0.0
        if distance(training.final, reference.final) > NUDGE * moved:
            raise
        run.bound = NUDGE * moved
        run.outcome = assert_agreement(training.final, reference.final, run.bound)
        run.message = f"this training is sensitive: one ULP in the first weights moves NumPy's own by {moved:.0e}"


@dataclass
class _Training:
    """One backend at work on one problem; whatever it finds goes into `run`."""

    session: Session
    problem: Problem
    run: Run
    watch: int
    progress: Progress | None
    few: Matrices = ()
    final: Matrices = ()
    weights: Any = None
    pace: float = field(default=1.0)

    def go(self) -> None:
        """Train to the end, stopping where a figure was published or an update is watched."""
        p, run, session = self.problem, self.run, self.session
        given = [session.inputs, session.targets, *session.first, np.array(session.lr, run.dtype)]
        if run.arithmetic == "reproducible" and holds_subnormal(given):
            raise TrainingError(
                "data or learning rate hold subnormal numbers, which XLA takes for zero, so the same bits cannot be "
                "promised: scale them, or use --arithmetic native"
            )
        weights = session.weights
        self.measure_pace(weights)
        watched = {*range(min(self.watch, p.updates)), *range(max(p.updates - self.watch, 0), p.updates)}
        figures = {figure.updates for figure in p.figures if figure.updates <= p.updates}
        run.figures = []
        done, stretches = 0, []
        for stop in sorted({*figures, *watched, p.updates}):
            for after, updates, seconds in self.stretch(weights, done, stop):
                weights = after
                done += updates
                stretches.append((updates, seconds))
            if stop in watched:
                run.watched.append((stop + 1, session.trace(weights)))
            self.weights = weights
            run.figures += [
                figure.comes_out(self.predict(figure.inputs), p.targets)
                for figure in p.figures
                if figure.updates == stop
            ]
        run.seconds = sum(seconds for _, seconds in stretches)
        updates, seconds = max(stretches)
        run.microseconds_per_update = seconds / updates * 1e6
        self.final = session.numpy(weights)
        if run.arithmetic == "reproducible" and holds_subnormal(self.final):
            raise TrainingError("the weights hold subnormal numbers, for which the same bits are not promised")
        run.weights, run.weights_sha256 = self.final, sha256(self.final)
        run.outputs = self.predict(p.inputs)

    def measure_pace(self, weights: Any) -> None:
        """The first call apart, and a few updates twice, which must give the same bits."""
        start = time.perf_counter()
        self.session.train(weights, 1)
        self.run.first_call_seconds = time.perf_counter() - start
        few = min(FEW, self.problem.updates)
        self.few = self.session.numpy(self.session.train(weights, few))
        start = time.perf_counter()
        again = self.session.numpy(self.session.train(weights, few))
        self.pace = (time.perf_counter() - start) / few
        if all(np.isfinite(w).all() for w in self.few) and any_differs(self.few, again):
            raise Disagreement("nondeterministic", f"the same {few} updates twice gave different bits")

    def stretch(self, weights: Any, done: int, stop: int) -> Iterator[tuple[Any, int, float]]:
        """(weights, updates, seconds) of each stretch between `done` and `stop`."""
        while done < stop:
            updates = min(stop - done, max(1, int(STRETCH_SECONDS / self.pace)))
            start = time.perf_counter()
            after = self.session.train(weights, updates)
            seconds = time.perf_counter() - start
            self.pace = max(seconds / updates, 1e-9)
            if self.overflowing(self.session.numpy(after)) is not None:
                raise self.overflow(weights, done, updates)
            done += updates
            weights = after
            if self.progress:
                self.progress(f"{self.run.name} {self.run.arithmetic}", done, self.problem.updates)
            yield weights, updates, seconds

    def overflowing(self, weights: Matrices) -> int | None:
        """The first layer, from 1, whose weights are NaN, inf, or so large that a product may soon overflow.

        The line is drawn at the square root of the largest number: 1e154 in float64, 2e19 in float32.
        """
        for layer, w in enumerate(weights, 1):
            if not (np.abs(w) <= np.sqrt(np.finfo(w.dtype).max)).all():
                return layer
        return None

    def overflow(self, weights: Any, done: int, updates: int) -> TrainingError:
        """Say at which of the next `updates` the weights left the finite numbers; found by bisection."""
        good, bad = 0, updates
        while bad - good > 1:
            middle = (good + bad) // 2
            if self.overflowing(self.session.numpy(self.session.train(weights, middle))) is None:
                good = middle
            else:
                bad = middle
        layer = self.overflowing(self.session.numpy(self.session.train(weights, bad)))
        return TrainingError(
            f"the weights of layer {layer} overflow at update {done + bad:,}: try a smaller learning rate"
        )

    def predict(self, rows: np.ndarray) -> np.ndarray:
        outputs = self.session.predict(self.weights, rows)
        if not np.isfinite(outputs).all():
            raise Disagreement("failed", "predict returned NaN or inf")
        return outputs

    def sensitivity(self) -> float:
        """How far one ULP in every first weight carries the final weights of this very backend."""
        weights = self.session.hold_all(np.nextafter(w, np.array(np.inf, w.dtype)) for w in self.session.first)
        for after, _, _ in self.stretch(weights, 0, self.problem.updates):
            weights = after
        return distance(self.session.numpy(weights), self.final)
