"""A function in NumPy, and its gradient where somebody wrote it by hand."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from .arguments import Arguments
from .nesting import Function, Leaves, call, leaves, returned


class NumpyFunction:
    """Calls it with copies, so that what it does to its arguments stays with it."""

    def __init__(self, function: Function | tuple[Function, Function], arguments: Arguments) -> None:
        self.function: Function = function[0] if isinstance(function, tuple) else function
        self.by_hand: Function | None = function[1] if isinstance(function, tuple) else None
        self.arguments = arguments

    def results(self, points: Mapping[str, np.ndarray], dtype: str = "float64") -> Leaves:
        """Every array of the result, under its path; complex points give complex ones."""
        result = self._call(self.function, points, dtype)
        found = returned(result, lambda v: np.asarray(v).dtype.kind in "fciub", "arrays of numbers")
        return {path: np.asarray(v) for path, v in found.items()}

    def gradient(self, points: Mapping[str, np.ndarray], cotangents: Leaves, dtype: str) -> tuple[Leaves, Leaves]:
        """(results, the gradient by hand under the paths of the arguments)."""
        assert self.by_hand is not None
        found = self._call(self.by_hand, points, dtype)
        if self.arguments.parameters is not None:
            return self.results(points, dtype), leaves(found, "parameters")
        return self.results(points, dtype), leaves(self._by_name(found), "inputs")

    def _by_name(self, found: Any) -> Any:
        """A tuple of gradients as a dictionary, in the function's order, where its arguments are given by name."""
        inputs = self.arguments.inputs
        if not isinstance(inputs, dict) or not isinstance(found, (tuple, list)):
            return found
        names = [name for name in inspect.signature(self.function).parameters if name in inputs]
        varied = [name for name in names if any(path.startswith(f"inputs[{name!r}]") for path in self.arguments.varied)]
        fitting = [each for each in (names, varied) if len(each) == len(found)]
        return dict(zip(fitting[0], found, strict=True)) if fitting else found

    def _call(self, function: Function, points: Mapping[str, np.ndarray], dtype: str) -> Any:
        given = {path: v.astype(dtype) if v.dtype.kind == "f" else np.array(v) for path, v in points.items()}
        kept = copy.deepcopy(given)
        inputs, parameters = self.arguments.trees(given)
        result = call(function, inputs, *(() if parameters is None else (parameters,)))
        for path, v in given.items():
            if not np.array_equal(v, kept[path], equal_nan=True):
                raise ValueError(f"it changes its input {path}")
        return result
