"""Train one problem in every backend, and compare the weights with NumPy's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np

from ..common.agreement import FEW, Disagreement, assert_agreement, holds_subnormal, unpromised
from ..common.errors import TrainingError, UsageError
from ..common.problem import Figure, Problem, task_of
from ..common.ulp import any_differs, max_difference, max_ulp, sha256
from ..common.values import matrix, whole
from ..common.words import counted, listed
from ..passport import passport
from ..referee import roundoff
from ..scale import spread
from ..session import Fault, Loaded, Matrices, Progress, Session, Spec, load_all, specs
from .result import Comparison, Run
from .sensitivity import CEILING, SHARE, Sensitivity

MOST_WATCHED = 1_000
STRETCH_SECONDS = 1.0
"""About how long the updates take between two looks at progress, finite numbers and Ctrl-C. Longer than it takes to
record an update, which each stretch does anew."""
STRETCH_LEAST = 5
"""The fewest, from which on PyTorch records an update and repeats it."""


def compare(
    problem: str | Problem = "one-layer",
    backends: Spec | Sequence[Spec] | None = None,
    *,
    dtype: str = "float64",
    arithmetic: str = "both",
    predict: np.ndarray | Sequence[Sequence[float]] | None = None,
    watch: int = 0,
    processes: int | Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Train `problem` from the same first weights in each backend and compare each with NumPy.

    `backends` are names as `equigrad.load` takes them, or classes, all that are installed unless given; NumPy
    always runs first, since it is the reference. `arithmetic` is 'native', 'reproducible' or 'both'. `predict`
    holds further inputs, (rows, inputs), for the trained networks. `watch` records what each layer computes in the
    first and the last `watch` updates. `processes` are numbers of processes of this machine: each backend trains on
    each number, NumPy on one too, the reference. What goes wrong inside one backend is its run's outcome and message.

    Raises UsageError for arguments that cannot be used, before anything is trained.
    """
    task = task_of(problem)
    rows = None if predict is None else matrix(f"the inputs to predict for '{task.name}'", predict, task.layers[0])
    watch = whole("the number of updates to watch", watch)
    if watch < 0:
        raise UsageError(f"the number of updates to watch must not be negative, not {watch}")
    if watch > MOST_WATCHED:
        raise UsageError(f"at most {MOST_WATCHED:,} updates can be watched at either end, not {watch}")
    task.check_fits(dtype, rows)
    numbers = spread.checked(processes, task.samples)
    if watch and numbers != [1]:
        raise UsageError("to watch an update is to look into one process: leave out --processes or --watch")
    loaded = load_all(backends, dtype, arithmetic, first="numpy")
    asked = backends is None or "numpy" in specs(backends)
    with spread.groups() as groups:
        entries = spread.entries(groups, loaded, numbers, asked)
        runs = [Run(e.name.removesuffix(f":{e.device}"), e.device, dtype, e.arithmetic, n) for e, n in entries]
        _train_all(task, list(zip(runs, entries, strict=True)), rows, watch, progress)
    return Comparison(task, passport([entry.name for entry in loaded]), runs)


def _train_all(
    task: Problem,
    entries: list[tuple[Run, tuple[Loaded, int]]],
    predict: np.ndarray | None,
    watch: int,
    progress: Progress | None,
) -> None:
    """Fill the runs in. All of one group of processes come together, so that it is started once."""
    references: dict[str, _Training | None] = {}
    for run, ((_, _, mode, backend), _) in sorted(entries, key=lambda e: spread.turn(*e[1])):
        if isinstance(backend, Fault):
            run.outcome, run.message = backend.outcome, backend.message
            continue
        training = _Training(Session.of(task, backend), task, run, watch, progress, references.get(mode))
        try:
            training.go()
            run.predictions = None if predict is None else training.predict(predict)
            _decide(run, training, predict)
        except (Disagreement, Fault) as error:
            run.outcome, run.message = error.outcome, error.message
        except TrainingError as error:
            run.outcome, run.message = "failed", str(error)
        references.setdefault(mode, training)


def _decide(run: Run, training: _Training, rows: np.ndarray | None) -> None:
    """Set the run's distance and outcome; raises Disagreement."""
    p, reference = training.problem, training.reference
    golden = p.golden.get(run.dtype) if run.arithmetic == "reproducible" else None
    if reference is None:
        run.max_ulp, run.max_abs_difference, run.bound = 0, 0.0, 0.0
        if golden not in (None, run.weights_sha256):
            raise Disagreement("disagree", f"the weights' hash is not the published one, {golden}")
        run.outcome = "identical"
        if not any_differs(training.final, training.session.first):
            run.message = "no update moved any weight: scale the inputs to about 1, or try a larger learning rate"
    else:
        if not reference.final:
            raise Disagreement("failed", "NumPy, the reference, did not finish training")
        run.max_ulp = max_ulp(training.final, reference.final)
        run.max_abs_difference = max_difference(training.final, reference.final)
        if run.arithmetic == "native":
            _decide_natively(run, training, reference)
            _name_untold_layers(run, reference.sensitivity.untold(p.updates, run.bound or 0.0))
        else:
            run.bound = 0.0
            assert_agreement(training.few, reference.few, 0.0, f"the first {counted(min(FEW, p.updates), 'update')}")
            run.outcome = assert_agreement(training.final, reference.final, 0.0)
        _check_predictions(run, training.final, reference.session, rows)
    if run.dtype == "float64" and not all(run.figures):
        missed = [figure.what for figure, out in zip(training.reached, run.figures, strict=True) if not out]
        figures = f"{len(missed)} of {len(run.figures)} published figures are missed, first the {missed[0]}"
        raise Disagreement("disagree", f"the weights are {_WORDS[run.outcome]}, but {figures}")


_WORDS = {"identical": "identical", "agree": "in agreement", "inconclusive": "not comparable"}


def _decide_natively(run: Run, training: _Training, reference: _Training) -> None:
    """Compare after few updates, after all, and where that tells nothing, after as many as tell something."""
    few, all_ = min(FEW, training.problem.updates), training.problem.updates
    known = reference.sensitivity
    for updates, weights in ((few, training.few), (all_, training.final)):
        run.bound = known.allowed(updates, weights)
        if run.bound <= CEILING:
            after = f"the first {updates} updates" if updates < all_ else "all updates"
            run.outcome = assert_agreement(weights, known.weights(updates), run.bound, after)
        else:
            run.outcome = "inconclusive"
    assert run.bound is not None
    if not any_differs(training.final, reference.final):
        run.outcome = "identical"
        return
    if known.has_power(all_, run.bound):
        if run.bound > known.usual(all_):
            run.message = f"rounding alone may move these weights by {run.bound:.0e} of the largest"
        return
    tested = _tested(training, known)
    if run.bound > CEILING:
        run.outcome = "inconclusive"
        advice = f"; after {tested:,} they agree: compare that many with --updates {tested}" if tested else ""
        run.message = f"rounding alone may change every digit of the weights after {counted(all_, 'update')}{advice}"
    elif tested:
        enough = tested * SHARE >= all_ and run.bound <= known.usual(all_)
        run.outcome = run.outcome if enough else "inconclusive"
        run.message = (
            f"after all {counted(all_, 'update')} rounding would hide a missing one; after {tested:,} it would show, "
            f"and there the weights agree{' too' if enough else f': compare that many with --updates {tested}'}"
        )
    else:
        run.outcome = "inconclusive"
        run.message = (
            f"the last update moves NumPy's weights by {known.lag(all_):.0e} of the largest, and rounding may by "
            f"{run.bound:.0e}: whether all updates were made cannot be told"
        )


def _name_untold_layers(run: Run, layers: list[int]) -> None:
    if run.outcome != "agree" or not layers:
        return
    which = f"layer{'s' * (len(layers) > 1)} {listed(list(map(str, layers)))}"
    told = f"nothing can be told of {which}, which all updates together move by less than would show"
    run.message = f"{run.message}; {told}" if run.message else told


def _tested(training: _Training, known: Sensitivity) -> int:
    """After how many updates, at most, a missing one would show, and the weights agree; 0 where it never would."""
    updates = training.problem.updates // 2
    while updates >= 2:
        bound, weights = known.usual(updates), None
        if not known.has_power(updates, bound):
            bound = known.noise(updates)
        if known.has_power(updates, bound):
            weights = training.after(updates)
            bound = max(bound, known.allowed(updates, weights))
            if known.has_power(updates, bound):
                assert_agreement(weights, known.weights(updates), bound, counted(updates, "update"))
                return updates
        updates //= 2
    return 0


def _check_predictions(run: Run, weights: Matrices, numpy: Session, rows: np.ndarray | None) -> None:
    """Hold what the backend predicts to what NumPy predicts with the same weights; raises Disagreement."""
    for inputs, found in ((numpy.inputs, run.outputs), (rows, run.predictions)):
        if inputs is None or found is None:
            continue
        expected = numpy.predict(numpy.hold_all(weights), inputs)
        allowed = np.zeros(found.shape)
        if run.arithmetic == "native":
            layers = roundoff.bounds(weights, inputs.astype(run.dtype), expected, run.dtype)
            allowed = 2 * layers[-1].activation.bound
        off = np.abs(found.astype(float) - expected) > allowed
        if off.any():
            at = tuple(np.argwhere(off)[0])
            raise Disagreement(
                "disagree",
                f"predict gives {found[at]:.8g} for row {at[0] + 1} where NumPy gives {expected[at]:.8g} with the "
                "same weights",
            )


@dataclass
class _Training:
    """One backend at work on one problem; whatever it finds goes into `run`."""

    session: Session
    problem: Problem
    run: Run
    watch: int
    progress: Progress | None
    reference: _Training | None
    """NumPy's, in the same arithmetic, unless this is it."""
    few: Matrices = ()
    final: Matrices = ()
    weights: Any = None
    pace: float = 1.0
    at: dict[int, Matrices] = field(default_factory=dict)
    """The weights after some numbers of updates, as far as they are known."""

    @cached_property
    def reached(self) -> list[Figure]:
        """The published figures that this training comes to, in that order."""
        figures = [figure for figure in self.problem.figures if figure.updates <= self.problem.updates]
        return sorted(figures, key=lambda figure: figure.updates)

    def go(self) -> None:
        """Train to the end, stopping where a figure was published or an update is watched."""
        p, run, session = self.problem, self.run, self.session
        given = [session.inputs, session.targets, *session.first, np.array(session.lr, run.dtype)]
        if run.arithmetic == "reproducible" and (what := unpromised(given)):
            raise TrainingError(
                f"data or learning rate hold {what}, so the same bits cannot be promised: scale them, or use "
                "--arithmetic native"
            )
        weights = session.weights
        self.measure_pace(weights)
        watched = {*range(min(self.watch, p.updates)), *range(max(p.updates - self.watch, 0), p.updates)}
        run.figures = []
        done, stretches = 0, []
        for stop in sorted({*(figure.updates for figure in self.reached), *watched, p.updates - 1, p.updates}):
            for after, updates, seconds in self.stretch(weights, done, stop):
                weights = after
                done += updates
                stretches.append((updates, seconds))
            if stop in watched:
                run.watched.append((stop + 1, session.trace(weights)))
            self.weights = weights
            if stop >= p.updates - 1:
                self.at[stop] = session.numpy(weights)
            run.figures += [
                figure.comes_out(self.predict(figure.inputs), p.targets)
                for figure in self.reached
                if figure.updates == stop
            ]
        run.seconds = sum(seconds for _, seconds in stretches)
        longest, _ = max(stretches)
        long = [seconds / updates for updates, seconds in stretches if 2 * updates >= longest]
        run.microseconds_per_update = 1e6 * median(long)
        self.final = self.at[p.updates]
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
        self.few = self.at[few] = self.session.numpy(self.session.train(weights, few))
        start = time.perf_counter()
        again = self.session.numpy(self.session.train(weights, few))
        self.pace = max(time.perf_counter() - start, 1e-9) / few
        if all(np.isfinite(w).all() for w in self.few) and any_differs(self.few, again):
            raise Disagreement("nondeterministic", f"the same {few} updates twice gave different bits")

    def stretch(self, weights: Any, done: int, stop: int) -> Iterator[tuple[Any, int, float]]:
        """(weights, updates, seconds) of each stretch between `done` and `stop`."""
        while done < stop:
            updates = min(stop - done, max(STRETCH_LEAST, int(STRETCH_SECONDS / self.pace)))
            start = time.perf_counter()
            after = self.session.train(weights, updates)
            seconds = time.perf_counter() - start
            self.pace = max(seconds / updates, 1e-9)
            if self.overflowing(self.session.numpy(after)) is not None:
                raise self.overflow(weights, done, updates)
            done += updates
            weights = after
            if self.progress:
                self.progress(f"training {self.run.label}, {self.run.arithmetic}", done, self.problem.updates)
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
        found = self.session.numpy(self.session.train(weights, bad))
        layer = self.overflowing(found)
        assert layer is not None
        if self.reference is None or not self.reference.final:
            return TrainingError(
                f"the weights of layer {layer} overflow at update {done + bad:,}: try a smaller learning rate"
            )
        wrong = found[layer - 1]
        what = "NaN" if np.isnan(wrong).any() else "inf" if np.isinf(wrong).any() else f"{np.abs(wrong).max():.0e}"
        return TrainingError(
            f"the weights of layer {layer} hold {what} after update {done + bad:,}; NumPy's are finite"
        )

    def predict(self, rows: np.ndarray) -> np.ndarray:
        outputs = self.session.predict(self.weights, rows)
        if not np.isfinite(outputs).all():
            raise Disagreement("failed", "predict returned NaN or inf")
        return outputs

    def after(self, updates: int) -> Matrices:
        """The weights after that many updates from the first ones."""
        if updates not in self.at:
            held = self.session.weights
            for after, _, _ in self.stretch(held, 0, updates):
                held = after
            self.at[updates] = self.session.numpy(held)
        return self.at[updates]

    @cached_property
    def sensitivity(self) -> Sensitivity:
        return Sensitivity(self.session, self.after, self.progress)
