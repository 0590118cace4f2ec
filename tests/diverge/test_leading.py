"""A trace that is not of what its backend trains names nothing: the weights alone are compared then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import equigrad
from equigrad import Engine, Problem
from equigrad.backends.interface import Backend, LayerTrace
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.common.errors import UsageError
from equigrad.common.problem import problem
from equigrad.diverge import forms
from equigrad.diverge.operations import Update
from equigrad.session import Session
from length import at_length

Ready = Callable[..., Backend]
Weights = tuple[np.ndarray, ...]
SHORT = problem("two-layer").with_(updates=30)


class OtherSigmoid(NumpyBackend):
    """Overrides one method of the training and none of the trace."""

    def activations(self, weights: Weights, x: np.ndarray) -> list[np.ndarray]:
        layers = [x]
        for w in weights:
            layers.append(0.5 * (1 + np.tanh(self.ops.dot(layers[-1], w) / 2)))
        return layers


class OtherSlope(NumpyBackend):
    def gradient(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> Weights:
        layers, found = self.activations(weights, x), []
        error = y - layers[-1]
        for i in reversed(range(len(weights))):
            delta = (error * layers[i + 1]) * (1 - layers[i + 1])
            found.append(-self.ops.dot(layers[i].T, delta))
            error = self.ops.dot(delta, weights[i].T)
        return tuple(reversed(found))


class WrongTrace(NumpyBackend):
    def trace(self, *arguments: Any) -> tuple[LayerTrace, ...]:
        return tuple(layer._replace(change=2 * layer.change) for layer in super().trace(*arguments))


def note(label: str) -> str:
    return f"the trace of {label} does not lead to the weights of its train, so which operation differs cannot be told"


@pytest.mark.parametrize("arithmetic", ["native", "reproducible"])
@pytest.mark.parametrize("cls", [OtherSigmoid, OtherSlope], ids=["another sigmoid", "another derivative"])
def test_only_the_weights_are_named_where_the_trace_is_not_of_the_training(
    cls: type[NumpyBackend], arithmetic: str
) -> None:
    result = equigrad.diverge(SHORT, [NumpyBackend(arithmetic=arithmetic), cls(arithmetic=arithmetic)], budget=0)
    assert result.first is not None
    assert (result.first.layer, result.first.quantity, result.first.operations) == (1, "weight", ())
    assert note(result.sides[1]) in result.notes
    assert "on the same inputs" not in result.verdict


def test_a_learning_rate_that_rounds_the_change_hides_it_no_better() -> None:
    result = equigrad.diverge(SHORT.with_(learning_rate=0.3), ["numpy", OtherSigmoid], budget=0)
    assert note("OtherSigmoid") in result.notes


def test_a_trace_that_is_not_of_the_training_is_not_said_to_be_rounded_away() -> None:
    result = equigrad.diverge(SHORT, ["numpy", WrongTrace])
    assert (result.identical, result.earlier) == (True, None)
    assert result.notes == (note("WrongTrace"),)


def drawn(seed: int) -> Problem:
    r = np.random.RandomState(seed)
    layers = tuple(r.randint(1, 9, r.randint(2, 5)).tolist())
    x, y = 3 * r.standard_normal((r.randint(1, 20), layers[0])), r.random_sample
    return Problem("random", x, y((len(x), layers[-1])), layers, 30, [1, 0.3, 0.01, 3.7][seed % 4], seed=seed)


def updates(backend: Backend, seeds: range, n: int = 4) -> Iterator[Update]:
    for seed in seeds:
        side = Session.of(drawn(seed), backend)
        weights = side.weights
        for _ in range(n):
            after = side.train(weights)
            yield Update(side, side.numpy(weights), side.trace(weights), side.numpy(after))
            weights = after


@pytest.mark.slow
def test_the_frameworks_own_traces_lead_to_their_weights(ready: Ready, spec: str, dtype: str) -> None:
    """By native arithmetic: reproducible ones keep laws that say so to the bit."""
    few = {("jax", "float64"): range(2), ("jax", "float32"): range(1, 2)}  # each has shapes that JAX compiles
    seeds = at_length(range(4), short=few.get((spec, dtype), range(4)))
    assert all(step.leads for step in updates(ready(spec, dtype, "native"), seeds))


class Right(Engine):
    def layers(self, weights: Weights, x: np.ndarray) -> list[np.ndarray]:
        found = [x]
        for w in weights:
            found.append(0.5 * np.tanh(0.5 * (found[-1] @ w)) + 0.5)
        return found

    def predict(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        return self.layers(weights, x)[-1].astype(x.dtype)

    def gradient(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> Weights:
        layers, found = self.layers(weights, x), []
        error = layers[-1] - y
        for i in reversed(range(len(weights))):
            delta = error * layers[i + 1] - error * layers[i + 1] * layers[i + 1]
            found.append(layers[i].T @ delta)
            error = delta @ weights[i].T
        return tuple(reversed(found))


class Fused(Right):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for _ in range(n):
            gradient = self.gradient(weights, x, y)
            weights = tuple(forms.fused(np.full_like(g, -lr), g, w) for w, g in zip(weights, gradient, strict=True))
        return weights


@pytest.mark.slow(but=["updates of Engine-float64"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("cls", [Right, Fused], ids=["with the updates of Engine", "with fused multiply-adds"])
def test_a_right_engines_trace_leads_to_its_weights(cls: type[Engine], dtype: str) -> None:
    assert all(step.leads for step in updates(cls(dtype=dtype), range(100, at_length(112, short=106))))


def test_a_wrong_sum_does_not_add_up_by_a_single_bit() -> None:
    w, c = (np.random.RandomState(seed).standard_normal((5, 4)) for seed in (1, 2))
    assert forms.adds_up(w, c, w + c, exact=True)
    off = w + c
    off[3, 2] = np.nextafter(off[3, 2], 9)
    assert not forms.adds_up(w, c, off, exact=True)
    assert not forms.adds_up(w, c / 64, off, exact=False)


class Noisy(NumpyBackend):
    """Its weights differ from NumPy's, so that its operations are looked into."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return tuple(np.nextafter(w, 9) for w in super().train(weights, x, y, lr, n))


class Replay(Noisy):
    def replay(self, *arguments: Any) -> Any:
        return type(self).change(super().replay(*arguments))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda t: t[:0], "a tuple of 0"),
        (list, "a list of 2"),
        (lambda t: 5, "an int"),
        (lambda t: tuple(map(tuple, t)), "a tuple for a layer"),
        (lambda t: tuple(LayerTrace(*(v.T for v in layer)) for layer in t), r"an array of shape \(4, 3\)"),
        (lambda t: tuple(LayerTrace(*(v.astype("f4") for v in layer)) for layer in t), "an array of float32"),
        (lambda t: tuple(LayerTrace(*(v.tolist() for v in layer)) for layer in t), "a list"),
    ],
    ids=["no layers", "a list", "a number", "plain tuples", "other shapes", "another dtype", "lists in a layer"],
)
def test_a_replay_is_refused_in_one_line_that_holds(change: Callable[[Any], Any], what: str) -> None:
    cls = type("Own", (Replay,), {"change": staticmethod(change)})
    with pytest.raises(UsageError, match=f"replay returned {what} - expected a tuple of 2 LayerTrace of NumPy arrays"):
        equigrad.diverge(SHORT, ["numpy", cls])


def test_an_exp_of_another_shape_is_refused_with_what_was_expected() -> None:
    class Exp(Noisy):
        def exp(self, x: np.ndarray) -> np.ndarray:
            return np.exp(x)[:1]

    with pytest.raises(UsageError, match=r"exp returned .* expected an array of the shape that it was given, float64"):
        equigrad.diverge(SHORT, ["numpy", Exp])
