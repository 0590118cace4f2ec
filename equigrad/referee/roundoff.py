"""How far rounding alone may carry a correct backend from the exact gradient.

A first-order running error analysis (N. Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapter
3), carried out on the network's own values: every quantity travels with a bound on its error, and
each operation adds its own rounding. So the bound knows what a fixed tolerance cannot: that a sum which
cancels loses digits, and a saturated unit loses all of its slope's. The values themselves are computed in more
digits than the backend has (float64 for float32, the processor's extended precision for float64), which makes
the same pass a cheap reference, a thousand times nearer to the exact result than the backend has to be.

What is assumed of a backend:

* a sum of K products errs by at most min(K, 8 K / sqrt(D)) u times the sum of their magnitudes, in any order, with
  or without FMA: K by worst case; 8 sqrt(K) with probability 1 - 1e-13 where all are distinct (Higham and Mary, SIAM
  Journal on Scientific Computing 41, 2019), but of K products only D need be, and equal ones are rounded alike, again
  and again in one direction; plus 4 u times the largest factors' product, which sums in exact slices need;
* a sigmoid errs by at most 8 u: an absolute bound, for 0.5 (tanh(z/2) + 1) is a correct sigmoid too;
* a result below the smallest normal number may become zero.

u is half the machine epsilon: 1.1e-16 in float64, 6e-8 in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SIGMOID = 8
"""Allowed error of a sigmoid, in u. Measured: at most 1.25 u by the frameworks' own (2.5 ulp below 1/2)."""


class Bounded(NamedTuple):
    """Numbers, and how far a correct backend may be from them, in one shape."""

    value: np.ndarray
    """In the wider dtype of `wide`."""
    bound: np.ndarray
    """Absolute, float64; inf where the analysis can say nothing."""

    @property
    def T(self) -> Bounded:
        return Bounded(self.value.T, self.bound.T)

    def error(self, got: np.ndarray) -> np.ndarray:
        """|got - value|, element by element, in float64; NaN where `got` is NaN."""
        with np.errstate(invalid="ignore", over="ignore"):
            return np.abs(got.astype(self.value.dtype) - self.value).astype(np.float64)


class LayerBounds(NamedTuple):
    """What one layer holds, with bounds on |computed - exact|, in the shapes and with the signs of `ExactLayer`."""

    preactivation: Bounded
    activation: Bounded
    error: Bounded
    delta: Bounded
    gradient: Bounded


def wide(dtype: str) -> np.dtype:
    """The dtype that the reference for `dtype` is computed in."""
    return np.dtype(np.longdouble if dtype == "float64" else np.float64)


def doubt(dtype: str) -> float:
    """How far from its bound, as a share of it, an error may be for the reference to leave a doubt."""
    return 2 * float(np.finfo(wide(dtype)).eps / np.finfo(dtype).eps)


class Rounding(NamedTuple):
    """The two constants of a dtype: unit roundoff and the smallest normal number."""

    u: float
    tiny: float

    @classmethod
    def of(cls, dtype: str) -> Rounding:
        info = np.finfo(dtype)
        return cls(float(info.eps) / 2, float(info.tiny))

    def dot(self, a: Bounded, b: Bounded) -> Bounded:
        (p, dp), (q, dq), terms = _sizes(a), _sizes(b), a.value.shape[1]
        carried = dp @ q + p @ dq + dp @ dq
        distinct = np.maximum(self._distinct(a.value)[:, None], self._distinct(b.value.T))
        summed = self.u * np.minimum(terms, 8 * terms / np.sqrt(distinct)) * (p @ q)
        sliced = 4 * self.u * p.max(1, keepdims=True) * q.max(0, keepdims=True)
        return Bounded(a.value @ b.value, carried + summed + sliced + terms * self.tiny)

    def _distinct(self, factors: np.ndarray) -> np.ndarray:
        """How many numbers of each row (K,) differ by an eighth of a unit in the last place of K of them together."""
        terms = factors.shape[1]
        if terms <= 64:  # the worst case is no larger
            return np.ones(len(factors))
        units = self.u * terms * np.abs(factors).max(1, keepdims=True) / 4 + self.tiny
        cells = np.sort(np.floor(factors / units), axis=1)
        return 1.0 + (cells[:, 1:] != cells[:, :-1]).sum(1)

    def sigmoid(self, z: Bounded) -> Bounded:
        a = 1 / (1 + np.exp(-z.value))
        # |sigmoid''| <= 0.1 bounds what the first derivative leaves out.
        carried = np.minimum((a * (1 - a)).astype(float) * z.bound + 0.05 * z.bound**2, 1)
        return Bounded(a, carried + SIGMOID * self.u + self.tiny)

    def slope(self, a: Bounded) -> Bounded:
        slope = a.value * (1 - a.value)
        near = np.abs(1 - 2 * a.value).astype(float) * a.bound + a.bound**2
        return Bounded(slope, near + 8 * self.u * slope.astype(float) + self.tiny)

    def product(self, a: Bounded, b: Bounded) -> Bounded:
        (p, dp), (q, dq) = _sizes(a), _sizes(b)
        return Bounded(a.value * b.value, dp * q + p * dq + dp * dq + 4 * self.u * (p * q) + self.tiny)

    def difference(self, a: Bounded, b: Bounded) -> Bounded:
        value = a.value - b.value
        inherited = a.bound + b.bound
        return Bounded(value, inherited + 2 * self.u * (np.abs(value).astype(float) + inherited))


def _sizes(a: Bounded) -> tuple[np.ndarray, np.ndarray]:
    return np.abs(a.value).astype(float), a.bound


def exactly(array: np.ndarray, dtype: str) -> Bounded:
    """The numbers of `array`, taken as free of error, for a backend that computes in `dtype`."""
    return Bounded(array.astype(wide(dtype)), np.zeros(array.shape))


def network(ws: Sequence[Bounded], x: np.ndarray, y: np.ndarray, dtype: str) -> tuple[LayerBounds, ...]:
    """What each layer holds, with bounds, for weights with bounds, computed in `dtype`."""
    rounding = Rounding.of(dtype)
    zs, layers = [], [exactly(x, dtype)]
    with np.errstate(all="ignore"):
        for w in ws:
            zs.append(rounding.dot(layers[-1], w))
            layers.append(rounding.sigmoid(zs[-1]))
        error, result = rounding.difference(exactly(y, dtype), layers[-1]), []
        for i in reversed(range(len(ws))):
            delta = rounding.product(error, rounding.slope(layers[i + 1]))
            downhill = rounding.dot(layers[i].T, delta)
            opened = (zs[i], layers[i + 1], error, delta, Bounded(-downhill.value, downhill.bound))
            result.append(LayerBounds(*(Bounded(v, _known(b)) for v, b in opened)))
            if i:
                error = rounding.dot(delta, ws[i].T)
    return tuple(reversed(result))


def _known(bound: np.ndarray) -> np.ndarray:
    """`bound` with inf for NaN: an analysis that has overflowed says nothing."""
    return np.where(np.isnan(bound), np.inf, bound)


def bounds(weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray, dtype: str) -> tuple[LayerBounds, ...]:
    """Each layer's quantities, and how far from the exact ones they may be when they are computed in `dtype`."""
    return network([exactly(w, dtype) for w in weights], x, y, dtype)


def training(
    weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray, lr: float, n: int, dtype: str
) -> tuple[Bounded, ...]:
    """The weights after n updates with bounds, which grow with n, the faster the larger the learning rate."""
    rounding, ws = Rounding.of(dtype), [exactly(w, dtype) for w in weights]
    rate = exactly(np.array(lr), dtype)
    with np.errstate(all="ignore"):
        for _ in range(n):
            ws = [
                rounding.difference(w, rounding.product(rate, layer.gradient))
                for w, layer in zip(ws, network(ws, x, y, dtype), strict=True)
            ]
    return tuple(Bounded(v, _known(b)) for v, b in ws)
