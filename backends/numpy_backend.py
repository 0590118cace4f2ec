"""The perceptron in NumPy, its derivative written by hand, Trask's way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from . import numpy_operations
from .interface import Backend, LayerTrace, Weights
from .numpy_arithmetic import Native, Reproducible, silent
from .tape.numpy_tape import repeat
from .tape.tape import worthwhile


@dataclass(frozen=True)
class NumpyBackend(Backend):
    name = "numpy"
    arithmetics = ("native", "reproducible")

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu",)

    @classmethod
    def environment(cls) -> dict[str, Any]:
        config: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
        return {"version": np.__version__, "blas": config["Build Dependencies"]["blas"]["name"]}

    @cached_property
    def ops(self) -> Native | Reproducible:
        return Reproducible() if self.arithmetic == "reproducible" else Native()

    def from_numpy(self, array: np.ndarray) -> np.ndarray:
        return np.array(array, dtype=self.dtype)

    def to_numpy(self, array: np.ndarray) -> np.ndarray:
        return np.array(array)

    def device_of(self, array: np.ndarray) -> str:
        return "cpu"

    @silent
    def predict(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        return self.activations(weights, x)[-1]

    def activations(self, weights: Weights, x: np.ndarray) -> list[np.ndarray]:
        layers = [x]
        for w in weights:
            layers.append(self.ops.sigmoid(self.ops.dot(layers[-1], w)))
        return layers

    @silent
    def gradient(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> Weights:
        layers = self.activations(weights, x)
        error = y - layers[-1]
        gradient = []
        for i in reversed(range(len(weights))):
            delta = error * (layers[i + 1] * (1 - layers[i + 1]))  # the sigmoid's slope is a (1 - a)
            gradient.append(-self.ops.dot(layers[i].T, delta))
            if i > 0:
                error = self.ops.dot(delta, weights[i].T)
        return tuple(reversed(gradient))

    @silent
    def update(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float) -> Weights:
        gradient = self.gradient(weights, x, y)
        return tuple(w - self.ops.product(lr, g) for w, g in zip(weights, gradient, strict=True))

    @silent
    def train(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, n: int) -> Weights:
        if type(self) is NumpyBackend and worthwhile(n, len(x), weights):  # a subclass may do what no tape holds
            return repeat(self.update, weights, x, y, lr, n)  # the same, into arrays that stay
        for _ in range(n):
            weights = self.update(weights, x, y, lr)
        return weights

    @silent
    def trace(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float) -> tuple[LayerTrace, ...]:
        layers = self.activations(weights, x)
        error = y - layers[-1]
        trace = []
        for i in reversed(range(len(weights))):
            preactivation = self.ops.dot(layers[i], weights[i])
            delta = error * (layers[i + 1] * (1 - layers[i + 1]))
            change = self.ops.product(lr, self.ops.dot(layers[i].T, delta))
            trace.append(LayerTrace(preactivation, layers[i + 1], error, delta, change))
            error = self.ops.dot(delta, weights[i].T)
        return tuple(reversed(trace))

    replay, exp = numpy_operations.replay, numpy_operations.exp

    def synchronize(self, value: Any) -> Any:
        return value
