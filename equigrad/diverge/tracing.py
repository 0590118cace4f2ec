"""What each backend holds at every line of Trask's loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..backends import usable
from ..backends.interface import Backend, LayerTrace
from ..common.errors import UsageError
from ..common.problem import Problem, task_of
from ..common.values import count
from ..session import LayerTraces, Matrices, Spec, sessions
from .result import LoopLine, Trace

MOST_TRACED = 1_000


def trace(
    problem: str | Problem = "one-layer",
    backends: Spec | Backend | Sequence[Spec | Backend] | None = None,
    *,
    updates: int = 3,
    dtype: str | Sequence[str] = "float64",
    arithmetic: str | Sequence[str] = "native",
) -> Trace:
    """What each backend computes in the first updates of `problem`, line by line in the order of Trask's loop.

    `backends` are as `equigrad.load` takes them, or instances; all that are usable here unless given.
    One dtype or arithmetic is for all backends, several are for the backends in order; values of different
    dtypes are compared in the narrower one. Every backend continues from its own weights.

    Raises UsageError for fewer than one update, numbers that do not fit, or where a backend raises; and what
    `equigrad.load` raises.
    """
    updates = count("the number of updates", updates)
    if updates > MOST_TRACED:
        raise UsageError(f"every line of every update is shown, of at most {MOST_TRACED:,} updates, not {updates}")
    task = task_of(problem)
    present = sessions(task, usable() if backends is None else backends, dtype, arithmetic)
    held = [side.weights for side in present]
    first = tuple(side.numpy(weights) for side, weights in zip(present, held, strict=True))
    lines: list[LoopLine] = []
    for update in range(1, updates + 1):
        traces = [side.trace(weights) for side, weights in zip(present, held, strict=True)]
        held = [side.train(weights) for side, weights in zip(present, held, strict=True)]
        after = [side.numpy(weights) for side, weights in zip(present, held, strict=True)]
        lines += _loop(update, traces, after)
    derived = tuple(side.label for side in present if side.backend.traced != LayerTrace._fields)
    return Trace(task, tuple(side.label for side in present), first, tuple(lines), derived)


def _loop(update: int, traces: list[LayerTraces], after: list[Matrices]) -> Iterator[LoopLine]:
    last = len(traces[0])

    def line(layer: int, quantity: str, formula: str) -> LoopLine:
        values = tuple(getattr(trace[layer - 1], quantity) for trace in traces)
        return LoopLine(update, layer, quantity, formula, values)

    for i in range(1, last + 1):
        yield line(i, "preactivation", f"z{i} = l{i - 1} @ w{i}")
        yield line(i, "activation", f"l{i} = sigmoid(z{i})")
    for i in range(last, 0, -1):
        yield line(i, "error", f"e{i} = y - l{i}" if i == last else f"e{i} = d{i + 1} @ w{i + 1}.T")
        yield line(i, "delta", f"d{i} = e{i} * (l{i} * (1 - l{i}))")
    for i in range(last, 0, -1):
        yield line(i, "change", f"c{i} = lr * (l{i - 1}.T @ d{i})")
        weights = tuple(np.asarray(matrices[i - 1]) for matrices in after)
        yield LoopLine(update, i, "weight", f"w{i} = w{i} + c{i}", weights)
