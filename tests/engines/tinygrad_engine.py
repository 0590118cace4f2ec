"""tinygrad as a backend: https://github.com/tinygrad/tinygrad."""

from typing import Any

import numpy as np
from tinygrad import Tensor, helpers

from equigrad.backends.engine import Engine
from equigrad.backends.interface import LayerTrace, Weights

helpers.DEV.value = "PYTHON"  # tinygrad's own interpreter, the device that needs neither compiler nor driver
helpers.PARALLEL.value = helpers.TRACEMETA.value = 0  # no processes for such small kernels, no lines noted for tensors


def together(*tensors: Tensor) -> Weights:
    Tensor.realize(*tensors)  # each realized alone would compute again what they share
    return tensors


class TinygradBackend(Engine):
    name, compiles = "tinygrad", True

    @classmethod
    def environment(cls) -> dict[str, Any]:
        return {"device": helpers.DEV.value}

    def from_numpy(self, array: np.ndarray) -> Tensor:
        return Tensor(np.array(array, self.dtype)).realize()

    def to_numpy(self, array: Tensor) -> np.ndarray:
        return np.array(array.numpy())

    def device_of(self, array: Tensor) -> str:
        return "cpu" if array.device == "PYTHON" else str(array.device)

    def opened(self, weights: Weights, x: Tensor) -> list[Tensor]:
        layers = []
        for w in weights:
            layers += [z := x @ w, x := z.sigmoid()]
        return layers

    def predict(self, weights: Weights, x: Tensor) -> Tensor:
        return self.opened(weights, x)[-1]

    def slopes(self, weights: Weights, x: Tensor, y: Tensor) -> list[Tensor]:
        return (((y - self.predict(weights, x)) ** 2).sum() / 2).gradient(*weights)

    def gradient(self, weights: Weights, x: Tensor, y: Tensor) -> Weights:
        return together(*self.slopes(weights, x, y))

    def update(self, weights: Weights, x: Tensor, y: Tensor, lr: float) -> Weights:
        return together(*(w - g * lr for w, g in zip(weights, self.slopes(weights, x, y), strict=True)))

    def trace(self, weights: Weights, x: Tensor, y: Tensor, lr: float) -> tuple[LayerTrace, ...]:
        layers = self.opened(weights, x)
        g, k = (((y - layers[-1]) ** 2).sum() / 2).gradient(*layers, *weights), len(layers)
        rows = zip(layers[::2], layers[1::2], g[1:k:2], g[:k:2], g[k:], strict=True)
        found = [(z, a, -e, -d, -w * lr) for z, a, e, d, w in rows]
        together(*(v for layer in found for v in layer))
        return tuple(LayerTrace(*map(self.to_numpy, layer)) for layer in found)
