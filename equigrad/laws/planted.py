"""Mistakes by construction: each law, crossed with where a mistake may hide and of what kind it is.

A mutant here is the NumPy backend with one method whose result is changed, in one way, where one condition on its
arguments holds. What mathematics cannot tell from a correct backend is left out, with the argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from ..backends.interface import LayerTrace
from ..backends.numpy_backend import NumpyBackend
from .laws import METHODS, Network


class Call(NamedTuple):
    """The arguments of one call of a backend, and how many calls of this method came before."""

    backend: Any
    weights: Any
    x: Any
    y: Any = None
    lr: float | None = None
    n: int | None = None
    before: int = 0
    trained: Any = None
    """The inputs of the last call that had targets."""


class Dimension(NamedTuple):
    """Where a mistake hides."""

    name: str
    needs: str
    """What a method must take for the condition to be seen: x, y, lr or n; `state` is the number of the
    call, `rows` the number of rows, `layout` how the arrays lie in memory."""
    holds: Callable[[Call], bool]

    def likely(self, network: Network) -> bool:
        """Whether the condition holds for the network itself."""
        if self.needs in ("state", "rows", "layout"):
            return True
        backend = NumpyBackend(dtype=network.dtype)
        return self.holds(Call(backend, network.weights, network.x, network.y, network.lr, network.updates))


def _far(call: Call, beyond: float) -> bool:
    z = call.x @ call.weights[0]
    return bool((z < beyond).any() if beyond < 0 else (np.abs(z) > beyond).any())


def _near(call: Call) -> bool:
    return bool(np.abs(call.y - NumpyBackend.predict(call.backend, call.weights, call.x)).max() < 0.05)


DIMENSIONS = (
    Dimension("everywhere", "x", lambda c: True),
    Dimension("one sample", "x", lambda c: len(c.x) == 1),
    Dimension("more than 32 samples", "x", lambda c: len(c.x) > 32),
    Dimension("more than 1,000 samples", "x", lambda c: len(c.x) > 1000),
    Dimension("one layer", "x", lambda c: len(c.weights) == 1),
    Dimension("more than three layers", "x", lambda c: len(c.weights) > 3),
    Dimension("more than six layers", "x", lambda c: len(c.weights) > 6),
    Dimension("more than 16 units", "x", lambda c: max(w.shape[0] for w in c.weights) > 16),
    Dimension("more than 256 units", "x", lambda c: max(max(w.shape) for w in c.weights) > 256),
    Dimension("fan-in equals fan-out", "x", lambda c: any(w.shape[0] == w.shape[1] > 1 for w in c.weights)),
    Dimension("as many samples as inputs", "x", lambda c: len(c.x) == c.x.shape[1] > 1),
    Dimension("one output", "x", lambda c: c.weights[-1].shape[1] == 1),
    Dimension("several outputs", "x", lambda c: c.weights[-1].shape[1] > 1),
    Dimension("negative inputs only", "x", lambda c: bool((c.x < 0).all())),
    Dimension("large inputs", "x", lambda c: bool((np.abs(c.x) > 100).any())),
    Dimension("inputs all zero", "x", lambda c: not c.x.any()),
    Dimension("repeated rows", "x", lambda c: len(np.unique(c.x, axis=0)) < len(c.x)),
    Dimension("saturated units", "x", lambda c: _far(c, 30.0)),
    Dimension("z below -800", "x", lambda c: _far(c, -800.0)),
    Dimension("large weights", "x", lambda c: any(bool((np.abs(w) > 100).any()) for w in c.weights)),
    Dimension("tiny weights", "x", lambda c: all(bool((np.abs(w) < 0.01).all()) for w in c.weights)),
    Dimension("targets outside 0 and 1", "y", lambda c: bool(((c.y < 0) | (c.y > 1)).any())),
    Dimension("negative targets only", "y", lambda c: bool((c.y < 0).all())),
    Dimension("large targets", "y", lambda c: bool((np.abs(c.y) > 1000).any())),
    Dimension("targets all zero", "y", lambda c: not c.y.any()),
    Dimension("targets all but reached", "y", _near),
    Dimension("a learning rate that is no power of two", "lr", lambda c: np.frexp(c.lr or 0)[0] != 0.5),
    Dimension("a tiny learning rate", "lr", lambda c: (c.lr or 0) < 1e-4),
    Dimension("a large learning rate", "lr", lambda c: (c.lr or 0) > 5),
    Dimension("no update", "n", lambda c: c.n == 0),
    Dimension("one update", "n", lambda c: c.n == 1),
    Dimension("more than ten updates", "n", lambda c: (c.n or 0) > 10),
    Dimension("more than 1,000 updates", "n", lambda c: (c.n or 0) > 1000),
    Dimension("an odd number of updates", "n", lambda c: (c.n or 0) % 2 == 1),
    Dimension("the second call", "state", lambda c: c.before == 1),
    Dimension("the tenth call", "state", lambda c: c.before == 9),
    Dimension("every call after the fifth", "state", lambda c: c.before > 4),
    Dimension("rows not trained on", "rows", lambda c: c.trained is not None and c.x.shape != c.trained.shape),
    Dimension("arrays not in C order", "layout", lambda c: not all(v.flags.c_contiguous for v in (c.x, *c.weights))),
    Dimension("read-only arrays", "layout", lambda c: not c.x.flags.writeable),
)
TAKES = {
    "predict": "x state rows layout",
    "gradient": "x y state layout",
    "update": "x y lr state layout",
    "train": "x y lr n state layout",
    "trace": "x y lr state layout",
    "replay": "x y lr layout",
}
"""Which needs each method meets."""

KINDS = ("factor", "absolute error", "transposition", "stale value", "missing term", "not a number")
LAW_OF = {
    "predict": "prediction_is_exact",
    "gradient": "gradient_is_exact",
    "update": "update_is_a_step",
    "train": "train_repeats_update",
    "trace": "trace_is_the_update",
    "replay": "replay_is_the_trace",
}


@dataclass(frozen=True)
class Plan:
    """One mutant in words."""

    law: str
    """The law that must catch it."""
    dimension: str
    kind: str
    method: str
    field: str = ""
    """Which field of the trace, if the method is trace or replay."""

    @property
    def name(self) -> str:
        """One phrase, unique."""
        what = f"{self.method}.{self.field}" if self.field else self.method
        return f"{what}: {self.kind}, {self.dimension} [{self.law}]"

    @property
    def hidden(self) -> bool:
        """Whether it belongs to the tenth that nobody looked at while the search was tuned."""
        return sha256(self.name.encode()).digest()[0] % 10 == 0

    @cached_property
    def where(self) -> Dimension:
        return next(d for d in DIMENSIONS if d.name == self.dimension)

    def make(self) -> type[NumpyBackend]:
        """The backend with the mistake."""
        method, plan = self.method, self

        class Planted(NumpyBackend):
            pass

        for name in (*METHODS, "replay"):
            setattr(Planted, name, _counted(name, plan if name == method else None))
        Planted.__name__ = Planted.__qualname__ = "Planted"
        return Planted


def _counted(method: str, plan: Plan | None) -> Callable[..., Any]:
    right = getattr(NumpyBackend, method)

    def call(self: Any, weights: Any, x: Any, *rest: Any) -> Any:
        state = self.__dict__.setdefault("state", {})
        result = right(self, weights, x, *rest)
        if plan is None:
            if rest:
                state["trained"] = x
            return result
        shapes = (x.shape, *(w.shape for w in weights))
        before, state["before"] = state.get("before", 0), state.get("before", 0) + 1
        stale, state[shapes] = state.get(shapes, result), result
        y, lr, n = (*rest[:3], None, None, None)[:3]
        seen = Call(self, weights, x, y, lr, None if method == "replay" else n, before, state.get("trained"))
        if not plan.where.holds(seen):
            return result
        return _changed(plan, result, stale, seen, lambda *c: right(self, *c))

    call.__name__ = method
    return call


def _changed(plan: Plan, result: Any, stale: Any, call: Call, right: Callable[..., Any]) -> Any:
    """The method's result with the mistake in it."""
    if plan.kind == "stale value":
        return stale
    if plan.kind == "missing term" and plan.method == "gradient" and len(call.x) > 1:
        return right(call.weights, call.x[:-1], call.y[:-1])
    if plan.kind == "missing term" and plan.method == "train":
        return right(call.weights, call.x, call.y, call.lr, (call.n or 0) - 1)
    change = _CHANGES[plan.kind]
    if plan.field:
        return tuple(layer._replace(**{plan.field: change(getattr(layer, plan.field))}) for layer in result)
    return tuple(map(change, result)) if isinstance(result, tuple) else change(result)


def _size(array: np.ndarray) -> Any:
    """A relative size of mistake that is small, and yet no rounding: 1e-6 in float64, 1e-2 in float32."""
    return array.dtype.type(1e-6 if array.dtype == np.float64 else 1e-2)


def _off(array: np.ndarray) -> np.ndarray:
    return array + _size(array) * (np.abs(array).max() or array.dtype.type(1))


def _short(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy[-1] = 0
    return copy


def _nan(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy[-1, -1] = np.nan
    return copy


_CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "factor": lambda a: a * (1 + _size(a)),
    "absolute error": _off,
    "transposition": lambda a: np.ascontiguousarray(a.T) if a.shape[0] == a.shape[1] else a,
    "missing term": _short,
    "not a number": _nan,
}


def equivalent(plan: Plan) -> str:
    """Why nothing can tell the mutant from a correct backend, or ''."""
    kind, where, method = plan.kind, plan.dimension, plan.method
    if kind == "transposition":
        if method == "predict" and where == "one sample":
            return "a prediction for one sample is square only if it is one number"
        if method == "predict" and where == "one output":
            return "a prediction with one output is square only if it is one number"
        if method == "predict" and where == "more than 1,000 samples":
            return "square only for a network of as many outputs, which nobody trains here"
        if plan.field and plan.field != "change" and where in ("one sample", "more than 1,000 samples"):
            return "samples by units is square only if it is one number, or for more units than anybody trains here"
        if where == "inputs all zero" and method == "predict":
            return "all samples are predicted alike, but not all outputs: see the other kinds"
    if kind == "missing term" and method == "train" and where == "no update":
        return "there is no update to leave out"
    if kind == "stale value":
        if where == "the second call":
            return "one call alone is stale, of the same arguments in each law but the one of other numbers"
        if where == "no update":
            return "what is returned is the weights that were given"
    if where == "inputs all zero" and plan.field == "preactivation" and kind in ("factor", "missing term"):
        return "z is zero in the first layer"
    return ""


def plans() -> Iterator[Plan]:
    """Every mutant by construction, those that are equivalent too."""
    for method, where, kind in product(LAW_OF, DIMENSIONS, KINDS):
        if where.needs not in TAKES[method].split():
            continue
        if kind == "stale value":
            if where.needs != "state" and where.needs != "layout" and method != "replay" and where.name != "no update":
                yield Plan("calls_are_independent", where.name, kind, method)
            continue
        law = LAW_OF[method]
        if where.needs == "state":
            law = "calls_repeat"
        elif where.needs == "layout":
            law = "layout_is_free"
            if method == "replay":
                continue
        elif where.name in ("more than ten updates", "more than 1,000 updates"):
            law = "long_training_is_exact"
        if method in ("trace", "replay"):
            for field in LayerTrace._fields if kind in ("factor", "missing term") else ("delta",):
                yield Plan(law, where.name, kind, method, field)
        else:
            yield Plan(law, where.name, kind, method)
            if method == "gradient" and where.needs in ("x", "y"):
                yield Plan("weights_are_exact", where.name, kind, method)


PLANS = tuple(plans())
