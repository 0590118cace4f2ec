"""How lists and numbers are written in a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any

import numpy as np


def listed(names: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def some(names: Sequence[str]) -> str:
    """a, b, c and 7 more"""
    return listed(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3:,} more"


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


def at_most(value: float, digits: int = 2) -> str:
    """The first digits of a number that is not negative, rounded up, so that "at most" may stand before them."""
    rounded = Context(prec=digits, rounding=ROUND_CEILING).create_decimal(repr(float(value)))
    return f"{float(rounded):.{digits - 1}e}" if value else "0"


def percent(share: float) -> str:
    """A share in whole per cent, rounded up, so that "no more than" may stand before it."""
    return f"{math.ceil(100 * Decimal(repr(float(share))))}%" if math.isfinite(share) else f"{share:%}"


def exact(value: float) -> str:
    """The shortest text that is read as the same number; 1 and not 1.0."""
    return repr(float(value)).removesuffix(".0")


def first_three(weights: Iterable[Any], dtype: str) -> str:
    """The first three numbers of all the weights, with as many digits as the dtype has to show."""
    digits = 8 if dtype == "float64" else 6
    return " ".join(f"{v:.{digits}f}" for v in [v for w in weights for v in np.ravel(w)[:3]][:3])
