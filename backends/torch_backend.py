"""The perceptron in PyTorch, its derivative by autograd."""

import torch

from .interface import Weights
from .tape.torch_tape import taped
from .torch_inside import TorchInside


class TorchBackend(TorchInside):
    def predict(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        a = x
        for w in weights:
            a = self.ops.sigmoid(self.ops.dot(a, w))
        return a

    def loss(self, weights: Weights, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return ((y - self.predict(weights, x)) ** 2).sum() / 2

    def gradient(self, weights: Weights, x: torch.Tensor, y: torch.Tensor) -> Weights:
        return torch.func.grad(self.loss)(weights, x, y)

    def update(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, lr: float) -> Weights:
        gradient = self.gradient(weights, x, y)
        return tuple(w - self.ops.product(lr, g) for w, g in zip(weights, gradient, strict=True))

    @taped
    def train(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, lr: float, n: int) -> Weights:
        for _ in range(n):
            weights = self.update(weights, x, y, lr)
        return weights
