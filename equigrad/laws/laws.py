"""The laws of `backends.interface` spelled out, one function each: what a backend must do to be called correct.

A law takes a backend and a case, and returns the margin it was kept by: the largest measured error over its
bound, 0 where bits are compared. It raises LawBroken, which says by which law, how badly and what was expected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..backends.interface import Backend
from ..common.problem import Problem
from ..referee import exact as referee
from ..referee import roundoff

STEPS = 3
"""How many updates the laws about training take: enough to tell n from n + 1, few enough to bound exactly."""


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


@dataclass(frozen=True, eq=False)
class Case:
    """Weights and data to hold a backend to, in one dtype, with what the referee says about them."""

    name: str
    weights: tuple[np.ndarray, ...]
    x: np.ndarray
    y: np.ndarray
    lr: float

    @classmethod
    def of(cls, problem: Problem, dtype: str = "float64", weights: Sequence[np.ndarray] | None = None) -> Case:
        """The problem at its first weights, or at `weights`."""
        chosen = problem.first_weights(dtype) if weights is None else weights
        return cls(
            problem.name,
            tuple(np.asarray(w).astype(dtype) for w in chosen),
            problem.inputs.astype(dtype),
            problem.targets.astype(dtype),
            problem.rate(dtype),
        )

    @property
    def dtype(self) -> str:
        return str(self.weights[0].dtype)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(w.shape for w in self.weights)

    @cached_property
    def exact(self) -> tuple[referee.ExactLayer, ...]:
        return referee.opened(self.weights, self.x, self.y)

    @cached_property
    def bounds(self) -> tuple[roundoff.LayerBounds, ...]:
        return roundoff.bounds(self.weights, self.x, self.y, self.dtype)

    @cached_property
    def trained(self) -> tuple[referee.Exact, ...]:
        return referee.train(self.weights, self.x, self.y, self.lr, STEPS)

    @cached_property
    def training_bounds(self) -> tuple[np.ndarray, ...]:
        return roundoff.training_bounds(self.weights, self.x, self.y, self.lr, STEPS, self.dtype)

    @cached_property
    def other(self) -> Case:
        """Other numbers in the same shapes, to find what a backend should not have kept."""
        return replace(
            self,
            name=f"{self.name}, other numbers",
            weights=tuple(w[::-1, ::-1] / 2 for w in self.weights),
            x=self.x[::-1] * self.x.dtype.type(0.75),
            y=1 - self.y,
            lr=self.lr / 2,
        )


def expected(method: str, case: Case) -> str:
    """What `method` should return, in words."""
    layers = f"a tuple of {len(case.weights)} {'array' if len(case.weights) == 1 else 'arrays'} of shape"
    shapes, n = ", ".join(map(str, case.shapes)), len(case.x)
    outputs = tuple((n, s[1]) for s in case.shapes)
    return {
        "from_numpy": f"a copy in {case.dtype}",
        "to_numpy": "a NumPy array with the same bits",
        "predict": f"an array of shape {outputs[-1]}, {case.dtype}",
        "gradient": f"{layers} {shapes}, {case.dtype}",
        "update": f"{layers} {shapes}, {case.dtype}",
        "train": f"{layers} {shapes}, {case.dtype}",
        "trace": f"a tuple of {len(case.weights)} LayerTrace of NumPy arrays, {case.dtype}",
    }.get(method, "no exception")


class Bench:
    """A backend with a case loaded into it: calls its methods and takes nothing they return on trust."""

    def __init__(self, law: str, backend: Backend, case: Case) -> None:
        self.law, self.backend, self.case = law, backend, case
        self.weights = tuple(self.call("from_numpy", w) for w in case.weights)
        self.x, self.y = self.call("from_numpy", case.x), self.call("from_numpy", case.y)

    def broken(self, outcome: str, message: str, margin: float = float("inf")) -> LawBroken:
        return LawBroken(self.law, outcome, message, margin)

    def call(self, method: str, *args: Any) -> Any:
        try:
            return getattr(self.backend, method)(*args)
        except Exception as error:
            said = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            message = f"{method} raised {said} - expected {expected(method, self.case)}"
            raise self.broken("failed", message) from error

    def unusable(self, method: str, got: str, outcome: str = "failed") -> LawBroken:
        return self.broken(outcome, f"{method} returned {got} - expected {expected(method, self.case)}")

    def array(self, method: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
        """`value` as NumPy, once it has the case's device, dtype and this shape."""
        if isinstance(value, (list, tuple, float, int, type(None))):
            raise self.unusable(method, "a " + type(value).__name__)
        device = self.call("device_of", value)
        if device != self.backend.device:
            message = f"{method} left its result on {device!r}, not on {self.backend.device!r}"
            raise self.broken("wrong-device", message)
        return self.checked(method, self.call("to_numpy", value), shape)

    def checked(self, method: str, array: Any, shape: tuple[int, ...]) -> np.ndarray:
        if not isinstance(array, np.ndarray):
            raise self.unusable("to_numpy", "a " + type(array).__name__)
        if str(array.dtype) != self.case.dtype:
            outcome = "wrong-dtype" if array.dtype.kind == "f" else "failed"
            raise self.unusable(method, f"an array of {array.dtype}", outcome)
        if array.shape != shape:
            raise self.unusable(method, f"an array of shape {array.shape}")
        return array

    def layers(self, method: str, value: Any) -> tuple[np.ndarray, ...]:
        """`value` as NumPy, once it is a tuple of arrays like the weights."""
        if not isinstance(value, tuple):
            raise self.unusable(method, "a " + type(value).__name__)
        if len(value) != len(self.case.weights):
            raise self.unusable(method, f"{len(value)} array{'s' * (len(value) != 1)}")
        return tuple(self.array(method, v, s) for v, s in zip(value, self.case.shapes, strict=True))

    def run(self, method: str) -> Any:
        """What the method returns for the case, as it is."""
        y, lr = self.y, self.case.lr
        more = {"predict": (), "gradient": (y,), "update": (y, lr), "train": (y, lr, STEPS), "trace": (y, lr)}
        return self.call(method, self.weights, self.x, *more[method])

    def predict(self) -> np.ndarray:
        return self.array("predict", self.run("predict"), (len(self.case.x), self.case.shapes[-1][1]))

    def gradient(self) -> tuple[np.ndarray, ...]:
        return self.layers("gradient", self.run("gradient"))

    def update(self) -> tuple[np.ndarray, ...]:
        return self.layers("update", self.run("update"))

    def train(self, n: int = STEPS) -> tuple[np.ndarray, ...]:
        value = self.call("train", self.weights, self.x, self.y, self.case.lr, n)
        return self.layers("train", self.call("synchronize", value))

    def trace(self) -> list[dict[str, np.ndarray]]:
        """One dictionary of LayerTrace's fields per layer."""
        value = self.run("trace")
        if not isinstance(value, tuple) or len(value) != len(self.case.weights):
            count = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
            raise self.unusable("trace", f"a {type(value).__name__}{count}")
        result = []
        for layer, shape in zip(value, self.case.shapes, strict=True):
            if not hasattr(layer, "_asdict"):
                raise self.unusable("trace", f"a {type(layer).__name__} for a layer")
            between = (len(self.case.x), shape[1])
            fields = layer._asdict()
            result.append({k: self.checked("trace", v, shape if k == "change" else between) for k, v in fields.items()})
        return result

    def within(self, what: str, errors: Sequence[np.ndarray], bounds: Sequence[np.ndarray]) -> float:
        """The largest error over its bound, layer by layer; LawBroken once it is above 1 or not a number."""
        worst = 0.0
        for layer, (error, bound) in enumerate(zip(errors, bounds, strict=True)):
            ratio = np.where(error == 0, 0.0, error / bound)
            ratio = np.where(np.isnan(ratio), np.inf, ratio)
            at = np.unravel_index(int(ratio.argmax()), ratio.shape)
            if ratio[at] > 1:
                where = f"layer {layer + 1} element {tuple(map(int, at))}"
                off = f"off by {error[at]:.3g}" if np.isfinite(error[at]) else "not finite"
                message = f"{what} is {off} at {where}, allowed {bound[at]:.3g}"
                raise self.broken("disagree", message, float(ratio[at]))
            worst = max(worst, float(ratio[at]))
        return worst

    def same_bits(
        self, what: str, got: Sequence[np.ndarray], wanted: Sequence[np.ndarray], outcome: str = "disagree"
    ) -> float:
        for layer, (a, b) in enumerate(zip(got, wanted, strict=True)):
            if a.tobytes() != b.tobytes():
                raise self.broken(outcome, f"{what} differs in its bits, {layer + 1} of {len(got)}")
        return 0.0


Law = Callable[[Backend, Case], float]

LAWS: dict[str, Law] = {}
"""Every law under its name, in the order in which they are best read: the first broken one explains the rest."""


def law(check: Callable[[Bench], float]) -> Law:
    """Register `check` as a law under its own name."""

    def kept(backend: Backend, case: Case) -> float:
        with np.errstate(all="ignore"):
            return check(Bench(check.__name__, backend, case))

    kept.__name__, kept.__doc__ = check.__name__, check.__doc__
    LAWS[check.__name__] = kept
    return kept


@law
def round_trip(bench: Bench) -> float:
    """to_numpy(from_numpy(v)) is a copy of v with its bits and dtype."""
    awkward = np.array([[0.0, -0.0, np.inf], [-np.inf, np.nan, np.pi]], bench.case.dtype).T
    for original in (*bench.case.weights, bench.case.x, awkward):
        source = original.copy(order="K")
        held = bench.call("from_numpy", source)
        source += 1
        for attempt in ("", " after its first copy was overwritten"):
            back = bench.call("to_numpy", held)
            bench.checked("to_numpy", back, original.shape)
            bench.same_bits(f"the round trip{attempt}", [back], [original])
            back[...] = 7
    return 0.0


@law
def results_fit(bench: Bench) -> float:
    """Every method returns the kind, number, shapes, dtype and device that the interface states."""
    bench.predict(), bench.gradient(), bench.update(), bench.train(), bench.trace()
    return 0.0


@law
def arguments_stay(bench: Bench) -> float:
    """No method changes its arguments."""
    before = (*bench.case.weights, bench.case.x, bench.case.y)
    for method in ("predict", "gradient", "update", "train", "trace"):
        bench.run(method)
        after = [bench.call("to_numpy", v) for v in (*bench.weights, bench.x, bench.y)]
        bench.same_bits(f"an argument of {method}", after, before)
    return 0.0


@law
def prediction_is_exact(bench: Bench) -> float:
    """predict equals the referee's prediction, but for rounding."""
    error = bench.case.exact[-1].activation.error(bench.predict())
    return bench.within("the prediction", [error], [bench.case.bounds[-1].activation])


@law
def gradient_is_exact(bench: Bench) -> float:
    """gradient equals the referee's gradient, but for rounding."""
    errors = [layer.gradient.error(g) for layer, g in zip(bench.case.exact, bench.gradient(), strict=True)]
    return bench.within("the gradient", errors, [b.gradient for b in bench.case.bounds])


@law
def update_is_a_step(bench: Bench) -> float:
    """update == w - lr * gradient: to the bit in reproducible arithmetic, else but for two roundings."""
    gradient, updated = bench.gradient(), bench.update()
    rate = bench.case.weights[0].dtype.type(bench.case.lr)
    steps = [rate * g for g in gradient]
    if bench.backend.arithmetic == "reproducible":
        wanted = [w - s for w, s in zip(bench.case.weights, steps, strict=True)]
        return bench.same_bits("the update", updated, wanted)
    return _step(bench, "the update", updated, steps)


def _step(bench: Bench, what: str, updated: Sequence[np.ndarray], steps: Sequence[np.ndarray]) -> float:
    """Whether updated == w - step. A compiler may fuse and reorder the gradient, so its noise is allowed too."""
    rounding = roundoff.Rounding.of(bench.case.dtype)
    errors, allowed = [], []
    for new, w, s, b in zip(updated, bench.case.weights, steps, bench.case.bounds, strict=True):
        wide = [v.astype(np.longdouble) for v in (new, w, s)]
        errors.append(np.abs(wide[0] - (wide[1] - wide[2])).astype(float))
        noise = 2 * bench.case.lr * b.gradient
        allowed.append(noise + 2 * rounding.u * (abs(w) + 2 * abs(s)).astype(float) + rounding.tiny)
    return bench.within(what, errors, allowed)


@law
def train_repeats_update(bench: Bench) -> float:
    """train(n) == n times update, for n of 1, 2 and 3: to the bit if reproducible, else but for rounding."""
    return _repeats(bench, "train")


def _repeats(bench: Bench, what: str) -> float:
    weights, margin = bench.weights, 0.0
    for n in range(1, STEPS + 1):
        weights = bench.call("update", weights, bench.x, bench.y, bench.case.lr)
        one_by_one = bench.layers("update", weights)
        at_once = bench.train(n)
        if bench.backend.arithmetic == "reproducible":
            bench.same_bits(f"{what}, n = {n},", at_once, one_by_one)
            continue
        errors = [np.abs(a.astype(float) - b.astype(float)) for a, b in zip(at_once, one_by_one, strict=True)]
        bounds = [2 * b for b in bench.case.training_bounds]
        margin = max(margin, bench.within(f"{what}, n = {n},", errors, bounds))
    return margin


@law
def weights_are_exact(bench: Bench) -> float:
    """The weights after three updates equal the referee's, but for rounding."""
    errors = [exact.error(w) for exact, w in zip(bench.case.trained, bench.train(), strict=True)]
    return bench.within(f"train({STEPS})", errors, bench.case.training_bounds)


@law
def trace_is_the_update(bench: Bench) -> float:
    """w + trace.change == update, and each field of the trace equals the referee's, but for rounding."""
    trace, lr = bench.trace(), bench.case.lr
    if bench.backend.arithmetic == "reproducible":
        stepped = [w + layer["change"] for w, layer in zip(bench.case.weights, trace, strict=True)]
        margin = bench.same_bits("w + trace.change", stepped, bench.update())
    else:
        margin = _step(bench, "w + trace.change", bench.update(), [-layer["change"] for layer in trace])
    for field in ("preactivation", "activation", "error", "delta"):
        errors = [getattr(e, field).error(t[field]) for e, t in zip(bench.case.exact, trace, strict=True)]
        found = bench.within(f"trace.{field}", errors, [getattr(b, field) for b in bench.case.bounds])
        margin = max(margin, found)
    changes = [e.gradient.error(-t["change"] / lr) for e, t in zip(bench.case.exact, trace, strict=True)]
    u = roundoff.Rounding.of(bench.case.dtype).u
    bounds = [
        b.gradient + 4 * u * abs(e.gradient.value) for b, e in zip(bench.case.bounds, bench.case.exact, strict=True)
    ]
    return max(margin, bench.within("-trace.change / lr", changes, bounds))


@law
def calls_are_independent(bench: Bench) -> float:
    """Nothing is kept from one call to the next: other numbers in the same shapes give their own results."""
    other = Bench(bench.law, bench.backend, bench.case.other)
    before = (bench.gradient(), bench.update(), bench.train())
    gradient, exact = other.gradient(), other.case.exact
    errors = [layer.gradient.error(g) for layer, g in zip(exact, gradient, strict=True)]
    margin = other.within("the gradient at other numbers", errors, [b.gradient for b in other.case.bounds])
    steps = [other.case.weights[0].dtype.type(other.case.lr) * g for g in gradient]
    margin = max(margin, _step(other, "the update at other numbers", other.update(), steps))
    margin = max(margin, _repeats(other, "train at other numbers"))
    after = (bench.gradient(), bench.update(), bench.train())
    for method, one, two in zip(("gradient", "update", "train"), before, after, strict=True):
        bench.same_bits(f"{method}, called again after other calls,", two, one)
    return margin


@law
def calls_repeat(bench: Bench) -> float:
    """The same call twice gives the same bits."""
    for call in (lambda: [bench.predict()], bench.gradient, bench.update, bench.train):
        bench.same_bits("the same call, repeated,", call(), call(), "nondeterministic")
    return 0.0
