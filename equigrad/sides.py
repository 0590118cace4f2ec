"""Backends side by side on one problem, and the comparison of what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .backends import load
from .backends.interface import Backend, LayerTrace
from .common.errors import UsageError
from .common.problem import Problem
from .common.ulp import ulp_distance

Matrices = tuple[np.ndarray, ...]
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
        return tuple(self.backend.from_numpy(w.astype(self.backend.dtype)) for w in weights)

    def numpy(self, weights: Any) -> Matrices:
        return tuple(self.backend.to_numpy(w) for w in weights)

    def train(self, weights: Any, n: int = 1) -> Any:
        return self.backend.train(weights, self.x, self.y, self.lr, n)

    def trace(self, weights: Any) -> Traces:
        return self.backend.trace(weights, self.x, self.y, self.lr)

    def replay(self, weights: Any, given: Traces) -> Traces | None:
        dtype = self.backend.dtype
        fitting = tuple(LayerTrace(*(v.astype(dtype) for v in layer)) for layer in given)
        return self.backend.replay(weights, self.x, self.y, self.lr, fitting)

    def exp(self, x: np.ndarray) -> np.ndarray | None:
        held = self.backend.exp(self.backend.from_numpy(x.astype(self.backend.dtype)))
        return None if held is None else self.backend.to_numpy(held)


def sides(
    problem: Problem,
    backends: Sequence[str | Backend],
    dtypes: str | Sequence[str],
    arithmetics: str | Sequence[str],
) -> tuple[Side, ...]:
    """One side per backend; a single dtype or arithmetic holds for all, several go with the backends in order.

    A backend may also be an instance, which brings its own dtype and arithmetic. The labels tell the
    sides apart and say no more than that takes.

    Raises UsageError where the numbers of backends, dtypes and arithmetics do not fit, and what `load` raises.
    """
    count = len(backends)
    loaded = [
        load(b, dtype, arithmetic) if isinstance(b, str) else b
        for b, dtype, arithmetic in zip(
            backends,
            _spread("dtype", dtypes, count),
            _spread("arithmetic", arithmetics, count),
            strict=True,
        )
    ]
    names = [
        b if isinstance(b, str) else b.name + (f":{b.device}" if b.device != "cpu" else "") for b in backends
    ]
    for attribute in ("arithmetic", "dtype"):
        values = [getattr(b, attribute) for b in loaded]
        if len(set(values)) > 1:
            names = [f"{name} {value}" for name, value in zip(names, values, strict=True)]
    if len(set(names)) < count:
        names = [f"{name} ({i})" for i, name in enumerate(names, 1)]
    return tuple(Side(problem, b, name) for b, name in zip(loaded, names, strict=True))


def _spread(what: str, values: str | Sequence[str], count: int) -> list[str]:
    values = [values] if isinstance(values, str) else list(values)
    if len(values) not in (1, count):
        raise UsageError(f"give one {what} for all backends or {count}, one for each, not {len(values)}")
    return values * count if len(values) == 1 else values


def narrow(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both rounded to the narrower of their dtypes, the only one in which they can be the same."""
    dtype = min(a.dtype, b.dtype, key=lambda d: d.itemsize)
    with np.errstate(over="ignore"):
        return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


def differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where the bits differ, element by element; two NaN are the same, +0 and -0 are not."""
    a, b = narrow(a, b)
    unsigned = f"u{a.itemsize}"
    same = np.ascontiguousarray(a).view(unsigned) == np.ascontiguousarray(b).view(unsigned)
    return ~(same | (np.isnan(a) & np.isnan(b)))


def any_differs(a: Matrices, b: Matrices) -> bool:
    """Whether any bit differs. Equal bytes, the usual case, are told cheaply."""
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

