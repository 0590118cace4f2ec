"""NumPy's update opened up: what each layer holds, and its operations one by one, for `equigrad diverge`."""

from __future__ import annotations

import numpy as np

from .interface import LayerTrace, Weights
from .numpy_arithmetic import silent
from .numpy_arrays import NumpyArrays


class NumpyInside(NumpyArrays):
    @silent
    def trace(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float) -> tuple[LayerTrace, ...]:
        zs, layers = [], [x]
        for w in weights:
            zs.append(self.ops.dot(layers[-1], w))
            layers.append(self.ops.sigmoid(zs[-1]))
        error = y - layers[-1]
        trace = []
        for i in reversed(range(len(weights))):
            delta = error * (layers[i + 1] * (1 - layers[i + 1]))
            change = self.ops.product(lr, self.ops.dot(layers[i].T, delta))
            trace.append(LayerTrace(zs[i], layers[i + 1], error, delta, change))
            error = self.ops.dot(delta, weights[i].T)
        return tuple(reversed(trace))

    @silent
    def replay(
        self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, given: tuple[LayerTrace, ...]
    ) -> tuple[LayerTrace, ...]:
        layers = [x, *(self.from_numpy(layer.activation) for layer in given)]
        errors = [self.from_numpy(layer.error) for layer in given]
        deltas = [self.from_numpy(layer.delta) for layer in given]
        replayed = []
        for i, w in enumerate(weights):
            own = self.ops.sigmoid(self.from_numpy(given[i].preactivation))
            last = i == len(weights) - 1
            error = y - layers[-1] if last else self.ops.dot(deltas[i + 1], weights[i + 1].T)
            delta = errors[i] * (own * (1 - own))
            change = self.ops.product(lr, self.ops.dot(layers[i].T, deltas[i]))
            replayed.append(LayerTrace(self.ops.dot(layers[i], w), own, error, delta, change))
        return tuple(replayed)

    @silent
    def exp(self, x: np.ndarray) -> np.ndarray | None:
        return np.exp(x) if self.arithmetic == "native" else None
