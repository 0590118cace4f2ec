"""How the results look in a view."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from textwrap import wrap

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from ...common.headline import TRAIN, is_written, shown, written
from ...common.words import counted
from ...console import bar, fitting, outcome, titled
from .. import forecast, sizes
from ..calls import BURST, Calls
from ..clock import ONCE, Row, Table, ratio, rounded, scaling, spread, verdict
from ..hardware import Hardware
from ..headline import compile_time, pays, ways
from ..process import Process
from ..results import Change, Result, break_even, changes, differences


def everything(
    result: Result, with_anatomy: bool = False, before: Result | None = None, name: str = ""
) -> RenderableType:
    """What the command shows: a sweep or the tables, and what else was asked for."""
    parts = [sweep(result) if result.sweep else tables(result)]
    parts += [Text(line) for line in forecast.lines(result.tables)]
    if with_anatomy:
        parts.append(anatomy(result))
        parts += map(calls, result.calls)
    if result.process is not None:
        parts.append(process(result.process))
    if before is not None:
        parts.append(against(result, before, name))
    return Group(*parts)


def tables(result: Result) -> RenderableType:
    """One table per problem and dtype, each with its verdict."""
    parts: list[RenderableType] = []
    for table in result.tables:
        parts += headline(table)
        parts.append(_table(table))
        parts += [Text(SHORT)] * any(not row.settled for row in table.timed)
        parts += [Text(line) for line in refusals(table)]
        parts += [
            Text(f"{row.name}: parallel efficiency {efficiency}, {row.bytes_per_update:,} bytes per update and process")
            for row, efficiency in scaling(table)
        ]
        parts.append(Text(verdict(table), style="bold"))
    return Group(*parts)


def headline(table: Table) -> list[RenderableType]:
    """Each framework as people write it and as `train` runs it; nothing where only one of the two was timed."""
    found = list(ways(table))
    if not found:
        return []
    above = f"{table.problem} {table.dtype}: as people write it, and as train runs it"
    caption = f"compile: {compile_time([table])}.\n{HEADLINE}"
    grid = titled(above, caption=caption, caption_justify="left")
    grid.add_column("", no_wrap=True)
    grid.add_column("how")
    for column in (
        "us per\nupdate",
        "compile,\nms",
        "updates until\nahead of NumPy\nexpressions",
        "updates until\nahead of its\nown bold row",
    ):
        grid.add_column(column, justify="right")
    for way in found:
        if way.written:
            grid.add_section()
        style = "bold" if way.written else ""
        compiled = rounded(1e3 * way.row.compile_seconds)
        cells = (way.spec, way.how, microseconds(way.row), compiled, way.pays, way.pays_at_home)
        grid.add_row(*(Text(cell, style=style) for cell in cells))
    return [fitting(grid)]


HEADLINE = "Bold: as people write it. Updates until ahead: compilation included. train:\n" + "\n".join(
    f"  {name}: {how}" for name, how in TRAIN.items()
)


SHORT = f"A row marked short: what a call does once may be more than {ONCE:.0%} of a run, and is in its time per update"


def microseconds(row: Row) -> str:
    """The median of a timed row's times per update, with a mark where it says too little."""
    return rounded(1e6 * statistics.median(row.samples)) + ("" if row.settled else " short")


def refusals(table: Table) -> list[str]:
    """Why a row has no number, one line each."""
    lines = []
    for row in table.rows:
        if not row.timed:
            about = f" ({row.about})" if row.about and row.outcome == "disagree" else ""
            lines.append(f"{row.shown}: {row.message or 'interrupted'}{about}")
    return lines


def title(table: Table) -> str:
    network = f"{' -> '.join(map(str, table.layers))}, {counted(table.samples, 'sample')}"
    name = "" if table.problem.partition("x")[0].isdigit() else f"{table.problem}: "
    return (
        f"{name}{network}, {table.dtype}, {counted(table.threads, 'thread')}, "
        f"{counted(table.rounds, 'interleaved round')}"
    )


def _table(table: Table) -> RenderableType:
    grid = titled(title(table))
    grid.add_column("")
    grid.add_column("outcome", no_wrap=True)
    distance, half, length = "distance\nto NumPy", "middle half", "updates\nper run"
    times = "\n".join(("times", *wrap(table.base, 20)))
    for column in (distance, "us per update\nmedian", half, times, length):
        grid.add_column(column, justify="right")
    for column in ("SHA-256", "log scale"):
        grid.add_column(column, no_wrap=True)
    group = table.rows[0].group if table.rows else ""
    for row in table.rows:
        if row.group != group:
            grid.add_section()
            group = row.group
        grid.add_row(*_cells(table, row))
    return fitting(grid, "log scale", "SHA-256", length, distance, half)


def _cells(table: Table, row: Row) -> list[RenderableType]:
    if not row.timed:
        return [row.shown, outcome(row.outcome)]
    base = table.row(table.base)
    low, median, high = quartiles(row.samples)
    times = "" if base is None or not base.timed else str(ratio(row.samples, base.samples))
    return [
        row.shown,
        outcome(row.outcome),
        "0" if not row.distance else f"{row.distance:.0e}",
        microseconds(row) + ("" if row.warm else " cold"),
        f"{rounded(1e6 * low)} to {rounded(1e6 * high)}",
        escape(times),
        f"{row.updates:,}",
        f"{(row.weights_sha256 or '')[:8]}…",
        Text("" if row.name == "null" else bar(median, _medians(table)), style="cyan"),
    ]


def _medians(table: Table) -> list[float]:
    return [statistics.median(row.samples) for row in table.timed if row.name != "null"]


def quartiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    found = spread(samples)
    return found.low, found.median, found.high


def anatomy(result: Result) -> RenderableType:
    """Where the time of a first run goes: import, preparing, first update, and each after that."""
    caption = f"compile: {compile_time(result.tables)}.\n{ANATOMY}"
    grid = titled("anatomy", caption=caption, caption_justify="left")
    for name in ("", "problem"):
        grid.add_column(name)
    for name in ("import\nms", "prepare\nms", "of it\ntransfer ms", "first\nupdate ms", "compile\nms",
                 "steady\nus per update", "pays off after\nupdates", "peak\nMiB"):  # fmt: skip
        grid.add_column(name, justify="right")
    for table in result.tables:
        grid.add_section()
        numpy = table.row(written("numpy")) or table.row("numpy")
        numpy = numpy if numpy and numpy.timed else None
        for row in (
            row
            for row in table.timed
            if row.group == "backend" or is_written(row.name, row.group) or row.name == "null"
        ):
            framework = row.name.partition(" ")[0].partition(":")[0].rstrip(",")
            seconds = result.imports.get(framework, [])
            grid.add_row(
                row.shown,
                f"{table.problem} {table.dtype}",
                rounded(1e3 * statistics.median(seconds)) if seconds else "",
                rounded(1e3 * (row.prepare_seconds or 0.0)),
                "" if row.transfer_seconds is None else rounded(1e3 * row.transfer_seconds),
                rounded(1e3 * (row.first_call_seconds or 0.0)),
                rounded(1e3 * row.compile_seconds),
                microseconds(row),
                "" if row.name == "null" or row is numpy else pays(row, numpy),
                "" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:,.0f}",
            )
    return fitting(grid, "of it\ntransfer ms", "prepare\nms", "peak\nMiB", "import\nms", "problem")


ANATOMY = (
    "import: in a fresh interpreter. prepare: make the backend, start its device, move the data; transfer: move them\n"
    "again. pays off: from how many updates on compiling and these updates together beat NumPy's, as people write it\n"
    "where that was timed. null: no update at all, what the suite itself costs. peak: above what its process held\n"
    "after its imports; on a GPU, the GPU's memory."
)


def calls(found: Calls) -> RenderableType:
    """What each call of an update costs, beside the whole of it and the seed's own loop."""
    if found.refused:
        return Text(f"{found.problem}: no times of {found.spec}'s calls: {found.refused}")
    grid = titled(
        f"{found.problem}: what each call of {found.spec}'s train costs", caption=CALLS, caption_justify="left"
    )
    grid.add_column("")
    for name in ("ns\nmedian", "middle half", "of the seed's loop"):
        grid.add_column(name, justify="right")
    for name, samples in call_rows(found):
        low, median, high = quartiles(samples)
        cells = (rounded(1e9 * median), f"{rounded(1e9 * low)} to {rounded(1e9 * high)}")
        grid.add_row(name, *cells, escape(str(ratio(samples, found.seed))))
    return fitting(grid, "middle half")


def call_rows(found: Calls) -> list[tuple[str, list[float]]]:
    """Each line of that table: what, and its seconds round by round."""
    n = len(found.names)
    return [
        *zip(found.names, found.seconds, strict=True),
        (f"these {n} calls together", found.total),
        (f"of it the loop: {n} calls of nothing", [n * each for each in found.empty]),
        ("a whole update, as train repeats it", found.update),
        ("the seed's own loop", found.seed),
    ]


CALLS = (
    f"Each call was made {BURST:,} times in a row in every round, into an array of its own. In an update the calls\n"
    "take turns, which takes longer than the same one again; that they are written out, without a loop, takes less."
)


def process(found: Process) -> RenderableType:
    """`equigrad compare` beside its loops alone, as whole processes."""
    title = f"equigrad compare {found.problem}, whole processes"
    if not found.compare_seconds:
        return Text(f"{title}: {found.outcome}: {found.message}", style="red")
    times = ratio(found.compare_seconds, found.alone_seconds)
    grid = titled(title, caption=PROCESS, caption_justify="left")
    grid.add_column("")
    for name in ("seconds\nmedian", "middle half", "times\nthe loops alone"):
        grid.add_column(name, justify="right")
    for name, samples in (
        ("imports and loops alone", found.alone_seconds),
        ("equigrad compare", found.compare_seconds),
    ):
        low, median, high = quartiles(samples)
        quotient = escape(str(times)) if samples is found.compare_seconds else ""
        grid.add_row(name, rounded(median), f"{rounded(low)} to {rounded(high)}", quotient)
    return fitting(grid, "middle half")


PROCESS = "Interleaved rounds; every loop ended with the same hash."


def sweep(result: Result) -> RenderableType:
    """Cost per update along each axis, where backends overtake each other, and memory."""
    parts: list[RenderableType] = []
    for name, dtype, found in sizes.series(result.tables):
        names = list(dict.fromkeys(row.name for _, table in found for row in table.rows))
        grid = titled(f"sweep over {name}, {dtype}, us per update (MiB at most)")
        for column in (name, "network", "multiplications"):
            grid.add_column(column, justify="right")
        for column in names:
            grid.add_column(column.replace(" ", "\n"), justify="right")
        for value, table in found:
            cells = [_sweep_cell(table.row(column)) for column in names]
            grid.add_row(f"{value:,}", _network(table), f"{table.work:,}", *cells)
        parts += [
            fitting(grid, "multiplications", "network"),
            *[Text(SHORT)] * any(not row.settled for _, table in found for row in table.timed),
        ]
        parts += [Text(f"{table.problem}: {line}") for _, table in found for line in refusals(table)]
        parts += [Text(line) for line in break_even(name, [t for _, t in found], [v for v, _ in found])]
    return Group(*parts)


def _network(table: Table) -> str:
    sizes_shown = table.layers if len(table.layers) < 5 else [*table.layers[:2], "…"]
    return f"{table.samples}x{'-'.join(map(str, sizes_shown))}"


def _sweep_cell(row: Row | None) -> str:
    if row is None or not row.timed:
        return "" if row is None else row.outcome
    memory = "" if row.peak_bytes is None else f" ({row.peak_bytes / 2**20:,.0f})"
    return microseconds(row) + memory


def against(now: Result, before: Result, name: str) -> RenderableType:
    """Each row now against before, with what differs between the machines as a warning above."""
    parts: list[RenderableType] = []
    different = differences(now, before)
    if different:
        parts.append(
            Text(f"warning: '{name}' was not made on this machine as it is, ratios say little:", style="yellow")
        )
        parts += [Text(f"  {line}", style="yellow") for line in different]
    grid = titled(f"against {name}, made {before.made}")
    for column in ("", "row"):
        grid.add_column(column)
    each = "the same, each\nto its base row"
    for column in ("us before", "us now", "now / before", each, "verdict"):
        grid.add_column(column, justify="right")
    rows = list(changes(now, before))
    for change in rows:
        grid.add_row(*_change(change))
    parts.append(
        fitting(grid, each, "us before", "us now") if rows else Text(f"'{name}' has no row in common with this result")
    )
    return Group(*parts)


def _change(change: Change) -> list[RenderableType]:
    style = {"faster": "green", "slower": "red"}.get(change.verdict, "")
    return [
        change.group,
        change.name,
        rounded(1e6 * change.before),
        rounded(1e6 * change.now),
        escape(str(change.ratio)),
        escape(str(change.relative or "")),
        Text(", ".join(filter(None, (change.verdict, change.caution))), style=style),
    ]


def hardware(found: Hardware) -> RenderableType:
    """One table per problem, a column for each machine and device."""
    parts: list[RenderableType] = []
    for sheet in found.sheets:
        first = f"{sheet.places[0].file} {sheet.places[0].device}"
        grid = titled(f"{sheet.problem} {sheet.dtype}, us per update, and times {first}")
        grid.add_column("")
        for place in sheet.places:
            noisy = "\ntoo noisy to rank" if place in sheet.noisy else ""
            grid.add_column(Text(f"{place.file}\n{place.device}{noisy}"), justify="right")
        for name, rows in sheet.rows.items():
            label = shown(name, next(row.group for row in rows if row))
            cells = zip(sheet.seconds(name), sheet.times_first(name), sheet.odd(name), strict=True)
            grid.add_row(Text(label), *(_place(*cell) for cell in cells))
        parts.append(fitting(grid))
    places = dict.fromkeys(place for sheet in found.sheets for place in sheet.places)
    parts += [Text(f"{place.file} {place.device}: {place.about}") for place in places]
    parts += [Text(line, style="yellow") for line in (*found.left_out, *found.cautions)]
    parts += [Text(f"≠ {line}", style="bold red") for line in found.findings]
    if not found.findings and any(r.arithmetic == "reproducible" for r in _rows(found)):
        parts.append(Text("every reproducible row has the same weights wherever it made as many updates", style="bold"))
    return Group(*parts)


def _rows(found: Hardware) -> list[Row]:
    return [row for sheet in found.sheets for rows in sheet.rows.values() for row in rows if row]


def _place(seconds: float | None, times: float | None, odd: bool) -> Text:
    if seconds is None:
        return Text("")
    ratio_to_first = "" if times is None else f"  {rounded(times)}"
    return Text(f"{'≠ ' if odd else ''}{rounded(1e6 * seconds)}{ratio_to_first}", style="bold red" if odd else "")
