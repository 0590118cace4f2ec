"""Results as JSON that pytest-benchmark reads too, kept under names, and compared with earlier ones.

`pytest-benchmark compare FILE FILE` works on these files: every timed row is one of its benchmarks, in seconds
per update. What it has no place for is in `extra_info`, and under `tables`, the rows without a number among them.
"""

from __future__ import annotations

import math
import os
import platform
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from ..common.agreement import GOOD
from ..common.crossings import crossings
from ..common.errors import UsageError
from ..common.files import SCHEMA, read_json, write_json
from ..common.shapes import NUMBER, misfit, shape_of
from .calls import Calls
from .clock import Row, Spread, Table, ratio, spread, unlike
from .process import Process

STORE = Path(".benchmarks")


@dataclass
class Result:
    """Tables of one command, with what is needed to trust them: the command and the passport."""

    tables: list[Table]
    passport: dict[str, Any]
    command: str = ""
    made: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    imports: dict[str, list[float]] = field(default_factory=dict)
    """Seconds to import each framework in a fresh interpreter; for --anatomy."""
    process: Process | None = None
    """For --process."""
    calls: list[Calls] = field(default_factory=list)
    """For --anatomy, of small networks."""
    sweep: bool = False
    """Whether its tables are points of a sweep."""
    interrupted: bool = False
    """By Ctrl-C: what was complete until then is here."""

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "kind": "bench",
            "command": self.command,
            "datetime": self.made,
            "version": f"equigrad {self.passport.get('equigrad')}",
            "machine_info": self.passport,
            "commit_info": {},
            "sweep": self.sweep,
            "interrupted": self.interrupted,
            "imports": self.imports,
            "process": None if self.process is None else asdict(self.process),
            "calls": [asdict(each) for each in self.calls],
            "tables": [_table(table) for table in self.tables],
            "benchmarks": [_benchmark(table, row) for table in self.tables for row in table.timed],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        """Raises KeyError, TypeError, ValueError or AttributeError for data of another make."""
        _fit(data, SHAPE)
        for name, shape in PASSPORT.items():
            _fit(data["machine_info"].get(name) or {}, shape, f"machine_info.{name}")
        for facts in (data["machine_info"].get("backends") or {}).values():
            _fit(facts.get("gpus") or [], [str], "gpus")
        tables = []
        for entry in data["tables"]:
            rows = [_row(row, data["benchmarks"], _group(entry)) for row in entry["rows"]]
            known = {f.name: entry[f.name] for f in fields(Table) if f.name != "rows"}
            tables.append(Table(**known, rows=rows))
            _fit(asdict(tables[-1]), shape_of(Table), f"tables[{len(tables) - 1}]")
        process = Process(**data["process"]) if data.get("process") else None
        calls = [Calls(**each) for each in data.get("calls", [])]
        _fit([asdict(each) for each in calls], [shape_of(Calls)], "calls")
        if process:
            _fit(asdict(process), shape_of(Process), "process")
        return cls(
            tables,
            data["machine_info"],
            data["command"],
            data["datetime"],
            data["imports"],
            process,
            calls,
            bool(data.get("sweep", "--sweep" in data["command"])),
            bool(data.get("interrupted")),
        )


SHAPE = {
    "machine_info": dict, "command": str, "datetime": str, "imports": {str: [NUMBER]}, "tables": [{"rows": [dict]}],
    "benchmarks": [{"group": str, "name": str, "stats": {"data": [NUMBER]}}],
}  # fmt: skip
"""Of a result file, what does not become a dataclass; the passport is looked into below."""
PASSPORT = {"versions": {str: (str, None)}, "backends": {str: dict}}
"""Of the machine, what is looked into; all else is shown as it is."""


def _fit(value: Any, shape: Any, where: str = "") -> None:
    if wrong := misfit(value, shape, where):
        raise ValueError(wrong)


def _group(table: dict[str, Any]) -> str:
    return f"{table['problem']} {table['dtype']}"


def _table(table: Table) -> dict[str, Any]:
    entry = asdict(table)
    for row in entry["rows"]:
        del row["samples"]  # they are the benchmark's data
    return entry


def _benchmark(table: Table, row: Row) -> dict[str, Any]:
    group = _group(asdict(table))
    return {
        "group": group,
        "name": row.name,
        "fullname": f"{group}::{row.name}",
        "params": None,
        "param": None,
        "extra_info": {
            "unit": "seconds per update",
            "weights_sha256": row.weights_sha256,
            "distance": row.distance,
            "updates_in_each_run": row.updates,
            "runs_in_each_sample": row.repeats,
        },
        "options": {"disable_gc": True, "timer": "perf_counter", "warmup": True},
        "stats": {**_stats(row.samples), "data": row.samples, "iterations": 1},
    }


def _stats(samples: list[float]) -> dict[str, Any]:
    """What pytest-benchmark keeps of a benchmark beside its samples."""
    q1, median, q3 = statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else 3 * samples
    mean, stddev = statistics.mean(samples), statistics.stdev(samples) if len(samples) > 1 else 0.0
    inside = [s for s in samples if q1 - 1.5 * (q3 - q1) <= s <= q3 + 1.5 * (q3 - q1)]
    far = sum(abs(s - mean) > stddev for s in samples)
    return {
        "min": min(samples), "max": max(samples), "mean": mean, "stddev": stddev, "rounds": len(samples),
        "median": median, "iqr": q3 - q1, "q1": q1, "q3": q3, "iqr_outliers": len(samples) - len(inside),
        "stddev_outliers": far, "outliers": f"{far};{len(samples) - len(inside)}", "ld15iqr": min(inside),
        "hd15iqr": max(inside), "ops": 1 / mean, "total": sum(samples),
    }  # fmt: skip


def _row(entry: dict[str, Any], benchmarks: list[dict[str, Any]], group: str) -> Row:
    samples: list[float] = next(
        (b["stats"]["data"] for b in benchmarks if (b["group"], b["name"]) == (group, entry["name"])), []
    )
    if not all(type(s) is float and 0 < s < math.inf for s in samples):
        raise ValueError(f"the samples of '{entry['name']}' are no times")
    return Row(**entry, samples=samples if entry["outcome"] in GOOD else [])


def check(name: str | None) -> None:
    """Raises UsageError unless `name` can be part of a file's name."""
    if name is not None and not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(f"--save takes letters, digits, '_', '.' and '-', not '{name}'")


def save(result: Result, name: str) -> None:
    """Keep the result under .benchmarks, where pytest-benchmark and `load` find it by its name."""
    check(name)
    python = ".".join(platform.python_version_tuple()[:2])
    system = (platform.system(), platform.python_implementation(), python, platform.architecture()[0])
    folder = STORE / "-".join(system)  # pytest-benchmark's own layout
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(path.name[:4]) for path in folder.glob("[0-9][0-9][0-9][0-9]_*.json")), default=0)
    write_json(folder / f"{number:04}_{name}.json", result.to_json())


def load(name: str) -> Result:
    """The result in that file, or the latest that was saved under that name.

    Raises UsageError for a name that is neither, or a file that no bench wrote.
    """
    if os.path.isfile(name):  # for a name that is too long for a file too
        return read(Path(name))
    found = [p for p in STORE.glob("*/*.json") if p.name.partition("_")[2] == f"{name}.json" or p.stem == name]
    if not found:
        raise UsageError(f"no file '{name}', and nothing was saved under that name in {STORE}")
    return read(max(found, key=lambda path: (path.name, path.parent)))


def read(path: Path, strict: bool = False) -> Result:
    """The result in that file; raises UsageError for a file that no bench wrote.

    One of another schema is read as far as it goes, with a warning; if `strict`, it is refused too.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.get("kind") != "bench":
        raise UsageError(f"'{path}' is not a result of equigrad bench")
    if data.get("schema") != SCHEMA and strict:
        raise UsageError(f"'{path}' has schema {data.get('schema')}, this version of the suite has {SCHEMA}")
    if data.get("schema") != SCHEMA:
        print(
            f"warning: '{path}' has schema {data.get('schema')}, this is schema {SCHEMA}: compared as far as it goes",
            file=sys.stderr,
        )
    try:
        return Result.from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"'{path}' has another layout (schema {data.get('schema')}): {error}") from None


MACHINE = ("processor", "cores", "simd", "system", "python", "versions", "compiler")


def differences(now: Result, before: Result) -> list[str]:
    """What differs between the two machines or their software, one line each: with it, a ratio says little."""
    facts = [(name, before.passport.get(name), now.passport.get(name)) for name in MACHINE]
    for table in now.tables:
        if old := _earlier(table, before):
            facts.append((f"threads of {table.problem}", old.threads, table.threads))
    return [f"{name}: {was} before, {is_} now" for name, was, is_ in dict.fromkeys(map(_text, facts)) if was != is_]


def _text(fact: tuple[str, Any, Any]) -> tuple[str, str, str]:
    return fact[0], str(fact[1]), str(fact[2])


def _earlier(table: Table, before: Result) -> Table | None:
    """The table of the same problem, size and dtype."""
    same = (table.problem, table.dtype, table.samples, table.layers)
    return next((t for t in before.tables if (t.problem, t.dtype, t.samples, t.layers) == same), None)


@dataclass(frozen=True)
class Change:
    """One row now against before."""

    group: str
    name: str
    now: float
    """Median seconds per update."""
    before: float
    ratio: Spread
    """now / before, with both sides' spread."""
    relative: Spread | None
    """The same after each side was divided by its own control row, which takes out a machine in another mood."""
    verdict: str
    """faster, slower, or cannot be told."""
    caution: str
    """Why before and now, in this order, are not the same measurement; '' if they are."""


def changes(now: Result, before: Result) -> Iterator[Change]:
    """Every row that both have, in this order. The rounds were not interleaved, so the verdict is careful:

    both the seconds and the ratio to the base row must differ by more than either side's spread and control do.
    """
    for table in now.tables:
        old = _earlier(table, before)
        if old is None:
            continue
        for row in table.timed:
            was = old.row(row.name)
            if was is None or not was.timed:
                continue
            seconds = _quotient(spread(row.samples), spread(was.samples))
            relative = None
            base, old_base = table.row(table.base), old.row(old.base)
            if base and old_base and base.timed and old_base.timed and table.base == old.base != row.name:
                relative = _quotient(ratio(row.samples, base.samples), ratio(was.samples, old_base.samples))
            sure = [r for r in (seconds, relative) if r is not None]
            noise = max(_noise(table), _noise(old))
            if all(r.high * noise < 1 for r in sure):
                verdict = "faster"
            elif all(r.low > noise for r in sure):
                verdict = "slower"
            else:
                verdict = "cannot be told"
            medians = statistics.median(row.samples), statistics.median(was.samples)
            yield Change(
                f"{table.problem} {table.dtype}", row.name, *medians, seconds, relative, verdict, unlike(was, row)
            )


def _noise(table: Table) -> float:
    """By what factor its control differed from itself; infinite where nothing is ranked."""
    if table.interrupted or table.noisy or len(table.control) < 2:
        return math.inf
    control = spread(table.control)
    return max(control.high, 1 / control.low)


def _quotient(a: Spread, b: Spread) -> Spread:
    return Spread(a.median / b.median, a.low / b.high, a.high / b.low)


def break_even(name: str, tables: Sequence[Table], values: Sequence[int]) -> list[str]:
    """One line for each pair of backends: who wins from where on."""
    names = list(dict.fromkeys(row.name for table in tables for row in table.rows))
    lines = []
    noisy = [f"{value:,}" for value, table in zip(values, tables, strict=True) if table.noisy]
    if noisy:
        lines.append(f"too noisy to rank at {name} {', '.join(noisy)}: the control was not the same twice")
    several = [row.name for row in tables[0].rows if row.processes > 1] if tables else []
    pairs = [(more.rpartition(" x")[0], more) for more in several] or list(combinations(names, 2))
    for one, other in pairs:
        both = [
            (v, statistics.median(a.samples), statistics.median(b.samples))
            for v, table in zip(values, tables, strict=True)
            if (a := table.row(one)) and (b := table.row(other)) and a.timed and b.timed
        ]
        if len(both) < 2:
            continue
        crossed = crossings({v: cost for v, cost, _ in both}, {v: cost for v, _, cost in both})
        begins = one if both[0][1] < both[0][2] else other
        if not crossed:
            lines.append(f"{one} and {other}: {begins} is faster throughout")
        else:
            where = ", ".join(f"{size:,.0f}" for size, _ in crossed)
            lines.append(f"{one} and {other}: {begins} is faster first, break-even at {name} {where}")
    return lines
