"""What every table in a terminal needs."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from time import monotonic
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table
from rich.text import Text

from .common.progress import Progress

NARROW = {"show_edge": False, "pad_edge": False, "collapse_padding": True}
STYLES = {"identical": "green", "agree": "green", "missing": "yellow", "inconclusive": "yellow", "unsuitable": "yellow"}
BAR = 24
"""The length of the longest bar. Bars are drawn here, since a plotting library would need a fixed size."""


def show(renderable: RenderableType, width: int = 140) -> None:
    """Print to standard output; no narrower than a table needs, `width`, when the output is not a terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=width)
    with console.capture() as captured:
        console.print(renderable, crop=False)
    say(captured.get(), end="")


def say(text: str, end: str = "\n") -> None:
    """Print to standard output as it is, whether or not anybody still reads it."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough: no reason to fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def titled(title: str, *headers: str, **style: Any) -> Table:
    return Table(*headers, title=title, title_justify="left", title_style="bold", **style)


def outcome(word: str) -> Text:
    """A word of `common.agreement.OUTCOMES` in its colour."""
    return Text(word, style=STYLES.get(word, "bold red"))


def bar(value: float, values: Sequence[float]) -> str:
    """`value` on a logarithmic scale from half the smallest to the largest of `values`; nothing for 0.

    Where the output has no blocks, its tables are in ASCII, and so is the bar.
    """
    block = "#" if Console().options.ascii_only else "█"
    known = [v for v in values if 0 < v < math.inf]
    if not value or not known:
        return ""
    if not value < math.inf:
        return block * BAR
    low, high = math.log(min(known) / 2), math.log(max(known))
    return block * max(1, round(BAR * (math.log(value) - low) / (high - low)))


LONG_SECONDS = 60.0
"""Work that goes on for longer is announced where no progress bar can be shown, no more often than this."""
TELLING_SECONDS = 0.5
"""The rest is estimated once the work has gone on for this long."""


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress bar on standard error, once the work has taken longer than a second.

    In a log file, where a bar would be noise, a line says how long it will take if that is more than a minute, and
    another one every minute.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _announcements(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bars = Bars(*columns, console=console, transient=True, speed_estimate_period=3600)  # a step may take minutes
    tasks: dict[str, TaskID] = {}
    start = monotonic()

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, visible=done < total)
        if monotonic() - start > 1 and not bars.live.is_started:
            bars.start()

    try:
        yield report
    finally:
        if bars.live.is_started:
            bars.stop()


def _announcements(console: Console) -> Progress:
    begun: dict[str, tuple[float, int]] = {}
    latest: dict[str, int] = {}
    announced: dict[str, float] = {}

    def report(what: str, done: int, total: int) -> None:
        if done < latest.get(what, done):  # the same kind of work begins again
            del begun[what]
        latest[what] = done
        start, first = begun.setdefault(what, (monotonic(), done))
        now = monotonic()
        if now - start < TELLING_SECONDS:  # the first report comes after warming up
            return
        left = (now - start) / (done - first) * (total - done) if done > first else 0.0
        again = what in announced and now - announced[what] >= LONG_SECONDS and done < total
        if again or (what not in announced and left > LONG_SECONDS):
            announced[what] = now
            console.print(f"equigrad: {what}: about {duration(left)} to go", highlight=False, soft_wrap=True)

    return report


def duration(seconds: float) -> str:
    """3 minutes, 5 hours, 12 days, 400 years."""
    for unit, size in (("year", 365.25 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}s"
    return f"{seconds:,.0f} seconds"


class Fitting:
    """The first of several tables that is no wider than the terminal, or else the last."""

    def __init__(self, *choices: Table) -> None:
        self.choices = choices

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unlimited = options.update(max_width=100_000)
        for choice in self.choices:
            if Measurement.get(console, unlimited, choice).maximum <= options.max_width:
                break
        yield choice


def fitting(table: Table, *spare: str) -> Fitting:
    """On a narrow terminal without the columns `spare`, one after the other, then without edges; then texts are folded.

    Numbers, which stand at the right, and columns with `no_wrap` are not.
    """
    choices = [table]
    for name in spare:
        choices.append(_of([column for column in choices[-1].columns if column.header != name], table))
    kept = [replace(c, no_wrap=c.no_wrap or c.justify == "right", overflow="fold") for c in choices[-1].columns]
    padded = {**NARROW, "collapse_padding": False}
    return Fitting(*choices, _of(kept, table, **padded), _of(kept, table, **NARROW))


def _of(columns: Sequence[Column], table: Table, **style: bool) -> Table:
    """The table with these of its columns."""
    found = copy(table)
    found.columns = Table(*map(replace, columns)).columns  # which numbers them
    for name, value in style.items():
        setattr(found, name, value)
    return found


def passport(facts: dict[str, Any]) -> RenderableType:
    """The machine's facts and one section per framework."""
    table = titled("passport", show_header=False)
    for name, value in facts.items():
        if name != "backends":
            table.add_row(name, _fact(value))
    for framework, values in facts["backends"].items():
        table.add_section()
        for name, value in values.items():
            table.add_row(f"{framework} {name}", Text(_fact(value), style="" if name != "missing" else "yellow"))
    return table


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v or 'not installed'}" for k, v in value.items()) or "none set"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
