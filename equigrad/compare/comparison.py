"""Train one problem in every backend, and hold the weights against NumPy's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backends import FRAMEWORKS, everything, load
from ..backends.interface import ARITHMETICS, DTYPES, Backend, LayerTrace
from ..common.agreement import BOUNDS, FEW, Disagreement, assert_agreement, distance, holds_subnormal
from ..common.errors import DeviceError, EquigradError, MissingError, TrainingError, UsageError, said
from ..common.nearest import nearest
from ..common.problem import Problem
from ..common.problem import problem as built_in
from ..common.ulp import max_difference, max_ulp, sha256
from ..passport import passport
from ..session import Progress
from .result import Comparison, Run

Matrices = tuple[np.ndarray, ...]

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
    if arithmetic not in (*ARITHMETICS, "both"):
        raise UsageError(f"unknown arithmetic '{arithmetic}'{nearest(arithmetic, [*ARITHMETICS, 'both'])}")
    if predict is not None and (predict.ndim != 2 or predict.shape[1] != task.layers[0]):
        raise UsageError(f"a row to predict needs {task.layers[0]} numbers for '{task.name}', not {predict.shape[-1]}")
    if watch < 0:
        raise UsageError(f"the number of updates to watch must not be negative, not {watch}")
    _check_fits(task, predict, dtype)
    names = list(dict.fromkeys(["numpy", *(everything() if backends is None else backends)]))
    modes = ("reproducible", "native") if arithmetic == "both" else (arithmetic,)
    loaded = [(mode, name, _load(name, dtype, mode, backends is not None)) for mode in modes for name in names]
    runs: list[Run] = []
    for mode in modes:
        reference: _Training | None = None
        for _, name, backend in (entry for entry in loaded if entry[0] == mode):
            kind, _, device = name.partition(":")
            run = Run(*((kind, device or "cpu") if kind in FRAMEWORKS else (name, "cpu")), dtype, mode)
            runs.append(run)
            if isinstance(backend, Exception):
                run.outcome = "missing" if isinstance(backend, MissingError) else "failed"
                run.message = str(backend) if isinstance(backend, EquigradError) else said(backend)
                continue
            training = _Training(backend, task, run, watch, progress)
            try:
                training.go()
                run.predictions = None if predict is None else training.predict(predict)
                _judge(run, training, reference)
            except Disagreement as error:
                run.outcome, run.message = error.outcome, str(error)
            except TrainingError as error:
                run.outcome, run.message = "failed", str(error)
            except (Exception, SystemExit) as error:
                run.outcome, run.message = "failed", f"{training.doing} raised {said(error)}"
            if reference is None:
                reference = training
    return Comparison(task, passport(names), runs)


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


def _load(name: str, dtype: str, mode: str, asked: bool) -> Backend | Exception:
    """The backend, or what makes it missing or failed: a broken install, a class that cannot be made.

    What was `asked` for by name has to be usable; what was only found here fails alone.
    """
    try:
        return load(name, dtype, mode)
    except UsageError as error:
        if asked or not isinstance(error, DeviceError):
            raise
        return error
    except Exception as error:
        return error


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

    backend: Backend
    problem: Problem
    run: Run
    watch: int
    progress: Progress | None
    few: Matrices = ()
    final: Matrices = ()
    doing: str = "from_numpy"
    pace: float = field(default=1.0)

    def go(self) -> None:
        """Train to the end, stopping where a figure was published or an update is watched."""
        p, b, run = self.problem, self.backend, self.run
        first = p.first_weights(run.dtype)
        self.lr = p.rate(run.dtype)
        given = [p.inputs.astype(run.dtype), p.targets.astype(run.dtype), *first]
        if run.arithmetic == "reproducible" and holds_subnormal([*given, np.array(self.lr, run.dtype)]):
            raise TrainingError(
                "data or learning rate hold subnormal numbers, which XLA takes for zero, so the same bits cannot be "
                "promised: scale them, or use --arithmetic native"
            )
        self.x, self.y, *rest = (b.from_numpy(a) for a in given)
        weights = tuple(rest)
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
                run.watched.append((stop + 1, self.trace(weights)))
            run.figures += [
                figure.comes_out(self.predict(figure.inputs, weights), p.targets)
                for figure in p.figures
                if figure.updates == stop
            ]
        run.seconds = sum(seconds for _, seconds in stretches)
        updates, seconds = max(stretches)
        run.microseconds_per_update = seconds / updates * 1e6
        self.weights, self.final = weights, self.collect(weights)
        if run.arithmetic == "reproducible" and holds_subnormal(self.final):
            raise TrainingError("the weights hold subnormal numbers, for which the same bits are not promised")
        run.weights, run.weights_sha256 = self.final, sha256(self.final)
        run.outputs = self.predict(p.inputs)

    def measure_pace(self, weights: Any) -> None:
        """The first call apart, and a few updates twice, which must give the same bits."""
        start = time.perf_counter()
        self.train(weights, 1)
        self.run.first_call_seconds = time.perf_counter() - start
        few = min(FEW, self.problem.updates)
        self.few = self.collect(self.train(weights, few))
        start = time.perf_counter()
        again = self.collect(self.train(weights, few))
        self.pace = (time.perf_counter() - start) / few
        if all(np.isfinite(w).all() for w in self.few) and max_ulp(self.few, again):
            raise Disagreement("nondeterministic", f"the same {few} updates twice gave different bits")

    def train(self, weights: Any, updates: int) -> Any:
        self.doing = "train"
        return self.backend.synchronize(self.backend.train(weights, self.x, self.y, self.lr, updates))

    def stretch(self, weights: Any, done: int, stop: int) -> Iterator[tuple[Any, int, float]]:
        """(weights, updates, seconds) of each stretch between `done` and `stop`."""
        while done < stop:
            updates = min(stop - done, max(1, int(STRETCH_SECONDS / self.pace)))
            start = time.perf_counter()
            after = self.train(weights, updates)
            seconds = time.perf_counter() - start
            self.pace = max(seconds / updates, 1e-9)
            if self.overflowing(self.collect(after)) is not None:
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
            if self.overflowing(self.collect(self.train(weights, middle))) is None:
                good = middle
            else:
                bad = middle
        layer = self.overflowing(self.collect(self.train(weights, bad)))
        return TrainingError(
            f"the weights of layer {layer} overflow at update {done + bad:,}: try a smaller learning rate"
        )

    def collect(self, weights: Any) -> Matrices:
        """The weights as NumPy arrays, after asking where and what they are; raises Disagreement."""
        self.doing = "to_numpy"
        shapes = self.problem.shapes
        if not isinstance(weights, tuple) or len(weights) != len(shapes):
            found = f"{len(weights)} of them" if isinstance(weights, tuple) else type(weights).__name__
            raise Disagreement("failed", f"train must return a tuple of {len(shapes)} matrices, not {found}")
        for layer, w in enumerate(weights, 1):
            device = self.backend.device_of(w)
            if device != self.run.device:
                raise Disagreement("wrong-device", f"layer {layer} is on {device} instead of {self.run.device}")
        arrays = tuple(self.backend.to_numpy(w) for w in weights)
        for layer, (array, shape) in enumerate(zip(arrays, shapes, strict=True), 1):
            if str(array.dtype) != self.run.dtype:
                raise Disagreement("wrong-dtype", f"layer {layer} is {array.dtype} instead of {self.run.dtype}")
            if array.shape != shape:
                raise Disagreement("failed", f"layer {layer} has shape {array.shape} instead of {shape}")
        return arrays

    def predict(self, rows: np.ndarray, weights: Any = None) -> np.ndarray:
        self.doing = "predict"
        x = self.backend.from_numpy(rows.astype(self.run.dtype))
        outputs = self.backend.to_numpy(self.backend.predict(self.weights if weights is None else weights, x))
        if outputs.shape != (len(rows), self.problem.layers[-1]):
            raise Disagreement("failed", f"predict returned shape {outputs.shape} for {len(rows)} rows")
        if str(outputs.dtype) != self.run.dtype:
            raise Disagreement("wrong-dtype", f"predict returned {outputs.dtype} instead of {self.run.dtype}")
        if not np.isfinite(outputs).all():
            raise Disagreement("failed", "predict returned NaN or inf")
        return outputs

    def trace(self, weights: Any) -> tuple[LayerTrace, ...]:
        """One update, opened up; only what can be shown."""
        self.doing = "trace"
        layers = tuple(LayerTrace(*layer) for layer in self.backend.trace(weights, self.x, self.y, self.lr))
        if [layer.change.shape for layer in layers] != self.problem.shapes or any(v.ndim != 2 for v in sum(layers, ())):
            raise Disagreement("failed", "trace must return one LayerTrace of matrices per layer")
        return layers

    def sensitivity(self) -> float:
        """How far one ULP in every first weight carries the final weights of this very backend."""
        nudged = (np.nextafter(w, np.array(np.inf, w.dtype)) for w in self.problem.first_weights(self.run.dtype))
        weights: Any = tuple(self.backend.from_numpy(w) for w in nudged)
        for after, _, _ in self.stretch(weights, 0, self.problem.updates):
            weights = after
        return distance(self.collect(weights), self.final)
