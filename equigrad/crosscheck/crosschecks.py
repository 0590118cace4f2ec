"""Check anybody's function in NumPy, PyTorch and JAX: its value, its gradient, and where two of them part.

With NumPy's function the referee is that function: its complex step where differences confirm it, else
differences. Without it each function is held to differences of itself, and to its forward mode.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from typing import Any

import numpy as np

from ..common.errors import MissingError, UsageError, said
from ..common.nearest import nearest
from ..common.progress import Progress
from ..passport import passport
from .arguments import Arguments, arguments
from .nesting import Function, Leaves, is_array, is_pytree, leaves
from .numpy_function import NumpyFunction
from .result import Crosscheck, FunctionCheck, LeafCheck, Parting
from .slopes import slope
from .truth import Truth, along, moved, numpy_truth, step_for

BOUNDS = {"float64": 1e-9, "float32": 2e-4}
"""Allowed error, relative to the leaf's largest derivative. An unknown function has unknown noise, so these leave
a thousand and more roundings' room, and still catch a gradient wrong by 0.05 %; in float64, by 1e-8."""
MOST = 200
"""At so many elements of a leaf the referee of a NumPy function is asked, spread evenly, unless told otherwise."""
NARROW = 1e-5
"""Allowed between two functions of which one computes in float32 inside, relative to the largest number."""


INSIDE = (
    "{} computes in float32 inside, whatever it is given: it is compared like that, and differences cannot judge it"
)


def crosscheck(
    *,
    numpy: Function | tuple[Function, Function] | None = None,
    torch: Function | None = None,
    jax: Function | None = None,
    inputs: Any = (),
    parameters: Any = None,
    mapping: Mapping[str, Any] | None = None,
    dtype: str = "float64",
    elements: int = MOST,
    progress: Progress | None = None,
) -> Crosscheck:
    """Compare one function, written for several frameworks: its value and its gradient, at `inputs`.

    Any of `numpy`, `torch` and `jax` may be left out. `numpy` is f, or (f, df) with its gradient written by
    hand, a nesting like what is differentiated. The result is a number, an array, or a nesting of them; of
    several numbers the gradient of a sum with random fixed weights is compared, the same for every function.

    `inputs` is an array, or any nesting of tuples, lists and dictionaries of arrays. Each function is called
    with it as one argument or, if it is a tuple or a dictionary and the function takes these, with its parts.
    Floating-point arrays are differentiated; integers and booleans are data.

    `parameters` is what is differentiated in place of the inputs, and the first argument of each function: a
    nesting, or any JAX pytree. If `torch` is a torch.nn.Module, which takes inputs alone, their values come
    from its state_dict; `mapping` has the leaf, "['dense']['kernel']", or (leaf, axes) under the module's
    name for it, and what it leaves out is matched by values, or by name and shape. An Equinox module given as
    `jax` is its own parameters.

    Everything is computed in `dtype`; the referee and the search for where torch and JAX part are in float64.
    `elements` bounds at how many elements of each leaf NumPy's function is differentiated one by one.

    `progress` is called with what is being done, the steps done and the steps to do.

    What goes wrong in one function is its outcome and message. Raises UsageError for arguments that cannot be
    used, and for a NumPy function that fails, or has no derivative at `inputs` that differences could find.
    """
    if dtype not in BOUNDS:
        raise UsageError(f"unknown dtype '{dtype}'{nearest(dtype, BOUNDS)}")
    if elements < 1:
        raise UsageError(f"elements must be at least 1, not {elements}")
    if torch is None and jax is None and not isinstance(numpy, tuple):
        raise UsageError("nothing to check: give torch= or jax=, or numpy=(f, df)")
    for name, function in (("numpy", numpy), ("torch", torch), ("jax", jax)):
        for part in function if isinstance(function, tuple) else (function,):
            if part is not None and not callable(part):
                raise UsageError(f"{name}= is a {type(part).__name__} - expected a function")
    given, jax = _given(torch, jax, inputs, parameters, mapping, dtype)
    if not given.varied and (torch is None or jax is None):
        whole = [path for path, v in given.points.items() if v.dtype.kind != "f"]
        raise UsageError(f"nothing to differentiate: {', '.join(whole) or 'there'} is no floating-point array")
    session = _Session(given, dtype, elements)
    named: dict[str, Any] = {"numpy": numpy, "torch": torch, "jax": jax}
    asked = {name: function for name, function in named.items() if function is not None}
    tell = progress or (lambda what, done, total: None)
    for done, (name, function) in enumerate(asked.items()):
        tell("crosscheck", done, len(asked) + 1)
        if name == "numpy":
            session.ask_numpy(NumpyFunction(function, given))
        else:
            session.run(name, function)
    tell("crosscheck", len(asked), len(asked) + 1)
    with np.errstate(all="ignore"):
        result = session.judged()
    tell("crosscheck", len(asked) + 1, len(asked) + 1)
    return result


def _given(
    torch: Any, jax: Any, inputs: Any, parameters: Any, mapping: Mapping[str, Any] | None, dtype: str
) -> tuple[Arguments, Any]:
    """(the arguments, the JAX function): a model that is its own parameters becomes a function of them."""
    if parameters is None and is_pytree(jax) and any(is_array(leaf) for leaf in leaves(jax).values()):
        parameters, jax = jax, _applied(jax)
    state: dict[str, np.ndarray] | None = None
    frozen: set[str] = set()
    if sys.modules.get("torch") is not None and isinstance(torch, sys.modules["torch"].nn.Module):
        from .torch_function import state as state_of

        learned = {name for name, _ in torch.named_parameters()}
        if parameters is None and jax is None:
            parameters = {name: v for name, v in state_of(torch).items() if name in learned} or None
            mapping = {name: f"[{name!r}]" for name in parameters or ()}
        if parameters is not None:
            state = state_of(torch)
            frozen = set(state) - learned
    found = arguments(inputs, parameters, state, mapping, dtype)
    still = {match.leaf for match in found.matches if match.name in frozen}  # a module's buffers are not differentiated
    varied = tuple(path for path in found.varied if path not in still)
    return Arguments(found.inputs, found.parameters, found.points, varied, found.matches), jax


def _applied(model: Any) -> Function:
    def apply(model: Any, *args: Any, **named: Any) -> Any:
        return model(*args, **named)

    apply.__signature__ = inspect.signature(type(model).__call__)  # type: ignore[attr-defined]
    return apply


@dataclass
class _Ran:
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
    judged: tuple[Leaves, Leaves] = field(default_factory=lambda: ({}, {}))
    """(results, gradient) in the dtype that was asked for."""
    own: dict[str, tuple[float, float | None, str]] = field(default_factory=dict)
    """(error to its own differences, to its forward mode, message) for each leaf."""
    referee_error: float = 0.0

    @cached_property
    def narrows(self) -> bool:
        return bool(self.function.narrows())


class _Session:
    """One crosscheck: functions are run one after the other, and judged together."""

    def __init__(self, given: Arguments, dtype: str, elements: int) -> None:
        self.given, self.dtype, self.elements = given, dtype, elements
        self.bound = BOUNDS[dtype]
        self.ran: dict[str, _Ran] = {}
        self.numpy: NumpyFunction | None = None
        self.value: Leaves = {}
        self.truth: Truth | None = None
        self.cotangents: Leaves = {}
        self.notes: list[str] = []

    def ask_numpy(self, function: NumpyFunction) -> None:
        """Call NumPy's function and find its derivative without differentiating it; raises UsageError."""
        try:
            with np.errstate(all="ignore"):
                self.value = function.results(self.given.points)
        except Exception as error:
            raise UsageError(f"the NumPy function raised {type(error).__name__}: {error}") from error
        for path, v in self.value.items():
            if (v.dtype.kind == "f" and np.isnan(v).any()) or (v.size == 1 and not np.isfinite(v).all()):
                raise UsageError(f"the NumPy function is {v if v.size == 1 else 'NaN'} at these inputs, in {path}")
        if function.by_hand is not None and any(v.size != 1 for v in self.value.values()):
            shape = next(v.shape for v in self.value.values() if v.size != 1)
            raise UsageError(f"the NumPy function returned shape {shape} - expected one number, whose gradient df is")
        self._weigh(self.value)

        def loss(points: Mapping[str, np.ndarray]) -> Any:
            results = function.results(points)
            return sum((results[p] * w).sum() for p, w in self.cotangents.items())

        self.numpy = function
        self.truth = numpy_truth(loss, self.given.points, self.given.varied, self.elements)
        self.bound = max(self.bound, 10 * self.truth.error)

    def _weigh(self, results: Leaves) -> None:
        """Choose what each result is multiplied by before all are added up; the same for every function."""
        draw = np.random.RandomState(0).standard_normal
        for path, v in results.items():
            if v.dtype.kind == "f":
                weights = np.ones(v.shape) if v.size == 1 and len(results) == 1 else np.asarray(draw(v.shape))
                self.cotangents[path] = np.where(np.isfinite(v), weights, 0.0)
        if any(w.size > 1 for w in self.cotangents.values()) or len(self.cotangents) > 1:
            self.notes.append("the result is not one number: its gradient is that of a sum with random fixed weights")

    def run(self, name: str, function: Function) -> None:
        """Call one framework's function, twice, and differentiate it; what goes wrong is kept."""
        ran = self.ran[name] = _Ran(name)
        try:
            ran.function = _wrapped(name, function, self.given)
            with np.errstate(all="ignore"):
                self._run(ran)
        except MissingError as error:
            ran.outcome, ran.message = "missing", str(error)
        except Exception as error:
            ran.outcome, ran.message = "failed", said(error) + _advice(error)

    def _run(self, ran: _Ran) -> None:
        points, f = self.given.points, ran.function
        ran.results, again = f.results(points), f.results(points)
        for path, v in ran.results.items():
            if not _equal(v, again.get(path, v + 1), 1e-9):
                ran.outcome = "nondeterministic"
                ran.message = (
                    f"two calls differ in {path}: it is random, or remembers something; fix the seed, or eval()"
                )
                return
        if not self.cotangents:
            self._weigh(ran.results)
        changed = getattr(f, "changed", None)
        if changed:
            self.notes.append(f"{ran.name}'s module changes its buffers ({', '.join(changed[:3])}): eval() stops that")
        mine = {p: w.reshape(ran.results[p].shape) for p, w in self.cotangents.items() if _fits(ran.results.get(p), w)}
        _, ran.gradient = f.gradient(points, mine, "float64")
        ran.judged = f.gradient(points, mine, self.dtype) if self.dtype != "float64" else (ran.results, ran.gradient)
        if self.numpy is None:
            self._ask_itself(ran, mine)

    def _ask_itself(self, ran: _Ran, cotangents: Leaves) -> None:
        """Hold a function's gradient to differences of the function and to its forward mode, along one
        direction through all of each leaf."""
        largest = max((float(np.abs(g).max(initial=0.0)) for g in ran.gradient.values()), default=0.0)
        for path in self.given.varied:
            gradient, direction = ran.gradient[path], along(path, self.given.points[path].shape)
            at = moved(self.given.points, path, direction)
            found = slope(partial(_at, ran.function, at, cotangents), step_for(self.given.points[path]))
            scale = max(float(np.abs(gradient).max(initial=0.0)), 1e-4 * largest, 1e-3 * found.nearby) or 1.0
            mine = float((gradient * direction).sum())
            try:
                forward: float | None = (
                    abs(_weighed(ran.function.forward(self.given.points, {path: direction}), cotangents) - mine) / scale
                )
            except Exception:  # a custom rule for the backward pass has none for forward mode
                forward = None
            if (found.kinked or abs(mine - found.value) > self.bound * scale) and ran.narrows:
                self._note(INSIDE.format(ran.name))
                ran.own[path] = (np.nan, forward, "")
                continue
            if found.kinked:
                self._note(f"not differentiable at these inputs, in {path}: differences cannot judge there")
                ran.own[path] = (np.nan, forward, "")
                continue
            scale = max(scale, 10 * found.uncertainty / self.bound)
            error = abs(mine - found.value) / scale
            ran.referee_error = max(ran.referee_error, found.uncertainty / scale if np.isfinite(scale) else np.inf)
            message = ""
            if not error <= BOUNDS["float64"] * 10:
                same = forward is not None and forward <= BOUNDS["float64"] * 10
                message = f"along one direction {mine:.10g}, differences of the function itself {found.value:.10g}"
                message += ", and forward mode has the same: is a gradient stopped on the way?" if same else ""
            ran.own[path] = (error, forward, message)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def judged(self) -> Crosscheck:
        """Every function against the referee, and torch and JAX against each other."""
        checks = []
        if self.numpy is not None and self.numpy.by_hand is not None:
            checks.append(self._judge_by_hand())
        pair = [ran for ran in self.ran.values() if not ran.outcome]
        differing, noisy = self._apart(pair)
        for ran in self.ran.values():
            checks.append(self._judge(ran, pair, differing))
        parting = None
        if differing and len(pair) == 2:
            parting = self._part(pair)
        if self.numpy is not None and self.truth is not None:
            referee, error = self.truth.name, self.truth.error
            left = [path for path, where in self.truth.places.items() if len(where) < self.given.points[path].size]
            if left:
                self.notes.append(
                    f"the referee was asked at {self.elements} elements of {', '.join(left)}, one by one, and along a "
                    "direction through all of them; elements= asks at more"
                )
        else:
            referee = "central differences of each function itself, and its forward mode"
            error = max((ran.referee_error for ran in pair), default=0.0)
        matched = {match.name for match in self.given.matches}
        kept = sorted(set(self._state()) - matched) if self.given.parameters is not None else []
        if kept:
            self.notes.append(f"the module keeps its own {', '.join(kept)}")
        return Crosscheck(
            self.dtype, referee, error, max(self.bound, noisy), tuple(checks), parting, tuple(self.notes),
            tuple(str(match) for match in self.given.matches), passport([r.name for r in self.ran.values()]),
        )  # fmt: skip

    def _state(self) -> list[str]:
        module = getattr(getattr(self.ran.get("torch"), "function", None), "module", None)
        return [] if module is None else [n for n, v in module.state_dict().items() if v.is_floating_point()]

    def _judge_by_hand(self) -> FunctionCheck:
        assert self.numpy is not None
        try:
            _, found = self.numpy.gradient(self.given.points, self.cotangents, self.dtype)
        except Exception as error:
            return FunctionCheck("numpy", "failed", said(error))
        return self._with_leaves("numpy", found)

    def _with_leaves(self, name: str, gradient: Leaves) -> FunctionCheck:
        assert self.truth is not None
        checks = tuple(self._leaf(path, gradient.get(path)) for path in self.given.varied)
        bad = [leaf for leaf in checks if leaf.outcome != "agree"]
        message = ", ".join(leaf.path for leaf in bad)
        return FunctionCheck(
            name,
            bad[0].outcome if bad else "agree",
            message,
            checks,
            f"{self.truth.name} of the NumPy function",
            self.truth.error,
        )

    def _leaf(self, path: str, gradient: Any) -> LeafCheck:
        """One leaf against the derivative of NumPy's function."""
        assert self.truth is not None
        shape, places = self.given.points[path].shape, self.truth.places[path]

        def result(outcome: str, error: float, message: str = "") -> LeafCheck:
            return LeafCheck(path, shape, outcome, error, len(places), message)

        wrong = _unfit(gradient, shape, self.dtype)
        if wrong:
            return result(*wrong)
        array = np.asarray(gradient, np.float64)
        scale, truth = self.truth.scale(path, self.bound), self.truth.slopes[path]
        errors = np.abs(np.array([array[index] for _, index in places]) - truth)
        error = float(errors.max(initial=0.0)) / scale
        if not error <= self.bound:
            at = int(errors.argmax())
            index = places[at][1]
            return result("disagree", error, f"at {list(index)}: {array[index]:.10g}, referee {truth[at]:.10g}")
        if path in self.truth.whole:
            direction, through, uncertain = self.truth.whole[path]
            off = abs(float((array * direction).sum()) - through)
            if off > max(self.bound * max(scale, float(np.abs(array).sum()) * 1e-3), 10 * uncertain):
                message = (
                    "right at the elements asked one by one, wrong along a direction through all: ask at more elements"
                )
                return result("disagree", off / scale, message)
        return result("agree", error)

    def _judge(self, ran: _Ran, pair: list[_Ran], differing: dict[str, str]) -> FunctionCheck:
        if ran.outcome:
            return FunctionCheck(ran.name, ran.outcome, ran.message)
        other = next((r for r in pair if r is not ran), None)
        if self.numpy is not None:
            unlike = _unlike(ran.results, self.value, BOUNDS["float64"], "NumPy's", self.bound)
            if unlike:
                return FunctionCheck(ran.name, "disagree", f"another function: {unlike}")
            check = self._with_leaves(ran.name, ran.judged[1])
            if check.outcome == "agree" and differing and other is not None:
                path, message = next(iter(differing.items()))
                leaves = tuple(
                    LeafCheck(k.path, k.shape, "disagree", k.relative_error, k.elements, differing[k.path])
                    if k.path in differing
                    else k
                    for k in check.leaves
                )
                return FunctionCheck(
                    check.name, "disagree", f"{path}: {message}", leaves, check.referee, check.referee_error
                )
            return check
        checks = []
        for path in self.given.varied:
            own, _, message = ran.own[path]
            wrong = _unfit(ran.judged[1].get(path), self.given.points[path].shape, self.dtype)
            rounding = self._rounding(ran, path)
            if wrong:
                outcome, own, message = wrong
            elif path in differing:
                outcome = "disagree"
                message = "; ".join(filter(None, (differing[path], message)))
            elif message and other is not None:
                self._note(
                    f"the gradient in {path} is not the derivative of the value, in torch and jax alike: "
                    "is it stopped or redefined on purpose?"
                )
                outcome, message = "agree", ""
            elif rounding > self.bound and other is None:
                outcome, message = "disagree", f"{self.dtype} is {rounding:.1e} from float64"
            else:
                outcome = "disagree" if message else "agree"
            checks.append(
                LeafCheck(
                    path,
                    self.given.points[path].shape,
                    outcome,
                    own if np.isnan(own) else max(own, rounding),
                    0,
                    message,
                )
            )
        bad = [leaf for leaf in checks if leaf.outcome != "agree"]
        outcome = bad[0].outcome if bad else "agree"
        message = ", ".join(leaf.path for leaf in bad)
        values = [text for path, text in differing.items() if path.startswith("result")]
        if values and other is not None:
            right = all(not ran.own[path][2] for path in self.given.varied)
            outcome = "disagree"
            message = f"another function than {other.name}: {values[0]}" + (
                "; its gradient is right for itself" if right else ""
            )
        modes = [f for _, f, _ in ran.own.values() if f is not None]
        return FunctionCheck(
            ran.name, outcome, message, tuple(checks), "central differences of itself", ran.referee_error,
            max(modes) if modes else None,
        )  # fmt: skip

    def _rounding(self, ran: _Ran, path: str) -> float:
        """How far the gradient in the dtype asked for is from that in float64."""
        narrow, wide = ran.judged[1].get(path), ran.gradient[path]
        if self.dtype == "float64" or narrow is None or narrow.shape != wide.shape:
            return 0.0
        scale = float(np.abs(wide).max(initial=0.0)) or 1.0
        return float(np.abs(narrow - wide).max(initial=0.0)) / scale

    def _apart(self, pair: list[_Ran]) -> tuple[dict[str, str], float]:
        """(what differs between torch and JAX, with a message for each result and leaf; what noise allows)."""
        if len(pair) < 2:
            return {}, 0.0
        a, b = pair
        differing: dict[str, str] = {}
        noise = 0.0
        tight = BOUNDS["float64"]
        unlike = _unlike(a.results, b.results, tight, "jax's", tight, "torch's")
        if unlike:
            noise = self._noise(pair)
            loose = max(tight, noise)
            unlike = _unlike(a.results, b.results, loose, "jax's", loose, "torch's") if noise else unlike
            if unlike:
                differing["result"] = unlike
        for path in self.given.varied:
            for bound, (left, right) in ((tight, (a.gradient, b.gradient)), (self.bound, (a.judged[1], b.judged[1]))):
                apart = self._leaf_apart(left, right, path, bound)
                if apart and bound == tight:
                    noise = noise or self._noise(pair)
                    apart = self._leaf_apart(left, right, path, max(bound, noise))
                if apart:
                    differing.setdefault(path, apart)
        return differing, noise if not differing else 0.0

    def _leaf_apart(self, left: Leaves, right: Leaves, path: str, bound: float) -> str:
        a, b = left.get(path), right.get(path)
        if a is None or b is None or a.shape != b.shape or not a.size:
            return ""
        largest = max(float(np.abs(v).max(initial=0.0)) for v in (*left.values(), *right.values()))
        scale = max(float(np.abs(a).max()), float(np.abs(b).max()), 1e-4 * largest)
        with np.errstate(invalid="ignore"):
            off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        off = np.where(np.isnan(off), np.inf, off)
        if off.max() <= bound * scale:
            return ""
        index = tuple(int(i) for i in np.unravel_index(int(off.argmax()), off.shape))
        return f"at {list(index)} torch's derivative is {a[index]:.10g}, jax's {b[index]:.10g}"

    def _noise(self, pair: list[_Ran]) -> float:
        """What rounding in float64 may do to these functions: what float32 does to the steadier one, scaled down."""
        if any(ran.narrows for ran in pair):
            for ran in pair:
                if ran.narrows:
                    self._note(INSIDE.format(ran.name))
            return NARROW
        found: list[float] = []
        for ran in pair:
            try:
                mine = {p: w.reshape(ran.results[p].shape) for p, w in self.cotangents.items()}
                results, gradient = ran.function.gradient(self.given.points, mine, "float32")
            except Exception:
                continue
            wide, narrow = {**ran.results, **ran.gradient}, {**results, **gradient}
            largest = max((float(np.abs(g).max(initial=0.0)) for g in ran.gradient.values()), default=0.0)
            offs = []
            for path, v in wide.items():
                if v.dtype.kind == "f" and v.size and np.isfinite(v).all():
                    scale = max(float(np.abs(v).max()), 1e-4 * largest) or 1.0
                    offs.append(float(np.abs(narrow[path] - v).max()) / scale)
            found.append(max(offs, default=0.0))
        noise = min(found, default=0.0) * 2.0**-29 * 1e3
        return float(noise) if np.isfinite(noise) else 0.0

    def _part(self, pair: list[_Ran]) -> Parting | None:
        from .parting_search import search

        try:
            narrow = any(ran.narrows for ran in pair)
            return search(pair[0].function, pair[1].function, self.given, self.cotangents, narrow)
        except Exception as error:
            self.notes.append(f"where they part could not be found: {said(error)}")
            return None


def _wrapped(name: str, function: Function, given: Arguments) -> Any:
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingError(f"{name} is not installed: pip install 'equigrad[{name}]'") from None
    module = import_module(f".{name}_function", __package__)
    return (module.TorchFunction if name == "torch" else module.JaxFunction)(function, given)


def _advice(error: Exception) -> str:
    text = str(error)
    if "same dtype" in text or "expected scalar type" in text or ("but found" in text and "ouble" in text):
        return ' (constants of its own in float32? Convert them, or ask with dtype="float32")'
    return ""


def _weighed(results: Leaves, weights: Leaves) -> float:
    return float(sum((results[p].reshape(w.shape) * w).sum() for p, w in weights.items() if p in results))


def _at(function: Any, at: Callable[[float], Leaves], weights: Leaves, t: float) -> float:
    try:
        return _weighed(function.results(at(t)), weights)
    except Exception:  # a step outside of where the function is defined
        return np.nan


def _fits(result: np.ndarray | None, weights: np.ndarray) -> bool:
    return result is not None and result.size == weights.size and result.dtype.kind == "f"


def _equal(a: np.ndarray, b: np.ndarray, bound: float) -> bool:
    if a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return bool((a == b).all())
    finite = np.isfinite(a)
    with np.errstate(invalid="ignore"):
        same = np.array_equal(a[~finite], b[~finite], equal_nan=True)
        scale = float(np.abs(a[finite]).max(initial=0.0))
        return same and bool((np.abs(a[finite] - b[finite]) <= bound * scale).all())


def _unlike(a: Leaves, b: Leaves, bound: float, whose: str, loose: float, mine: str = "its") -> str:
    """How the results of two functions differ, in words; empty if they do not."""
    if a.keys() != b.keys():
        return f"{mine} result has the parts {', '.join(a) or 'none'}, {whose} {', '.join(b) or 'none'}"
    for path, v in a.items():
        w = b[path]
        if v.size == 1 == w.size:
            v, w = v.reshape(()), w.reshape(())
        name = "value" if path == "result" else path
        if v.shape != w.shape:
            return f"{mine} {name} has shape {v.shape}, {whose} {w.shape}"
        if v.dtype.kind == "f" and np.isnan(v).any():
            return f"{mine} {name} holds NaN"
        if not _equal(v, w, max(bound, loose)):
            if v.ndim == 0:
                return f"{mine} {name} is {v:.10g}, {whose} {w:.10g}"
            with np.errstate(invalid="ignore"):
                off = np.nan_to_num(np.abs(v.astype(float) - w), nan=np.inf)
            index = tuple(int(i) for i in np.unravel_index(int(off.argmax()), off.shape))
            return f"{mine} {name} at {list(index)} is {v[index]:.10g}, {whose} {w[index]:.10g}"
    return ""


def _unfit(gradient: Any, shape: tuple[int, ...], dtype: str) -> tuple[str, float, str] | None:
    """(outcome, error, message) for a gradient that cannot be compared at all."""
    if gradient is None:
        return "failed", np.inf, "no such leaf in the gradient"
    array = np.asarray(gradient)
    if array.shape != shape:
        return "failed", np.inf, f"has shape {array.shape} - expected {shape}"
    if str(array.dtype) != dtype:
        return "wrong-dtype", np.inf, f"is {array.dtype} - expected {dtype}"
    if not np.isfinite(array).all():
        return "disagree", np.inf, "holds NaN or inf"
    return None
