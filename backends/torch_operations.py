"""The operations of PyTorch's update one by one, each on given inputs, for `equigrad diverge`."""

from __future__ import annotations

from typing import Any

import torch

from .interface import LayerTrace, Weights


def replay(
    backend: Any, weights: Weights, x: torch.Tensor, y: torch.Tensor, lr: float, given: tuple[LayerTrace, ...]
) -> tuple[LayerTrace, ...]:
    """See `Backend.replay`."""
    layers = [x, *(backend.from_numpy(layer.activation).requires_grad_() for layer in given)]
    leaves = tuple(w.detach().requires_grad_() for w in weights)
    errors = [backend.from_numpy(layer.error) for layer in given]
    deltas = [backend.from_numpy(layer.delta) for layer in given]
    zs = [backend.from_numpy(layer.preactivation).requires_grad_() for layer in given]
    products = [backend.ops.dot(a, w) for a, w in zip(layers, leaves, strict=False)]
    loss = ((y - layers[-1]) ** 2).sum() / 2
    replayed = []
    for i, z in enumerate(zs):
        own = backend.ops.sigmoid(z)
        last = i == len(zs) - 1
        later = (loss, None) if last else (products[i + 1], -deltas[i + 1])
        (e,) = torch.autograd.grad(later[0], layers[i + 1], later[1], retain_graph=True)
        (d,) = torch.autograd.grad(own, z, -errors[i])
        (g,) = torch.autograd.grad(products[i], leaves[i], -deltas[i], retain_graph=True)
        layer = products[i], own, -e, -d, -backend.ops.product(g, lr)
        replayed.append(LayerTrace(*map(backend.to_numpy, layer)))
    return tuple(replayed)


def exp(backend: Any, x: torch.Tensor) -> torch.Tensor | None:
    """See `Backend.exp`."""
    return torch.exp(x) if backend.arithmetic == "native" else None
