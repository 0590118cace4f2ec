"""How results look in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .common.errors import UsageError
from .common.results import Comparison, Run

STYLES = {"identical": "green", "agree": "green", "missing": "yellow"}


def show(renderable: RenderableType, width: int = 140) -> None:
    """Print to standard output; no narrower than a table needs, `width`, when the output is not a terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=width)
    console.print(renderable)


def numbers(rows: Sequence[str] | None) -> np.ndarray | None:
    """The rows of numbers in texts such as "0,1,1"; raises UsageError."""
    if not rows:
        return None
    try:
        table = [[float(cell) for cell in row.split(",")] for row in rows]
    except ValueError:
        raise UsageError(
            f"--predict takes numbers with commas between, such as 0,1,1, not '{', '.join(rows)}'"
        ) from None
    if len({len(row) for row in table}) > 1:
        raise UsageError("--predict: every row needs the same number of inputs")
    array = np.array(table)
    if not np.isfinite(array).all():
        raise UsageError("--predict takes finite numbers")
    return array


def comparison(result: Comparison, rows: np.ndarray | None = None) -> RenderableType:
    """The table of runs, what was predicted and watched, and the verdict."""
    p = result.problem
    title = (
        f"{p.name}: {' -> '.join(map(str, p.layers))}, {p.samples:,} samples, {p.updates:,} updates, "
        f"learning rate {p.learning_rate:g}, {result.runs[0].dtype}"
    )
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("backend", "arithmetic", "outcome"):
        table.add_column(name, no_wrap=True)
    table.add_column("max ULP\nto NumPy", justify="right")
    table.add_column("max |diff|\nto NumPy", justify="right")
    if p.figures:
        table.add_column("published\ndigits", justify="right")
    if (p.targets.sum(axis=1) == 1).all() and p.layers[-1] > 1:
        table.add_column("accuracy", justify="right")
    table.add_column("us per\nupdate", justify="right")
    count = sum(fan_in * fan_out for fan_in, fan_out in p.shapes)
    table.add_column("weights" if count <= 3 else f"first 3 of {count:,} weights")
    table.add_column("SHA-256", no_wrap=True)
    arithmetic = result.runs[0].arithmetic
    for run in result.runs:
        if run.arithmetic != arithmetic:
            table.add_section()
            arithmetic = run.arithmetic
        table.add_row(*_cells(run, result, len(table.columns)))
    parts: list[RenderableType] = [table]
    parts += [Text(f"{run.name} {run.arithmetic}: {run.message}") for run in result.runs if run.message]
    if rows is not None:
        parts.append(_predictions(result.runs, rows))
    parts += [watched(run) for run in result.runs if run.watched]
    parts.append(Text(result.verdict, style="bold green" if result.agreed else "bold red"))
    return Group(*parts)


def _cells(run: Run, result: Comparison, columns: int) -> list[RenderableType]:
    outcome = Text(run.outcome, style=STYLES.get(run.outcome, "bold red"))
    if run.weights_sha256 is None:
        return [run.name, run.arithmetic, outcome, *[""] * (columns - 3)]
    cells: list[RenderableType] = [
        run.name,
        run.arithmetic,
        outcome,
        f"{run.max_ulp:,}",
        _short(run.max_abs_difference),
    ]
    p = result.problem
    if p.figures:
        cells.append(f"{sum(run.figures)} of {len(run.figures)}" if run.figures else "")
    if run.outputs is not None and (p.targets.sum(axis=1) == 1).all() and p.layers[-1] > 1:
        cells.append(f"{(run.outputs.argmax(axis=1) == p.targets.argmax(axis=1)).mean():.2%}")
    flat = np.concatenate([w.ravel() for w in run.weights])[:3]
    precision = 8 if run.dtype == "float64" else 6
    cells.append(f"{run.microseconds_per_update:.3g}" if run.microseconds_per_update else "")
    cells.append(" ".join(f"{w:.{precision}f}" for w in flat))
    cells.append(f"{run.weights_sha256[:12]}…")
    return cells


def _short(value: float | None) -> str:
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"


def _predictions(runs: Iterable[Run], rows: np.ndarray) -> Table:
    table = Table(title="prediction for new inputs", title_justify="left", title_style="bold")
    table.add_column("input")
    shown = [run for run in runs if run.predictions is not None]
    for run in shown:
        table.add_column(f"{run.name}\n{run.arithmetic}", justify="right")
    for i, row in enumerate(rows):
        outputs = (run.predictions[i] for run in shown if run.predictions is not None)
        table.add_row(" ".join(f"{v:g}" for v in row), *(" ".join(f"{v:.8f}" for v in output) for output in outputs))
    return table


def watched(run: Run) -> RenderableType:
    """What one backend held inside, in the order of Trask's loop, for each update that was watched."""
    table = Table(
        title=f"inside {run.name}, {run.arithmetic}",
        title_justify="left",
        title_style="bold",
        show_lines=True,
    )
    for name in ("update", "layer", "X @ W", "activation", "error", "delta", "change of W"):
        table.add_column(name)
    for update, layers in run.watched:
        for number, layer in enumerate(layers, 1):
            table.add_row(f"{update:,}", str(number), *(_matrix(array) for array in layer))
    return table


def _matrix(array: np.ndarray, most: int = 4) -> str:
    """The corner of a matrix, eight digits, with dots for what is left out."""
    lines = [
        " ".join(f"{v: .8f}" for v in row[:most]) + (" …" if array.shape[1] > most else "") for row in array[:most]
    ]
    return "\n".join(lines + (["…"] if len(array) > most else []))


def passport(facts: dict[str, Any]) -> RenderableType:
    """The machine's facts and one section per framework."""
    table = Table(show_header=False, title="passport", title_justify="left", title_style="bold")
    for name, value in facts.items():
        if name != "backends":
            table.add_row(name, _plain(value))
    for framework, values in facts["backends"].items():
        table.add_section()
        for name, value in values.items():
            table.add_row(f"{framework} {name}", Text(_plain(value), style="" if name != "missing" else "yellow"))
    return table


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v or 'not installed'}" for k, v in value.items()) or "none set"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
