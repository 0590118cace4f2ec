"""The perceptron in JAX, its derivative by grad, compiled by jit, the loop inside the compiled program."""

import jax

from .interface import Weights
from .jax_arrays import compiled, unrolled
from .jax_inside import JaxInside


class JaxBackend(JaxInside):
    @compiled
    def predict(self, weights: Weights, x: jax.Array) -> jax.Array:
        a = x
        for w in weights:
            a = self.ops.sigmoid(self.ops.dot(a, w))
        return a

    @compiled
    def loss(self, weights: Weights, x: jax.Array, y: jax.Array) -> jax.Array:
        return ((y - self.predict(weights, x)) ** 2).sum() / 2

    @compiled
    def gradient(self, weights: Weights, x: jax.Array, y: jax.Array) -> Weights:
        return jax.grad(self.loss)(weights, x, y)

    @compiled
    def update(self, weights: Weights, x: jax.Array, y: jax.Array, lr: float) -> Weights:
        gradient = self.gradient(weights, x, y)
        return tuple(w - self.ops.product(lr, g) for w, g in zip(weights, gradient, strict=True))

    @compiled
    @unrolled
    def train(self, weights: Weights, x: jax.Array, y: jax.Array, lr: float, n: int) -> Weights:
        return jax.lax.fori_loop(0, n, lambda _, w: self.update(w, x, y, lr), weights)
