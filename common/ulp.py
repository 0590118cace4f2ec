"""Distances between floating-point numbers, in units in the last place (ULP), and hashes of their bits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

FAR = 2**64 - 1
"""The distance to or from a NaN: farther than any two numbers are apart."""


def ulp_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many representable numbers lie between a and b, element by element, as uint64.

    Right across zero, between subnormals and up to inf: the numbers are ranked, and ranks subtracted.
    +0 and -0 are 0 apart, as are two NaN; a NaN and anything else are FAR apart.

    Raises TypeError unless a and b have one dtype, float64 or float32: a distance between dtypes has no
    meaning, and a comparison that allowed it would hide a backend that computed in the wrong one.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype or a.dtype not in (np.float64, np.float32):
        raise TypeError(f"ULP distance needs two arrays of float64 or of float32, not {a.dtype} and {b.dtype}")
    rank_a, rank_b = _rank(a), _rank(b)
    distance = np.where(rank_a > rank_b, rank_a - rank_b, rank_b - rank_a)
    nan_a, nan_b = np.isnan(a), np.isnan(b)
    return np.where(nan_a | nan_b, np.where(nan_a & nan_b, np.uint64(0), np.uint64(FAR)), distance)


def _rank(a: np.ndarray) -> np.ndarray:
    """The position of each number among all numbers of its dtype, as uint64; 2**63 is zero."""
    magnitude = np.abs(a).view(f"u{a.itemsize}").astype(np.uint64)
    zero = np.uint64(2**63)
    return np.where(np.signbit(a), zero - magnitude, zero + magnitude)


def max_ulp(a: Iterable[np.ndarray], b: Iterable[np.ndarray]) -> int:
    """The largest ULP distance over two sequences of arrays, 0 if they hold no element."""
    return max((int(ulp_distance(v, w).max(initial=0)) for v, w in zip(a, b, strict=True)), default=0)


def max_difference(a: Iterable[np.ndarray], b: Iterable[np.ndarray]) -> float:
    """The largest |a - b| over two sequences of arrays; NaN as soon as one element is NaN or inf - inf."""
    with np.errstate(invalid="ignore", over="ignore"):
        return float(
            max(
                (np.abs(v - w).max(initial=0.0) for v, w in zip(a, b, strict=True)),
                default=0.0,
                key=_nan_first,
            )
        )


def _nan_first(value: float) -> float:
    return np.inf if np.isnan(value) else float(value)


def narrow(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both rounded to the narrower of their dtypes, the only one in which they can be the same."""
    dtype = min(a.dtype, b.dtype, key=lambda d: d.itemsize)
    with np.errstate(over="ignore"):
        return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


def differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where the bits differ in the narrower dtype, element by element: +0 and -0 differ, two NaN never do."""
    a, b = narrow(a, b)
    return ~(((a == b) & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b)))


def any_differs(a: Iterable[np.ndarray], b: Iterable[np.ndarray]) -> bool:
    """Whether any number differs, see `differs`. Equal bytes, the usual case, are told cheaply."""
    return any(
        (v.dtype != w.dtype or v.tobytes() != w.tobytes()) and bool(differs(v, w).any())
        for v, w in zip(a, b, strict=True)
    )


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The distance in ULP of the narrower dtype, element by element, as uint64."""
    return ulp_distance(*narrow(a, b))


def farthest(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> tuple[int, float]:
    """The largest distance in ULP and the largest |a - b|, each over all elements; NaN where one is NaN."""
    pairs = [narrow(v, w) for v, w in zip(a, b, strict=True)]
    with np.errstate(invalid="ignore", over="ignore"):
        absolute = [np.where(differs(v, w), np.abs(v - w), 0).max(initial=0.0) for v, w in pairs]
    return max_ulp(*zip(*pairs, strict=True)), float(np.max(absolute))


def sha256(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 over each array's bytes: C order, little-endian, in its own dtype, first array first."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
