"""The shortest backend: an engine that takes and returns NumPy arrays needs two methods."""

from __future__ import annotations

from typing import Any

import numpy as np

from .interface import Backend, LayerTrace, Weights


class Engine(Backend):
    """Write `predict` and `gradient`; update, training and trace are derived from these two.

    `predict(weights, x)` returns (N, outputs) and `gradient(weights, x, y)` a tuple of dL/dw, one (fan_in, fan_out)
    matrix per layer, as NumPy arrays of the dtype of x; L is half the sum of squares, see `Backend`.
    An engine with arrays, devices or a training loop of its own subclasses `Backend` itself.
    """

    name = "engine"

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu",)

    @classmethod
    def environment(cls) -> dict[str, Any]:
        return {}

    def from_numpy(self, array: np.ndarray) -> np.ndarray:
        return np.array(array, self.dtype)

    def to_numpy(self, array: np.ndarray) -> np.ndarray:
        return np.array(array)

    def device_of(self, array: np.ndarray) -> str:
        return "cpu"

    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return tuple(w - lr * g for w, g in zip(weights, self.gradient(weights, x, y), strict=True))

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for _ in range(n):
            weights = self.update(weights, x, y, lr)
        return weights

    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        """The suite's own chain rule on the engine's activations and gradient.

        Activations are the predictions of the first layers alone, changes the engine's gradient. Pre-activations,
        errors and deltas are this class's, not the engine's, see `traced`.
        """
        layers = [x, *(self.predict(weights[: i + 1], x) for i in range(len(weights)))]
        error, trace = y - layers[-1], []
        for i, g in reversed(list(enumerate(self.gradient(weights, x, y)))):
            delta = error * (layers[i + 1] * (1 - layers[i + 1]))
            trace.append(LayerTrace(layers[i] @ weights[i], layers[i + 1], error, delta, -lr * g))
            error = delta @ weights[i].T
        return tuple(reversed(trace))

    @property
    def traced(self) -> tuple[str, ...]:
        own = type(self).trace is not Engine.trace
        return LayerTrace._fields if own else ("activation", "change")

    def synchronize(self, value: Any) -> Any:
        return value
