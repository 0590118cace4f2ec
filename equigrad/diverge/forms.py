"""The ways in which an operation can be rounded, by name, and which of them a result shows.

IEEE 754 fixes each single + - * /, so a form that gives every bit of a result is how that result was made,
or cannot be told from it. NumPy computes the forms one rounded operation at a time; a fused multiply-add,
which it does not have, is computed exactly and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from ..common.ulp import differs

Form = Callable[..., np.ndarray]
Factors = list[tuple[np.ndarray, np.ndarray]]

FEW_TERMS, FEW_PRODUCTS = 16, 4096
"""Longer sums, or more products, are not taken apart: libraries cut them into blocks."""


def shown(result: np.ndarray, forms: dict[str, Form], inputs: tuple[np.ndarray | float, ...]) -> list[str]:
    """The names of the forms that give every bit of `result`."""
    with np.errstate(all="ignore"):
        return [name for name, form in forms.items() if _same(form(*inputs), result)]


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


def fused(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c rounded once, element by element; NaN where not finite."""
    a, b, c = np.broadcast_arrays(a, b, c)
    if a.size > FEW_PRODUCTS:
        return np.full(c.shape, np.nan, c.dtype)
    once = _fused if c.dtype == float else _fused_odd
    return np.asarray(once(*(v.astype(float) for v in (a, b, c))), dtype=float).astype(c.dtype)


def adds_up(w: np.ndarray, change: np.ndarray, after: np.ndarray, exact: bool) -> bool:
    """Whether `after` is w + change, but for numbers that a framework may flush to zero.

    Unless `exact`, it may also be w and a product, added up and rounded once, where that product rounds to `change`.
    """
    with np.errstate(all="ignore"):
        total = w + change
        part = total - w
        lost = (w - (total - part)) + (change - part)  # by rounding, exactly: Knuth's two-sum
        allowed = np.finfo(w.dtype).tiny + (0 if exact else (np.spacing(abs(change)) + np.spacing(abs(after))) / 2)
        return bool((~differs(total, after) | (abs((after - total) - lost) <= allowed)).all())


def _once(a: float, b: float, c: float, odd: bool = False) -> float:
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return math.nan
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    try:
        near = float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf
    if odd and exact != near and not np.float64(near).view(np.int64) & 1:
        return math.nextafter(near, math.inf if exact > near else -math.inf)
    return near


def _once_odd(a: float, b: float, c: float) -> float:
    """Where it is not exact, the neighbour in float64 whose last bit is 1: rounded again, to float32, it is right."""
    return _once(a, b, c, odd=True)


_fused, _fused_odd = np.frompyfunc(_once, 3, 1), np.frompyfunc(_once_odd, 3, 1)


def _rounded(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return a * b + c


def _chain(factors: Factors, add: Form) -> np.ndarray:
    total = factors[0][0] * factors[0][1]
    for a, b in factors[1:]:
        total = add(a, b, total)
    return total


ARRANGEMENTS: dict[str, Callable[[Factors], list[Factors]]] = {
    "index order": lambda f: [f],
    "index order, from the second": lambda f: [f[1::-1] + f[2:]],
    "reverse order": lambda f: [f[::-1]],
    "two lanes": lambda f: [f[::2], f[1::2]],
    "halves": lambda f: [f[: len(f) // 2], f[len(f) // 2 :]],
}
"""In what order a sum is taken: as one chain, or as two that are added at the end."""


def _order(arrangement: str, add: Form) -> Form:
    def dot(a: np.ndarray, b: np.ndarray, lr: float = 1.0) -> np.ndarray:
        n, k = a.shape
        if k > FEW_TERMS or n * k * b.shape[1] > FEW_PRODUCTS:
            return np.empty(0)
        chains = ARRANGEMENTS[arrangement]([(a[:, i : i + 1], b[i : i + 1, :]) for i in range(k)])
        sums = [_chain(factors, add) for factors in chains if factors]
        return a.dtype.type(lr) * (sums[0] if len(sums) == 1 else sums[0] + sums[1])

    return dot


DOTS: dict[str, Form] = {
    **{f"products rounded, summed in {name}": _order(name, _rounded) for name in ARRANGEMENTS},
    **{f"fused multiply-adds in {name}": _order(name, fused) for name in ARRANGEMENTS},
    "NumPy's own dot": lambda a, b, lr=1.0: a.dtype.type(lr) * np.dot(a, b),
}
"""The matrix product of a (N, K) and b (K, M), times the learning rate where there is one."""

BACKWARD_DOTS: dict[str, Form] = {
    **{name: lambda d, w, after, form=form: form(d, w) for name, form in DOTS.items()},
    **{
        f"with the next layer's weights after their update, {name}": lambda d, w, after, form=form: form(d, after)
        for name, form in DOTS.items()
    },
}
"""A hidden layer's error, from the next layer's delta and its weights, transposed, before and after the update."""

DERIVATIVES: dict[str, Form] = {
    "g * (s * (1 - s))": lambda g, s: g * (s * (1 - s)),
    "(g * (1 - s)) * s": lambda g, s: (g * (1 - s)) * s,
    "(g * s) * (1 - s)": lambda g, s: (g * s) * (1 - s),
    "g * (s - s * s)": lambda g, s: g * (s - s * s),
    "g * s - g * s * s": lambda g, s: g * s - g * s * s,
    "g * s - g * (s * s)": lambda g, s: g * s - g * (s * s),
    "g * fma(-s, s, s)": lambda g, s: g * fused(-s, s, s),
}
"""The derivative of the sigmoid, from what comes from behind, g, and the activation s."""

ERRORS: dict[str, Form] = {"y - a": lambda y, a: y - a}

UPDATES: dict[str, Form] = {
    "product rounded, then added": lambda w, g, lr: w + w.dtype.type(lr) * g,
    "one fused multiply-add": lambda w, g, lr: fused(np.full_like(g, lr), g, w),
    "left out, the weights stay as they were": lambda w, g, lr: w,
}
"""The new weights, from the old ones, the gradient downhill g, and the learning rate."""

SIGMOIDS: dict[str, Form] = {
    "1 / (1 + exp(-z)) with its own exp": lambda e, s, z: 1 / (1 + e),
    "0.5 * (1 + tanh(z / 2))": lambda e, s, z: 0.5 * (1 + np.tanh(z / 2)),
    "0.5 * tanh(z / 2) + 0.5": lambda e, s, z: 0.5 * np.tanh(z / 2) + 0.5,
    "in float32, then widened": lambda e, s, z: s.astype(np.float32).astype(np.float64),
}
"""The activation, from exp(-z), itself and z; tanh is NumPy's own.

A float32 activation is never one that was widened: its dtype is another.
"""
