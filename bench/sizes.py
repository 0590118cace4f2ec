"""Networks of any size to time, the sweep over them, and the memory that they would take."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..common.data import refuse_files
from ..common.errors import UsageError
from ..common.machine import free_memory
from ..common.nearest import unknown
from ..common.problem import PROBLEMS, Problem, bytes_needed, problem
from ..common.words import counted
from .clock import Table

UPDATES = 1000
COPIES = 4
"""How often the suite holds a workload at once: parent, pipe, NumPy and framework; idle contestants hold their own."""
PEAK = {"native": 3, "reproducible": 20}
"""How often the one that works holds it beyond that, at most: in docs/results 2.7 times, large and native, and 18,
medium and reproducible; rounded up."""


def chosen(name: str) -> Problem:
    """A built-in problem by its name, or one of a size such as 4096x256-256-10: samples x layers.

    Raises UsageError for a name that is neither.
    """
    refuse_files(
        [name], "only the size of your data matters here: give SAMPLESxINPUTS-HIDDEN-OUTPUTS, such as 4096x256-256-10"
    )
    if match := re.fullmatch(r"(\d+)x(\d+(?:-\d+)+)", name):
        return sized(int(match[1]), [int(size) for size in match[2].split("-")])
    if name in PROBLEMS:
        return problem(name)
    raise unknown("problem", name, PROBLEMS, " (a size: 4096x256-256-10)")


def sized(samples: int, layers: Sequence[int]) -> Problem:
    """Random data in [0, 1) for a network of that size, the same for the same size.

    Raises UsageError for a size of 0.
    """
    name = f"{samples}x{'-'.join(map(str, layers))}"
    if min(samples, *layers) < 1:
        raise UsageError(f"a size must be at least 1: '{name}'")
    check_memory([Shape(samples, layers)])
    generator = np.random.RandomState(samples)
    return Problem(
        name=name,
        inputs=generator.random_sample((samples, layers[0])),
        targets=generator.random_sample((samples, layers[-1])),
        layers=tuple(layers),
        updates=UPDATES,
        learning_rate=2.0 ** -math.ceil(math.log2(samples * max(layers)) + 2),
    )


class Shape(NamedTuple):
    """A size that is not built yet."""

    samples: int
    layers: Sequence[int]


def check_memory(shapes: Sequence[Shape], contestants: int = 1, arithmetics: Sequence[str] = ("native",)) -> None:
    """Raises UsageError if the largest of them will not fit, before anything is allocated."""
    free = free_memory()
    for shape in shapes:
        needed = bytes_needed(*shape, itemsize=8) * (COPIES + contestants + max(PEAK[each] for each in arithmetics))
        if free is not None and needed > free:
            name = f"{shape.samples}x{'-'.join(map(str, shape.layers))}"
            raise UsageError(
                f"{name} does not fit: about {needed / 1e9:,.1f} GB for {counted(contestants, 'contestant')}, "
                f"{free / 1e9:,.1f} GB are free"
            )


SWEEP = {
    "samples": [Shape(n, (16, 16, 1)) for n in (4, 40, 400, 4_000, 40_000)],
    "width": [Shape(64, (w, w, 1)) for w in (4, 16, 64, 256, 1024)],
    "depth": [Shape(64, (32,) * (d + 1)) for d in (1, 2, 4, 8, 16)],
}
"""One axis grows, the others stay. Together they span more than four decades of work per update."""


def sweep(axes: Sequence[str] = tuple(SWEEP)) -> list[Problem]:
    """The problems along these axes, refused as a whole if the largest does not fit."""
    chosen = [shape for axis in axes for shape in SWEEP[axis]]
    check_memory(chosen)
    return [sized(shape.samples, shape.layers) for shape in chosen]


def axis(table: Table) -> tuple[str, int] | None:
    """Which axis of the sweep a table belongs to, and where on it it is."""
    for name, shapes in SWEEP.items():
        for shape in shapes:
            if (shape.samples, list(shape.layers)) == (table.samples, list(table.layers)):
                return name, {"samples": shape.samples, "width": shape.layers[0], "depth": len(shape.layers) - 1}[name]
    return None


def series(tables: Sequence[Table]) -> Iterator[tuple[str, str, list[tuple[int, Table]]]]:
    """The tables along each axis of the sweep, each dtype by itself: (axis, dtype, where on it each table is)."""
    for name in SWEEP:
        for dtype in dict.fromkeys(table.dtype for table in tables):
            places = [(axis(table), table) for table in tables if table.dtype == dtype]
            if found := [(at[1], table) for at, table in places if at and at[0] == name]:
                yield name, dtype, found
