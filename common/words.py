"""How lists and numbers are written in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def listed(names: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def a(value: object) -> str:
    """The type of a value, with its article: an int."""
    name = type(value).__name__
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"


def counted(number: int, what: str) -> str:
    """1 update, 10,000 updates"""
    return f"{number:,} {what}{'s' * (number != 1)}"


def short(value: float | None) -> str:
    """Two digits of a small number, 0 for zero, nothing for what is not known."""
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"


def first_three(weights: Iterable[Any], dtype: str) -> str:
    """The first three numbers of all the weights, with as many digits as the dtype has to show."""
    digits = 8 if dtype == "float64" else 6
    return " ".join(f"{v:.{digits}f}" for v in [v for w in weights for v in np.ravel(w)[:3]][:3])
