"""PyTorch by its functional side: torch.func.grad of a loss, nothing of this project's own PyTorch backend."""

from typing import Any

import numpy as np
import torch

from equigrad.backends.interface import Backend, LayerTrace, Weights


class TorchFuncBackend(Backend):
    name = "torch.func"

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu",)

    @classmethod
    def environment(cls) -> dict[str, Any]:
        return {"torch": torch.__version__}

    def from_numpy(self, array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, dtype=getattr(torch, self.dtype))

    def to_numpy(self, array: torch.Tensor) -> np.ndarray:
        return np.array(array.numpy())

    def device_of(self, array: torch.Tensor) -> str:
        return array.device.type

    def opened(self, weights: Weights, x: Any, zeros: Any = None) -> Any:
        for i, w in enumerate(weights):
            at_z, at_a = zeros[i] if zeros else (0, 0)
            z = torch.matmul(x, w) + at_z
            x = torch.special.expit(z) + at_a
            yield z, x

    def predict(self, weights: Weights, x: Any) -> Any:
        return list(self.opened(weights, x))[-1][1]

    def loss(self, weights: Weights, x: Any, y: Any, zeros: Any = None) -> Any:
        return torch.nn.functional.mse_loss(list(self.opened(weights, x, zeros))[-1][1], y, reduction="sum") / 2

    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        return tuple(torch.func.grad(self.loss)(weights, x, y))

    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return tuple(torch.add(w, g, alpha=-lr) for w, g in zip(weights, self.gradient(weights, x, y), strict=True))

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for _ in range(n):
            weights = self.update(weights, x, y, lr)
        return weights

    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        layers = list(self.opened(weights, x))
        zeros = [(torch.zeros_like(z), torch.zeros_like(a)) for z, a in layers]
        slopes, inner = torch.func.grad(self.loss, argnums=(0, 3))(weights, x, y, zeros)
        rows = zip(layers, inner, slopes, strict=True)
        return tuple(LayerTrace(*map(self.to_numpy, (z, a, -da, -dz, -lr * g))) for (z, a), (dz, da), g in rows)

    def synchronize(self, value: Any) -> Any:
        return value
