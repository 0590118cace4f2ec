"""The perceptron in NumPy, its derivative written by hand, Trask's way."""

import numpy as np

from .interface import Weights
from .numpy_arithmetic import silent
from .numpy_inside import NumpyInside
from .tape.numpy_tape import taped


class NumpyBackend(NumpyInside):
    def activations(self, weights: Weights, x: np.ndarray) -> list[np.ndarray]:
        layers = [x]
        for w in weights:
            layers.append(self.ops.sigmoid(self.ops.dot(layers[-1], w)))
        return layers

    @silent
    def predict(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        return self.activations(weights, x)[-1]

    @silent
    def loss(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return ((y - self.predict(weights, x)) ** 2).sum() / 2

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

    @taped
    def train(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, n: int) -> Weights:
        for _ in range(n):
            weights = self.update(weights, x, y, lr)
        return weights
