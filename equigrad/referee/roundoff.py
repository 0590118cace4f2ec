"""How far rounding alone may carry a correct backend from the exact gradient.

A first-order running error analysis (N. Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapter
3), carried out in float64 on the network's own values: every quantity travels with a bound on its error, and
each operation adds its own rounding. So the bound knows what a fixed tolerance cannot: that a sum which
cancels loses digits, and a saturated unit loses all of its slope's. What is assumed of a backend:

* a sum of K products errs by at most min(K, 8 sqrt(K)) u times the sum of their magnitudes, in any order, with
  or without FMA: K by worst case, 8 sqrt(K) with probability 1 - 1e-13 (Higham and Mary, SIAM Journal on
  Scientific Computing 41, 2019); plus 4 u times the largest factors' product, which sums in exact slices need;
* a sigmoid errs by at most 8 u: an absolute bound, for 0.5 (tanh(z/2) + 1) is a correct sigmoid too;
* a result below the smallest normal number may become zero.

u is half the machine epsilon: 1.1e-16 in float64, 6e-8 in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

SIGMOID = 8
"""Allowed error of a sigmoid, in u. Measured: at most 1.25 u by the frameworks' own (2.5 ulp below 1/2)."""


class LayerBounds(NamedTuple):
    """Bounds on |computed - exact|, absolute, in the shapes of `LayerTrace`; `gradient` as its `change`."""

    preactivation: np.ndarray
    activation: np.ndarray
    error: np.ndarray
    delta: np.ndarray
    gradient: np.ndarray


class Value(NamedTuple):
    """Numbers and a bound on their error, in one shape."""

    value: np.ndarray
    error: np.ndarray

    @property
    def T(self) -> Value:
        return Value(self.value.T, self.error.T)


class Rounding(NamedTuple):
    """The two constants of a dtype: unit roundoff and the smallest normal number."""

    u: float
    tiny: float

    @classmethod
    def of(cls, dtype: str) -> Rounding:
        info = np.finfo(dtype)
        return cls(float(info.eps) / 2, float(info.tiny))

    def dot(self, a: Value, b: Value) -> Value:
        (p, dp), (q, dq), terms = (abs(a.value), a.error), (abs(b.value), b.error), a.value.shape[1]
        carried = dp @ q + p @ dq + dp @ dq
        summed = self.u * min(terms, 8 * terms**0.5) * (p @ q)
        sliced = 4 * self.u * p.max(1, keepdims=True) * q.max(0, keepdims=True)
        return Value(a.value @ b.value, carried + summed + sliced + terms * self.tiny)

    def sigmoid(self, z: Value) -> Value:
        with np.errstate(over="ignore"):
            a = 1 / (1 + np.exp(-z.value))
        # |sigmoid''| <= 0.1 bounds what the first derivative leaves out.
        carried = np.minimum(a * (1 - a) * z.error + 0.05 * z.error**2, 1)
        return Value(a, carried + SIGMOID * self.u + self.tiny)

    def slope(self, a: Value) -> Value:
        slope = a.value * (1 - a.value)
        return Value(slope, abs(1 - 2 * a.value) * a.error + a.error**2 + 8 * self.u * slope + self.tiny)

    def product(self, a: Value, b: Value) -> Value:
        carried = a.error * abs(b.value) + abs(a.value) * b.error + a.error * b.error
        return Value(a.value * b.value, carried + 4 * self.u * abs(a.value * b.value) + self.tiny)

    def difference(self, a: Value, b: Value) -> Value:
        value = a.value - b.value
        return Value(value, a.error + b.error + 2 * self.u * (abs(value) + a.error + b.error))


def exactly(array: np.ndarray) -> Value:
    """The numbers of `array`, taken as free of error."""
    return Value(array.astype(np.float64), np.zeros(array.shape))


def network(rounding: Rounding, ws: Sequence[Value], x: np.ndarray, y: np.ndarray) -> list[list[Value]]:
    """Each layer's z, a, error, delta and -gradient, with bounds, for weights with bounds."""
    zs, layers = [], [exactly(x)]
    for w in ws:
        zs.append(rounding.dot(layers[-1], w))
        layers.append(rounding.sigmoid(zs[-1]))
    error, result = rounding.difference(exactly(y), layers[-1]), []
    for w, z, (before, a) in reversed(list(zip(ws, zs, pairwise(layers), strict=True))):
        delta = rounding.product(error, rounding.slope(a))
        result.append([z, a, error, delta, rounding.dot(before.T, delta)])
        error = rounding.dot(delta, w.T)
    return result[::-1]


def bounds(weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray, dtype: str) -> tuple[LayerBounds, ...]:
    """How far each layer's quantities, computed in `dtype`, may be from the exact ones."""
    layers = network(Rounding.of(dtype), [exactly(w) for w in weights], x, y)
    return tuple(LayerBounds(*(v.error for v in layer)) for layer in layers)


def training_bounds(
    weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray, lr: float, n: int, dtype: str
) -> tuple[np.ndarray, ...]:
    """How far the weights after n updates may be from the exact ones; it grows with n, so meant for a few."""
    rounding, ws = Rounding.of(dtype), [exactly(w) for w in weights]
    for _ in range(n):
        gradients = [layer[-1] for layer in network(rounding, ws, x, y)]
        ws = [
            rounding.difference(w, rounding.product(exactly(np.array(-lr)), g))
            for w, g in zip(ws, gradients, strict=True)
        ]
    return tuple(w.error for w in ws)
