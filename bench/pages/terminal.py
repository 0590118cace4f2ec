"""How the results look in a terminal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text

from ...common.crossings import crossings
from ...console import Fitting
from .. import sizes
from ..clock import Row, Table, ratio, short, spread, verdict
from ..process import Process
from ..results import Change, Result, changes, differences

BAR = 16


def everything(
    result: Result, with_anatomy: bool = False, before: Result | None = None, name: str = ""
) -> RenderableType:
    """What the command shows: a sweep or the tables, and what else was asked for."""
    parts = [sweep(result) if any(sizes.axis(table) for table in result.tables) else tables(result)]
    if with_anatomy:
        parts.append(anatomy(result))
    if result.process is not None:
        parts.append(process(result.process))
    if before is not None:
        parts.append(against(result, before, name))
    return Group(*parts)


def tables(result: Result) -> RenderableType:
    """One table per problem and dtype, each with its verdict."""
    parts: list[RenderableType] = []
    for table in result.tables:
        parts.append(Fitting(_table(table), _table(table, without=1), _table(table, without=2)))
        parts += [Text(line) for line in refusals(table)]
        parts.append(Text(verdict(table), style="bold"))
    return Group(*parts)


def refusals(table: Table) -> list[str]:
    """Why a row has no number, one line each."""
    lines = []
    for row in table.rows:
        if not row.timed:
            about = f" ({row.about})" if row.about and row.outcome == "disagree" else ""
            lines.append(f"{row.name}: {row.message or 'interrupted'}{about}")
    return lines


def title(table: Table) -> str:
    network = f"{' -> '.join(map(str, table.layers))}, {table.samples:,} samples"
    threads = f"{table.threads} thread{'s' if table.threads > 1 else ''}"
    name = "" if table.problem.partition("x")[0].isdigit() else f"{table.problem}: "
    return f"{name}{network}, {table.dtype}, {threads}, {table.rounds} interleaved rounds"


def _table(table: Table, without: int = 0) -> Grid:
    """The rows; for a narrow terminal `without` the last column or two."""
    columns: list[dict[str, Any]] = [
        {"header": ""},
        {"header": "outcome"},
        {"header": "distance\nto NumPy", "justify": "right"},
        {"header": "us per update\nmedian", "justify": "right"},
        {"header": "middle half", "justify": "right"},
        {"header": f"times\n{table.base}", "justify": "right"},
        {"header": "updates\nper run", "justify": "right"},
        {"header": "SHA-256"},
        {"header": "log scale"},
    ]
    shown = len(columns) - without
    grid = Grid(title=title(table), title_justify="left", title_style="bold")
    for column in columns[:shown]:
        grid.add_column(**column, no_wrap=True)
    group = table.rows[0].group if table.rows else ""
    for row in table.rows:
        if row.group != group:
            grid.add_section()
            group = row.group
        grid.add_row(*_cells(table, row)[:shown])
    return grid


def _cells(table: Table, row: Row) -> list[RenderableType]:
    good = row.outcome in ("identical", "agree")
    outcome = Text(
        row.outcome, style="green" if good else "yellow" if row.outcome in ("missing", "unsuitable") else "red"
    )
    if not row.timed:
        return [row.name, outcome]
    base = table.row(table.base)
    low, median, high = quartiles(row.samples)
    times = "" if base is None or not base.timed else str(ratio(row.samples, base.samples))
    return [
        row.name,
        outcome,
        "0" if not row.distance else f"{row.distance:.0e}",
        short(1e6 * median) + ("" if row.warm else " cold"),
        f"{short(1e6 * low)} to {short(1e6 * high)}",
        escape(times),
        f"{row.updates:,}",
        f"{(row.weights_sha256 or '')[:8]}…",
        Text(_bar(median, [statistics.median(r.samples) for r in table.timed if r.name != "null"]), style="cyan"),
    ]


def quartiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    found = spread(samples)
    return found.low, found.median, found.high


def _bar(value: float, values: Sequence[float]) -> str:
    """A bar whose length is the logarithm of the value, the shortest for the smallest."""
    from math import log

    least, most = min(values, default=value), max(values, default=value)
    if most <= least or value <= 0:
        return "▪"
    return "▪" * max(0, 1 + round((BAR - 1) * log(value / least) / log(most / least)))


def anatomy(result: Result) -> RenderableType:
    """Where the time of a first run goes: import, preparing, first update, and each after that."""
    grid = Grid(title="anatomy", title_justify="left", title_style="bold", caption=ANATOMY, caption_justify="left")
    for name in ("", "problem"):
        grid.add_column(name, no_wrap=True)
    for name in ("import\nms", "prepare\nms", "of it\ntransfer ms", "first\nupdate ms", "of it compile,\ncapture ms",
                 "steady\nus per update", "pays off after\nupdates", "peak\nMiB"):  # fmt: skip
        grid.add_column(name, justify="right")
    for table in result.tables:
        grid.add_section()
        for row in (row for row in table.timed if row.group == "backend" or row.name == "null"):
            framework = row.name.partition(" ")[0].partition(":")[0]
            seconds = result.imports.get(framework, [])
            steady = statistics.median(row.samples)
            first, second = row.first_call_seconds or 0.0, row.second_call_seconds or 0.0
            compiled = max(0.0, first - second)
            grid.add_row(
                row.name,
                f"{table.problem} {table.dtype}",
                short(1e3 * statistics.median(seconds)) if seconds else "",
                short(1e3 * (row.prepare_seconds or 0.0)),
                "" if row.transfer_seconds is None else short(1e3 * row.transfer_seconds),
                short(1e3 * first),
                short(1e3 * compiled),
                short(1e6 * steady),
                "" if row.name == "null" else _pays_off(table, steady, compiled),
                "" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:,.0f}",
            )
    return grid


ANATOMY = (
    "import: in a fresh interpreter. prepare: make the backend, start its device, move the data; transfer: move them\n"
    "again. compile: the first update less the second. pays off: from how many updates on its first call and these\n"
    "updates together beat NumPy's. null: no update at all, what the suite itself costs. peak: above what its process\n"
    "held after its imports; on a GPU, the GPU's memory."
)


def _pays_off(table: Table, steady: float, compiled: float) -> str:
    numpy = table.row("numpy")
    if numpy is None or not numpy.timed or not (gain := statistics.median(numpy.samples) - steady) > 0:
        return ""
    return f"{compiled / gain:,.0f}"


def process(found: Process) -> RenderableType:
    """`equigrad compare` beside its loops alone, as whole processes."""
    title = f"equigrad compare {found.problem}, whole processes"
    if not found.compare_seconds:
        return Text(f"{title}: {found.outcome}: {found.message}", style="red")
    times = ratio(found.compare_seconds, found.alone_seconds)
    grid = Grid(title=title, title_justify="left", title_style="bold", caption=PROCESS, caption_justify="left")
    grid.add_column("", no_wrap=True)
    for name in ("seconds\nmedian", "middle half", "times\nthe loops alone"):
        grid.add_column(name, justify="right")
    for name, samples in (
        ("imports and loops alone", found.alone_seconds),
        ("equigrad compare", found.compare_seconds),
    ):
        low, median, high = quartiles(samples)
        shown = escape(str(times)) if samples is found.compare_seconds else ""
        grid.add_row(name, short(median), f"{short(low)} to {short(high)}", shown)
    return grid


PROCESS = "Interleaved rounds; every loop ended with the same hash."


def sweep(result: Result) -> RenderableType:
    """Cost per update along each axis, where backends overtake each other, and memory."""
    parts: list[RenderableType] = []
    for name in sizes.SWEEP:
        found = [(at[1], table) for table in result.tables if (at := sizes.axis(table)) and at[0] == name]
        if not found:
            continue
        names = list(dict.fromkeys(row.name for _, table in found for row in table.rows))
        grid = Grid(title=f"sweep over {name}, us per update (MiB at most)", title_justify="left", title_style="bold")
        for column in (name, "network", "multiplications"):
            grid.add_column(column, justify="right")
        for column in names:
            grid.add_column(column, justify="right")
        for value, table in found:
            cells = [_sweep_cell(table.row(column)) for column in names]
            grid.add_row(f"{value:,}", _network(table), f"{table.work:,}", *cells)
        parts += [grid, *(Text(line) for line in break_even(name, [t for _, t in found], [v for v, _ in found]))]
    return Group(*parts)


def _network(table: Table) -> str:
    sizes_shown = table.layers if len(table.layers) < 5 else [*table.layers[:2], "…"]
    return f"{table.samples}x{'-'.join(map(str, sizes_shown))}"


def _sweep_cell(row: Row | None) -> str:
    if row is None or not row.timed:
        return "" if row is None else row.outcome
    memory = "" if row.peak_bytes is None else f" ({row.peak_bytes / 2**20:,.0f})"
    return short(1e6 * statistics.median(row.samples)) + memory


def break_even(name: str, tables: Sequence[Table], values: Sequence[int]) -> list[str]:
    """One line for each pair of backends: who wins from where on."""
    names = list(dict.fromkeys(row.name for table in tables for row in table.rows))
    lines = []
    noisy = [f"{value:,}" for value, table in zip(values, tables, strict=True) if table.noisy]
    if noisy:
        lines.append(f"too noisy to rank at {name} {', '.join(noisy)}: the control was not the same twice")
    for one, other in combinations(names, 2):
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


def against(now: Result, before: Result, name: str) -> RenderableType:
    """Each row now against before, with what differs between the machines as a warning above."""
    parts: list[RenderableType] = []
    different = differences(now, before)
    if different:
        parts.append(
            Text(f"warning: '{name}' was not made on this machine as it is, ratios say little:", style="yellow")
        )
        parts += [Text(f"  {line}", style="yellow") for line in different]
    grid = Grid(title=f"against {name}, made {before.made}", title_justify="left", title_style="bold")
    for column in ("", "row"):
        grid.add_column(column, no_wrap=True)
    for column in ("us before", "us now", "now / before", "the same, each to its base row", "verdict"):
        grid.add_column(column, justify="right")
    rows = list(changes(now, before))
    for change in rows:
        grid.add_row(*_change(change))
    parts.append(grid if rows else Text(f"'{name}' has no row in common with this result"))
    return Group(*parts)


def _change(change: Change) -> list[RenderableType]:
    style = {"faster": "green", "slower": "red"}.get(change.verdict, "")
    return [
        change.group,
        change.name,
        short(1e6 * change.before),
        short(1e6 * change.now),
        escape(str(change.ratio)),
        escape(str(change.relative or "")),
        Text(change.verdict, style=style),
    ]
