"""The operations of JAX's update one by one, each on given inputs, for `equigrad diverge`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .interface import LayerTrace, Weights
from .jax_arithmetic import compiled


def replay(
    backend: Any, weights: Weights, x: jax.Array, y: jax.Array, lr: float, given: tuple[LayerTrace, ...]
) -> tuple[LayerTrace, ...]:
    """See `Backend.replay`."""
    arrays = [tuple(map(backend.from_numpy, layer)) for layer in given]
    replayed = _operations(backend, weights, x, y, lr, arrays)
    return tuple(LayerTrace(*map(backend.to_numpy, layer)) for layer in replayed)


@compiled
def _operations(
    backend: Any, weights: Weights, x: jax.Array, y: jax.Array, lr: float, given: list[tuple[jax.Array, ...]]
) -> list[tuple[jax.Array, ...]]:
    zs, activations, errors, deltas, _ = zip(*given, strict=True)
    layers = [x, *activations]
    dots = [jax.vjp(backend.ops.dot, a, w) for a, w in zip(layers, weights, strict=False)]
    loss = jax.grad(lambda a: ((y - a) ** 2).sum() / 2)
    replayed = []
    for i, (product, backward) in enumerate(dots):
        own, slope = jax.vjp(backend.ops.sigmoid, zs[i])
        last = i == len(dots) - 1
        e = loss(layers[-1]) if last else dots[i + 1][1](-deltas[i + 1])[0]
        (d,), (_, g) = slope(-errors[i]), backward(-deltas[i])
        replayed.append((product, own, -e, -d, -backend.ops.product(g, lr)))
    return replayed


def exp(backend: Any, x: jax.Array) -> jax.Array | None:
    """See `Backend.exp`."""
    return _exp(x) if backend.arithmetic == "native" else None


@compiled
def _exp(x: jax.Array) -> jax.Array:
    return jnp.exp(x)
