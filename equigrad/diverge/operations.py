"""Why two sides part in one update: each operation run in both on the same inputs, and how each rounds it.

The inputs are what one side held in that update, so that an operation that only inherits a difference is
not named. A backend that cannot run its operations one by one (`Replays`), or whose trace shows
something else than they give, lends its inputs, and its trace stands for its results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from ..backends.interface import Array, LayerTrace, Weights
from ..common.ulp import differs, distances, narrow
from ..session import LayerTraces, Matrices, Session
from . import forms
from .result import Operation

UNKNOWN = "none of the ways tried"
FOLLOWING, SMALL = 8, 1000
"""How many further updates are looked at to tell forms apart, and up to how many activations."""

Pairs = list[tuple[np.ndarray, np.ndarray]]


class Application(NamedTuple):
    """One operation in one layer: what it was given, what came out, and the forms it may have."""

    layer: int
    """Counted from 1."""
    inputs: tuple[np.ndarray | float, ...]
    result: np.ndarray
    forms: dict[str, forms.Form]


@runtime_checkable
class Replays(Protocol):
    """A backend that can run the operations of its update one by one, as the three frameworks' can."""

    def replay(
        self, weights: Weights, x: Array, y: Array, lr: float, given: tuple[LayerTrace, ...]
    ) -> tuple[LayerTrace, ...] | None:
        """`trace`, but each operation takes its inputs from `given`, so that none inherits a difference.

        Only `delta` takes the activation it needs from its own sigmoid of the given pre-activation. A trace
        replayed on itself is itself. None where that cannot be done.
        """


@runtime_checkable
class HasExp(Protocol):
    """A backend that shows the routine which its sigmoid is made of."""

    def exp(self, x: Array) -> Array | None:
        """exp(x), element by element. None where the sigmoid is not made of it."""


def replay(side: Session, weights: Matrices, given: LayerTraces) -> LayerTraces | None:
    """The trace that the side makes when each operation takes its inputs from `given`; None where it cannot."""
    if not isinstance(side.backend, Replays):
        return None
    dtype = side.backend.dtype
    fitting = tuple(LayerTrace(*(v.astype(dtype) for v in layer)) for layer in given)
    found = side.call("replay", side.hold_all(weights), side.x, side.y, side.lr, fitting)
    return None if found is None else side.layers(found, "replay")


def traced(*sides: Session) -> list[str]:
    """The fields of a trace that are the sides' own, in order of computation."""
    return [name for name in LayerTrace._fields if all(name in side.backend.traced for side in sides)]


def own_exp(side: Session, x: np.ndarray) -> np.ndarray | None:
    """exp(x) by the framework's own routine; None where it has none."""
    held = side.call("exp", side.hold(x)) if isinstance(side.backend, HasExp) else None
    return None if held is None else side.array("exp", held, x.shape)


@dataclass(frozen=True, eq=False)
class Update:
    """One update of one side: the weights before, what it held, the weights after."""

    side: Session
    before: Matrices
    trace: LayerTraces
    after: Matrices

    def replay(self, weights: Matrices, trace: LayerTraces) -> LayerTraces | None:
        return replay(self.side, weights, trace)

    @cached_property
    def faithful(self) -> bool:
        """Whether its operations, run one by one, give what its trace shows."""
        again = self.replay(self.before, self.trace)
        return again is not None and not any(
            differs(v, w).any()
            for one, other in zip(again, self.trace, strict=True)
            for v, w in zip(one, other, strict=True)
        )

    @cached_property
    def leads(self) -> bool:
        """Whether its trace is of what it trains: each weight and its change add up to the weight after the update.

        Asked in the following updates too. Natively a change may be the rounded product of one fused multiply-add.
        """
        return bool(self.ways("update")) or all(step._leads for step in (self, *self.following))

    @property
    def _leads(self) -> bool:
        exact = self.side.backend.arithmetic != "native" or math.frexp(self.side.lr)[0] == 0.5  # nothing is rounded
        return all(
            forms.adds_up(w, layer.change, after, exact)
            for w, layer, after in zip(self.before, self.trace, self.after, strict=True)
        )

    @cached_property
    def downhill(self) -> tuple[list[np.ndarray], float]:
        """Each layer's change before the learning rate, and that rate; the change itself, and 1, if need be."""
        plain = replace(self.side, lr=1.0)
        again = replay(plain, self.before, self.trace) if self.faithful else None
        return [layer.change for layer in again or self.trace], self.side.lr if again else 1.0

    @cached_property
    def applications(self) -> dict[str, list[Application]]:
        """Every operation by name, one application per layer where it takes place."""
        x, y = self.side.inputs, self.side.targets
        inputs = [x, *(layer.activation for layer in self.trace[:-1])]
        downhill, rate = self.downhill
        found: dict[str, list[Application]] = {name: [] for name in NAMES}
        for i, (layer, w) in enumerate(zip(self.trace, self.before, strict=True)):
            s, e = layer.activation, own_exp(self.side, -layer.preactivation)
            found["dot"].append(Application(i + 1, (inputs[i], w), layer.preactivation, forms.DOTS))
            known = (s * np.nan if e is None else e, s, layer.preactivation)
            found["sigmoid"].append(Application(i + 1, known, s, forms.SIGMOIDS))
            if i + 1 == len(self.trace):
                found["error"].append(Application(i + 1, (y, s), layer.error, forms.ERRORS))
            else:
                back = self.trace[i + 1].delta, self.before[i + 1].T, self.after[i + 1].T
                found["backward dot"].append(Application(i + 1, back, layer.error, forms.BACKWARD_DOTS))
            found["derivative"].append(Application(i + 1, (layer.error, s), layer.delta, forms.DERIVATIVES))
            found["gradient dot"].append(
                Application(i + 1, (inputs[i].T, layer.delta, self.side.lr), layer.change, forms.DOTS)
            )
            found["update"].append(Application(i + 1, (w, downhill[i], rate), self.after[i], forms.UPDATES))
        return found

    @cached_property
    def following(self) -> list[Update]:
        """This side's next updates, few and of small networks only: they tell forms apart that one does not."""
        steps: list[Update] = []
        if sum(layer.error.size for layer in self.trace) <= SMALL:
            weights = self.side.hold_all(self.after)
            for _ in range(FOLLOWING):
                trace, after = self.side.trace(weights), self.side.train(weights)
                steps.append(Update(self.side, self.side.numpy(weights), trace, self.side.numpy(after)))
                weights = after
        return steps

    def ways(self, operation: str, where: Sequence[int] = ()) -> list[str]:
        """The forms that give every bit of what this side made of its own inputs, in all layers or in `where`.

        They do so in the following updates too.
        """
        ways = self._ways(operation, where)
        for step in self.following if ways else ():
            ways = step._ways(operation, where, ways)
        return ways

    def _ways(self, operation: str, where: Sequence[int], ways: list[str] | None = None) -> list[str]:
        applied = self.applications[operation]
        for one in [applied[i] for i in where] or applied:
            tried = {way: form for way, form in one.forms.items() if ways is None or way in ways}
            ways = forms.shown(one.result, tried, one.inputs)
        return ways or []

    def made(self, operation: str, way: str, given: Update, width: np.dtype) -> list[np.ndarray]:
        """What `way`, in this side's dtype, makes of what `given` held, rounded to `width`; layer by layer."""
        dtype = self.side.backend.dtype

        def fit(value: np.ndarray | float) -> np.ndarray | float:
            return value.astype(width).astype(dtype) if isinstance(value, np.ndarray) else value

        with np.errstate(all="ignore"):
            return [applied.forms[way](*map(fit, applied.inputs)) for applied in given.applications[operation]]


NAMES = ("dot", "sigmoid", "error", "derivative", "backward dot", "gradient dot", "update")
ORDER = {
    "dot": {"preactivation", "activation"},
    "exp": {"preactivation"},
    "sigmoid": {"preactivation", "activation"},
    "error": {"activation", "error"},
    "derivative": {"error", "activation", "delta"},
    "backward dot": {"delta", "error"},
    "gradient dot": {"activation", "delta", "change"},
    "update": {"change"},
}
"""The operations in order of computation, and what a backend must show of itself for one to be held against it."""


def operations(a: Update, b: Update) -> tuple[Operation, ...]:
    """Every operation of the update in order of computation; those that cannot be compared are left out."""
    given, other = (a, b) if b.faithful else (b, a)
    width = narrow(a.before[0], b.before[0])[0].dtype
    ran: dict[str, Pairs] = {}
    if other.faithful:
        weights = tuple(w.astype(width) for w in given.before)
        trace = tuple(LayerTrace(*(v.astype(width) for v in layer)) for layer in given.trace)
        ra, rb = (step.replay(weights, trace) if step.faithful else step.trace for step in (a, b))
        assert ra is not None
        assert rb is not None
        ran = _replayed(ra, rb) | _exps(a.side, b.side, trace, ra, rb)
    for name in ("derivative", "update"):
        ways = [(step, way) for step in (a, b) for way in step.ways(name)[:1]]
        if len(ways) == 2:
            ran[name] = list(zip(*(step.made(name, way, given, width) for step, way in ways), strict=True))
        elif name == "update":
            ran[name] = _after_equal_changes(a, b)
    shown = set(traced(a.side, b.side))
    ran = {name: pairs for name, pairs in ran.items() if ORDER[name] <= shown}
    return tuple(_compared(name, ran[name], a, b) for name in ORDER if sum(v.size for v, _ in ran.get(name, ())))


def _replayed(a: LayerTraces, b: LayerTraces) -> dict[str, Pairs]:
    layers = list(zip(a, b, strict=True))
    same = [~differs(p.activation, q.activation) for p, q in layers]
    return {
        "dot": [(p.preactivation, q.preactivation) for p, q in layers],
        "sigmoid": [(p.activation, q.activation) for p, q in layers],
        "error": [(p.error, q.error) for p, q in layers[-1:]],
        "derivative": [(p.delta[m], q.delta[m]) for (p, q), m in zip(layers, same, strict=True)],
        "backward dot": [(p.error, q.error) for p, q in layers[:-1]],
        "gradient dot": [(p.change, q.change) for p, q in layers],
    }


def _exps(a: Session, b: Session, given: LayerTraces, ra: LayerTraces, rb: LayerTraces) -> dict[str, Pairs]:
    """exp(-z) on both sides, if both sigmoids are bit for bit made of it, which frameworks do not promise."""
    pairs: Pairs = []
    for layer, p, q in zip(given, ra, rb, strict=True):
        ea, eb = own_exp(a, -layer.preactivation), own_exp(b, -layer.preactivation)
        if ea is None or eb is None:
            return {}
        with np.errstate(all="ignore"):
            if differs(1 / (1 + ea), p.activation).any() or differs(1 / (1 + eb), q.activation).any():
                return {}
        pairs.append((ea, eb))
    return {"exp": pairs}


def _after_equal_changes(a: Update, b: Update) -> Pairs:
    same = [
        ~(differs(wa, wb) | differs(la.change, lb.change))
        for wa, wb, la, lb in zip(a.before, b.before, a.trace, b.trace, strict=True)
    ]
    return [(v[m], w[m]) for v, w, m in zip(a.after, b.after, same, strict=True)]


def _compared(name: str, pairs: Pairs, a: Update, b: Update) -> Operation:
    counts = [int(differs(v, w).sum()) for v, w in pairs]
    ulp = max(int(distances(v, w).max(initial=0)) for v, w in pairs)
    how = _how(name, a, b, [i for i, count in enumerate(counts) if count]) if name != "exp" else ()
    return Operation(name, sum(v.size for v, _ in pairs), sum(counts), ulp, how)


def _how(name: str, a: Update, b: Update, where: list[int]) -> tuple[str, ...]:
    """How each side makes the results that differ: one way for all of them, or else one for each layer."""
    told = [_told(name, a, b, where)] if where else []
    if told and told[0] and UNKNOWN in told[0]:
        each = [_told(name, a, b, [i]) for i in where]
        told = each if len(set(each)) > 1 else each[:1]
    layers = [a.applications[name][i].layer for i in where]
    lines = []
    for side, step in enumerate((a, b)):
        texts = [
            (f"layer {layer}: " if len(told) > 1 else "") + ways[side]
            for layer, ways in zip(layers, told, strict=False)
            if ways
        ]
        lines += [f"{step.side.label}: {'; '.join(texts)}"] if texts else []
    return tuple(lines)


def _told(name: str, a: Update, b: Update, where: list[int]) -> tuple[str, str] | None:
    """A way of each side, one that the other does not show if there is one; None if they tell no difference."""
    ways = a.ways(name, where), b.ways(name, where)
    first, second = ([*(w for w in ways[i] if w not in ways[1 - i]), *ways[i], UNKNOWN][0] for i in (0, 1))
    return (first, second) if first != second else None
