"""Deliberately changed backends: `diverge` finds each change and names it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import equigrad
from equigrad.backends.interface import Backend, LayerTrace
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.common import reproducible
from equigrad.common.problem import problem
from equigrad.diverge.result import Divergence
from length import at_length

Ready = Callable[..., Backend]
Weights = tuple[np.ndarray, ...]
against = pytest.mark.parametrize(
    "spec", ["numpy", "torch", "jax", "torch:cuda", "jax:cuda"], ids=lambda s: s.replace(":", "-")
)


@dataclass(frozen=True)
class Own(NumpyBackend):
    """The reproducible arithmetic in somebody's own backend, which cannot run single operations."""

    def slope(self, g: np.ndarray, s: np.ndarray) -> np.ndarray:
        return g * (s * (1 - s))

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return self.ops.dot(a, b)

    def squash(self, z: np.ndarray) -> np.ndarray:
        return self.ops.sigmoid(z)

    def back(self, delta: np.ndarray, w: np.ndarray, change: np.ndarray) -> np.ndarray:
        return self.product(delta, w.T)

    def trace(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float) -> tuple[LayerTrace, ...]:
        zs, layers = [], [x]
        for w in weights:
            zs.append(self.product(layers[-1], w))
            layers.append(self.squash(zs[-1]))
        trace: list[LayerTrace] = []
        error = y - layers[-1]
        for i in reversed(range(len(weights))):
            delta = self.slope(error, layers[i + 1])
            change = lr * self.product(layers[i].T, delta)
            trace.insert(0, LayerTrace(zs[i], layers[i + 1], error, delta, change))
            error = self.back(delta, weights[i], change)
        return tuple(trace)

    def train(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, n: int) -> Weights:
        for _ in range(n):
            weights = tuple(w + t.change for w, t in zip(weights, self.trace(weights, x, y, lr), strict=True))
        return weights

    def replay(self, *_: Any) -> Any:
        return None


class OtherAssociation(Own):
    def slope(self, g: np.ndarray, s: np.ndarray) -> np.ndarray:
        return (g * (1 - s)) * s


class ReversedSum(Own):
    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return reproducible.index_order_dot(_Space, a[:, ::-1], b[::-1])


class _Space:
    product = np.multiply


class SinglePrecisionSigmoid(Own):
    def squash(self, z: np.ndarray) -> np.ndarray:
        return self.ops.sigmoid(z.astype(np.float32)).astype(z.dtype)


class MissingUpdate(Own):
    def train(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n - 1)


class MissingUpdateAtOnce(Own):
    def train(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n - (n > 1))


class HiddenDeltaAfterOutput(Own):
    def back(self, delta: np.ndarray, w: np.ndarray, change: np.ndarray) -> np.ndarray:
        return self.product(delta, (w + change).T)


@dataclass(frozen=True)
class OtherAssociationInOneLayer(Own):
    width: int = 1

    def slope(self, g: np.ndarray, s: np.ndarray) -> np.ndarray:
        return (g * (1 - s)) * s if g.shape[1] == self.width else g * (s * (1 - s))


class OddDerivative(Own):
    def slope(self, g: np.ndarray, s: np.ndarray) -> np.ndarray:
        return np.nextafter(g * (s * (1 - s)), np.inf)


@dataclass(frozen=True)
class Nudge(Own):
    """One ULP in one weight in the first update that finds that weight at a threshold."""

    threshold: float = math.inf

    def train(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, n: int) -> Weights:
        for _ in range(n):
            late = weights[0][0, 0] >= self.threshold
            weights = super().train(weights, x, y, lr, 1)
            if late:
                weights[0][0, 0] = np.nextafter(weights[0][0, 0], np.inf)
        return weights


REPRODUCIBLE = {"dtype": "float64", "arithmetic": "reproducible"}
UPDATES = at_length(300, short=100)


def planted(
    ready: Ready, spec: str, cls: type[Own], name: str = "two-layer", updates: int = UPDATES, **fields: Any
) -> Divergence:
    """The divergence of `spec` from a planted backend, both in the reproducible arithmetic."""
    pair = [ready(spec, **REPRODUCIBLE), cls(arithmetic="reproducible", **fields)]
    return equigrad.diverge(problem(name).with_(updates=updates), pair)


def where(result: Divergence) -> tuple[int, int, str]:
    assert result.first is not None
    return result.first.update, result.first.layer, result.first.quantity


def blamed(result: Divergence) -> set[str]:
    assert result.first is not None
    return {o.name for o in result.first.operations if not o.same}


def how(result: Divergence, operation: str) -> str:
    assert result.first is not None
    return "\n".join(next(o.how for o in result.first.operations if o.name == operation))


@pytest.mark.slow(but=["one-layer"])
@pytest.mark.parametrize("name", ["one-layer", "two-layer"])
@against
def test_an_own_backend_with_nothing_planted_is_identical(ready: Ready, spec: str, name: str) -> None:
    result = planted(ready, spec, Own, name)
    assert result.identical
    assert (result.first, result.earlier, result.updates, result.notes) == (None, None, UPDATES, ())
    assert all((d.max_ulp, d.max_abs_difference) == (0, 0.0) for d in result.development)


@pytest.mark.slow
@against
def test_another_association_of_the_derivative_is_named(ready: Ready, spec: str) -> None:
    result = planted(ready, spec, OtherAssociation)
    assert where(result) == (1, 1, "delta")
    assert blamed(result) == {"derivative"}
    assert how(result, "derivative") == f"{result.sides[0]}: g * (s * (1 - s))\n{result.sides[1]}: (g * (1 - s)) * s"


@pytest.mark.parametrize(("width", "layer"), [(4, 1), (1, 2)], ids=["hidden", "output"])
def test_an_association_that_only_one_layer_has_is_named(ready: Ready, width: int, layer: int) -> None:
    result = planted(ready, "numpy", OtherAssociationInOneLayer, width=width)
    assert where(result)[1:] == (layer, "delta")
    assert blamed(result) == {"derivative"}
    assert how(result, "derivative") == f"{result.sides[0]}: g * (s * (1 - s))\n{result.sides[1]}: (g * (1 - s)) * s"


class ExactSums(Own):
    """Rounded once at the end, which a fused multiply-add gives too, now and then."""

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        exact = [[sum(Fraction(v) * Fraction(w) for v, w in zip(r, c, strict=True)) for c in b.T] for r in a]
        return np.array([[float(v) for v in row] for row in exact])


def test_a_form_that_the_following_updates_refute_is_not_named(ready: Ready) -> None:
    result = planted(ready, "numpy", ExactSums, updates=10)
    assert where(result) == (6, 2, "preactivation")
    assert result.first is not None
    dot = next(o for o in result.first.operations if o.name == "dot")
    assert dot.how == (
        f"{result.sides[0]}: products rounded, summed in index order",
        f"{result.sides[1]}: none of the ways tried",
    )


def test_a_derivative_that_no_form_explains_is_blamed_all_the_same(ready: Ready) -> None:
    result = planted(ready, "numpy", OddDerivative)
    assert where(result) == (1, 2, "delta")
    assert blamed(result) == {"derivative"}
    assert result.first is not None
    derivative = next(o for o in result.first.operations if o.name == "derivative")
    assert (derivative.elements, derivative.differing, derivative.max_ulp) == (20, 20, 1)
    assert how(result, "derivative").endswith("none of the ways tried")


@against
def test_a_reversed_sum_is_named(ready: Ready, spec: str) -> None:
    result = planted(ready, spec, ReversedSum)
    assert where(result) == (6, 2, "preactivation")
    assert blamed(result) == {"dot", "gradient dot"}
    assert "reverse order" in how(result, "dot").splitlines()[1]
    assert "index order" in how(result, "dot").splitlines()[0]


@against
def test_a_float32_sigmoid_inside_float64_is_named(ready: Ready, spec: str) -> None:
    result = planted(ready, spec, SinglePrecisionSigmoid)
    assert where(result) == (1, 1, "activation")
    assert blamed(result) == {"sigmoid"}
    assert how(result, "sigmoid").splitlines()[1].endswith("in float32, then widened")


@against
def test_one_update_missing_is_named(ready: Ready, spec: str) -> None:
    result = planted(ready, spec, MissingUpdate)
    assert where(result) == (1, 1, "weight")
    assert blamed(result) == {"update"}
    assert "left out" in how(result, "update").splitlines()[1]


@pytest.mark.slow
def test_an_update_missing_only_from_many_at_once_is_named(ready: Ready) -> None:
    result = planted(ready, "numpy", MissingUpdateAtOnce, updates=2_000)
    assert where(result) == (2_000, 1, "weight")
    assert result.notes == (
        f"{result.sides[1]} makes only 999 of 1000 updates that are asked for in one call; one by one it makes all of "
        "them",
    )


@pytest.mark.slow(but=["30", "1001"])
@pytest.mark.parametrize("updates", [2, 30, *at_length([1_000], short=[]), 1_001])
def test_a_backend_that_makes_too_few_updates_at_once_is_found_in_a_short_run_too(ready: Ready, updates: int) -> None:
    result = planted(ready, "numpy", MissingUpdateAtOnce, updates=updates)
    n = min(updates, 1_000)
    assert where(result) == (n, 1, "weight")
    (note,) = result.notes
    assert note.startswith(f"{result.sides[1]} makes only {n - 1} of {n} updates that are asked for in one call")


def test_too_few_updates_at_once_on_both_sides_are_told_and_no_difference() -> None:
    result = equigrad.diverge(problem("two-layer").with_(updates=30), [MissingUpdateAtOnce(), MissingUpdateAtOnce()])
    assert result.identical
    assert [note.split(" that")[0] for note in result.notes] == [
        f"{side} makes only 29 of 30 updates" for side in result.sides
    ]


@against
def test_a_hidden_delta_after_the_output_weights_update_is_named(ready: Ready, spec: str) -> None:
    result = planted(ready, spec, HiddenDeltaAfterOutput)
    assert where(result) == (1, 1, "error")
    assert blamed(result) == {"backward dot"}
    assert "with the next layer's weights after their update" in how(result, "backward dot").splitlines()[1]


@pytest.mark.slow(but=["37", "1001"])
@pytest.mark.parametrize(
    "update", at_length([1, 2, 37, 999, 1_000, 1_001, 1_050, 1_234, 1_299], short=[1, 37, 1_000, 1_001, 1_299])
)
def test_the_first_update_is_found_exactly(ready: Ready, update: int) -> None:
    own, task = Own(arithmetic="reproducible"), problem("one-layer")
    weights = task.first_weights()
    before = own.train(weights, task.inputs, task.targets, 1.0, update - 1)
    threshold = float(before[0][0, 0])  # this weight grows in every update: its two targets are 1
    result = planted(ready, "numpy", Nudge, "one-layer", 1_300, threshold=threshold)
    assert where(result) == (update, 1, "weight")
    first = result.first
    assert first is not None
    assert [(e.index, e.ulp) for e in first.elements] == [((0, 0), 1)]
    assert blamed(result) == set()
    assert [note.startswith(f"the trace of {result.sides[1]} does not lead") for note in result.notes] == [True]
    rows = [d.update for d in result.development]
    regular = {row * power for power in (1, 10, 100, 1_000) for row in (1, 2, 3, 5, 7)}
    assert rows == sorted({row for row in regular if row < 1_300} | {update, 1_300})
    assert {d.max_ulp for d in result.development if d.update < update} <= {0}
