"""What each function gives at one point: results, gradient, and what differences of the function say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np

from ..common.errors import MissingError, UsageError, needed, said
from .arguments import Arguments
from .differences import LEAST_SHARE, equal, largest
from .nesting import Function, Leaves
from .numpy_function import NumpyFunction
from .slopes import EPS, EPS32, FINER, Slope, slope
from .truth import Truth, along, moved, numpy_truth, size_of, step_for

ALLOWED = {"float64": 1e-9, "float32": 2e-4}
"""Allowed error, relative to the leaf's largest derivative. An unknown function has unknown noise, so these leave
room for a thousand roundings and more, and still catch a gradient wrong by 0.05 %; in float64, by 1e-8."""
NARROW_ROUNDINGS = 80
"""How many roundings are allowed between two functions of which one computes in float32, or less, inside."""
NOISY = 1e-6
"""The most that is allowed for rounding, relative, but where a result or a leaf is nothing else."""
VAGUE = 0.1
"""An uncertainty of differences, relative to the derivative, above which they say nothing."""
TINY = 1e-12
"""A step, relative to the numbers that are moved, which float32 does not see."""
APART = 8 * EPS
"""A step, relative to the numbers that are moved, that little but rounding makes a difference over."""
NOTHING = "result holds no floating-point number: there is nothing to differentiate"
DIRECTIONS = 64
"""Directions that are tried to find elements without a kink."""
INSIDE = "{} computes in {} inside, whatever its inputs: it is compared as such"
KINDS = {2.0**-23: "float32", 2.0**-10: "float16", 2.0**-7: "bfloat16"}
"""By the rounding of one operation."""


@dataclass
class Measured:
    """One framework's function and what it gave."""

    name: str
    function: Any = None
    outcome: str = ""
    """Empty while nothing is wrong."""
    message: str = ""
    results: Leaves = field(default_factory=dict)
    """In float64."""
    gradient: Leaves = field(default_factory=dict)
    """In float64."""
    in_dtype: Leaves = field(default_factory=dict)
    """The gradient in the dtype that was asked for."""
    own: dict[str, tuple[float, float | None, str]] = field(default_factory=dict)
    """(error to its own differences, to its forward mode, message) for each leaf."""
    referee_error: float = 0.0

    @cached_property
    def coarse(self) -> float:
        """The rounding of one operation where it computes in less than the float64 that it is given, or 0."""
        return float(self.function.coarse())

    @property
    def narrows(self) -> bool:
        return self.coarse > 0


class Measurements:
    """All functions at one point, called one after the other."""

    def __init__(self, given: Arguments, dtype: str, elements: int) -> None:
        self.given, self.dtype, self.elements = given, dtype, elements
        self.bound = ALLOWED[dtype]
        self.functions: dict[str, Measured] = {}
        """Those of frameworks; NumPy's is the referee."""
        self.numpy: NumpyFunction | None = None
        self.value: Leaves = {}
        """NumPy's results."""
        self.truth: Truth | None = None
        self.cotangents: Leaves = {}
        self.loosest = 0.0
        """What the uncertainty of differences of a function itself allowed, relative, if more than `bound`."""
        self.notes: list[str] = []
        self.untold: list[str] = []
        """Leaves in which differences are too uncertain."""

    def note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _note_inside(self, one: Measured) -> None:
        self.note(INSIDE.format(one.name, KINDS.get(one.coarse, "float32 or less")))

    def ask_numpy(self, function: NumpyFunction) -> None:
        """Call NumPy's function and find its derivative without differentiating it; raises UsageError."""
        try:
            with np.errstate(all="ignore"):
                self.value, again = function.results(self.given.points), function.results(self.given.points)
        except Exception as error:
            raise UsageError(f"the NumPy function raised {said(error)}") from error
        if changing := _changing(self.value, again):
            raise UsageError(f"two calls of the NumPy function differ in {changing}: fix its random seed")
        _refuse_complex(self.value)
        for path, v in self.value.items():
            if (v.dtype.kind == "f" and np.isnan(v).any()) or (v.size == 1 and not np.isfinite(v).all()):
                raise UsageError(f"the NumPy function is {v if v.size == 1 else 'NaN'} at these inputs, in {path}")
        if function.by_hand is not None and [v.size for v in self.value.values()] != [1]:
            shapes = [f"shape {v.shape}" for v in self.value.values()]
            what = shapes[0] if len(shapes) == 1 else f"{len(shapes)} results"
            raise UsageError(f"the NumPy function returned {what} - expected one number, whose gradient df is")
        self._weigh(self.value)
        if not self.cotangents:
            raise UsageError(f"the NumPy function's {NOTHING}")
        rounding = self._rounding(partial(function.results, self.given.points, "float32"), self.value, self.cotangents)
        if self._is_narrow(function, rounding):
            raise UsageError(
                "the NumPy function computes in float32 inside, or its terms cancel to as few digits: too coarse to be "
                "differenced, let it compute in the dtype of its inputs"
            )

        def loss(points: Mapping[str, np.ndarray]) -> Any:
            try:
                results = function.results(points)
                return sum((results[p] * w).sum() for p, w in self.cotangents.items())
            except Exception:
                if any(map(np.iscomplexobj, points.values())):
                    raise  # it takes no complex numbers
                return np.nan  # a step outside of where the function is defined

        self.numpy = function
        rounding = max(rounding, self._scatter(function, self.cotangents))
        self.truth = numpy_truth(loss, self.given.points, self.given.varied, self.elements, rounding)
        self.bound = max(self.bound, 10 * self.truth.error)

    def _is_narrow(self, function: NumpyFunction, rounding: float) -> bool:
        """Whether it stands still at steps that float32 does not see, and float64 does unless its terms cancel."""
        if any(v.dtype.kind == "f" and v.dtype.itemsize < 8 for v in self.value.values()):
            return True
        here, still = _weighed(self.value, self.cotangents), self._steps(function, self.cotangents, TINY)
        moved = self._steps(function, self.cotangents, 1e-3, 1)
        float32 = self._steps(function, self.cotangents, EPS32 / 4)
        seen = max(largest(moved - here) * TINY / 1e-3, largest(np.diff(float32, 4)))
        return bool((still == here).all()) and seen > 100 * max(EPS * abs(here), rounding)

    def _steps(self, function: Any, cotangents: Leaves, step: float, count: int = 8) -> np.ndarray:
        """The weighted sum of the results, `count` steps from the inputs on; NaN where the function is not defined."""
        with np.errstate(all="ignore"):
            return np.array([_at(function, self._shifted, cotangents, k * step) for k in range(1, count + 1)])

    def _shifted(self, step: float) -> Leaves:
        """The inputs, each floating-point number moved by about `step` times itself."""
        floats = {path: v for path, v in self.given.points.items() if v.dtype.kind == "f"}
        return {**self.given.points, **{path: v * (1 + step * along(path, v.shape)) for path, v in floats.items()}}

    def _scatter(self, function: Any, cotangents: Leaves) -> float:
        """What rounding does to the weighted sum of the results, absolute: how unevenly it changes within some ULPs.

        What float32 does says too little of it where no digit is left in float32, as of an inverse. The inputs
        themselves, which may be an edge, are left out.

        J. Moré, S. Wild, Estimating Computational Noise, SIAM Journal on Scientific Computing 33, 2011.
        """
        found = 0.5 * largest(np.diff(self._steps(function, cotangents, APART), 2))
        return found if np.isfinite(found) else 0.0

    def _weigh(self, results: Leaves) -> None:
        """Choose what each result is multiplied by before all are added up; the same for every function."""
        draw = np.random.RandomState(0).standard_normal
        for path, v in results.items():
            if v.dtype.kind == "f":
                weights = np.ones(v.shape) if v.size == 1 and len(results) == 1 else np.asarray(draw(v.shape))
                self.cotangents[path] = np.where(np.isfinite(v), weights, 0.0)
                if left_out := np.count_nonzero(~np.isfinite(v)):
                    self.note(f"{left_out:,} of the {v.size:,} numbers of {path} are NaN or infinite: left out")
        if any(w.size > 1 for w in self.cotangents.values()) or len(self.cotangents) > 1:
            self.note("the result is not one number: its gradient is that of a sum with fixed random weights")

    def ask(self, name: str, function: Function, tell: Callable[[int], None] = lambda leaf: None) -> None:
        """Call one framework's function, twice, and differentiate it; what goes wrong is kept.

        `tell` is called with the number of each leaf, from 1, before its gradient is held to differences.
        """
        one = self.functions[name] = Measured(name)
        try:
            one.function = _wrapped(name, function, self.given)
            with np.errstate(all="ignore"):
                self._measure(one, tell)
        except MissingError as error:
            one.outcome, one.message = "missing", str(error)
        except UsageError as error:
            one.outcome, one.message = "failed", str(error)
        except Exception as error:
            advice = _advice(error) if self.dtype == "float64" else ""
            one.outcome, one.message = "failed", said(error) + advice
            if self.given.parameters is not None and not (name == "torch" and self.given.matches):
                self.note(f"{name}'s function was called with the parameters first, then the inputs")

    def _measure(self, one: Measured, tell: Callable[[int], None]) -> None:
        points, f = self.given.points, one.function
        try:
            one.results = f.results(points)
        except Exception:
            if self.dtype != "float32":
                raise
            f.widest = "float32"  # that of its own constants, perhaps
            one.results = f.results(points)
        again = f.results(points)
        _refuse_complex(one.results)
        if changing := _changing(one.results, again):
            one.outcome = "nondeterministic"
            one.message = f"two calls differ in {changing}: fix the random seed, or call eval() on the module first"
            return
        if not self.cotangents:
            self._weigh(one.results)
        if not self.cotangents:
            raise UsageError(f"the {NOTHING}")
        changed = getattr(f, "changed", None)
        if changed:
            self.note(f"{one.name}'s module changes its buffers ({', '.join(changed[:3])}): eval() stops that")
        _, one.gradient = f.gradient(points, self._cotangents(one), "float64")
        if getattr(f, "detached", False):
            self.note("no gradient flows through torch's result: its derivatives are 0")
        one.in_dtype = one.gradient
        if self.dtype != "float64":
            _, one.in_dtype = f.gradient(points, self._cotangents(one), self.dtype)
        if self.numpy is None:
            self._ask_itself(one, tell)

    def _cotangents(self, one: Measured) -> Leaves:
        """The weights of the results, in the shapes that this function gives them."""
        fitting = {p: v for p, v in one.results.items() if p in self.cotangents and v.dtype.kind == "f"}
        return {p: self.cotangents[p].reshape(v.shape) for p, v in fitting.items() if v.size == self.cotangents[p].size}

    def _ask_itself(self, one: Measured, tell: Callable[[int], None]) -> None:
        """Hold a function's gradient to differences of the function and to its forward mode, along one
        direction through all of each leaf, but for elements at which it has a kink."""
        cotangents, steepest = self._cotangents(one), largest(*one.gradient.values())
        for leaf, path in enumerate(self.given.varied, 1):
            tell(leaf)
            gradient, point = one.gradient[path], self.given.points[path]

            def through(
                direction: np.ndarray,
                eps: float = EPS,
                rounding: float = 0.0,
                path: str = path,
                size: float = size_of(point),
            ) -> Slope:
                at = moved(self.given.points, path, direction)
                f = partial(_at, one.function, at, cotangents)
                return slope(f, step_for(size), size=size, eps=eps, rounding=rounding)

            direction = along(path, point.shape)
            found = through(direction)
            scale = max(largest(gradient), LEAST_SHARE * steepest, 1e-3 * found.nearby) or 1.0
            if found.kinked or abs(float((gradient * direction).sum()) - found.value) > self.bound * scale:
                if one.narrows:
                    self._note_inside(one)
                narrow = partial(_results_in_float32, one.function, self.given.points, cotangents)
                rounding = 0.0 if one.narrows else self._rounding(narrow, one.results, cotangents)
                rounding = max(rounding, self._scatter(one.function, cotangents))
                through = partial(through, eps=one.coarse or EPS, rounding=rounding)
                found = through(direction)
            if found.kinked:
                direction, found = _without_kinks(through, direction, found)
                checked = 0 if found.kinked else np.count_nonzero(direction)
                told = f"differences tell of {checked:,} of its {point.size:,} elements"
                self.note(f"not differentiable at these inputs, in {path}: {told}")
            mine = float((gradient * direction).sum())
            try:
                results = one.function.forward(self.given.points, {path: direction})
                forward: float | None = abs(_weighed(results, cotangents) - mine) / scale
            except Exception:  # a custom rule for the backward pass has none for forward mode
                forward = None
            vague = 10 * found.uncertainty / scale
            if found.kinked or not vague <= VAGUE:
                if not found.kinked and path not in self.untold:
                    self.untold.append(path)
                one.own[path] = (np.nan, forward, "")
                continue
            self.loosest = max(self.loosest, vague)
            error = abs(mine - found.value) / scale
            one.referee_error = max(one.referee_error, found.uncertainty / scale)
            message = ""
            if not error <= max(10 * ALLOWED["float64"], vague):
                same = forward is not None and forward <= ALLOWED["float64"] * 10
                message = f"along one direction {mine:.10g}, differences of the function itself {found.value:.10g}"
                message += ", and forward mode has the same: is a gradient stopped on the way?" if same else ""
            one.own[path] = (error, forward, message)

    @staticmethod
    def _rounding(in_float32: Callable[[], Leaves], results: Leaves, cotangents: Leaves) -> float:
        """What rounding does to the weighted sum of the results, absolute: a share of what float32 does."""
        try:
            with np.errstate(all="ignore"):
                off = abs(_weighed(in_float32(), cotangents) - _weighed(results, cotangents))
        except Exception:
            return 0.0
        return FINER * off if np.isfinite(off) else 0.0

    def least(self, *functions: Measured) -> float:
        """What counts as large in a result, however small it is, because its terms, which cancel, were larger."""
        return LEAST_SHARE * largest(*(g for one in functions for g in one.gradient.values()))

    def noise(self, pair: list[Measured]) -> tuple[float, dict[str, float]]:
        """What rounding in float64 may do to these functions: what float32 does to the steadier one, scaled down, or
        what the inputs' last bits do, which is more where no digit is left in float32.

        (relative to the largest number, whichever it is; absolute, of each result and leaf)
        """
        narrow = [one for one in pair if one.narrows]
        for one in narrow:
            self._note_inside(one)
        if narrow:
            allowed = NARROW_ROUNDINGS * max(one.coarse for one in narrow)
            if allowed > VAGUE:
                moved = max(self._share(one, self.beside(one, one.coarse)) for one in narrow)
                allowed = min(allowed, 10 * moved or allowed)
            return allowed, {}
        relative: list[float] = []
        absolute: dict[str, list[float]] = {}
        for one in pair:
            try:
                results, gradient = one.function.gradient(self.given.points, self._cotangents(one), "float32")
            except Exception:
                continue
            wide, rounded = {**one.results, **one.gradient}, {**results, **gradient}
            last = self.beside(one)
            offs: dict[str, float] = {}
            for path, v in wide.items():
                if v.dtype.kind == "f" and v.size and np.isfinite(v).all():
                    both = 1e3 * FINER * largest(rounded[path] - v), 10 * last.get(path, 0.0)
                    offs[path] = max((off for off in both if np.isfinite(off)), default=0.0)
                    absolute.setdefault(path, []).append(offs[path])
            relative.append(self._share(one, offs))
        noise = min(relative, default=0.0)
        return min(noise, NOISY) if np.isfinite(noise) else 0.0, {path: min(offs) for path, offs in absolute.items()}

    def beside(self, one: Measured, rounding: float = EPS) -> dict[str, float]:
        """How much each result and leaf of the gradient changes between points that are a rounding or two apart.

        All are on one side of the inputs, which may be an edge.
        """
        try:
            near = [
                one.function.gradient(self._shifted(k * rounding), self._cotangents(one), "float64")
                for k in range(2, 6)
            ]
        except Exception:  # outside of where the function is defined
            return {}
        whole = [{**results, **gradient} for results, gradient in near]
        return {path: max(largest(b[path] - a[path]) for a, b in pairwise(whole)) for path in whole[0]}

    def _share(self, one: Measured, changes: dict[str, float]) -> float:
        """The largest change, relative to the result or leaf that changes."""
        least = LEAST_SHARE * largest(*one.gradient.values())
        whole = {**one.results, **one.gradient}
        return max((off / (max(largest(whole[path]), least) or 1.0) for path, off in changes.items()), default=0.0)


def _without_kinks(
    through: Callable[[np.ndarray], Slope], direction: np.ndarray, found: Slope
) -> tuple[np.ndarray, Slope]:
    """The direction through the elements without a kink, as far as halving finds them, and the slope along it."""
    blocks, smooth = [np.arange(direction.size)], np.zeros(direction.size, bool)
    for _ in range(DIRECTIONS):
        if not blocks:
            break
        for block in np.array_split(blocks.pop(0), 2):
            part = np.isin(np.arange(direction.size), block).reshape(direction.shape)
            if not through(direction * part).kinked:
                smooth[block] = True
            elif block.size > 1:
                blocks.append(block)
    rest = direction * smooth.reshape(direction.shape)
    smoothly = through(rest)
    return (rest, smoothly) if smooth.any() and not smoothly.kinked else (direction, found)


def _results_in_float32(function: Any, points: Leaves, cotangents: Leaves) -> Leaves:
    results, _ = function.gradient(points, cotangents, "float32")
    return dict(results)


def _changing(results: Leaves, again: Leaves) -> str:
    """The first result that another call gave otherwise; empty if there is none."""
    return next((path for path, v in results.items() if not equal(v, again.get(path, v + 1), ALLOWED["float64"])), "")


def _refuse_complex(results: Leaves) -> None:
    for path, v in results.items():
        if v.dtype.kind == "c":
            raise UsageError(f"{path} is complex - expected real numbers: return its real and its imaginary part")


def _wrapped(name: str, function: Function, given: Arguments) -> Any:
    with needed(name, extra=name):
        import_module(name)
    module = import_module(f".{name}_function", __package__)
    return (module.TorchFunction if name == "torch" else module.JaxFunction)(function, given)


def _advice(error: Exception) -> str:
    text = str(error)
    both = ("float32" in text and "float64" in text) or ("but found" in text and "ouble" in text)
    if both or "same dtype" in text or "expected scalar type" in text:
        return ' (constants of its own in float32? Convert them, or ask with dtype="float32")'
    return ""


def _weighed(results: Leaves, weights: Leaves) -> float:
    return float(sum((results[p].reshape(w.shape) * w).sum() for p, w in weights.items() if p in results))


def _at(function: Any, at: Callable[[float], Leaves], weights: Leaves, t: float) -> float:
    try:
        return _weighed(function.results(at(t)), weights)
    except Exception:  # a step outside of where the function is defined
        return np.nan
