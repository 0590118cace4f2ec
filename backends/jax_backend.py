"""The perceptron in JAX, its derivative by grad, compiled by jit, the loop inside the compiled program."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import jax_operations
from .interface import Backend, LayerTrace, Weights
from .jax_arithmetic import Native, Reproducible, compiled, loop, unrolled


@partial(jax.tree_util.register_dataclass, data_fields=["ops"], meta_fields=["device", "dtype", "arithmetic"])
@dataclass(frozen=True)
class JaxBackend(Backend):
    name = "jax"
    arithmetics = ("native", "reproducible")

    ops: Any = field(default=None, repr=False)

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        try:
            return ("cpu", "cuda") if jax.devices("cuda") else ("cpu",)
        except RuntimeError:
            return ("cpu",)

    @classmethod
    def environment(cls) -> dict[str, Any]:
        return {
            "version": jax.__version__,
            "x64": "on inside each call" + (", and outside" if jax.config.jax_enable_x64 else ", off outside"),
            "matmul_precision": "highest, in each product",
            "devices": list(cls.devices()),
        }

    def __post_init__(self) -> None:
        if self.ops is None:
            with jax.enable_x64(True):
                ops = Reproducible.on(self.where) if self.arithmetic == "reproducible" else Native()
            object.__setattr__(self, "ops", ops)

    @property
    def where(self) -> jax.Device:
        return jax.devices(self.device)[0]

    def from_numpy(self, array: np.ndarray) -> jax.Array:
        with jax.enable_x64(True):
            return jax.device_put(np.array(array, dtype=self.dtype), self.where)

    def to_numpy(self, array: jax.Array) -> np.ndarray:
        return np.array(array)

    def device_of(self, array: jax.Array) -> str:
        (device,) = array.devices()
        return "cuda" if device.platform == "gpu" else device.platform

    @compiled
    def predict(self, weights: Weights, x: jax.Array) -> jax.Array:
        a = x
        for w in weights:
            a = self.ops.sigmoid(self.ops.dot(a, w))
        return a

    def loss(self, weights: Weights, x: jax.Array, y: jax.Array) -> jax.Array:
        return ((y - self.predict(weights, x)) ** 2).sum() / 2

    @compiled
    def gradient(self, weights: Weights, x: jax.Array, y: jax.Array) -> Weights:
        return jax.grad(self.loss)(weights, x, y)

    @compiled
    def update(self, weights: Weights, x: jax.Array, y: jax.Array, lr: float) -> Weights:
        gradient = self.gradient(weights, x, y)
        return tuple(w - self.ops.product(g, lr) for w, g in zip(weights, gradient, strict=True))

    @compiled
    def train(self, weights: Weights, x: jax.Array, y: jax.Array, lr: float, n: int) -> Weights:
        return loop(lambda w: self.update(w, x, y, lr), weights, n, unrolled(self.device, x))  # jax.lax.fori_loop

    def trace(self, weights: Weights, x: jax.Array, y: jax.Array, lr: float) -> tuple[LayerTrace, ...]:
        return tuple(LayerTrace(*map(self.to_numpy, layer)) for layer in self.opened(weights, x, y, lr))

    @compiled
    def opened(self, weights: Weights, x: jax.Array, y: jax.Array, lr: float) -> list[tuple[jax.Array, ...]]:
        zeros = [jnp.zeros((x.shape[0], w.shape[1]), x.dtype) for w in weights]

        def loss(weights: Weights, dz: list[jax.Array], da: list[jax.Array]) -> tuple[jax.Array, Any]:
            zs, layers = [], [x]
            for w, at_z, at_a in zip(weights, dz, da, strict=True):
                zs.append(self.ops.dot(layers[-1], w) + at_z)
                layers.append(self.ops.sigmoid(zs[-1]) + at_a)
            return ((y - layers[-1]) ** 2).sum() / 2, (zs, layers[1:])

        grads, (zs, layers) = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(weights, zeros, zeros)
        return [(z, a, -e, -d, -self.ops.product(g, lr)) for z, a, g, d, e in zip(zs, layers, *grads, strict=True)]

    replay, exp = jax_operations.replay, jax_operations.exp

    def synchronize(self, value: Any) -> Any:
        return jax.block_until_ready(value)
