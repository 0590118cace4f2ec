"""The operations of NumPy's update one by one, each on given inputs, for `equigrad diverge`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .interface import LayerTrace, Weights
from .numpy_arithmetic import silent


@silent
def replay(
    backend: Any, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, given: tuple[LayerTrace, ...]
) -> tuple[LayerTrace, ...]:
    """See `Backend.replay`."""
    layers = [x, *(backend.from_numpy(layer.activation) for layer in given)]
    errors = [backend.from_numpy(layer.error) for layer in given]
    deltas = [backend.from_numpy(layer.delta) for layer in given]
    replayed = []
    for i, w in enumerate(weights):
        own = backend.ops.sigmoid(backend.from_numpy(given[i].preactivation))
        last = i == len(weights) - 1
        error = y - layers[-1] if last else backend.ops.dot(deltas[i + 1], weights[i + 1].T)
        delta = errors[i] * (own * (1 - own))
        change = backend.ops.product(lr, backend.ops.dot(layers[i].T, deltas[i]))
        replayed.append(LayerTrace(backend.ops.dot(layers[i], w), own, error, delta, change))
    return tuple(replayed)


@silent
def exp(backend: Any, x: np.ndarray) -> np.ndarray | None:
    """See `Backend.exp`."""
    return np.exp(x) if backend.arithmetic == "native" else None
