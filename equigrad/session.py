"""Backends side by side on one problem, and the comparison of what they hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from .backends import load
from .backends.interface import Backend, LayerTrace
from .common.errors import UsageError
from .common.problem import Problem
from .common.ulp import ulp_distance

Matrices = tuple[np.ndarray, ...]
T = TypeVar("T")
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

Traces = tuple[LayerTrace, ...]


@dataclass(frozen=True, eq=False)
class Side:
    """One backend with the problem's data on its device. Weights go in and come out as it holds them."""

    problem: Problem
    backend: Backend
    label: str

    @cached_property
    def x(self) -> Any:
        return self.backend.from_numpy(self.problem.inputs.astype(self.backend.dtype))

    @cached_property
    def y(self) -> Any:
        return self.backend.from_numpy(self.problem.targets.astype(self.backend.dtype))

    @cached_property
    def lr(self) -> float:
        return self.problem.rate(self.backend.dtype)

    def start(self) -> Any:
        return self.hold(self.problem.first_weights(self.backend.dtype))

    def hold(self, weights: Matrices) -> Any:
        return tuple(self._call("from_numpy", w.astype(self.backend.dtype)) for w in weights)

    def numpy(self, weights: Any) -> Matrices:
        """The weights as NumPy arrays; raises UsageError unless they are what a backend owes."""
        arrays = tuple(self._call("to_numpy", w) for w in weights)
        owed = [
            (shape, self.backend.dtype) for shape in zip(self.problem.layers, self.problem.layers[1:], strict=False)
        ]
        found = [(a.shape, str(a.dtype)) for a in arrays]
        if found != owed:
            raise UsageError(f"{self.label}: its weights are {_list(found)} instead of {_list(owed)}")
        return arrays

    def train(self, weights: Any, n: int = 1) -> Any:
        return self._call("train", weights, self.x, self.y, self.lr, n)

    def trace(self, weights: Any) -> Traces:
        return self._call("trace", weights, self.x, self.y, self.lr)

    def replay(self, weights: Any, given: Traces) -> Traces | None:
        dtype = self.backend.dtype
        fitting = tuple(LayerTrace(*(v.astype(dtype) for v in layer)) for layer in given)
        return self._call("replay", weights, self.x, self.y, self.lr, fitting)

    def exp(self, x: np.ndarray) -> np.ndarray | None:
        held = self._call("exp", self._call("from_numpy", x.astype(self.backend.dtype)))
        return None if held is None else self.backend.to_numpy(held)

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self.backend, method)(*arguments)
        except Exception as error:
            raise UsageError(f"{self.label}: {method} raised {type(error).__name__}: {error}") from error


def _list(arrays: Sequence[tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{dtype} {shape}" for shape, dtype in arrays)


def sides(
    problem: Problem,
    backends: Sequence[str | Backend],
    dtypes: str | Sequence[str],
    arithmetics: str | Sequence[str],
) -> tuple[Side, ...]:
    """The sides that backends, dtypes and arithmetics name in order; one alone of a kind holds for all.

    A backend may also be an instance, which brings its own dtype and arithmetic. The labels tell the sides
    apart and say no more than that takes.

    Raises UsageError where the numbers of backends, dtypes and arithmetics do not fit, and what `load` raises.
    """
    dtypes, arithmetics = _listed(dtypes), _listed(arithmetics)
    count = max(len(backends), len(dtypes), len(arithmetics))
    loaded = [
        (load(b, dtype, arithmetic), b) if isinstance(b, str) else (b, _name(b))
        for b, dtype, arithmetic in zip(
            _spread("backend", backends, count),
            _spread("dtype", dtypes, count),
            _spread("arithmetic", arithmetics, count),
            strict=True,
        )
    ]
    names = [name for _, name in loaded]
    for attribute in ("arithmetic", "dtype"):
        values = [getattr(b, attribute) for b, _ in loaded]
        if len(set(values)) > 1:
            names = [f"{name} {value}" for name, value in zip(names, values, strict=True)]
    if len(set(names)) < count:
        names = [f"{name} ({i})" for i, name in enumerate(names, 1)]
    return tuple(Side(problem, b, name) for (b, _), name in zip(loaded, names, strict=True))


def _listed(values: str | Sequence[str]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _spread(what: str, values: Sequence[T], count: int) -> list[T]:
    if len(values) not in (1, count):
        raise UsageError(f"give {what} once for all or {count} times, once for each, not {len(values)} times")
    return list(values) * (count // len(values))


def _name(backend: Backend) -> str:
    return backend.name + (f":{backend.device}" if backend.device != "cpu" else "")


def narrow(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both rounded to the narrower of their dtypes, the only one in which they can be the same."""
    dtype = min(a.dtype, b.dtype, key=lambda d: d.itemsize)
    with np.errstate(over="ignore"):
        return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


def differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where the numbers differ, element by element, be it by one bit; +0 and -0 are the same, as are two NaN."""
    a, b = narrow(a, b)
    return ~((a == b) | (np.isnan(a) & np.isnan(b)))


def any_differs(a: Matrices, b: Matrices) -> bool:
    """Whether any number differs. Equal bytes, the usual case, are told cheaply."""
    return any(
        (v.dtype != w.dtype or v.tobytes() != w.tobytes()) and bool(differs(v, w).any())
        for v, w in zip(a, b, strict=True)
    )


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The distance in ULP of the narrower dtype, element by element, as uint64."""
    return ulp_distance(*narrow(a, b))


def farthest(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> tuple[int, float]:
    """The largest distance in ULP and the largest |a - b|, each over all elements; NaN where one is NaN."""
    pairs = [narrow(v, w) for v, w in zip(a, b, strict=True)]
    with np.errstate(invalid="ignore", over="ignore"):
        absolute = [np.where(differs(v, w), np.abs(v - w), 0).max(initial=0.0) for v, w in pairs]
    ulp = max(int(ulp_distance(v, w).max(initial=0)) for v, w in pairs)
    return ulp, float(np.max(absolute))
