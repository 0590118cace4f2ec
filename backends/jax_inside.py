"""JAX's update opened up: what each layer holds, and its operations one by one, for `equigrad diverge`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import grad, vjp

from .interface import LayerTrace, Weights
from .jax_arrays import JaxArrays, compiled

Layers = list[tuple[jax.Array, ...]]


class JaxInside(JaxArrays):
    compiles = True

    def trace(self, weights: Weights, x: jax.Array, y: jax.Array, lr: float) -> tuple[LayerTrace, ...]:
        return self._traces(self._opened(weights, x, y, lr))

    @compiled
    def _opened(self, weights: Weights, x: jax.Array, y: jax.Array, lr: float) -> Layers:
        zeros = [jnp.zeros((len(x), w.shape[1]), x.dtype) for w in weights]

        def loss(weights: Weights, dz: list[jax.Array], da: list[jax.Array]) -> tuple[jax.Array, Any]:
            zs, layers = [], [x]
            for w, at_z, at_a in zip(weights, dz, da, strict=True):
                zs.append(self.ops.dot(layers[-1], w) + at_z)  # the gradient of a zero that is added to z is dL/dz,
                layers.append(self.ops.sigmoid(zs[-1]) + at_a)  # and of one that is added to a it is dL/da
            return ((y - layers[-1]) ** 2).sum() / 2, (zs, layers[1:])

        grads, (zs, layers) = grad(loss, argnums=(0, 1, 2), has_aux=True)(weights, zeros, zeros)
        opened = zip(zs, layers, *grads, strict=True)
        return [(z, a, -e, -d, -self.ops.product(lr, g)) for z, a, g, d, e in opened]

    def replay(
        self, weights: Weights, x: jax.Array, y: jax.Array, lr: float, given: tuple[LayerTrace, ...]
    ) -> tuple[LayerTrace, ...]:
        return self._traces(self._replayed(weights, x, y, lr, [tuple(map(self.from_numpy, layer)) for layer in given]))

    @compiled
    def _replayed(self, weights: Weights, x: jax.Array, y: jax.Array, lr: float, given: Layers) -> Layers:
        zs, activations, errors, deltas, _ = zip(*given, strict=True)
        layers = [x, *activations]
        dots = [vjp(self.ops.dot, a, w) for a, w in zip(layers, weights, strict=False)]
        replayed = []
        for i, (product, backward) in enumerate(dots):
            own, slope = vjp(self.ops.sigmoid, zs[i])
            last = i == len(dots) - 1
            e = grad(lambda a: ((y - a) ** 2).sum() / 2)(layers[-1]) if last else dots[i + 1][1](-deltas[i + 1])[0]
            (d,), (_, g) = slope(-errors[i]), backward(-deltas[i])
            replayed.append((product, own, -e, -d, -self.ops.product(lr, g)))
        return replayed

    def _traces(self, layers: Layers) -> tuple[LayerTrace, ...]:
        return tuple(LayerTrace(*map(self.to_numpy, layer)) for layer in layers)

    def exp(self, x: jax.Array) -> jax.Array | None:
        return self._exp(x) if self.arithmetic == "native" else None

    @compiled
    def _exp(self, x: jax.Array) -> jax.Array:
        return jnp.exp(x)
