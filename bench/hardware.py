"""Results of several machines side by side: `equigrad bench --merge a.json b.json`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common.errors import UsageError
from .clock import Row, Table, unlike
from .results import Result, read


@dataclass(frozen=True)
class HardwareColumn:
    """A device of one machine: a column."""

    file: str
    """The name of the result's file, which is what its user calls the machine."""
    device: str
    about: str
    """Processor or GPU, and versions, from the passport."""


@dataclass
class Sheet:
    """One problem in one dtype on every place that timed it."""

    problem: str
    dtype: str
    places: list[HardwareColumn]
    rows: dict[str, list[Row | None]]
    """By the row's name without its device, one for each place; None where it was not timed there. Only what was
    timed in two places at least."""
    noisy: list[HardwareColumn] = field(default_factory=list)
    """Where the machine was too busy to rank."""

    def seconds(self, name: str) -> list[float | None]:
        return [None if row is None else statistics.median(row.samples) for row in self.rows[name]]

    def times_first(self, name: str) -> list[float | None]:
        """Each place's time over that of the first place; None where one of the two has none."""
        seconds = self.seconds(name)
        return [s / seconds[0] if s and seconds[0] else None for s in seconds]

    def odd(self, name: str) -> list[bool]:
        """Where a reproducible row has other weights than after as many updates on a place before it."""
        seen: dict[int, str | None] = {}
        found = []
        for row in self.rows[name]:
            if row is None or row.arithmetic != "reproducible":
                found.append(False)
            else:
                found.append(seen.setdefault(row.updates, row.weights_sha256) != row.weights_sha256)
        return found


@dataclass
class Hardware:
    """All sheets, what was left out of them and why, and what should not be."""

    sheets: list[Sheet]
    left_out: list[str]

    @property
    def findings(self) -> list[str]:
        """One line for each place where a reproducible row has other bits than before it."""
        return [
            f"{name}, {sheet.problem} {sheet.dtype}: other weights on {place.file} {place.device}, "
            f"{(row.weights_sha256 or '')[:12]} after {row.updates:,} updates: the reproducible hash should be the same"
            for sheet in self.sheets
            for name in sheet.rows
            for place, row, odd in zip(sheet.places, sheet.rows[name], sheet.odd(name), strict=True)
            if odd and row is not None
        ]

    @property
    def cautions(self) -> list[str]:
        """One line for each row whose times on two places were not measured alike."""
        return [
            f"{name}, {sheet.problem} {sheet.dtype}: {why} on {here.file} {here.device} and {there.file} {there.device}"
            for sheet in self.sheets
            for name, rows in sheet.rows.items()
            for (here, one), *others in [[pair for pair in zip(sheet.places, rows, strict=True) if pair[1]]]
            for there, other in others
            if one and other and (why := unlike(one, other))
        ]


def merge(files: Sequence[str | Path]) -> Hardware:
    """The results in these files side by side, in this order; the first is what ratios are taken to.

    A result of another version of the suite is left out whole, a table of another number of updates alone, each
    with a line that says so. One file is enough if it has several devices. Raises UsageError for a file that no
    bench wrote, and where nothing is left to compare.
    """
    if not files:
        raise UsageError("--merge takes results of equigrad bench --json, one for each machine")
    if len({Path(file).resolve() for file in files}) < len(files):
        raise UsageError("--merge: the same file is given twice")
    names = [Path(file).stem for file in files]
    if len(set(names)) < len(names):
        names = [str(file) for file in files]
    results = [(name, read(Path(file), strict=True)) for name, file in zip(names, files, strict=True)]
    left_out, kept = [], []
    version = results[0][1].passport.get("equigrad")
    for name, result in results:
        if (other := result.passport.get("equigrad")) == version:
            kept.append((name, result))
        else:
            left_out.append(f"{name} is left out: made by equigrad {other}, {names[0]} by {version}")
    networks = dict.fromkeys(_network(table) for _, result in kept for table in result.tables if table.timed)
    sheets = [sheet for network in networks if (sheet := _sheet(network, kept, left_out))]
    if not sheets:
        raise UsageError("; ".join([*left_out, "--merge: no problem was timed in two places"]))
    return Hardware(sheets, left_out)


Network = tuple[str, str, int, tuple[int, ...]]


def _network(table: Table) -> Network:
    return table.problem, table.dtype, table.samples, tuple(table.layers)


def _sheet(network: Network, results: list[tuple[str, Result]], left_out: list[str]) -> Sheet | None:
    """One problem's, or None where a single place has it."""
    found = [
        (name, r, table) for name, r in results for table in r.tables if _network(table) == network and table.timed
    ]
    sheet = Sheet(*network[:2], [], {})
    for name, result, table in found:
        first_name, _, first = found[0]
        if table.updates != first.updates:
            what = f"{network[0]} {network[1]}"
            left_out.append(
                f"{what} of {name} is left out: {table.updates:,} updates, in {first_name} {first.updates:,}"
            )
            continue
        for device in sorted({row.device or "cpu" for row in table.timed}):
            place = HardwareColumn(name, device, _about(result.passport, device))
            for row in table.timed:
                if (row.device or "cpu") == device and row.name != "null":
                    held = sheet.rows.setdefault(_common(row, device), [])
                    held += [None] * (len(sheet.places) - len(held)) + [row]
            sheet.places.append(place)
            if table.noisy:
                sheet.noisy.append(place)
    for held in sheet.rows.values():
        held += [None] * (len(sheet.places) - len(held))
    sheet.rows = {name: held for name, held in sheet.rows.items() if sum(row is not None for row in held) > 1}
    return sheet if sheet.rows else None


def _common(row: Row, device: str) -> str:
    """What the row is called on every device."""
    return row.name if device == "cpu" else row.name.replace(f":{device}", "", 1)


def _about(passport: dict[str, Any], device: str) -> str:
    versions = passport.get("versions") or {}
    software = ", ".join(f"{name} {versions[name]}" for name in ("numpy", "torch", "jax") if versions.get(name))
    gpus = [gpu for facts in (passport.get("backends") or {}).values() for gpu in facts.get("gpus") or []]
    what = f"{passport.get('processor')}, {passport.get('cores')} cores" if device == "cpu" else next(iter(gpus), "GPU")
    return f"{what}; {software}"
