"""What the arguments of public functions may look like: the same forms, and the same words, everywhere."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from .errors import UsageError


def several(values: Any) -> list[Any]:
    """The values as a list; one alone, be it a string, is a list of one."""
    if isinstance(values, str | bytes):
        return [values]
    try:
        return list(values)
    except TypeError:
        return [values]


def whole(what: str, value: Any) -> int:
    """`value`, of any type of whole numbers, as an int; raises UsageError for all else, 2.0 too."""
    try:
        return operator.index(value)
    except TypeError:
        raise UsageError(f"{what} must be a whole number, not {value!r}") from None


def count(what: str, value: Any) -> int:
    """`value` as an int of at least 1; raises UsageError for all else."""
    number = whole(what, value)
    if number < 1:
        raise UsageError(f"{what} must be at least 1, not {number}")
    return number


def seed_of(value: Any) -> int:
    """`value` as a seed that NumPy's generators take; raises UsageError for all else."""
    number = whole("the seed", value)
    if not 0 <= number < 2**32:
        raise UsageError(f"the seed must be between 0 and {2**32 - 1}, not {number}")
    return number


def positive(what: str, value: Any) -> float:
    """`value`, of any type of numbers, as a float; raises UsageError unless it is finite and above 0."""
    number = _number(value)
    if not 0 < number < math.inf:
        raise UsageError(f"{what} must be a positive finite number, not {value!r}")
    return number


def seconds(what: str, value: Any) -> float:
    """`value`, of any type of numbers, as a float; raises UsageError unless it is finite and at least 0."""
    number = _number(value)
    if not 0 <= number < math.inf:
        raise UsageError(f"{what} must be a finite number of seconds, at least 0, not {value!r}")
    return number


def _number(value: Any) -> float:
    """`value` as a float, NaN for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def matrix(what: str, values: Any, columns: int) -> np.ndarray:
    """Lists, or an array of any numbers, as float64 of shape (rows, columns); raises UsageError for all else."""
    try:
        given = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):  # rows of several lengths; a tensor that NumPy cannot read
        given = np.empty(0, object)
    if given.dtype.kind not in "fiub":
        raise UsageError(f"{what} must be an array of numbers of shape (rows, {columns}), or a list of such rows")
    if given.ndim != 2 or given.shape[1] != columns or not len(given):
        raise UsageError(f"{what} must have the shape (rows, {columns}), not {given.shape}")
    with np.errstate(over="ignore"):
        array = given.astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        raise UsageError(f"{what} must be finite numbers")
    return array
