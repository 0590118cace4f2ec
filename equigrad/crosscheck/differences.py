"""How results and gradients differ, in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from .nesting import Leaves

LEAST_SHARE = 1e-4
"""A leaf is measured by at least this share of the largest of all leaves, however small its own numbers are."""


def equal(a: np.ndarray, b: np.ndarray, bound: float, floor: float = 0.0) -> bool:
    """Whether two arrays are the same but for `bound`, relative to the largest number, or for `floor`, absolute."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return bool((a == b).all())
    finite = np.isfinite(a)
    with np.errstate(invalid="ignore"):
        same = np.array_equal(a[~finite], b[~finite], equal_nan=True)
        return same and bool((np.abs(a[finite] - b[finite]) <= max(bound * largest(a[finite]), floor)).all())


def largest(*arrays: np.ndarray) -> float:
    """The largest absolute value in any of the arrays, 0 without one."""
    return max((float(np.abs(v).max(initial=0.0)) for v in arrays), default=0.0)


def unlike(
    a: Leaves,
    b: Leaves,
    bound: float,
    whose: str,
    mine: str = "its",
    floors: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """How the results of two functions differ, in words; empty if they do not, by more than `floors`, absolute."""
    if a.keys() != b.keys():
        return f"{mine} result has the parts {', '.join(a) or 'none'}, {whose} {', '.join(b) or 'none'}"
    for path, v in a.items():
        w = b[path]
        if v.size == 1 == w.size:
            v, w = v.reshape(()), w.reshape(())
        name = "value" if path == "result" else path
        if v.shape != w.shape:
            return f"{mine} {name} has shape {v.shape}, {whose} {w.shape}"
        if v.dtype.kind == "f" and not np.array_equal(np.isnan(v), np.isnan(w)):
            one, other = (mine, whose) if np.isnan(v[~np.isnan(w)]).any() else (whose, mine)
            return f"{one} {name} holds NaN where {other} does not"
        if not equal(v, w, bound, floors.get(path, 0.0)):
            if v.ndim == 0:
                return f"{mine} {name} is {v:.10g}, {whose} {w:.10g}"
            with np.errstate(invalid="ignore"):
                off = np.nan_to_num(np.abs(v.astype(float) - w), nan=np.inf)
            index = _worst(off)
            return f"{mine} {name} at {list(index)} is {v[index]:.10g}, {whose} {w[index]:.10g}"
    return ""


def gradients_unlike(torch: Leaves, jax: Leaves, path: str, bound: float, floor: float = 0.0) -> str:
    """How one leaf of two gradients differs, in words; empty if it does not, or if one has no such leaf."""
    a, b = torch.get(path), jax.get(path)
    if a is None or b is None or a.shape != b.shape or not a.size:
        return ""
    scale = max(_finite(a, b), LEAST_SHARE * _finite(*torch.values(), *jax.values()))
    with np.errstate(invalid="ignore"):
        off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    off = np.where(np.isnan(off), np.inf, off)
    if off.max() <= max(bound * scale, floor):
        return ""
    index = _worst(off)
    return f"at {list(index)} torch's derivative is {a[index]:.10g}, jax's {b[index]:.10g}"


def _finite(*arrays: np.ndarray) -> float:
    return largest(*(np.nan_to_num(v, nan=0.0, posinf=0.0, neginf=0.0) for v in arrays))


def _worst(off: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(off.argmax()), off.shape))


def unfit(gradient: Any, shape: tuple[int, ...], dtype: str) -> tuple[str, str] | None:
    """(outcome, message) for a gradient that cannot be compared at all."""
    if gradient is None:
        return "failed", "no such leaf in the gradient"
    array = np.asarray(gradient)
    if array.shape != shape:
        return "failed", f"has shape {array.shape} - expected {shape}"
    if str(array.dtype) != dtype:
        return "wrong-dtype", f"is {array.dtype} - expected {dtype}"
    if not np.isfinite(array).all():
        return "disagree", "holds NaN or inf"
    return None
