"""The rows that readers look for first: each framework as people write it, and as this suite's `train` runs it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from .clock import Row, Table
from .workload import Contestant

WRITTEN = {
    "numpy": ("expressions", "NumPy expressions"),
    "torch": ("loss.backward()", "loss.backward(), then w -= lr * w.grad"),
    "jax": ("jitted step from Python", "one call of a jitted step"),
}
"""One update at a time from Python: the row's name behind the framework's, and what the code says."""
TRAIN = {
    "numpy": "the calls of one update, recorded once and repeated into the same arrays",
    "torch": "autograd runs once; the operations that it made are recorded and repeated",
    "jax": "the whole loop is one compiled program",
}
"""What `train` does to be faster, so that nobody takes its rows for what a framework costs."""


@dataclass(frozen=True)
class Way:
    """One row of the headline."""

    spec: str
    """Framework and device: torch, torch:cuda."""
    how: str
    row: Row
    written: bool
    """As people write it, and not by `train`."""
    pays: str
    """From how many updates on, compilation included, it is faster than NumPy as people write it."""
    pays_at_home: str
    """The same against its own framework as people write it; '' for that one itself."""


def written(spec: str) -> str:
    """The name of the row of that framework and device as people write it."""
    return f"{spec}, {WRITTEN[spec.partition(':')[0]][0]}"


def is_written(row: Row | Contestant) -> bool:
    """Whether the row, or who is to have it, is one of those."""
    return any(row.name.partition(", ")[2] == name for name, _ in WRITTEN.values()) and row.group in WRITTEN


def ways(table: Table) -> Iterator[Way]:
    """The headline of one table, NumPy first; nothing for a table without such rows."""
    numpy = _timed(table, written("numpy"))
    for spec in dict.fromkeys(row.name.partition(" ")[0] for row in table.rows if row.group == "backend"):
        framework = spec.partition(":")[0]
        if framework not in WRITTEN or (home := _timed(table, written(spec))) is None:
            continue
        yield Way(spec, WRITTEN[framework][1], home, True, "" if home is numpy else pays(home, numpy), "")
        for name, how in ((spec, "train"), (f"{spec} reproducible", "train, reproducible")):
            if row := _timed(table, name):
                yield Way(spec, how, row, False, pays(row, numpy), pays(row, home))


def pays(row: Row, other: Row | None) -> str:
    """From how many updates on `row`, compilation included, takes less time than `other`; 'never' is an answer."""
    if other is None:
        return ""
    gain = median(other.samples) - median(row.samples)
    if gain <= 0:
        return "never"
    return f"{max(1, math.ceil((row.compile_seconds - other.compile_seconds) / gain)):,}"


def _timed(table: Table, name: str) -> Row | None:
    row = table.row(name)
    return row if row is not None and row.timed else None


def shown(row: Row) -> str:
    """What the row is called in tables: that of a backend is its `train`, beside ways to write the update."""
    return f"{row.name}, train" if row.group == "backend" else row.name
