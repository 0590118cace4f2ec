"""A function in JAX: its results, its gradient both ways, and a recording of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.extend import core

from ..common.errors import UsageError
from .arguments import Arguments
from .jax_recording import Program, compiled, kinds
from .nesting import Function, Leaves, call, returned
from .recording import Recording

TRACED = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)
"""What a function raises that looks at numbers while it is traced, and so cannot be compiled."""


class JaxFunction:
    """Calls it under jit where that is possible. JAX counts in float64 only when float64 is what is checked."""

    def __init__(self, function: Function, arguments: Arguments) -> None:
        self.function, self.arguments = function, arguments
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._backward_only = False
        self.widest = "float64"
        """The widest dtype that it is called in: float32 for a function that makes arrays of float32 by itself."""

    def results(self, points: Mapping[str, np.ndarray]) -> Leaves:
        """In float64."""
        try:
            return self._both(points, {})[0]
        except Exception:  # a custom rule for the backward pass has none for forward mode; or there is a mistake
            with self.wide():
                return _numpy(self._fast(("results", self.widest), self._results)(self._arrays(points)))

    def gradient(self, points: Mapping[str, np.ndarray], cotangents: Leaves, dtype: str) -> tuple[Leaves, Leaves]:
        """(results, the gradient of the sum of results times cotangents)."""
        dtype = min(dtype, self.widest)  # float32 comes before float64
        with _counting_in(dtype):
            given = self._arrays(points, dtype), self._arrays(cotangents, dtype)
            results, slopes = self._fast(("gradient", dtype), self._pull)(*given)
            return _numpy(results), _numpy(slopes)

    def forward(self, points: Mapping[str, np.ndarray], direction: Leaves) -> Leaves:
        """The derivative of the results along the direction, by forward mode, in float64."""
        return self._both(points, direction)[1]

    def _both(self, points: Mapping[str, np.ndarray], direction: Leaves) -> tuple[Leaves, Leaves]:
        if self._backward_only:
            raise TypeError("the function has no forward mode")

        def push(arrays: dict[str, Any], direction: dict[str, Any]) -> Any:
            def f(varied: dict[str, Any]) -> Any:
                results = self._results({**arrays, **varied})
                return _floating(results), results

            _, tangents, results = jax.jvp(f, (self._varied(arrays),), (direction,), has_aux=True)
            return results, tangents

        full = {path: direction.get(path, np.zeros_like(points[path])) for path in self.arguments.varied}
        with self.wide():
            given = self._arrays(points), self._arrays(full)
            try:
                results, tangents = self._fast(("forward", self.widest), push)(*given)
            except Exception:
                self._backward_only = True
                raise
            return _numpy(results), _numpy(tangents)

    def record(self, points: Mapping[str, np.ndarray], cotangents: Leaves, dtype: str, backward: bool) -> Any:
        """The Program, with its recording; raises what JAX raises for a function that it cannot trace."""
        dtype = min(dtype, self.widest)
        with _counting_in(dtype):
            arrays, weights = self._arrays(points, dtype), self._arrays(cotangents, dtype)
            function = (lambda a: self._pull(a, weights)) if backward else (lambda a: (self._results(a), {}))
            try:
                jaxpr, shapes = jax.make_jaxpr(function, return_shape=True)(arrays)
            except TRACED as error:
                raise UsageError("jax's function decides by numbers that it computes, and cannot be traced") from error
            program = Program(jaxpr, jax.tree.leaves(arrays))
        recording: Recording = program.recording
        recording.leaves = dict(zip(sorted(arrays), program.given, strict=True))
        paths = [*sorted(shapes[0]), *sorted(shapes[1])]
        named = list(zip(paths, program.outputs, strict=True))
        recording.results = dict(named[: len(shapes[0])])
        recording.gradients = dict(named[len(shapes[0]) :])
        return program

    def coarse(self) -> float:
        """The rounding of one operation where the function computes in less than the float64 it is given, or 0.

        Some of JAX's own do. Constants of float32 do not count: they are promoted.
        """
        if self._traced is None:
            return 0.0
        found = kinds(self._traced.jaxpr)
        return max((float(jax.numpy.finfo(kind).eps) for kind in found if kind != np.float64), default=0.0)

    def rounded_otherwise(self, results: Leaves) -> Leaves | None:
        """What its results would be if its own arrays of fewer digits than float64, as JAX makes them by default, had
        other last bits; None if it has none."""
        if self._traced is None:
            return None
        consts, draw = [], np.random.RandomState(0)
        for v in self._traced.consts:
            narrow = jax.numpy.issubdtype(v.dtype, jax.numpy.floating) and v.dtype != np.float64
            ulp = float(jax.numpy.finfo(v.dtype).eps) if narrow else 0.0
            consts.append(v * (1 + ulp * draw.choice([-1, 1], v.shape)).astype(v.dtype) if narrow else v)
        if all(v is w for v, w in zip(consts, self._traced.consts, strict=True)):
            return None
        with self.wide(), suppress(Exception):  # of an effect that cannot be run again
            changed = core.jaxpr_as_fun(core.ClosedJaxpr(self._traced.jaxpr, consts))
            found = changed(*jax.tree.leaves(self._varied(self._arrays(self.arguments.points))))
            return _numpy(dict(zip(sorted(results), found, strict=True)))
        return None

    @cached_property
    def _traced(self) -> Any:
        """None of a function that looks at numbers while it is traced."""
        with self.wide(), suppress(*TRACED):
            arrays = self._arrays(self.arguments.points)
            return jax.make_jaxpr(lambda varied: self._results({**arrays, **varied}))(self._varied(arrays))

    def gradients_like(
        self, program: Any, wanted: Leaves, cotangents: Leaves, same: Callable[[np.ndarray, np.ndarray], bool]
    ) -> Callable[[set[int], set[int]], bool]:
        """Whether the gradients of a recorded program are `wanted` once some are stopped and others let through."""
        arrays, weights = self._arrays(self.arguments.points), self._arrays(cotangents)
        paths = sorted(program.recording.results)

        def like(stop: set[int], let: set[int]) -> bool:
            def loss(varied: dict[str, Any]) -> Any:
                full = {**arrays, **varied}
                results = zip(paths, program.replay([full[p] for p in sorted(full)], stop, let), strict=False)
                return sum((v * weights[path]).sum() for path, v in results if path in weights)

            slopes = _numpy(compiled(jax.grad(loss))(self._varied(arrays)))
            return all(same(slopes[path], v) for path, v in wanted.items())

        return like

    def wide(self) -> Any:
        """The context in which JAX counts in float64, if the function bears it."""
        return _counting_in(self.widest)

    def _fast(self, key: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            if key not in self._compiled:
                self._compiled[key] = compiled(function)
            try:
                return self._compiled[key](*args)
            except TRACED:
                self._compiled[key] = function
                return function(*args)

        return run

    def _varied(self, arrays: dict[str, Any]) -> dict[str, Any]:
        return {path: arrays[path] for path in self.arguments.varied}

    def _arrays(self, points: Mapping[str, np.ndarray], dtype: str = "") -> dict[str, Any]:
        dtype = dtype or self.widest
        floats = {path: v.astype(dtype) if v.dtype.kind == "f" else v for path, v in points.items()}
        return {path: jax.numpy.asarray(v) for path, v in floats.items()}

    def _results(self, arrays: dict[str, Any]) -> dict[str, Any]:
        inputs, parameters = self.arguments.trees(arrays)
        result = call(self.function, inputs, *(() if parameters is None else (parameters,)))
        kinds = jax.Array, np.ndarray, np.generic, int, float
        found = returned(result, lambda v: isinstance(v, kinds), "arrays")
        return {path: jax.numpy.asarray(v) for path, v in found.items()}

    def _pull(self, arrays: dict[str, Any], cotangents: dict[str, Any]) -> Any:
        def f(varied: dict[str, Any]) -> Any:
            results = self._results({**arrays, **varied})
            return {p: v for p, v in results.items() if p in cotangents}, results

        pulled, back, results = jax.vjp(f, self._varied(arrays), has_aux=True)
        weights = {p: cotangents[p].astype(v.dtype) for p, v in pulled.items()}
        return results, back(weights)[0]


@contextmanager
def _counting_in(dtype: str) -> Iterator[None]:
    with jax.enable_x64(dtype == "float64"):
        yield


def _floating(results: dict[str, Any]) -> dict[str, Any]:
    return {path: v for path, v in results.items() if jax.numpy.issubdtype(v.dtype, jax.numpy.floating)}


def _numpy(arrays: dict[str, Any]) -> Leaves:
    return {path: np.array(v, np.float32 if v.dtype == "bfloat16" else v.dtype) for path, v in arrays.items()}
