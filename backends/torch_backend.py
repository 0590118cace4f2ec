"""The perceptron in PyTorch, its derivative by autograd."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from . import torch_operations
from .interface import Backend, LayerTrace, Weights
from .tape.tape import worthwhile
from .tape.torch_tape import repeat
from .torch_arithmetic import Native, Reproducible


@dataclass(frozen=True)
class TorchBackend(Backend):
    name = "torch"
    arithmetics = ("native", "reproducible")

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)

    @classmethod
    def environment(cls) -> dict[str, Any]:
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return {
            "version": torch.__version__,
            "threads": torch.get_num_threads(),
            "simd": torch.backends.cpu.get_cpu_capability(),
            "matmul_precision": torch.get_float32_matmul_precision(),
            "devices": list(cls.devices()),
            "gpus": gpus,
        }

    def __post_init__(self) -> None:
        if self.device == "cuda":  # or a float32 product may keep 10 bits of 23 (TF32)
            torch.set_float32_matmul_precision("highest")

    @cached_property
    def ops(self) -> Native | Reproducible:
        return Reproducible() if self.arithmetic == "reproducible" else Native()

    def from_numpy(self, array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, dtype=getattr(torch, self.dtype), device=self.device)

    def to_numpy(self, array: torch.Tensor) -> np.ndarray:
        return np.array(array.detach().cpu().numpy())

    def device_of(self, array: torch.Tensor) -> str:
        return array.device.type

    def predict(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        a = x
        for w in weights:
            a = self.ops.sigmoid(self.ops.dot(a, w))
        return a

    def gradient(self, weights: Weights, x: torch.Tensor, y: torch.Tensor) -> Weights:
        leaves = tuple(w.detach().requires_grad_() for w in weights)
        prediction = self.predict(leaves, x)
        return torch.autograd.grad(prediction, leaves, prediction.detach() - y)  # dL/da starts the chain rule

    def update(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, lr: float) -> Weights:
        gradient = self.gradient(weights, x, y)
        return tuple(w - self.ops.product(g, lr) for w, g in zip(weights, gradient, strict=True))

    def train(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, lr: float, n: int) -> Weights:
        if type(self) is TorchBackend and worthwhile(n, len(x), weights):  # a subclass may do what no tape holds
            return repeat(self.update, weights, x, y, lr, n)  # the same, into arrays that stay
        for _ in range(n):
            weights = self.update(weights, x, y, lr)
        return weights

    def trace(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, lr: float) -> tuple[LayerTrace, ...]:
        leaves = tuple(w.detach().requires_grad_() for w in weights)
        zs, layers = [], [x]
        for w in leaves:
            zs.append(self.ops.dot(layers[-1], w))
            layers.append(self.ops.sigmoid(zs[-1]))
        loss = ((y - layers[-1]) ** 2).sum() / 2
        grads = torch.autograd.grad(loss, [*layers[1:], *zs, *leaves])
        n = len(leaves)
        return tuple(
            LayerTrace(*(self.to_numpy(v) for v in (z, a, -e, -d, -self.ops.product(g, lr))))
            for z, a, e, d, g in zip(zs, layers[1:], grads[:n], grads[n : 2 * n], grads[2 * n :], strict=True)
        )

    replay, exp = torch_operations.replay, torch_operations.exp

    def synchronize(self, value: Any) -> Any:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return value
