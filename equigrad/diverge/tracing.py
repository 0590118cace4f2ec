"""What each backend holds at every line of Trask's loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..backends import usable
from ..backends.interface import Backend
from ..common.errors import UsageError
from ..common.markup import table
from ..common.problem import Problem
from ..common.problem import problem as built_in
from ..common.ulp import differs, distances
from ..session import Matrices, Traces, sessions

MOST = 8
"""So many rows and columns of a matrix are shown in a notebook."""
MOST_LINES = 60
"""And so many lines."""


@dataclass(frozen=True, eq=False)
class Line:
    """One line of the loop, and what it gave in each backend."""

    update: int
    """Counted from 1."""
    layer: int
    """Counted from 1."""
    quantity: str
    """preactivation, activation, error, delta, change or weight (after the update)"""
    formula: str
    """z, l, e, d, c and w are these quantities, numbered by layer; l0 is the input and y the target."""
    values: Matrices
    """One array per backend."""

    @property
    def differing(self) -> tuple[int, ...]:
        """In how many elements each backend differs from the first."""
        return tuple(int(differs(self.values[0], v).sum()) for v in self.values)

    @property
    def max_ulp(self) -> tuple[int, ...]:
        """How far each backend is from the first."""
        return tuple(int(distances(self.values[0], v).max(initial=0)) for v in self.values)


@dataclass(frozen=True, eq=False)
class Trace:
    """What `trace` found."""

    problem: Problem
    sides: tuple[str, ...]
    first_weights: tuple[Matrices, ...]
    """One tuple per backend."""
    lines: tuple[Line, ...]

    def _repr_html_(self) -> str:
        """How a notebook shows it: each line of the loop, and what each backend holds there."""
        rows = [(f"{v.update:,}", v.formula, v.quantity, *_cells(v)) for v in self.lines[:MOST_LINES]]
        left_out = len(self.lines) - len(rows)
        notes = ["≠ marks what differs from the first backend's"] if len(self.sides) > 1 else []
        notes += [f"and {left_out:,} more lines"] if left_out else []
        title = f"{self.problem.name}: {' → '.join(map(str, self.problem.layers))}"
        return table(title, ("update", "line", "quantity", *self.sides), rows, notes)


def _cells(line: Line) -> Iterator[str]:
    for value in line.values:
        apart = differs(line.values[0], value)
        rows = [
            " ".join(f"{'≠' if a else ' '}{v: .8f}" for v, a in zip(row[:MOST], marks[:MOST], strict=True))
            + (" …" if len(row) > MOST else "")
            for row, marks in zip(value[:MOST], apart, strict=False)
        ]
        yield "\n".join([*rows, *(["…"] if len(value) > MOST else [])])


def trace(
    problem: str | Problem = "one-layer",
    backends: Sequence[str | Backend] | None = None,
    *,
    updates: int = 3,
    dtype: str | Sequence[str] = "float64",
    arithmetic: str | Sequence[str] = "native",
) -> Trace:
    """Open up the first `updates` updates of `problem` in each backend, line by line in the order of Trask's loop.

    `backends` are names as `equigrad.load` takes them, or instances; all that are usable here unless given.
    One dtype or arithmetic holds for all, several go with the backends in order; values of different
    dtypes are compared in the narrower one. Every backend goes on from its own weights.

    Raises UsageError for fewer than one update, numbers that do not fit, or where a backend raises; and what
    `equigrad.load` raises.
    """
    if updates < 1:
        raise UsageError(f"the number of updates must be at least 1, not {updates}")
    task = built_in(problem) if isinstance(problem, str) else problem
    present = sessions(task, usable() if backends is None else backends, dtype, arithmetic)
    held = [side.weights for side in present]
    first = tuple(side.numpy(weights) for side, weights in zip(present, held, strict=True))
    lines: list[Line] = []
    for update in range(1, updates + 1):
        traces = [side.trace(weights) for side, weights in zip(present, held, strict=True)]
        held = [side.train(weights) for side, weights in zip(present, held, strict=True)]
        after = [side.numpy(weights) for side, weights in zip(present, held, strict=True)]
        lines += _loop(update, traces, after)
    return Trace(task, tuple(side.label for side in present), first, tuple(lines))


def _loop(update: int, traces: list[Traces], after: list[Matrices]) -> Iterator[Line]:
    last = len(traces[0])

    def line(layer: int, quantity: str, formula: str) -> Line:
        values = tuple(getattr(trace[layer - 1], quantity) for trace in traces)
        return Line(update, layer, quantity, formula, values)

    for i in range(1, last + 1):
        yield line(i, "preactivation", f"z{i} = l{i - 1} @ w{i}")
        yield line(i, "activation", f"l{i} = sigmoid(z{i})")
    for i in range(last, 0, -1):
        yield line(i, "error", f"e{i} = y - l{i}" if i == last else f"e{i} = d{i + 1} @ w{i + 1}.T")
        yield line(i, "delta", f"d{i} = e{i} * (l{i} * (1 - l{i}))")
    for i in range(last, 0, -1):
        yield line(i, "change", f"c{i} = lr * (l{i - 1}.T @ d{i})")
        weights = tuple(np.asarray(matrices[i - 1]) for matrices in after)
        yield Line(update, i, "weight", f"w{i} = w{i} + c{i}", weights)
