"""What the functions are called with: inputs, parameters, and which of their leaves are differentiated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..common.errors import UsageError
from ..common.nearest import nearest
from .nesting import Leaves, array, is_array, leaves, over


@dataclass(frozen=True)
class Match:
    """One leaf of the parameters and the module's tensor that it is."""

    leaf: str
    """parameters['dense']['kernel']."""
    name: str
    """fc.weight, of the module's state_dict."""
    axes: tuple[int, ...]
    """The leaf is the tensor with its axes in this order."""
    why: str
    """`values`, `mapping` or `name and shape`."""

    @property
    def transposed(self) -> bool:
        return self.axes != tuple(range(len(self.axes)))

    def __str__(self) -> str:
        order = f" with axes {list(self.axes)}" if len(self.axes) > 2 else " transposed"
        return f"{self.leaf} is {self.name}{order if self.transposed else ''}, by {self.why}"


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


def matched(state: Mapping[str, np.ndarray], learned: Leaves, mapping: Mapping[str, Any]) -> tuple[Match, ...]:
    """Which tensor of the module each leaf is: as `mapping` says, else by its values, else by name and shape.

    `mapping` has the leaf, or (leaf, axes), under the tensor's name. Raises UsageError for what it names and
    nobody has, and for a leaf that no tensor fits.
    """
    found: dict[str, Match] = {}
    for name, target in mapping.items():
        leaf, axes = target if isinstance(target, tuple) else (target, None)
        leaf = leaf if leaf in learned else f"parameters{leaf}"
        if name not in state:
            raise UsageError(f"mapping: the module has no '{name}'{nearest(name, state)}")
        if leaf not in learned:
            raise UsageError(f"mapping: there is no leaf '{target}'{nearest(leaf, learned)}")
        orders = _orders(state[name].shape, learned[leaf].shape)
        if (axes is not None and tuple(axes) not in orders) or not orders:
            raise UsageError(
                f"mapping: {leaf} {learned[leaf].shape} is not {name} {state[name].shape} in another order"
            )
        found[leaf] = Match(leaf, name, tuple(axes) if axes is not None else orders[0], "mapping")
    used = {match.name for match in found.values()}
    for leaf, values in learned.items():
        if leaf in found:
            continue
        for name, tensor in state.items():
            same = (
                a
                for a in _orders(tensor.shape, values.shape)
                if _equal(np.transpose(tensor, a).reshape(values.shape), values)
            )
            axes = next(same, None) if name not in used and values.size > 1 and np.ptp(values) > 0 else None
            if axes is not None:
                found[leaf] = Match(leaf, name, axes, "values")
                used.add(name)
                break
    flipped = None
    rest = sorted((leaf for leaf in learned if leaf not in found), key=lambda path: _is_square(learned[path]))
    for leaf in rest:
        if learned[leaf].dtype.kind != "f":
            continue
        fitting = [n for n in state if n not in used and _orders(state[n].shape, learned[leaf].shape)]
        if not fitting:
            raise UsageError(f"{leaf} {learned[leaf].shape} has no counterpart in the module: say which with mapping=")
        name = max(fitting, key=lambda n: _likeness(leaf, n))
        orders = _orders(state[name].shape, learned[leaf].shape)
        if _is_square(learned[leaf]) and len(orders) > 1 and learned[leaf].ndim == 2:
            turn = flipped if flipped is not None else "kernel" in leaf
            orders = [(1, 0)] if turn else [(0, 1)]
        elif learned[leaf].ndim == 2:
            flipped = orders[0] == (1, 0)
        found[leaf] = Match(leaf, name, orders[0], "name and shape")
        used.add(name)
    return tuple(found[leaf] for leaf in learned if leaf in found)


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=1e-6, atol=0))


def _is_square(leaf: np.ndarray) -> bool:
    return len(set(leaf.shape)) < leaf.ndim


def _orders(shape: tuple[int, ...], wanted: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The orders of axes that make one shape the other: as it is, as linear and convolution layers have it, any."""
    from itertools import permutations

    count = len(shape)
    if count > 5:
        return []
    usual = [tuple(range(count)), *([(*range(2, count), 1, 0)] if count > 1 else [])]
    lean = [n for n in wanted if n != 1]  # a bias may come as (4, 1, 1)
    found = dict.fromkeys([*usual, *permutations(range(count))])
    return [a for a in found if [shape[i] for i in a if shape[i] != 1] == lean]


ALIKE = (("kernel", "weight"), ("scale", "weight"), ("gamma", "weight"), ("beta", "bias"), ("embedding", "weight"),
         ("mean", "running_mean"), ("var", "running_var"))  # fmt: skip


def _likeness(leaf: str, name: str) -> float:
    """How much the two names have in common, with what libraries call the same thing."""
    from difflib import SequenceMatcher

    def words(text: str) -> list[str]:
        return "".join(c if c.isalnum() else " " for c in text.lower()).split()

    ours, theirs = words(leaf)[1:], words(name)
    same = sum(w in theirs for w in ours) + 0.9 * sum(a in ours and b in theirs for a, b in ALIKE)
    return same + SequenceMatcher(None, " ".join(ours), " ".join(theirs)).ratio()
