"""The rows that readers look for first: each framework as people write it, and as this suite's `train` runs it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from ..common.headline import WRITTEN, written
from .clock import Row, Table


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


def compile_time(tables: Sequence[Table]) -> str:
    """What that column holds; in older results a part of it is elsewhere."""
    lacking = {row.once_seconds is None for table in tables for row in table.timed if row.updates > 1}
    compiling, once = (
        "the time of the first update minus that of the second",
        "what each call of train does once, such as recording",
    )
    if lacking == {True}:
        return f"{compiling}; {once}, counts in us per update but not in the updates until ahead"
    return f"{compiling}, and {once}" + "; older results have the latter in us per update" * (True in lacking)


def _timed(table: Table, name: str) -> Row | None:
    row = table.row(name)
    return row if row is not None and row.timed else None
