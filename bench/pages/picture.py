"""The same results as a picture, drawn by Plotly: bars of each table, or the curves of a sweep."""

from __future__ import annotations

import html
import statistics
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...common.errors import MissingError, UsageError, install, said
from ...common.files import write_text
from ...common.headline import is_written, shown
from .. import sizes
from ..clock import Row, Table
from ..hardware import Hardware
from ..results import Result
from .view import title

COLOURS = {
    "floor": "#8c8c8c",
    "train of this suite": "#1f77b4",
    "as people write it": "#d62728",
    "other ways to write it": "#2ca02c",
    "peer": "#ff7f0e",
}
CURVES = ("#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b")
WORK = "multiplications in an update"


def check(path: Path | None) -> None:
    """Raises UsageError for a name that ends in neither .html nor .png, MissingError for what drawing it needs.

    A PNG is tried with an empty picture: only that tells whether Plotly finds a browser to draw it.
    """
    if path is None:
        return
    if path.suffix not in (".html", ".png"):
        raise UsageError(f"--plot writes .html or .png, not '{path}'")
    if find_spec("plotly") is None:
        raise MissingError(f"plotly is not installed: {install('plot')}")
    if path.suffix == ".png":
        _png(_figure())


def write(result: Result, path: Path) -> None:
    """The picture, as .png or as a page of its own (.html) with the command and the passport under it."""
    figure = _sweep(result) if result.sweep else _bars(result)
    facts = "\n".join(f"{name}: {value}" for name, value in result.passport.items())
    save(figure, path, f"{result.command}\n\n{facts}")


def write_hardware(found: Hardware, path: Path) -> None:
    """Machines side by side, one chart per problem."""
    heights = [1 + 0.12 * len(sheet.rows) * len(sheet.places) for sheet in found.sheets]
    figure = subplots(
        rows=len(heights), cols=1, row_heights=heights,
        subplot_titles=[f"{sheet.problem} {sheet.dtype}" for sheet in found.sheets],
        vertical_spacing=1.1 / (1 + sum(heights)) if len(heights) > 1 else 0.0,
    )  # fmt: skip
    figure.update_layout(height=200 + 100 * sum(heights), margin_t=80, barmode="group",
                         legend={"orientation": "h", "y": 1 + 0.5 / sum(heights)})  # fmt: skip
    places = list(dict.fromkeys(place for sheet in found.sheets for place in sheet.places))
    for i, sheet in enumerate(found.sheets, 1):
        names = {name: shown(name, next(row.group for row in rows if row)) for name, rows in sheet.rows.items()}
        for column, place in enumerate(sheet.places):
            microseconds = [s and 1e6 * s for s in (sheet.seconds(name)[column] for name in names)]
            label = f"{place.file} {place.device}"
            first = not any(trace.name == label for trace in figure.data)
            figure.add_bar(x=microseconds, y=list(names.values()), orientation="h", name=label, legendgroup=label,
                           showlegend=first, marker_color=CURVES[places.index(place) % len(CURVES)],
                           row=i, col=1)  # fmt: skip
        figure.update_yaxes(row=i, col=1, autorange="reversed", automargin=True, dtick=1)
        figure.update_xaxes(type="log", title="microseconds per update", exponentformat="power", row=i, col=1)
    lines = [f"{place.file} {place.device}: {place.about}" for place in places]
    save(figure, path, "\n".join([*lines, *found.left_out, *found.findings]))


def save(figure: Any, path: Path, below: str) -> None:
    """`figure` as .png, or as a page that needs no network, with the text `below` it."""
    if path.suffix == ".png":
        path.write_bytes(_png(figure))
        return
    write_text(
        path,
        "<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>equigrad bench</title>\n"
        "<style>body { font-family: sans-serif; margin: 2em } pre { white-space: pre-wrap }</style>\n"
        f"{figure.to_html(full_html=False, include_plotlyjs=True)}\n<pre>{html.escape(below)}</pre></html>\n",
    )


def _png(figure: Any) -> bytes:
    if find_spec("kaleido") is None:
        raise MissingError(f"a PNG needs kaleido, which is not installed: {install('plot')}; .html needs nothing more")
    try:
        return bytes(figure.to_image("png", scale=2))
    except Exception as error:  # Plotly, kaleido and choreographer each have their own for a browser that is not here
        raise MissingError(f"a PNG needs Chrome or Chromium, .html does not: {said(error)}") from None


def _figure(*arguments: Any) -> Any:
    import plotly.graph_objects as go

    return go.Figure(*arguments)


def subplots(**layout: Any) -> Any:
    """Several pictures in one, drawn plainly."""
    from plotly.subplots import make_subplots

    figure = make_subplots(**layout)
    figure.update_layout(template="simple_white", barmode="overlay", bargap=0.25, width=1000)
    return figure


def _bars(result: Result) -> Any:
    found = [table for table in result.tables if table.timed]
    if not found:
        return _figure()
    heights = [1 + 0.25 * len(table.timed) for table in found]
    figure = subplots(
        rows=len(found), cols=1, row_heights=heights, subplot_titles=[title(table) for table in found],
        vertical_spacing=1.1 / (1 + sum(heights)) if len(found) > 1 else 0.0,
    )  # fmt: skip
    figure.update_layout(
        height=100 * (1 + sum(heights)), margin_t=50, legend={"orientation": "h", "y": 1 + 0.5 / sum(heights)}
    )
    for i, table in enumerate(found, 1):
        _bar(figure, i, table)
    return figure


def _kind(row: Row) -> str:
    """Which colour the row has."""
    if row.group == "backend":
        return "train of this suite"
    if is_written(row.name, row.group):
        return "as people write it"
    return row.group if row.group in COLOURS else "other ways to write it"


def _bar(figure: Any, place: int, table: Table) -> None:
    rows = sorted((r for r in table.timed if r.name != "null"), key=lambda row: -statistics.median(row.samples))
    for kind, colour in COLOURS.items():
        of_kind = [row for row in rows if _kind(row) == kind]
        if of_kind:
            medians = [1e6 * statistics.median(row.samples) for row in of_kind]
            samples = [(1e6 * s, row.shown) for row in of_kind for s in row.samples]
            style = {"legendgroup": kind, "name": kind, "marker_color": colour, "orientation": "h"}
            first = not any(trace.name == kind for trace in figure.data)
            names = [row.shown for row in of_kind]
            figure.add_bar(x=medians, y=names, showlegend=first, row=place, col=1, **style)
            figure.add_scatter(  # every sample, so that nobody has to believe in the bar
                x=[x for x, _ in samples], y=[y for _, y in samples], mode="markers", showlegend=False, name="sample",
                legendgroup=kind, marker={"symbol": "line-ns-open", "color": "black", "size": 9}, row=place, col=1,
            )  # fmt: skip
    order = {"categoryorder": "array", "categoryarray": [row.shown for row in rows], "automargin": True}
    figure.update_yaxes(row=place, col=1, dtick=1, **order)
    figure.update_xaxes(type="log", title="microseconds per update", exponentformat="power", row=place, col=1)


def _sweep(result: Result) -> Any:
    """Time and memory along each axis of the sweep, and over all of it by the work of an update."""
    columns = (*sizes.SWEEP, WORK)
    figure = subplots(rows=2, cols=len(columns), shared_xaxes="columns", shared_yaxes="rows", horizontal_spacing=0.02)
    names = list(dict.fromkeys((row.name, table.dtype) for table in result.tables for row in table.timed))
    along: dict[str, list[tuple[int, Table]]] = {WORK: [(table.work, table) for table in result.tables]}
    for axis, _, places in sizes.series(result.tables):
        along.setdefault(axis, []).extend(places)
    for column, axis in enumerate(columns, 1):
        for i, (name, dtype) in enumerate(names):
            tables = [(at, table) for at, table in along.get(axis, []) if table.dtype == dtype]
            found = [(at, row) for at, table in tables if (row := table.row(name)) and row.timed]
            label = f"{name}, {dtype}"
            style = {
                "x": [at for at, _ in found], "mode": "markers" if axis == WORK else "lines+markers", "name": label,
                "legendgroup": label, "marker_color": CURVES[i % len(CURVES)], "col": column,
            }  # fmt: skip
            times = [1e6 * statistics.median(row.samples) for _, row in found]
            memory = [(row.peak_bytes or 0) / 2**20 or None for _, row in found]
            figure.add_scatter(y=times, row=1, showlegend=column == 1, **style)
            figure.add_scatter(y=memory, row=2, showlegend=False, **style)
        figure.update_xaxes(title=axis, row=2, col=column)
    figure.update_xaxes(type="log", exponentformat="power")
    figure.update_yaxes(type="log", exponentformat="power")
    figure.update_yaxes(title="microseconds per update", row=1, col=1)
    figure.update_yaxes(title="peak memory, MiB", row=2, col=1)
    figure.update_layout(width=1500, height=800, margin_t=30)
    return figure
