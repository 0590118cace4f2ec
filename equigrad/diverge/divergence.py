"""Where two backends part: the first update, the quantity, the operation; and how far apart they get."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..backends.interface import Backend, LayerTrace
from ..common.errors import MissingError, UsageError
from ..common.problem import Problem, task_of
from ..common.progress import PARTS
from ..common.ulp import any_differs, differs, distances, narrow
from ..common.values import seconds, several
from ..passport import passport
from ..session import LayerTraces, Matrices, Progress, Session, Spec, sessions
from .operations import Update, operations, traced
from .result import UNFINISHED, Difference, Distance, Divergence, Element

SINGLY = 1_000
"""In the first updates, this many, the weights are compared after each one."""
EVERY = 1_000
"""From then on they are compared after each EVERY updates."""
OPENED = 100
"""In at most this many updates before the first difference of weights the intermediates are compared too."""
LEADING = (1, 2, 3, 5, 7)
"""The updates of the development, in each power of ten."""


def diverge(
    problem: str | Problem = "one-layer",
    backends: Spec | Backend | Sequence[Spec | Backend] = ("numpy", "torch"),
    *,
    dtype: str | Sequence[str] = "float64",
    arithmetic: str | Sequence[str] = "native",
    budget: float = 6.0,
    progress: Progress | None = None,
) -> Divergence:
    """Train `problem` in two backends from the same first weights and find where they part.

    `backends` are two as `equigrad.load` takes them, or instances; or one, where `dtype` or `arithmetic`
    has two values. Two dtypes are compared in the narrower one, to which all values are rounded.

    The first update after which any weight differs, be it by one bit, is exact within the first 1,000 updates, where
    the weights are compared after every one. Later they are compared every 1,000 updates, and after each of the
    last 1,000 once these differ: a difference that appears and vanishes between two comparisons is not seen.
    In that update the traced quantities are compared in order of computation, and each operation is run in
    both backends on the same inputs; unless a trace does not lead to the weights of its backend's `train`.
    Where no weight differs, the first updates, at most 1,000, are made in one call too.

    From then on the distance is measured at a few updates in every power of ten, for about `budget` seconds at
    most; the search itself has no limit, so that 'identical' always means the whole run.

    Raises UsageError unless that makes two, for a negative budget, or where a backend raises; and what
    `equigrad.load` raises.
    """
    budget = seconds("the budget", budget)
    task = task_of(problem)
    try:
        both = sessions(task, backends, dtype, arithmetic)
    except MissingError as error:
        alone = "-b numpy --arithmetic native --arithmetic reproducible"
        raise MissingError(f"{error}; what is here can be compared with itself: {alone}") from None
    if len(both) != 2:
        raise UsageError(
            f"two backends are compared, not {len(both)}: name two, or one with two dtypes or two arithmetics"
        )
    a, b = both
    notes = [] if a.backend.dtype == b.backend.dtype else [_across_dtypes(a, b)]
    first = None
    split, earlier, why = _search(a, b, task.updates, progress)
    notes += why
    if split is not None:
        first, why = _explain(a, b, split)
        notes += [note for note in why if note not in notes]
    development = [Distance(i, 0, 0.0, True) for i in _rows(task.updates) if first is None or i < first.update]
    if split is not None:
        development += _develop(a, b, task.updates, split, budget, progress)
    reached = development[-1].update
    if reached < task.updates:
        notes.append(f"{UNFINISHED} to update {reached:,} of {task.updates:,}, in the {budget:g} s that it had")
    return Divergence(
        problem=task,
        sides=(a.label, b.label),
        dtypes=(a.backend.dtype, b.backend.dtype),
        arithmetics=(a.backend.arithmetic, b.backend.arithmetic),
        passport=passport([name for name in several(backends) if isinstance(name, str)]),
        first=first,
        earlier=earlier,
        development=tuple(development),
        updates=reached,
        notes=tuple(notes),
    )


def _across_dtypes(a: Session, b: Session) -> str:
    narrower = min(a.backend.dtype, b.backend.dtype)
    return f"{a.label} and {b.label} are compared rounded to {narrower}, first weights and operations' inputs too"


class _Split(NamedTuple):
    """The weights of both sides before and after some updates, the same before and not after."""

    done: int
    before: tuple[Any, Any]
    updates: int
    after: tuple[Any, Any]


class _Found(NamedTuple):
    """What the search came to."""

    split: _Split | None
    """The first update after which the weights differ; several where these show it only in one call."""
    earlier: Difference | None
    """The first intermediate that differed before."""
    notes: list[str]


def _search(a: Session, b: Session, total: int, progress: Progress | None) -> _Found:
    done, earlier, notes = 0, None, list[str]()
    held: tuple[Any, Any] = (a.weights, b.weights)
    singly: tuple[Matrices, Matrices] = ((), ())
    while done < total:
        n = 1 if done < SINGLY else min(EVERY, total - done)
        split = _Split(done, held, n, (a.train(held[0], n), b.train(held[1], n)))
        after = a.numpy(split.after[0]), b.numpy(split.after[1])
        if any_differs(*after):
            return _Found(next(_single_steps(a, b, split), split), earlier, notes)
        if done < OPENED and not (earlier or notes):
            steps = _opened(a, b, split)
            earlier = _first_quantity(done + 1, *(_quantities(step.trace, traced(a, b)) for step in steps))
            notes = _astray(steps) if earlier else []
            earlier = None if notes else earlier
        held, done = split.after, done + n
        singly = after if done <= SINGLY else singly
        if progress:
            progress(f"comparing {a.label} with {b.label}", done, total)
    at_once = _first_at_once(a, b, min(SINGLY, total))
    after = a.numpy(at_once.after[0]), b.numpy(at_once.after[1])
    if any_differs(*after):
        return _Found(at_once, earlier, notes)
    for side, weights, reached, one_by_one in zip((a, b), at_once.before, after, singly, strict=True):
        notes += _at_once(side, weights, at_once) if any_differs(reached, one_by_one) else []
    return _Found(None, earlier, notes)


def _first_at_once(a: Session, b: Session, n: int) -> _Split:
    """The first `n` updates in one call, from weights that no earlier call was given."""
    before = a.hold_all(a.first), b.hold_all(b.first)
    return _Split(0, before, n, (a.train(before[0], n), b.train(before[1], n)))


def _single_steps(a: Session, b: Session, split: _Split) -> Iterator[_Split]:
    held = split.before
    for i in range(split.done, split.done + split.updates):
        after = a.train(held[0]), b.train(held[1])
        if any_differs(a.numpy(after[0]), b.numpy(after[1])):
            yield _Split(i, held, 1, after)
        held = after


def _opened(a: Session, b: Session, split: _Split) -> list[Update]:
    """The one update of the split, on both sides."""
    return [
        Update(side, side.numpy(before), side.trace(before), side.numpy(after))
        for side, before, after in zip((a, b), split.before, split.after, strict=True)
    ]


def _astray(steps: list[Update]) -> list[str]:
    """Which traces are not of what is trained, so that nothing in them says why weights differ."""
    return [
        f"the trace of {step.side.label} does not lead to the weights of its train, so which operation differs cannot "
        "be told"
        for step in steps
        if not step.leads
    ]


def _explain(a: Session, b: Session, split: _Split) -> tuple[Difference, list[str]]:
    """The first quantity that differs in the update, and why."""
    after = a.numpy(split.after[0]), b.numpy(split.after[1])
    weights = (
        [("weight", i, w) for i, w in enumerate(after[0], 1)],
        [("weight", i, w) for i, w in enumerate(after[1], 1)],
    )
    last = split.done + split.updates
    if split.updates > 1:
        first = _first_quantity(last, *weights)
        assert first is not None
        return first, [note for s, w in zip((a, b), split.before, strict=True) for note in _at_once(s, w, split)]
    steps = _opened(a, b, split)
    shown, notes = traced(a, b), _astray(steps)
    lists = [[*(() if notes else _quantities(step.trace, shown)), *ws] for step, ws in zip(steps, weights, strict=True)]
    first = _first_quantity(last, *lists)
    assert first is not None
    if notes:
        return first, notes
    notes = [
        _closed(step.side, first)
        if len(traced(step.side)) < len(LayerTrace._fields)
        else f"{step.side.label} cannot run its operations one by one, so its trace stands for them"
        for step in steps
        if not step.faithful
    ]
    return replace(first, operations=operations(*steps)), notes


def _closed(side: Session, first: Difference) -> str:
    """What can be said of a side that shows its activations and its gradient only."""
    if first.quantity == "activation":
        return (
            f"{side.label} shows its activations and its gradient only, so which operation of layer {first.layer}'s "
            "forward pass differs cannot be told"
        )
    if first.quantity == "change":
        return (
            f"{side.label}'s backward pass cannot be opened: its activations agree; going backwards, layer "
            f"{first.layer} is the first whose gradient differs"
        )
    return f"{side.label} shows its activations and its gradient only; both are the same"


def _at_once(side: Session, weights: Any, split: _Split) -> Iterator[str]:
    """Whether these updates in one call give the same as one by one."""
    n = split.updates
    at_once, one_fewer = side.numpy(side.train(weights, n)), weights
    for _ in range(n - 1):
        one_fewer = side.train(one_fewer)
    if any_differs(at_once, side.numpy(side.train(one_fewer))):
        missing = not any_differs(at_once, side.numpy(one_fewer))
        if missing:
            what = f"makes only {n - 1} of {n} updates that are asked for in one call; one by one it makes all of them"
        else:
            what = f"gives other weights for {n} updates in one call than for the same updates one by one"
        yield f"{side.label} {what}"


Quantities = list[tuple[str, int, np.ndarray]]


def _quantities(trace: LayerTraces, shown: Sequence[str] = LayerTrace._fields) -> Quantities:
    """Name, layer from 1 and value of all that is `shown` of a trace, in order of computation."""
    layers = list(enumerate(trace, 1))
    forward = [(name, i, getattr(layer, name)) for i, layer in layers for name in LayerTrace._fields[:2]]
    backward = [(name, i, getattr(layer, name)) for i, layer in reversed(layers) for name in LayerTrace._fields[2:]]
    return [quantity for quantity in forward + backward if quantity[0] in shown]


def _first_quantity(update: int, a: Quantities, b: Quantities) -> Difference | None:
    for (name, layer, v), (_, _, w) in zip(a, b, strict=True):
        where = differs(v, w)
        if where.any():
            v, w = narrow(v, w)
            ulp = distances(v, w)
            elements = tuple(
                Element(tuple(map(int, i)), (float(v[*i]), float(w[*i])), int(ulp[*i])) for i in np.argwhere(where)
            )
            return Difference(update, layer, name, v.size, elements, int(ulp[where].max()))
    return None


def _rows(total: int) -> list[int]:
    """The updates of the development, evenly spread on a logarithmic scale, and the last one."""
    powers = (10**i for i in range(len(str(total))))
    return [*(row * power for power in powers for row in LEADING if row * power < total), total]


def _develop(
    a: Session, b: Session, total: int, split: _Split, budget: float, progress: Progress | None
) -> Iterator[Distance]:
    """The distance when the weights part, and from then on as long as the time suffices."""
    done = split.done + split.updates
    held = split.after
    yield Distance.between(done, a.numpy(held[0]), b.numpy(held[1]))
    start, pace = time.perf_counter(), 0.0
    for row in _rows(total):
        if row <= done:
            continue
        if time.perf_counter() - start + pace * (row - done) > budget:
            return
        began = time.perf_counter()
        held = a.train(held[0], row - done), b.train(held[1], row - done)
        yield Distance.between(row, a.numpy(held[0]), b.numpy(held[1]))
        pace, done = (time.perf_counter() - began) / (row - done), row
        if progress:
            share = max(done / total, (time.perf_counter() - start) / max(budget, 1e-9))  # whichever is first
            progress(f"following {a.label} and {b.label}", int(share * PARTS), PARTS)
