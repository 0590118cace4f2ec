"""The same results as a picture, drawn by matplotlib: bars of one table, or the curves of a sweep."""

from __future__ import annotations

import html
import io
import statistics
from pathlib import Path
from typing import Any

from ..common.errors import MissingError, UsageError
from ..common.results import write_text
from . import sizes
from .clock import Table
from .present import title
from .results import Result


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
    return figure


def _bar(axis: Any, table: Table) -> None:
    rows = sorted((r for r in table.timed if r.name != "null"), key=lambda row: -statistics.median(row.samples))
    colours = {"floor": "0.5", "backend": "tab:blue", "peer": "tab:orange"}
    medians = [1e6 * statistics.median(row.samples) for row in rows]
    axis.barh([row.name for row in rows], medians, color=[colours.get(row.group, "tab:green") for row in rows])
    for i, row in enumerate(rows):  # every sample, so that nobody has to believe in the bar
        axis.plot([1e6 * s for s in row.samples], [i] * len(row.samples), "k|", markersize=5)
    axis.set_xscale("log")
    axis.set_xlabel("microseconds per update")
    axis.set_title(title(table), loc="left", fontsize="medium")


def _sweep(result: Result) -> Any:
    figure = _matplotlib()(figsize=(14, 5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(sizes.SWEEP)), sizes.SWEEP, strict=True):
        tables = [(at[1], table) for table in result.tables if (at := sizes.axis(table)) and at[0] == name]
        for backend in dict.fromkeys(row.name for _, table in tables for row in table.timed):
            rows = [(v, row) for v, table in tables if (row := table.row(backend)) and row.timed]
            axes.loglog(
                [v for v, _ in rows], [1e6 * statistics.median(r.samples) for _, r in rows], "o-", label=backend
            )
        axes.set_xlabel(name)
        axes.set_ylabel("microseconds per update")
        axes.legend()
    return figure
