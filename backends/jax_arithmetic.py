"""The two arithmetics of the JAX backend: its own operations, and the reproducible ones.

Both are pytrees, so that they travel into compiled programs as arguments.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce, wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..common import reproducible

SMALL = 1024
"""Up to so many multiplications a product is a multiply and a sum, which XLA fuses with what is around it, and not a
call of a matrix product: that made updates of 4x3-4-1 and 16x8-8-1 networks 4.4 and 2.4 times as fast on the CPU, but
one of 16x16-16-1 2.3 times slower (`train` of both, float64, one core of an AMD EPYC, JAX 0.10.2, 2026-11-24)."""


UNROLLED = {"cuda": 50}
"""Updates in one turn of the loop, by device, 1 elsewhere: a GPU waits for each turn, which takes longer than a
small update."""
UNROLLED_INPUTS = 2**16
"""Up to so many numbers of input; with more, a turn takes longer than the waiting."""


def unrolled(device: str, x: jax.Array) -> int:
    """How many updates one turn of the loop should have."""
    return UNROLLED.get(device, 1) if x.size <= UNROLLED_INPUTS else 1


def loop(update: Callable[[Any], Any], weights: Any, n: Any, several: int) -> Any:
    """n times `update`, `several` in one turn, in the compiled program."""

    def turn(updates: int) -> Callable[[Any, Any], Any]:
        return lambda _, w: reduce(lambda w, _: update(w), range(updates), w)

    if several > 1:
        weights = jax.lax.fori_loop(0, n // several, turn(several), weights)
        n = n % several
    return jax.lax.fori_loop(0, n, turn(1), weights)


def compiled(method: Callable[..., Any]) -> Callable[..., Any]:
    """jit, with float64 switched on for this call alone."""
    jitted = jax.jit(method, inline=True)

    @wraps(method)
    def call(*args: Any) -> Any:
        with jax.enable_x64(True):
            return jitted(*args)

    call.jitted = jitted  # type: ignore[attr-defined]
    return call


class Native(NamedTuple):
    """What JAX and XLA do, and how JAX differentiates it."""

    def product(self, a: Any, b: Any) -> jax.Array:
        return a * b

    def dot(self, a: jax.Array, b: jax.Array) -> jax.Array:
        if a.size * b.shape[1] <= SMALL:
            return (a[:, :, None] * b).sum(1)
        return jnp.matmul(a, b, precision="highest")  # or a GPU may keep 10 bits of float32's 23 (TF32)

    def sigmoid(self, x: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(x)


@partial(jax.tree_util.register_dataclass, data_fields=["one"], meta_fields=[])
@dataclass(frozen=True)
class Space:
    """JAX under the names that `common.reproducible` uses, with the traced `one` that stops the FMA."""

    one: Any

    int64, float64 = jnp.int64, jnp.float64
    rint, clip = staticmethod(jnp.rint), staticmethod(jnp.clip)
    matmul, concatenate = staticmethod(jnp.matmul), staticmethod(jnp.concatenate)

    def product(self, a: Any, b: Any) -> jax.Array:
        c = a * b
        return c * self.one.astype(c.dtype)

    def ldexp(self, x: jax.Array, k: jax.Array) -> jax.Array:
        return x * reproducible.power(self, k.astype(jnp.int64))

    def block(self, x: jax.Array) -> int:
        return sys.maxsize  # XLA fuses, and needs no help to stay in the cache

    def cast(self, x: jax.Array, dtype: Any) -> jax.Array:
        return x.astype(dtype)

    def reach(self, x: jax.Array, axis: int) -> jax.Array:
        return abs(x).max(axis, keepdims=True)


@jax.custom_vjp
def _dot(space: Space, a: jax.Array, b: jax.Array) -> jax.Array:
    return reproducible.dot(space, a, b)


def _dot_forward(space: Space, a: jax.Array, b: jax.Array) -> tuple[jax.Array, Any]:
    return _dot(space, a, b), (space, a, b)


def _dot_backward(saved: Any, g: jax.Array) -> tuple[None, jax.Array, jax.Array]:
    space, a, b = saved
    return None, reproducible.dot(space, g, b.T), reproducible.dot(space, a.T, g)


_dot.defvjp(_dot_forward, _dot_backward)


@jax.custom_jvp
def _sigmoid(space: Space, x: jax.Array) -> jax.Array:
    return reproducible.sigmoid(space, x)


@_sigmoid.defjvp
def _sigmoid_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    s = _sigmoid(*primals)
    return s, tangents[1] * (s * (1 - s))


class Reproducible(NamedTuple):
    """What `common.reproducible` defines, with the derivative rules that grad composes."""

    space: Space

    @classmethod
    def on(cls, device: jax.Device) -> Reproducible:
        return cls(Space(jax.device_put(np.ones(()), device)))

    def product(self, a: Any, b: Any) -> jax.Array:
        return self.space.product(a, b)

    def dot(self, a: jax.Array, b: jax.Array) -> jax.Array:
        return _dot(self.space, a, b)

    def sigmoid(self, x: jax.Array) -> jax.Array:
        return _sigmoid(self.space, x)
