"""Results as JSON that pytest-benchmark reads too, kept under names, and compared with earlier ones.

`pytest-benchmark compare FILE FILE` works on these files: every timed row is one of its benchmarks, in seconds
per update. What it has no place for is in `extra_info`, and under `tables`, the rows without a number among them.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..common.errors import MissingError, UsageError
from .clock import Ratio, Row, Table, ratio, spread
from .process import Process

SCHEMA = 1
STORE = ".benchmarks"


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
            "interrupted": self.interrupted,
            "imports": self.imports,
            "process": None if self.process is None else asdict(self.process),
            "tables": [_table(table) for table in self.tables],
            "benchmarks": [_benchmark(table, row) for table in self.tables for row in table.timed],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        """Raises KeyError or TypeError for data of another make."""
        tables = []
        for entry in data["tables"]:
            rows = [_row(row, data["benchmarks"], _group(entry)) for row in entry["rows"]]
            known = {f.name: entry[f.name] for f in fields(Table) if f.name != "rows"}
            tables.append(Table(**known, rows=rows))
        process = Process(**data["process"]) if data.get("process") else None
        return cls(
            tables,
            data["machine_info"],
            data["command"],
            data["datetime"],
            data["imports"],
            process,
            bool(data.get("interrupted")),
        )


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
    try:
        from pytest_benchmark.stats import Stats
    except ModuleNotFoundError:
        raise MissingError("pytest-benchmark is not installed: pip install 'equigrad[bench]'") from None
    stats = Stats()
    for sample in samples:
        stats.update(sample)
    return dict(stats.as_dict())


def _row(entry: dict[str, Any], benchmarks: list[dict[str, Any]], group: str) -> Row:
    samples: list[float] = next(
        (b["stats"]["data"] for b in benchmarks if (b["group"], b["name"]) == (group, entry["name"])), []
    )
    return Row(**entry, samples=samples)


def check(name: str | None, json: Path | None) -> None:
    """Raises UsageError unless `name` can be part of a file's name, MissingError without pytest-benchmark."""
    if name or json:
        _stats([1.0])
    if name is not None and not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(f"--save takes letters, digits, '_', '.' and '-', not '{name}'")


def save(result: Result, name: str) -> None:
    """Keep the result under .benchmarks, where pytest-benchmark and `load` find it by its name."""
    check(name, None)
    _storage().save(result.to_json(), name)


def load(name: str) -> Result:
    """The result in that file, or the latest that was saved under that name.

    Raises UsageError for a name that is neither, or a file that no bench wrote.
    """
    path = Path(name)
    if not path.is_file():
        found = [p for p in _storage().query("*") if p.name.partition("_")[2] == f"{name}.json" or p.stem == name]
        if not found:
            raise UsageError(f"--against: no file '{name}', and nothing was saved under that name in {STORE}")
        path = found[-1]
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--against: '{path}' cannot be read as JSON: {error}") from None
    if not isinstance(data, dict) or data.get("kind") != "bench":
        raise UsageError(f"--against: '{path}' is no result of equigrad bench")
    if data.get("schema") != SCHEMA:
        print(
            f"warning: '{path}' has schema {data.get('schema')}, this is schema {SCHEMA}: compared as far as it goes",
            file=sys.stderr,
        )
    try:
        return Result.from_json(data)
    except (KeyError, TypeError) as error:
        raise UsageError(f"--against: '{path}' has another layout (schema {data.get('schema')}): {error}") from None


def _storage() -> Any:
    try:
        from pytest_benchmark.logger import Logger
        from pytest_benchmark.storage.file import FileStorage
        from pytest_benchmark.utils import get_machine_id
    except ModuleNotFoundError:
        raise MissingError("pytest-benchmark is not installed: pip install 'equigrad[bench]'") from None
    return FileStorage(STORE, Logger(Logger.QUIET), default_machine_id=get_machine_id())


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
    ratio: Ratio
    """now / before, with both sides' spread."""
    relative: Ratio | None
    """The same after each side was divided by its own control row, which takes out a machine in another mood."""
    verdict: str
    """faster, slower, or within the noise."""


def changes(now: Result, before: Result) -> Iterator[Change]:
    """Every row that both have, in this order. The rounds were not interleaved, so the verdict is careful:

    both the seconds and the ratio to the base row must differ by more than either side's spread.
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
            if all(r.high < 1 for r in sure):
                verdict = "faster"
            elif all(r.low > 1 for r in sure):
                verdict = "slower"
            else:
                verdict = "within the noise"
            medians = statistics.median(row.samples), statistics.median(was.samples)
            yield Change(f"{table.problem} {table.dtype}", row.name, *medians, seconds, relative, verdict)


def _quotient(a: Ratio, b: Ratio) -> Ratio:
    return Ratio(a.median / b.median, a.low / b.high, a.high / b.low)
