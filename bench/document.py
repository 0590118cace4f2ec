"""docs/benchmarks.md, made from the results and from nothing else:

python -m equigrad.bench.document docs/results/*.json > docs/benchmarks.md
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import present, sizes
from .clock import Row, Table, ratio, short, verdict
from .results import MACHINE, Result, load

INTRODUCTION = """# Benchmarks

Every number here was printed by the command above it, on the machine under it; `make bench` runs them all again.
A row is timed only if the weights of that very run agree with NumPy's; the hash beside the number is theirs, and the
samples are in the JSON file. All rows of a table ran in turn, round by round, each in a process of its own with the
same number of threads; "times" is the median of the ratios within each round, with their quartiles. The first update,
which compiles, is not in it: it has a column of its own. How this is measured: `bench/clock.py`, `bench/worker.py`.
"""


@dataclass(frozen=True)
class Target:
    """A ratio that the project set out to reach."""

    what: str
    row: str
    base: str
    problem: str
    most: float


TARGETS = (
    *(
        Target(f"{row} against {base}", row, base, problem, most)
        for row, base, one, two in (
            ("numpy", "Trask's way, a NumPy script", 0.45, 0.45),
            ("torch", "torch, nn.Linear and optim.SGD", 0.24, 0.31),
            ("torch, torch.compile of the loop", "torch, nn.Linear and optim.SGD", 0.05, 0.06),
            ("jax", "C, vectorised exp", 2.2, 2.8),
            ("jax", "jax, jitted step from Python", 0.012, 0.02),
            ("numpy reproducible", "numpy", 3.0, 3.0),
            ("torch reproducible", "torch", 3.0, 3.0),
            ("jax reproducible", "jax", 1.1, 1.1),
        )
        for problem, most in (("one-layer", one), ("two-layer", two))
    ),
    *(
        Target(f"{name} against its library's own products", name, f"{name}, products alone", size, most)
        for size, numpy in (("4096x256-256-10", 1.25), ("16384x1024-1024-10", 1.15))
        for name, most in (("numpy", numpy), ("torch", 1.15), ("jax", 1.15))
    ),
)


def document(files: Sequence[Path]) -> str:
    """The page. Raises UsageError for a file that is no result."""
    results = [(path, load(str(path))) for path in sorted(files)]
    parts = [INTRODUCTION]
    reached = list(_targets([table for _, result in results for table in result.tables]))
    if reached:
        parts.append("## What was aimed at, and what came out\n")
        parts.append(
            "\n".join(["| ratio | network | at most | measured | |", "|---|---|--:|--:|---|", *reached]) + "\n"
        )
    for path, result in results:
        parts.append(f"## {path.stem}\n")
        parts.append(f"    {result.command}\n")
        parts.append(f"{_machine(result)} Made {result.made}. All samples: [{path.name}](results/{path.name}).\n")
        swept = [table for table in result.tables if sizes.axis(table)]
        parts += _sweep(swept) if swept else [part for table in result.tables for part in _table(table)]
    return "\n".join(parts).rstrip() + "\n"


def _targets(tables: Sequence[Table]) -> Iterator[str]:
    for target in TARGETS:
        for table in tables:
            row, base = table.row(target.row), table.row(target.base)
            if table.problem == target.problem and row and base and row.timed and base.timed:
                found = ratio(row.samples, base.samples)
                outcome = "reached" if found.median <= target.most else "missed"
                yield f"| {target.what} | {table.problem} {table.dtype} | {target.most:g} | {found} | {outcome} |"


def _machine(result: Result) -> str:
    facts = {name: result.passport.get(name) for name in MACHINE}
    versions = ", ".join(f"{name} {version}" for name, version in (facts["versions"] or {}).items() if version)
    return f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, Python {facts['python']}, {versions}."


def _table(table: Table) -> list[str]:
    lines = [
        "| | outcome | distance to NumPy | us per update | middle half | "
        f"times {table.base} | first update, ms | SHA-256 |",
        "|---|---|--:|--:|--:|--:|--:|---|",
    ]
    base = table.row(table.base)
    for row in table.rows:
        if row.timed:
            times = str(ratio(row.samples, base.samples)) if base and base.timed else ""
            lines.append(f"| {row.name} | {row.outcome} | {_numbers(row)} | {times} | {_first(row)} |")
        else:
            lines.append(f"| {row.name} | {row.outcome}: {row.message.replace('|', '/')} | | | | | | |")
    return [f"### {present.title(table)}\n", "\n".join(lines) + "\n", verdict(table) + "\n"]


def _numbers(row: Row) -> str:
    low, median, high = present.quartiles(row.samples)
    distance = f"{row.distance:.0e}" if row.distance else "0"
    return f"{distance} | {short(1e6 * median)} | {short(1e6 * low)} to {short(1e6 * high)}"


def _first(row: Row) -> str:
    return f"{short(1e3 * (row.first_call_seconds or 0))} | `{(row.weights_sha256 or '')[:12]}`"


def _sweep(tables: Sequence[Table]) -> list[str]:
    parts = []
    for name in sizes.SWEEP:
        found = [(at[1], table) for table in tables if (at := sizes.axis(table)) and at[0] == name]
        names = list(dict.fromkeys(row.name for _, table in found for row in table.rows))
        lines = [f"| {name} | multiplications | {' | '.join(names)} |", "|--:" * (2 + len(names)) + "|"]
        for value, table in found:
            cells = (
                short(1e6 * statistics.median(row.samples)) if row and row.timed else ""
                for row in map(table.row, names)
            )
            lines.append(f"| {value:,} | {table.work:,} | {' | '.join(cells)} |")
        even = present.break_even(name, [t for _, t in found], [v for v, _ in found])
        parts += [
            f"### Sweep over {name}, us per update\n",
            "\n".join(lines) + "\n",
            "\n".join(f"* {e}" for e in even) + "\n",
        ]
    return parts


if __name__ == "__main__":
    print(document([Path(name) for name in sys.argv[1:]]), end="")
