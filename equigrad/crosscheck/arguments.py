"""What the functions are called with: inputs, parameters, and which of their leaves are differentiated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..common.errors import UsageError
from .matching import Match, matched
from .nesting import Leaves, array, is_array, leaves, over


@dataclass(frozen=True)
class Arguments:
    """One point at which every function is called."""

    inputs: Any
    parameters: Any
    """None where the functions take inputs alone."""
    points: Leaves
    """Every array of both, floating-point numbers in float64."""
    varied: tuple[str, ...]
    """The leaves that are differentiated."""
    matches: tuple[Match, ...] = ()

    def trees(self, arrays: Mapping[str, Any]) -> tuple[Any, Any]:
        """(inputs, parameters) with these arrays in the place of their leaves."""
        given = lambda path, leaf: arrays.get(path, leaf)  # noqa: E731
        inputs = over(self.inputs, given)
        return inputs, None if self.parameters is None else over(self.parameters, given, "parameters")


def arguments(
    inputs: Any,
    parameters: Any = None,
    state: Mapping[str, np.ndarray] | None = None,
    mapping: Mapping[str, Any] | None = None,
    dtype: str = "float64",
) -> Arguments:
    """The point at which the functions are compared: rounded to `dtype`, kept in float64.

    `state` is a module's state_dict: parameters that it has are taken from there. Raises UsageError.
    """
    given = {path: array(path, leaf) for path, leaf in leaves(inputs).items() if is_array(leaf)}
    learned = {} if parameters is None else leaves(parameters, "parameters")
    learned = {path: array(path, leaf) for path, leaf in learned.items() if hasattr(leaf, "dtype")}
    matches: tuple[Match, ...] = ()
    if state is not None and parameters is not None:
        matches = matched(state, learned, mapping or {})
        for match in matches:
            if match.why != "values":
                learned[match.leaf] = (
                    np.transpose(state[match.name], match.axes)
                    .reshape(learned[match.leaf].shape)
                    .astype(learned[match.leaf].dtype)
                )
    elif mapping:
        raise UsageError("mapping goes with a torch.nn.Module and parameters=")
    points = {
        path: leaf.astype(dtype).astype(np.float64) if leaf.dtype.kind == "f" else leaf
        for path, leaf in {**given, **learned}.items()
    }
    source = given if parameters is None else learned
    varied = tuple(path for path, leaf in source.items() if leaf.dtype.kind == "f" and leaf.size)
    return Arguments(inputs, parameters, points, varied, matches)
