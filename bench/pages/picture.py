"""The same results as a picture, drawn by matplotlib: bars of one table, or the curves of a sweep."""

from __future__ import annotations

import html
import io
import statistics
from pathlib import Path
from typing import Any

from ...common.errors import MissingError, UsageError
from ...common.files import write_text
from .. import sizes
from ..clock import Table
from ..results import Result
from .terminal import title


def check(path: Path | None) -> None:
    """Raises UsageError for a name that ends in neither .html nor .png, MissingError without matplotlib."""
    if path is None:
        return
    if path.suffix not in (".html", ".png"):
        raise UsageError(f"--plot writes .html or .png, not '{path}'")
    _matplotlib()


def write(result: Result, path: Path) -> None:
    """The picture, as .png or as a page of its own (.html) with the command and the passport under it."""
    figure = _sweep(result) if any(sizes.axis(table) for table in result.tables) else _bars(result)
    if path.suffix == ".png":
        figure.savefig(path, dpi=120)
        return
    svg = io.StringIO()
    figure.savefig(svg, format="svg")
    picture = svg.getvalue()[svg.getvalue().index("<svg") :]
    facts = "\n".join(f"{name}: {value}" for name, value in result.passport.items())
    write_text(
        path,
        "<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>equigrad bench</title>\n"
        "<style>body { font-family: sans-serif; margin: 2em } svg { max-width: 100%; height: auto }</style>\n"
        f"{picture}\n<pre>{html.escape(result.command)}\n\n{html.escape(facts)}</pre></html>\n",
    )


def _matplotlib() -> Any:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingError("matplotlib is not installed: pip install 'equigrad[plot]'") from None
    return Figure


def _bars(result: Result) -> Any:
    shown = [table for table in result.tables if table.timed]
    heights = [1 + 0.25 * len(table.timed) for table in shown]
    figure = _matplotlib()(figsize=(10, sum(heights, 1)), layout="constrained")
    if shown:
        axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)
        for axis, table in zip(axes[:, 0], shown, strict=True):
            _bar(axis, table)
        _legend(axes[0, 0])
    return figure


COLOURS = {"floor": "0.5", "backend": "tab:blue", "idiom": "tab:green", "peer": "tab:orange"}


def _colour(group: str) -> str:
    return COLOURS.get(group, COLOURS["idiom"])


def _legend(axis: Any) -> None:
    from matplotlib.patches import Patch

    axis.legend(handles=[Patch(color=colour, label=group) for group, colour in COLOURS.items()], loc="upper right")


def _bar(axis: Any, table: Table) -> None:
    rows = sorted((r for r in table.timed if r.name != "null"), key=lambda row: -statistics.median(row.samples))
    medians = [1e6 * statistics.median(row.samples) for row in rows]
    axis.barh([row.name for row in rows], medians, color=[_colour(row.group) for row in rows])
    for i, row in enumerate(rows):  # every sample, so that nobody has to believe in the bar
        axis.plot([1e6 * s for s in row.samples], [i] * len(row.samples), "k|", markersize=5)
    axis.set_xscale("log")
    axis.set_xlim(left=min(min(row.samples) for row in rows) * 1e6 / 2)  # or the fastest has no bar at all
    axis.margins(y=0.01)
    axis.set_xlabel("microseconds per update")
    axis.set_title(title(table), loc="left", fontsize="medium")


def _sweep(result: Result) -> Any:
    """Time and memory along each axis of the sweep, and over all of it by the work of an update."""
    figure = _matplotlib()(figsize=(5 * (len(sizes.SWEEP) + 1), 9), layout="constrained")
    axes = figure.subplots(2, len(sizes.SWEEP) + 1, sharey="row")
    names = list(dict.fromkeys(row.name for table in result.tables for row in table.timed))
    for column, name in enumerate([*sizes.SWEEP, WORK]):
        for i, backend in enumerate(names):
            found = [(at, row) for at, table in _along(result, name) if (row := table.row(backend)) and row.timed]
            style = {"color": f"C{i}", "label": backend, "linestyle": "" if name == WORK else "-", "marker": "o"}
            at = [value for value, _ in found]
            axes[0, column].loglog(at, [1e6 * statistics.median(row.samples) for _, row in found], **style)
            axes[1, column].loglog(at, [(row.peak_bytes or 0) / 2**20 or None for _, row in found], **style)
        axes[1, column].set_xlabel(name)
    axes[0, 0].set_ylabel("microseconds per update")
    axes[1, 0].set_ylabel("peak memory, MiB")
    axes[0, 0].legend()
    return figure


WORK = "multiplications in an update"


def _along(result: Result, name: str) -> list[tuple[int, Table]]:
    """Where on that axis a table is, for those on it."""
    if name == WORK:
        return [(table.work, table) for table in result.tables]
    return [(at[1], table) for table in result.tables if (at := sizes.axis(table)) and at[0] == name]
