"""Check the derivative of anybody's scalar function: NumPy's by hand, PyTorch's and JAX's, against each other.

The referee is the NumPy function itself, by complex step where that works, else by central differences.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..common.agreement import GOOD
from ..common.errors import MissingError, UsageError
from ..common.nearest import nearest
from ..referee.exact import Element, complex_step, differences, elements, extrapolated

Function = Callable[..., Any]
Leaves = dict[str, np.ndarray]
"""Arrays under the expression that finds them: inputs['w'][0]."""

BOUNDS = {"float64": 1e-9, "float32": 2e-4}
"""Allowed error, relative to the leaf's largest derivative. An unknown function has unknown noise, so these leave
a thousand and more roundings' room, and still catch a gradient wrong by 0.05 %; in float64, by 1e-8."""
MOST = 200
"""At most this many elements of a leaf are differentiated by the referee, spread evenly."""
SMOOTH = 1e-4
"""The referee's own uncertainty, relative to the largest derivative, above which it will not judge."""


@dataclass(frozen=True)
class LeafCheck:
    """One framework's gradient with respect to one leaf of the inputs."""

    path: str
    shape: tuple[int, ...]
    outcome: str
    """`agree`, `disagree`, `failed` or `wrong-dtype`."""
    relative_error: float
    """max |g - referee| / max |referee|."""
    elements: int
    """At how many elements the referee was asked."""
    message: str = ""


@dataclass(frozen=True)
class FunctionCheck:
    """One framework's function, or the NumPy gradient written by hand."""

    name: str
    """`numpy`, `torch` or `jax`."""
    outcome: str
    message: str = ""
    leaves: tuple[LeafCheck, ...] = ()


@dataclass(frozen=True)
class Crosscheck:
    """Every function against the referee, leaf by leaf; `print` shows it."""

    dtype: str
    referee: str
    """`complex step` or `central differences`."""
    referee_error: float
    """Its own uncertainty, relative to the largest derivative; 0 for the complex step, which only rounds."""
    bound: float
    """Allowed relative error."""
    functions: tuple[FunctionCheck, ...]

    @property
    def agreed(self) -> bool:
        """Whether every function that could run is right, and at least one could."""
        ran = [f for f in self.functions if f.outcome != "missing"]
        return bool(ran) and all(f.outcome in GOOD for f in ran)

    def __str__(self) -> str:
        width = max((len(leaf.path) for f in self.functions for leaf in f.leaves), default=0)
        lines = [f"{self.dtype}, referee: {self.referee} of the NumPy function, allowed {self.bound:.0e}"]
        for f in self.functions:
            lines.append(f"{f.name}: {f.outcome}" + (f" - {f.message}" if f.message else ""))
            lines += [
                f"  {leaf.path:<{width}}  {leaf.shape!s:<12} {leaf.outcome:<9} {leaf.relative_error:.1e} {leaf.message}"
                for leaf in f.leaves
            ]
        return "\n".join(line.rstrip() for line in lines)


def crosscheck(
    *,
    numpy: Function | tuple[Function, Function],
    torch: Function | None = None,
    jax: Function | None = None,
    inputs: Any,
    dtype: str = "float64",
) -> Crosscheck:
    """Compare the gradients of one scalar function, written for several frameworks, at `inputs`.

    `numpy` is f, or (f, df) with its gradient written by hand; `torch` and `jax` are the same function for
    these frameworks and may be left out. `inputs` is an array, or any nesting of tuples, lists and
    dictionaries of floating-point arrays. Each function is called with the inputs' nesting as its one
    argument, or, if `inputs` is a tuple and the function takes that many, with its parts; it returns one
    number, df a nesting like `inputs`. Everything is computed in `dtype`, the referee always in float64.

    What goes wrong in one function is its outcome and message. Raises UsageError for inputs that cannot be
    used, and for an f that fails, or has no derivative at `inputs` that differences could find.
    """
    if dtype not in BOUNDS:
        raise UsageError(f"unknown dtype '{dtype}'{nearest(dtype, BOUNDS)}")
    f, df = numpy if isinstance(numpy, tuple) else (numpy, None)
    wide = over(inputs, _floating)
    narrow = over(wide, lambda _, leaf: leaf.astype(dtype))
    exact_inputs = over(narrow, lambda _, leaf: leaf.astype(np.float64))
    points = leaves(exact_inputs)
    places = {path: elements([leaf], MOST) for path, leaf in points.items()}
    name, truth, uncertainty = _referee(f, exact_inputs, points, places)
    bound = max(BOUNDS[dtype], 10 * uncertainty)
    judge = _Judge(dtype, points, places, truth, bound)
    value = float(np.real(_scalar(_call(f, exact_inputs))))
    checks = []
    if df is not None:
        checks.append(judge("numpy", lambda: (_scalar(_call(f, narrow)), _call(df, narrow)), value))
    if torch is not None:
        checks.append(judge("torch", lambda: _torch(torch, narrow, dtype), value))
    if jax is not None:
        checks.append(judge("jax", lambda: _jax(jax, narrow), value))
    if not checks:
        raise UsageError("nothing to check: give numpy=(f, df), torch= or jax=")
    return Crosscheck(dtype, name, uncertainty, bound, tuple(checks))


def over(tree: Any, function: Callable[[str, Any], Any], path: str = "inputs") -> Any:
    """The same nesting of tuples, lists and dictionaries, each leaf v replaced by function(path, v)."""
    if isinstance(tree, dict):
        return {key: over(value, function, f"{path}[{key!r}]") for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        parts = zip(tree._fields, tree, strict=True)
        return type(tree)(*(over(value, function, f"{path}.{name}") for name, value in parts))
    if isinstance(tree, (tuple, list)):
        return type(tree)(over(value, function, f"{path}[{i}]") for i, value in enumerate(tree))
    return function(path, tree)


def leaves(tree: Any) -> dict[str, Any]:
    """Every leaf under its path."""
    found: dict[str, Any] = {}
    over(tree, found.__setitem__)
    return found


def _floating(path: str, leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    if array.dtype.kind != "f":
        raise UsageError(f"{path} is {array.dtype}, not floating-point: nothing to differentiate")
    if not np.isfinite(array).all():
        raise UsageError(f"{path} holds NaN or inf")
    return array.astype(np.float64)


def _call(function: Function, tree: Any) -> Any:
    return function(*tree) if _spreads(function, tree) else function(tree)


def _spreads(function: Function, tree: Any) -> bool:
    """Whether the function takes the parts of the tuple `tree`, not the tuple."""
    if type(tree) is not tuple or len(tree) < 2:
        return False
    try:
        inspect.signature(function).bind(*tree)
    except (TypeError, ValueError):
        return False
    return True


def _scalar(value: Any) -> Any:
    if np.shape(value) not in ((), (1,), (1, 1)):
        raise ValueError(f"returned shape {np.shape(value)} - expected one number")
    return np.asarray(value).reshape(())[()]


def _referee(
    f: Function, tree: Any, points: Leaves, places: dict[str, list[Element]]
) -> tuple[str, dict[str, np.ndarray], float]:
    """The referee's name, its derivatives at the places, and its relative uncertainty."""
    paths = list(points)

    def loss(arrays: Sequence[np.ndarray]) -> Any:
        given = dict(zip(paths, arrays, strict=True))
        return _scalar(_call(f, over(tree, lambda path, _: given[path])))

    where = [(i, index) for i, path in enumerate(paths) for _, index in places[path]]
    arrays = list(points.values())
    with np.errstate(all="ignore"):
        try:
            value = loss(arrays)
        except Exception as error:
            raise UsageError(f"the NumPy function raised {type(error).__name__}: {error}") from error
        if not np.isfinite(value):
            raise UsageError(f"the NumPy function is {value} at these inputs")
        slopes, uncertain = extrapolated(loss, arrays, where)
        scale = float(np.abs(slopes).max(initial=0.0)) or 1.0
        _refuse_kinks(
            np.abs(differences(loss, arrays, where, 1e-7, central=False) - slopes), scale, value, paths, where
        )
        uncertainty = float(uncertain.max(initial=0.0)) / scale
        try:
            stepped = complex_step(loss, arrays, where)
        except Exception:  # many a function takes no complex numbers, and says so in many ways
            stepped = np.full(len(where), np.nan)
    if np.abs(stepped - slopes).max(initial=0.0) <= scale * max(SMOOTH, 10 * uncertainty):
        name, slopes, uncertainty = "complex step", stepped, 0.0
    else:
        name = "central differences"
        if not uncertainty <= SMOOTH:
            raise UsageError(
                f"the NumPy function has no clear derivative here, differences scatter by {uncertainty:.0e}: "
                "is there a kink or a jump at these inputs?"
            )
    ends = np.cumsum([len(places[path]) for path in paths])[:-1]
    return name, dict(zip(paths, np.split(slopes, ends), strict=True)), uncertainty


def _refuse_kinks(apart: np.ndarray, scale: float, value: Any, paths: list[str], where: list[Element]) -> None:
    """Raise UsageError where the slope to the right is another than the central one: at the corner of a ReLU."""
    kinked = apart > 1e-3 * scale + 1e-7 * abs(value)  # the curvature's share, and rounding's
    if kinked.any():
        leaf, index = where[int(kinked.argmax())]
        raise UsageError(f"the NumPy function has a kink at these inputs, in {paths[leaf]} at {list(index)}: move them")


@dataclass(frozen=True)
class _Judge:
    """Compares what a function gives with what the referee says."""

    dtype: str
    points: Leaves
    places: dict[str, list[Element]]
    truth: dict[str, np.ndarray]
    bound: float

    def __call__(self, name: str, run: Callable[[], tuple[Any, Any]], right_value: float) -> FunctionCheck:
        try:
            value, tree = run()
        except MissingError as error:
            return FunctionCheck(name, "missing", str(error))
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            return FunctionCheck(name, "failed", f"{type(error).__name__}: {said[0]}")
        off = abs(float(np.real(value)) - right_value)
        if not off <= self.bound * max(abs(right_value), 1.0):
            message = f"another function: its value is {float(np.real(value)):.10g}, NumPy's {right_value:.10g}"
            return FunctionCheck(name, "disagree", message)
        found = leaves(tree)
        checks = tuple(self.leaf(path, found.get(path)) for path in self.points)
        bad = [leaf for leaf in checks if leaf.outcome != "agree"]
        message = ", ".join(leaf.path for leaf in bad)
        return FunctionCheck(name, bad[0].outcome if bad else "agree", message, checks)

    def leaf(self, path: str, gradient: Any) -> LeafCheck:
        shape, truth, places = self.points[path].shape, self.truth[path], self.places[path]

        def result(outcome: str, error: float, message: str = "") -> LeafCheck:
            return LeafCheck(path, shape, outcome, error, len(places), message)

        if gradient is None:
            return result("failed", np.inf, "no such leaf in the gradient")
        array = np.asarray(gradient)
        if array.shape != shape:
            return result("failed", np.inf, f"has shape {array.shape} - expected {shape}")
        if str(array.dtype) != self.dtype:
            return result("wrong-dtype", np.inf, f"is {array.dtype} - expected {self.dtype}")
        largest = max(float(np.abs(t).max(initial=0.0)) for t in self.truth.values()) or 1.0
        scale = max(float(np.abs(truth).max(initial=0.0)), 1e-4 * largest)
        errors = np.abs(np.array([array[index] for _, index in places], float) - truth)
        error = float(errors.max(initial=0.0)) / scale
        if not np.isfinite(array).all():
            return result("disagree", np.inf, "holds NaN or inf")
        if error > self.bound:
            at = int(errors.argmax())
            index = places[at][1]
            return result("disagree", error, f"at {list(index)}: {array[index]:.10g}, referee {truth[at]:.10g}")
        return result("agree", error)


def _torch(function: Function, tree: Any, dtype: str) -> tuple[Any, Any]:
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingError("torch is not installed: pip install 'equigrad[torch]'") from None

    tensors = over(tree, lambda _, leaf: torch.tensor(leaf, dtype=getattr(torch, dtype), requires_grad=True))
    flat = leaves(tensors)
    value = _call(function, tensors)
    if not isinstance(value, torch.Tensor) or not value.requires_grad:
        raise ValueError("the result carries no gradient - expected a tensor computed from the inputs")
    slopes = torch.autograd.grad(value.reshape(()), list(flat.values()), allow_unused=True, materialize_grads=True)
    by_path = dict(zip(flat, slopes, strict=True))
    return _scalar(value.detach().cpu().numpy()), over(tensors, lambda path, _: by_path[path].cpu().numpy())


def _jax(function: Function, tree: Any) -> tuple[Any, Any]:
    try:
        import jax
    except ModuleNotFoundError as error:
        if error.name != "jax":
            raise
        raise MissingError("jax is not installed: pip install 'equigrad[jax]'") from None

    with jax.enable_x64(True):
        arrays = over(tree, lambda _, leaf: jax.numpy.asarray(leaf))
        value, slopes = jax.value_and_grad(lambda v: _call(function, v).reshape(()))(arrays)
        return _scalar(np.asarray(value)), over(slopes, lambda _, leaf: np.asarray(leaf))
