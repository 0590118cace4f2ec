"""The laws of `backends.interface` spelled out, one function each: what a backend must do to be called correct.

A law takes a backend and a network, and returns the margin it was kept by: the largest measured error over its
bound, 0 where bits are compared. It raises LawBroken, which says by which law, how badly and what was expected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from ..backends.engine import Engine
from ..backends.interface import Backend
from ..common.problem import Problem
from ..referee import exact as referee
from ..referee import roundoff
from ..session import Fault, LayerTraces, Matrices, Session, like

STEPS = 3
"""How many updates the laws about training take: enough to tell n from n + 1, few enough to bound exactly."""
CALLS = 10
"""How often a call is repeated."""
MOST_WEIGHTS = 20_000
"""Networks with more multiplications than this are varied in all arguments at once only, for time's sake."""
MANY = 40
"""Longer trainings are repeated once only, with all arguments changed at once."""
METHODS = ("predict", "gradient", "update", "train", "trace")
"""What is computed from the arguments."""
FIELDS = ("preactivation", "activation", "error", "delta")
"""What a trace and the referee both hold; the change is the gradient times the learning rate."""


class LawBroken(AssertionError):
    """A backend broke a law."""

    def __init__(self, law: str, outcome: str, message: str, margin: float = float("inf")) -> None:
        super().__init__(f"{law}: {message}")
        self.law = law
        """The name of the law's function."""
        self.outcome = outcome
        """`failed`, `disagree`, `wrong-dtype`, `wrong-device` or `nondeterministic`."""
        self.message = message
        self.margin = margin
        """Measured over allowed; inf where the result is unusable or bits had to be equal."""


class Broken(Fault):
    """Numbers that are not what they have to be."""

    def __init__(self, outcome: str, message: str, margin: float = float("inf")) -> None:
        super().__init__(outcome, message)
        self.margin = margin


class Owed(NamedTuple):
    """Numbers that a backend owes, and how far from them rounding may carry it."""

    truth: referee.Exact | roundoff.Bounded
    bound: np.ndarray


class OwedLayer(NamedTuple):
    """What is owed of one layer, as in `ExactLayer`."""

    preactivation: Owed
    activation: Owed
    error: Owed
    delta: Owed
    gradient: Owed


@dataclass(frozen=True, eq=False)
class Network:
    """Weights and data to hold a backend to, in one dtype, with what it owes there."""

    name: str
    weights: tuple[np.ndarray, ...]
    x: np.ndarray
    y: np.ndarray
    lr: float
    updates: int = STEPS
    """How many updates the law about long training takes."""
    by_referee: bool = False
    """What is owed comes from the referee's balls, with a proven error radius, and not from its cheap reference."""

    @classmethod
    def of(cls, problem: Problem, dtype: str = "float64", weights: Sequence[np.ndarray] | None = None) -> Network:
        """The problem at its first weights, or at `weights`."""
        chosen = problem.first_weights(dtype) if weights is None else weights
        return cls(
            problem.name,
            tuple(np.asarray(w).astype(dtype) for w in chosen),
            problem.inputs.astype(dtype),
            problem.targets.astype(dtype),
            problem.rate(dtype),
        )

    @cached_property
    def dtype(self) -> str:
        return str(self.weights[0].dtype)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(w.shape for w in self.weights)

    @property
    def trained(self) -> int:
        """How many updates `train` takes where a law asks what it keeps and changes: its own, unless they are many."""
        return self.updates if 0 < self.updates <= 50 * MANY else STEPS

    @property
    def several(self) -> int:
        """The same, and few enough to be repeated."""
        return min(self.trained, MANY)

    @property
    def is_large(self) -> bool:
        return len(self.x) * sum(w.size for w in self.weights) > MOST_WEIGHTS

    @property
    def work(self) -> int:
        """How many multiplications the referee's forward derivatives take, roughly."""
        later = np.cumsum([w.size for w in self.weights[::-1]])[::-1]
        return int(len(self.x) * sum(w.shape[1] * rest for w, rest in zip(self.weights, later, strict=True)))

    @cached_property
    def exact(self) -> tuple[referee.ExactLayer, ...]:
        return referee.opened(self.weights, self.x, self.y)

    @cached_property
    def bounds(self) -> tuple[roundoff.LayerBounds, ...]:
        return roundoff.bounds(self.weights, self.x, self.y, self.dtype)

    @cached_property
    def owed(self) -> tuple[OwedLayer, ...]:
        """What the backend owes of each layer."""
        truth: Any = self.exact if self.by_referee else self.bounds
        return tuple(
            OwedLayer(*(Owed(t, b.bound) for t, b in zip(layer, bounds, strict=True)))
            for layer, bounds in zip(truth, self.bounds, strict=True)
        )

    @cached_property
    def _after(self) -> dict[int, tuple[Owed, ...]]:
        return {}

    def after(self, n: int) -> tuple[Owed, ...]:
        """What the backend owes of the weights after n updates."""
        if n not in self._after:
            arguments = self.weights, self.x, self.y, self.lr, n
            bounded = roundoff.training(*arguments, self.dtype)
            truth: Any = referee.train(*arguments) if self.by_referee else bounded
            self._after[n] = tuple(Owed(t, b.bound) for t, b in zip(truth, bounded, strict=True))
        return self._after[n]

    @cached_property
    def variations(self) -> dict[str, Network]:
        """One argument changed at a time, in these shapes, and all of them: what nobody may keep from call to call."""
        if self.is_large:
            return {"other numbers throughout": self.other}
        return {
            "other weights": replace(self, weights=tuple(map(_other, self.weights))),
            "one weight changed": replace(self, weights=(*self.weights[:-1], _last_changed(self.weights[-1]))),
            **({"one array for several layers": self.shared} if len(set(self.shapes)) < len(self.shapes) else {}),
            "other x": replace(self, x=_other(self.x)),
            "one input changed": replace(self, x=_last_changed(self.x)),
            "other y": replace(self, y=_other(self.y)),
            **({"its rows in another order": self.reordered} if len(self.x) > 1 else {}),
            "another learning rate": replace(self, lr=self.other.lr),
            "other numbers throughout": self.other,
        }

    @property
    def shared(self) -> Network:
        """Layers of one shape have the same array for their weights."""
        return replace(self, weights=tuple(dict(zip(self.shapes, self.weights, strict=True))[s] for s in self.shapes))

    @property
    def reordered(self) -> Network:
        """The same rows in another order, which have the same sums."""
        return replace(self, x=np.roll(self.x, 1, axis=0), y=np.roll(self.y, 1, axis=0))

    @cached_property
    def other(self) -> Network:
        """Other numbers in the same shapes, to find what a backend should not have kept."""
        return replace(
            self,
            name=f"{self.name}, other numbers",
            weights=tuple(map(_other, self.weights)),
            x=_other(self.x),
            y=_other(self.y),
            lr=float(self.x.dtype.type(self.lr * 0.7)),
        )

    @cached_property
    def unseen(self) -> Network:
        """Rows that are not trained on, one alone or two more than there were."""
        rows = 1 if len(self.x) % 2 == 0 else len(self.x) + 2
        x, y = (np.resize(_other(v)[:, ::-1], (rows, v.shape[1])) for v in (self.x, self.y))
        return replace(self, x=x, y=y)


def _other(array: np.ndarray) -> np.ndarray:
    """Other numbers of the same size: the same in reverse order and three quarters as large, or else no zeros."""
    other = np.ascontiguousarray(array[::-1, ::-1] * array.dtype.type(0.75))
    return (
        other
        if other.tobytes() != array.tobytes()
        else np.linspace(-1, 1, array.size + 1)[1:].reshape(array.shape).astype(array.dtype)
    )


def _last_changed(array: np.ndarray) -> np.ndarray:
    other = array.copy()
    other[-1, -1] = other[-1, -1] * array.dtype.type(0.5) + array.dtype.type(0.25)
    return other


@dataclass(frozen=True, eq=False)
class Subject(Session):
    """A session with a network, and what is owed there."""

    network: Network = field(kw_only=True)

    @classmethod
    def facing(cls, backend: Backend, network: Network) -> Subject:
        return cls(backend, network.weights, network.x, network.y, network.lr, network=network)

    def on(self, network: Network) -> Subject:
        """The same backend with another network; what is the same array there is so on the device."""
        other = Subject.facing(self.backend, network)
        held = dict(zip(map(id, self.first), self.weights, strict=True))
        for new in network.weights:
            if id(new) not in held:
                held[id(new)] = other.hold(new)
        weights = tuple(held[id(new)] for new in network.weights)
        x = self.x if network.x is self.inputs else other.hold(network.x)
        return other.holding(weights, x, self.y if network.y is self.targets else other.hold(network.y))

    def hold(self, array: np.ndarray) -> Any:
        """A copy: a backend that keeps its caller's array, and writes to it, must not change the network."""
        return super().hold(array.copy(order="K"))

    @property
    def methods(self) -> tuple[str, ...]:
        """What is the backend's own to compute: a trace that is made of other methods says nothing more."""
        return tuple(method for method in METHODS if method != "trace" or traces(self.backend))

    def holding(self, weights: Any, x: Any, y: Any) -> Subject:
        """The same network in these arrays of the backend's."""
        other = Subject.facing(self.backend, self.network)
        other.__dict__.update(weights=weights, x=x, y=y)
        return other

    def run(self, method: str, n: int = STEPS) -> Any:
        """What the method returns for the network, as it is; `train` takes n updates."""
        more = {"predict": 0, "gradient": 1, "update": 2, "train": 3, "trace": 2}[method]
        value = self.call(method, self.weights, self.x, *(self.y, self.lr, n)[:more])
        return self.synchronized(value) if method == "train" else value

    def read(self, method: str, value: Any) -> Matrices:
        """What the method returned, as NumPy arrays, once it is what is owed but for its numbers."""
        if method == "predict":
            return (self.array(method, value, (len(self.inputs), self.shapes[-1][1])),)
        if method in ("trace", "replay"):
            return tuple(array for layer in self.layers(value, method) for array in layer)
        return self.numpy(value, method)

    def result(self, method: str, n: int = STEPS) -> Matrices:
        return self.read(method, self.run(method, n))

    def within(self, what: str, got: Sequence[np.ndarray], owed: Sequence[Owed]) -> float:
        """The largest error over its bound, layer by layer; LawBroken once it is above 1 or not a number."""
        return self.small(what, [o.truth.error(g) for g, o in zip(got, owed, strict=True)], [o.bound for o in owed])

    def small(self, what: str, errors: Sequence[np.ndarray], bounds: Sequence[np.ndarray]) -> float:
        worst = 0.0
        for layer, (error, bound) in enumerate(zip(errors, bounds, strict=True)):
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = error / bound
            if (largest := ratio.max()) <= 1:  # which no NaN is
                worst = max(worst, float(largest))
                continue
            ratio = np.where((error == 0) | (bound == np.inf), 0.0, ratio)
            ratio = np.where(np.isnan(ratio), np.inf, ratio)
            at = np.unravel_index(int(ratio.argmax()), ratio.shape)
            if ratio[at] > 1:
                where = f"layer {layer + 1} element {tuple(map(int, at))}"
                off = f"off by {error[at]:.3g}" if np.isfinite(error[at]) else "not finite"
                message = f"{what} is {off} at {where}{'' if np.isnan(bound[at]) else f', allowed {bound[at]:.3g}'}"
                raise Broken("disagree", message, float(ratio[at]))
            worst = max(worst, float(ratio[at]))
        return worst

    def same_bits(
        self, what: str, got: Sequence[np.ndarray], wanted: Sequence[np.ndarray], outcome: str = "disagree"
    ) -> float:
        for layer, (a, b) in enumerate(zip(got, wanted, strict=True)):
            if a.tobytes() != b.tobytes():
                at = next(i for i in np.ndindex(a.shape) if a[i].tobytes() != b[i].tobytes())
                where = f"layer {layer + 1} element {at}" if len(got) > 1 else f"element {at}"
                raise Broken(outcome, f"{what} differs in its bits: {a[at]} for {b[at]} at {where}")
        return 0.0

    def right(self, method: str, value: Any, what: str = "", n: int = STEPS) -> float:
        """Whether the numbers that `method` returned, after `n` updates if it trains, are right but for rounding."""
        owed = self.network.owed
        if method in ("trace", "replay"):
            return self.right_trace(self.layers(value, method), what)
        got = self.read(method, value)
        if method == "predict":
            return self.within(what or "the prediction", got, [owed[-1].activation])
        if method == "gradient":
            return self.within(what or "the gradient", got, [layer.gradient for layer in owed])
        return self.within(what or method, got, self.network.after(1 if method == "update" else n))

    def right_trace(self, trace: LayerTraces, what: str = "") -> float:
        margin, owed = 0.0, self.network.owed
        for name in (name for name in FIELDS if name in self.backend.traced):
            got, wanted = [getattr(t, name) for t in trace], [getattr(o, name) for o in owed]
            margin = max(margin, self.within(what or f"trace.{name}", got, wanted))
        if "change" not in self.backend.traced:
            return margin
        rounding, wide = roundoff.Rounding.of(self.network.dtype), roundoff.wide(self.network.dtype)
        bounds = [
            b.gradient.bound + (4 * rounding.u * np.abs(b.gradient.value) + 2 * rounding.tiny / self.lr).astype(float)
            for b in self.network.bounds
        ]
        changes = [-t.change.astype(wide) / self.lr for t in trace]
        errors = [o.gradient.truth.error(c) for o, c in zip(owed, changes, strict=True)]
        return max(margin, self.small(what or "-trace.change / lr", errors, bounds))


def traces(backend: Backend) -> bool:
    """Whether any of a trace is the backend's own: of an Engine's, nothing is but what other laws are for."""
    return bool(backend.traced) and not (isinstance(backend, Engine) and type(backend).trace is Engine.trace)


def unasked(name: str, backend: Backend, network: Network | None = None) -> str:
    """Why the law `name` asks nothing of the backend, on `network` if given; empty where it does ask."""
    if name in ("trace_is_the_update", "replay_is_the_trace") and not traces(backend):
        return "its trace is made of its predictions and its gradient, for which there are other laws"
    if name == "replay_is_the_trace" and not hasattr(backend, "replay"):
        return "it has no replay"
    if name == "long_training_is_exact" and network and network.updates == STEPS:
        return f"this network is trained for {STEPS} updates only"
    return ""


Law = Callable[[Backend, Network], float]

LAWS: dict[str, Law] = {}
"""Every law under its name, in the order in which they are best read: the first broken one explains the rest."""


def law(check: Callable[[Subject], float]) -> Law:
    """Register `check` as a law under its own name."""

    def kept(backend: Backend, network: Network) -> float:
        if unasked(check.__name__, backend, network):
            return 0.0
        try:
            with np.errstate(all="ignore"):
                return check(Subject.facing(backend, network))
        except Fault as fault:
            margin = getattr(fault, "margin", float("inf"))
            raise LawBroken(check.__name__, fault.outcome, fault.message, margin) from fault.__cause__

    kept.__name__, kept.__doc__ = check.__name__, check.__doc__
    LAWS[check.__name__] = kept
    return kept


@law
def round_trip(subject: Subject) -> float:
    """to_numpy(from_numpy(v)) is a copy of v with its bits and dtype, however v lies in memory."""
    awkward = np.array([[0.0, -0.0, np.inf], [-np.inf, np.nan, np.pi]], subject.network.dtype).T
    for original in (*subject.network.weights, subject.network.x, awkward):
        for how, source in _laid_out(original):
            held = subject.call("from_numpy", source)
            for overwritten in (None, source, subject.call("to_numpy", held)):
                attempt = "" if overwritten is None else " after its source was overwritten, which it must not share,"
                if overwritten is not None and overwritten is not source:
                    attempt = " after the result of another to_numpy was overwritten, which it must not share,"
                if overwritten is not None and overwritten.flags.writeable:
                    overwritten[...] = 7
                back = subject.call("to_numpy", held)
                subject.checked("to_numpy", back, original.shape)
                subject.same_bits(f"the round trip{how}{attempt}", [back], [original])
    return 0.0


def _laid_out(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The same numbers as NumPy arrays of different makes; each its own memory."""
    yield "", array.copy(order="C")
    yield " of an array in Fortran order", array.copy(order="F")
    yield " of every second row of an array", np.repeat(array, 2, axis=0)[::2]
    read_only = array.copy()
    read_only.flags.writeable = False
    yield " of a read-only array", read_only


@law
def calls_repeat(subject: Subject) -> float:
    """The same call gives the same bits, the second time and the tenth."""
    several = subject.network.several
    rounds = [(method, STEPS, CALLS) for method in subject.methods]
    rounds += [("train", several, 2)] if several != STEPS else []
    for method, n, calls in rounds:
        try:
            first = subject.read(method, subject.run(method, n))
        except Fault:
            continue  # `results_fit` says so
        for _ in range(calls - 1):
            again = subject.read(method, subject.run(method, n))
            if [a.tobytes() for a in again] != [a.tobytes() for a in first]:
                what = f"{method}, called again with {_the_same_arguments(subject)},"
                subject.same_bits(what, again, first, "nondeterministic")
    return 0.0


def _the_same_arguments(subject: Subject) -> str:
    changed = _changed_arguments(subject)
    return f"the same arguments, of which it changed {', '.join(changed)}" if changed else "the same arguments"


def _changed_arguments(subject: Subject) -> dict[str, str]:
    """By name what no longer has the bits that it was given with, and how it differs."""
    names = (*(f"weights[{i}]" for i in range(len(subject.weights))), "x", "y")
    before = (*subject.network.weights, subject.network.x, subject.network.y)
    changed = {}
    for name, held, old in zip(names, (*subject.weights, subject.x, subject.y), before, strict=True):
        now = subject.checked("to_numpy", subject.call("to_numpy", held), old.shape)
        try:
            subject.same_bits("it", [now], [old])
        except Broken as difference:
            changed[name] = difference.message
    return changed


@law
def results_fit(subject: Subject) -> float:
    """Every method returns the kind, number, shapes, dtype and device that the interface states."""
    for held in (*subject.weights, subject.x, subject.y):
        subject.array("from_numpy", held, np.shape(subject.call("to_numpy", held)))
    for method in subject.methods:
        subject.read(method, subject.run(method))
    return 0.0


@law
def arguments_stay(subject: Subject) -> float:
    """No method changes its arguments."""
    for method in subject.methods:
        subject.run(method, subject.network.several)
        for name, how in _changed_arguments(subject).items():
            raise Broken("disagree", f"{name}, an argument of {method}, was changed by it: {how}")
    return 0.0


@law
def prediction_is_exact(subject: Subject) -> float:
    """predict equals the referee's prediction, but for rounding, on the rows that are trained on and on others."""
    unseen = subject.on(subject.network.unseen)
    subject.run("gradient")
    margin = subject.right("predict", subject.run("predict"))
    return max(margin, unseen.right("predict", unseen.run("predict"), "the prediction for rows not trained on"))


@law
def gradient_is_exact(subject: Subject) -> float:
    """gradient equals the referee's gradient, but for rounding."""
    return subject.right("gradient", subject.run("gradient"))


@law
def update_is_a_step(subject: Subject) -> float:
    """update == w - lr * gradient: to the bit in reproducible arithmetic, else but for two roundings."""
    gradient, updated = subject.result("gradient"), subject.result("update")
    rate = subject.network.weights[0].dtype.type(subject.network.lr)
    steps = [rate * g for g in gradient]
    if subject.backend.arithmetic == "reproducible":
        wanted = [w - s for w, s in zip(subject.network.weights, steps, strict=True)]
        return subject.same_bits("the update", updated, wanted)
    return _step(subject, "the update", updated, steps)


def _step(subject: Subject, what: str, updated: Sequence[np.ndarray], steps: Sequence[np.ndarray]) -> float:
    """Whether updated == w - step. A compiler may fuse and reorder the gradient, so its noise is allowed too."""
    rounding = roundoff.Rounding.of(subject.network.dtype)
    errors, allowed = [], []
    for new, w, s, b in zip(updated, subject.network.weights, steps, subject.network.bounds, strict=True):
        wide = [v.astype(np.longdouble) for v in (new, w, s)]
        errors.append(np.abs(wide[0] - (wide[1] - wide[2])).astype(float))
        noise = 2 * subject.network.lr * b.gradient.bound
        allowed.append(noise + 2 * rounding.u * (abs(w) + 2 * abs(s)).astype(float) + rounding.tiny)
    return subject.small(what, errors, allowed)


@law
def train_repeats_update(subject: Subject) -> float:
    """train(n) == n times update, for n of 0 to 3: to the bit if reproducible, else but for rounding."""
    subject.same_bits("the weights after train, n = 0,", subject.result("train", 0), subject.network.weights)
    weights, margin = subject.weights, 0.0
    for n in range(1, STEPS + 1):
        weights = subject.call("update", weights, subject.x, subject.y, subject.network.lr)
        one_by_one = subject.numpy(weights, "update")
        at_once = subject.result("train", n)
        if subject.backend.arithmetic == "reproducible":
            subject.same_bits(f"train, n = {n},", at_once, one_by_one)
            continue
        wide = roundoff.wide(subject.network.dtype)
        errors = [np.abs(a.astype(wide) - b).astype(float) for a, b in zip(at_once, one_by_one, strict=True)]
        bounds = [2 * owed.bound for owed in subject.network.after(n)]
        margin = max(margin, subject.small(f"train, n = {n},", errors, bounds))
    return margin


@law
def weights_are_exact(subject: Subject) -> float:
    """The weights after three updates equal the referee's, but for rounding."""
    return subject.within(f"train({STEPS})", subject.result("train"), subject.network.after(STEPS))


@law
def long_training_is_exact(subject: Subject) -> float:
    """The weights after as many updates as the network asks for, thousands or one, are right but for rounding."""
    n = subject.network.updates
    return subject.within(f"train({n:,})", subject.result("train", n), subject.network.after(n))


@law
def trace_is_the_update(subject: Subject) -> float:
    """w + trace.change == update, and each field of the trace equals the referee's, but for rounding."""
    trace = subject.layers(subject.run("trace"))
    if "change" not in subject.backend.traced:
        return subject.right_trace(trace)
    if subject.backend.arithmetic == "reproducible":
        stepped = [w + layer.change for w, layer in zip(subject.network.weights, trace, strict=True)]
        margin = subject.same_bits("w + trace.change", stepped, subject.result("update"))
    else:
        margin = _step(subject, "w + trace.change", subject.result("update"), [-layer.change for layer in trace])
    return max(margin, subject.right_trace(trace))


@law
def replay_is_the_trace(subject: Subject) -> float:
    """A trace replayed on itself is itself, where a backend has `replay`: to the bit if reproducible."""
    given = subject.run("trace")
    arguments = (subject.weights, subject.x, subject.y, subject.network.lr)
    value = subject.call("replay", *arguments, given)
    if value is None:
        return 0.0
    if subject.backend.arithmetic == "reproducible":
        return subject.same_bits("the replay", subject.read("replay", value), subject.read("trace", given))
    subject.right("trace", given)
    return subject.right("replay", value, "the replay")


@law
def calls_are_independent(subject: Subject) -> float:
    """Nothing is kept from one call to the next: one argument changed, in the same shapes, changes its result."""
    first = {}
    n = subject.network.trained
    for method in subject.methods:
        value = subject.run(method, n)
        try:
            subject.right(method, value, n=n)
        except Fault:
            continue  # wrong with or without an earlier call: other laws say so
        first[method] = subject.read(method, value)
    margin = 0.0
    others = {change: subject.on(network) for change, network in subject.network.variations.items()}
    last = list(others.values())[-1]
    for method in first:
        for change, other in others.items():
            what = f"{method} with {change}"
            if method == "train" and n > MANY and other is not last:
                continue
            try:
                margin = max(margin, other.right(method, other.run(method, n), what, n))
            except Broken as error:
                raise Broken(error.outcome, f"{error.message}{_alone(other, method, n)}", error.margin) from None
    for network in (subject.network.unseen, subject.network.other.unseen) if "predict" in first else ():
        rows, what = subject.on(network), "predict for rows not trained on, called for others of their number,"
        margin = max(margin, rows.right("predict", rows.run("predict"), what))
    for method, before in first.items():
        again = subject.result(method, n)
        subject.same_bits(f"{method}, called again after other calls,", again, before)
    return max(margin, _overwritten(subject, tuple(first)))


def _alone(subject: Subject, method: str, n: int) -> str:
    """What the same call does in a backend that was just made, in words."""
    backend = subject.backend
    try:
        fresh = Subject.facing(like(backend, backend.dtype, backend.arithmetic), subject.network)
        fresh.right(method, fresh.run(method, n), n=n)
    except Exception:
        return "; a freshly made backend gets it wrong too: what was carried over, if anything, is kept outside of it"
    return "; a freshly made backend gets it right: something was carried over from the calls before"


def _overwritten(subject: Subject, methods: Sequence[str]) -> float:
    """The same arrays with other numbers in them, where the backend's arrays can be written to."""
    other = Subject.facing(subject.backend, subject.network.other)
    held, new = (*subject.weights, subject.x, subject.y), (*other.weights, other.x, other.y)
    if not all(any(base.__module__ in ("numpy", "torch") for base in type(v).__mro__) for v in held):
        return 0.0  # nobody is known to write to these from outside
    old = tuple(map(subject.hold, (*subject.network.weights, subject.network.x, subject.network.y)))
    try:
        for array, numbers in zip(held, old, strict=True):
            array[...] = numbers
    except (ValueError, RuntimeError):  # read-only, or a parameter that PyTorch differentiates
        return 0.0
    for array, numbers in zip(held, new, strict=True):
        array[...] = numbers
    same = other.holding(subject.weights, subject.x, subject.y)
    try:
        return max(
            (same.right(m, same.run(m), f"{m} after other numbers were written into its arguments") for m in methods),
            default=0.0,
        )
    finally:
        for array, numbers in zip(held, old, strict=True):
            array[...] = numbers


@law
def results_stay(subject: Subject) -> float:
    """A result that is held keeps its bits, whatever is called later."""
    n = subject.network.several
    held = {method: subject.run(method, n) for method in subject.methods}
    before = {method: subject.read(method, value) for method, value in held.items()}
    before = {method: tuple(a.copy() for a in arrays) for method, arrays in before.items()}
    others = [subject.on(network) for network in (subject.network, subject.network.other)]
    for repetition in range(1 if subject.network.is_large else CALLS // len(others)):  # buffers may take turns
        for other, method in product(others, subject.methods):
            other.run(method, n if repetition == 0 else STEPS)
    for method, value in held.items():
        subject.same_bits(
            f"a result of {method}, held across later calls,", subject.read(method, value), before[method]
        )
    return 0.0


@law
def layout_is_free(subject: Subject) -> float:
    """Arguments may lie in memory as they like: transposed views, every second row, read-only."""
    margin, n = 0.0, subject.network.several
    for how, change in LAYOUTS.items():
        made = _with_layout(subject, change)
        if made is None:
            continue
        for method in subject.methods:
            what = f"{method} with {how} arguments"
            try:
                margin = max(margin, made.right(method, made.run(method, n), what, n))
            except Broken as error:
                message = f"{error.message}{_in_order(subject, method, what, n, error)}"
                raise Broken(error.outcome, message, error.margin) from None
    return margin


def _in_order(subject: Subject, method: str, what: str, n: int, error: Broken) -> str:
    """What the same call does with arguments that lie row by row, in words."""
    try:
        subject.right(method, subject.run(method, n), what, n)
    except Fault as plain:
        same = plain.message == error.message
        return (
            "; the same in C order: the layout is not to blame" if same else "; in C order it is wrong in another way"
        )
    return "; in C order it is right"


def _transposed(subject: Subject, held: Any, array: np.ndarray) -> Any:
    return subject.hold(np.ascontiguousarray(array.T)).T


def _fortran(subject: Subject, held: Any, array: np.ndarray) -> Any:
    return subject.hold(np.asfortranarray(array))


def _strided(subject: Subject, held: Any, array: np.ndarray) -> Any:
    return subject.hold(np.repeat(np.repeat(array, 2, axis=0), 2, axis=1))[::2, ::2]


def _read_only(subject: Subject, held: Any, array: np.ndarray) -> Any:
    view = held.view()
    view.flags.writeable = False
    return view


LAYOUTS = {"transposed": _transposed, "Fortran-ordered": _fortran, "strided": _strided, "read-only": _read_only}


def _with_layout(subject: Subject, change: Callable[..., Any]) -> Subject | None:
    """The subject with its arguments laid out anew; None where its arrays know no such thing."""
    originals = (*subject.network.weights, subject.network.x, subject.network.y)
    try:
        arrays = tuple(
            change(subject, held, array)
            for held, array in zip((*subject.weights, subject.x, subject.y), originals, strict=True)
        )
        back = [subject.array("to_numpy", v, old.shape) for v, old in zip(arrays, originals, strict=True)]
    except Exception:
        return None
    if any(a.tobytes() != b.tobytes() for a, b in zip(back, originals, strict=True)):
        return None
    return subject.holding(arrays[:-2], *arrays[-2:])
