"""Where two curves of cost cross: the sizes at which two backends break even."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise


def crossings(a: Mapping[int, float], b: Mapping[int, float]) -> list[tuple[float, float]]:
    """(size, cost) where two curves cross, straight lines between the sizes that both have, on a log-log scale.

    `a` and `b` are costs by size; what has no logarithm is passed over.
    """
    found = []
    for left, right in pairwise(sorted(a.keys() & b.keys())):
        if min(a[left], b[left], a[right], b[right], left) <= 0:
            continue
        before, after = math.log(a[left] / b[left]), math.log(a[right] / b[right])
        if (before < 0) != (after < 0):
            t = before / (before - after)
            found.append((left * (right / left) ** t, a[left] * (a[right] / a[left]) ** t))
    return found
