"""PyTorch's update opened up: what each layer holds, and its operations one by one, for `equigrad diverge`."""

from __future__ import annotations

from typing import Any

import torch
from torch.func import grad, vjp

from .interface import LayerTrace, Weights
from .torch_arrays import TorchArrays


class TorchInside(TorchArrays):
    def trace(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, lr: float) -> tuple[LayerTrace, ...]:
        # -0 and not 0, since 0 + -0 is 0, and a zero in the trace would lose its sign
        zeros = [torch.full((len(x), w.shape[1]), -0.0, dtype=x.dtype, device=x.device) for w in weights]

        def loss(weights: Weights, dz: list[torch.Tensor], da: list[torch.Tensor]) -> tuple[torch.Tensor, Any]:
            zs, layers = [], [x]
            for w, at_z, at_a in zip(weights, dz, da, strict=True):
                zs.append(self.ops.dot(layers[-1], w) + at_z)  # the gradient of a zero that is added to z is dL/dz,
                layers.append(self.ops.sigmoid(zs[-1]) + at_a)  # and of one that is added to a it is dL/da
            return ((y - layers[-1]) ** 2).sum() / 2, (zs, layers[1:])

        grads, (zs, layers) = grad(loss, argnums=(0, 1, 2), has_aux=True)(weights, zeros, zeros)
        opened = zip(zs, layers, *grads, strict=True)
        return self._traces((z, a, -e, -d, -self.ops.product(lr, g)) for z, a, g, d, e in opened)

    def replay(
        self, weights: Weights, x: torch.Tensor, y: torch.Tensor, lr: float, given: tuple[LayerTrace, ...]
    ) -> tuple[LayerTrace, ...]:
        arrays = [tuple(map(self.from_numpy, layer)) for layer in given]
        zs, activations, errors, deltas, _ = zip(*arrays, strict=True)
        layers = [x, *activations]
        dots = [vjp(self.ops.dot, a, w) for a, w in zip(layers, weights, strict=False)]
        replayed = []
        for i, (product, backward) in enumerate(dots):
            own, slope = vjp(self.ops.sigmoid, zs[i])
            last = i == len(dots) - 1
            e = grad(lambda a: ((y - a) ** 2).sum() / 2)(layers[-1]) if last else dots[i + 1][1](-deltas[i + 1])[0]
            (d,), (_, g) = slope(-errors[i]), backward(-deltas[i])
            replayed.append((product, own, -e, -d, -self.ops.product(lr, g)))
        return self._traces(replayed)

    def _traces(self, layers: Any) -> tuple[LayerTrace, ...]:
        return tuple(LayerTrace(*map(self.to_numpy, layer)) for layer in layers)

    def exp(self, x: torch.Tensor) -> torch.Tensor | None:
        return torch.exp(x) if self.arithmetic == "native" else None
