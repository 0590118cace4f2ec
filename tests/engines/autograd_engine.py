"""HIPS autograd, the engine that JAX grew out of, as a backend: https://github.com/HIPS/autograd."""

from typing import Any

import autograd.numpy as np
from autograd import grad
from autograd.scipy.special import expit

from equigrad.backends.interface import Backend, LayerTrace, Weights


class AutogradBackend(Backend):
    name = "autograd"

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu",)

    @classmethod
    def environment(cls) -> dict[str, Any]:
        return {"numpy": np.__version__}

    def from_numpy(self, array: Any) -> Any:
        return np.array(array, self.dtype)

    def to_numpy(self, array: Any) -> Any:
        return np.array(array)

    def device_of(self, array: Any) -> str:
        return "cpu"

    def opened(self, weights: Weights, x: Any, zeros: Any) -> Any:
        for w, (at_z, at_a) in zip(weights, zeros, strict=True):
            z = x @ w + at_z
            x = expit(z) + at_a
            yield z, x

    def predict(self, weights: Weights, x: Any, zeros: Any = None) -> Any:
        return list(self.opened(weights, x, zeros or [(0, 0)] * len(weights)))[-1][1]

    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        return tuple(grad(lambda w: np.sum((y - self.predict(w, x)) ** 2) / 2)(weights))

    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return tuple(w - lr * g for w, g in zip(weights, self.gradient(weights, x, y), strict=True))

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for _ in range(n):
            weights = self.update(weights, x, y, lr)
        return weights

    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        layers = list(self.opened(weights, x, [(0, 0)] * len(weights)))
        zeros = [(np.zeros_like(z), np.zeros_like(a)) for z, a in layers]
        inner = grad(lambda v: np.sum((y - self.predict(weights, x, v)) ** 2) / 2)(zeros)
        rows = zip(layers, inner, self.gradient(weights, x, y), strict=True)
        return tuple(LayerTrace(z, a, -da, -dz, -lr * dw) for (z, a), (dz, da), dw in rows)

    def synchronize(self, value: Any) -> Any:
        return value
