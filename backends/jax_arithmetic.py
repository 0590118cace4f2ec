"""The two arithmetics of the JAX backend: its own operations, and the reproducible ones."""

from __future__ import annotations

import operator
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..common import reproducible

matmul = partial(jnp.matmul, precision="highest")
"""Whatever jax_default_matmul_precision says: a GPU may keep 10 bits of float32's 23 (TF32), other settings fewer."""
SMALL = 1024
"""With at most this many multiplications a product is a multiply and a sum, which XLA fuses with what is around it, and
not a call of a matrix product: that made updates of 4x3-4-1 and 16x8-8-1 networks 4.4 and 2.4 times as fast on the CPU,
but one of 16x16-16-1 2.3 times slower (`train` of both, float64, one core of an AMD EPYC, JAX 0.10.2, 2026-11-24)."""


class Native:
    """What JAX and XLA do, and how JAX differentiates it."""

    product = staticmethod(operator.mul)
    sigmoid = staticmethod(jax.nn.sigmoid)

    @staticmethod
    def dot(a: jax.Array, b: jax.Array) -> jax.Array:
        if a.size * b.shape[1] <= SMALL:
            return (a[:, :, None] * b).sum(1)
        return matmul(a, b)


NAN: dict[int, Any] = {8: np.int64(0x7FF8000000000000), 4: np.int32(0x7FC00000)}
"""By itemsize, the bits of a NaN as an integer. No number has larger ones."""


@jax.custom_jvp
def rounded(c: jax.Array) -> jax.Array:
    """c itself, but what is added to it no compiler contracts with the product that it is.

    As integers, the lesser of c's bits and a NaN's are c's, as long as c is a number. XLA, LLVM and ptxas do not know.
    """
    nan = NAN[c.dtype.itemsize]
    return jnp.minimum(c.view(nan.dtype), nan).view(c.dtype)


rounded.defjvp(lambda primals, tangents: (rounded(*primals), tangents[0]))


@partial(jax.tree_util.register_dataclass, data_fields=["one"], meta_fields=[])
@dataclass(frozen=True)
class Space:
    """JAX under the names that `common.reproducible` uses.

    `one` is the argument of the compiled program that stops the FMA. In a program of the user's own (jit, scan, vmap)
    it would be a constant, which XLA folds away. There it is None, and `rounded`, which needs no argument,
    does the same at the price of an operation: 15 % of two-layer's update.
    """

    one: jax.Array | None

    int32, int64, float64 = jnp.int32, jnp.int64, jnp.float64
    rint, clip, concatenate = staticmethod(jnp.rint), staticmethod(jnp.clip), staticmethod(jnp.concatenate)
    matmul = staticmethod(matmul)

    def product(self, a: Any, b: Any) -> jax.Array:
        c = a * b
        return rounded(c) if self.one is None else c * self.one.astype(c.dtype)

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


class Reproducible:
    """What `common.reproducible` defines, with the derivative rules that grad composes."""

    def __init__(self, one: jax.Array | None) -> None:
        space = Space(one)
        self.product, self.dot, self.sigmoid = space.product, partial(_dot, space), partial(_sigmoid, space)
