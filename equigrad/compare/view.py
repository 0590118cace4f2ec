"""How results look in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from ..common.data import number
from ..common.errors import UsageError
from ..common.words import counted, exact, first_three, listed, short
from ..console import NARROW, Fitting, fitting, outcome, titled
from .result import Comparison, Run


def predicted_rows(rows: Sequence[str] | None) -> np.ndarray | None:
    """The rows of numbers in texts such as "0,1,1"; raises UsageError."""
    if not rows:
        return None
    try:
        table = [[number(cell) for cell in row.split(",")] for row in rows]
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
    columns = _columns(result)
    spare = ["SHA-256", next(c.header for c in columns if "weights" in c.header)]  # the verdict has the hash in full
    if any(run.processes > 1 for run in result.runs):  # one hash or many is what such a table is about
        spare.reverse()
    parts: list[RenderableType] = [fitting(_runs(result, columns), *spare)]
    if any(run.microseconds_per_update for run in result.runs):
        parts.append(Text(TIMES, style="dim"))
    parts += [Text(f"{run.label} {run.arithmetic}: {run.message}") for run in result.runs if run.message]
    parts += [Text(f"Note: {note}.") for note in result.notes]
    if rows is not None:
        shown = [run for run in result.runs if run.predictions is not None]
        parts.append(Fitting(_predictions_in_columns(shown, rows), _predictions_in_rows(shown, rows)))
    parts.append(Text("\n".join(result.verdicts), style="bold green" if result.agreed else "bold red"))
    parts += [watched(runs) for runs in _alike(result)]
    return Group(*parts)


TIMES = (
    "us per update: by train, which in numpy, torch and jax records or compiles the loop; as people write it: "
    "equigrad bench --who headline"
)


class Column(NamedTuple):
    """A column of the table of runs."""

    header: str
    cell: Callable[[Run], RenderableType]
    justify: JustifyMethod = "right"


def _columns(result: Comparison) -> list[Column]:
    p = result.problem
    count = sum(fan_in * fan_out for fan_in, fan_out in p.shapes)
    columns = [
        Column("backend", lambda run: run.name, "left"),
        *([Column("processes", lambda run: str(run.processes))] if any(r.processes > 1 for r in result.runs) else []),
        Column("arithmetic", lambda run: run.arithmetic, "left"),
        Column("outcome", lambda run: outcome(run.outcome), "left"),
        Column("max ULP\nto NumPy", lambda run: "" if run.max_ulp is None else f"{run.max_ulp:,}"),
        Column("max |diff|\nto NumPy", lambda run: short(run.max_abs_difference)),
    ]
    if p.figures:
        columns.append(
            Column("published\ndigits", lambda run: f"{sum(run.figures)} of {len(run.figures)}" if run.figures else "")
        )
    if (p.targets.sum(axis=1) == 1).all() and p.layers[-1] > 1:
        columns.append(Column("accuracy", lambda run: "" if run.outputs is None else _accuracy(run.outputs, p.targets)))
    columns += [
        Column(
            "us per\nupdate",
            lambda run: _microseconds(run.microseconds_per_update),
        ),
        Column(
            "weights" if count <= 3 else f"first 3 of {count:,} weights",
            lambda run: first_three(run.weights, run.dtype),
            "left",
        ),
        Column("SHA-256", lambda run: f"{run.weights_sha256[:12]}…" if run.weights_sha256 else "", "left"),
    ]
    return columns


def _runs(result: Comparison, columns: Sequence[Column]) -> Table:
    p = result.problem
    title = (
        f"{p.name}: {' -> '.join(map(str, p.layers))}, {counted(p.samples, 'sample')}, {counted(p.updates, 'update')}, "
        f"learning rate {exact(p.learning_rate)}, {result.runs[0].dtype}"
    )
    table = titled(title)
    for column in columns:
        table.add_column(column.header, justify=column.justify)
    arithmetic = result.runs[0].arithmetic
    for run in result.runs:
        if run.arithmetic != arithmetic:
            table.add_section()
            arithmetic = run.arithmetic
        table.add_row(*(column.cell(run) for column in columns))
    return table


def _microseconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _accuracy(outputs: np.ndarray, targets: np.ndarray) -> str:
    return f"{(outputs.argmax(axis=1) == targets.argmax(axis=1)).mean():.2%}"


def _predictions_in_columns(runs: Sequence[Run], rows: np.ndarray) -> Table:
    table = titled("prediction for new inputs", "input")
    for run in runs:
        table.add_column(f"{run.label}\n{run.arithmetic}", justify="right")
    for i, row in enumerate(rows):
        table.add_row(_row(row, "g"), *(_row(run.predictions[i]) for run in runs if run.predictions is not None))
    return table


def _predictions_in_rows(runs: Sequence[Run], rows: np.ndarray) -> Table:
    table = titled("prediction for new inputs", "input", "backend", "arithmetic", "prediction")
    for i, row in enumerate(rows):
        for run in runs:
            if run.predictions is not None:
                table.add_row(_row(row, "g"), run.label, run.arithmetic, _row(run.predictions[i]))
        table.add_section()
    return table


def _row(values: np.ndarray, form: str = ".8f") -> str:
    return " ".join(f"{v:{form}}" for v in values)


COLUMNS = ("preactivation X @ W", "activation", "error", "delta", "change of W")


def _alike(result: Comparison) -> list[list[Run]]:
    """The runs that were watched, those together that show the same digits."""
    groups: dict[str, list[Run]] = {}
    for run in result.runs:
        if run.watched:
            shown = repr([(update, *map(_matrix, layer)) for update, layers in run.watched for layer in layers])
            groups.setdefault(shown, []).append(run)
    return list(groups.values())


def watched(runs: Sequence[Run]) -> RenderableType:
    """What backends that show the same held inside, in the order of Trask's loop, in each watched update."""
    by_arithmetic = {run.arithmetic: [r.name for r in runs if r.arithmetic == run.arithmetic] for run in runs}
    title = "inside " + "; ".join(f"{listed(names)}, {arithmetic}" for arithmetic, names in by_arithmetic.items())
    run = runs[0]
    if len(runs) > 1:
        title += f": the same in all {len(runs)}" + ("" if _same_bits(runs) else ", to the digits shown")
    return Fitting(_beside(run, title), _beside(run, title, **NARROW), _below(run, title, **NARROW))


def _same_bits(runs: Sequence[Run]) -> bool:
    first, *others = ([v.tobytes() for _, layers in run.watched for layer in layers for v in layer] for run in runs)
    return all(other == first for other in others)


def _beside(run: Run, title: str, **style: bool) -> Table:
    table = titled(title, "update", "layer", *COLUMNS, **style)
    for update, layers in run.watched:
        for i, layer in enumerate(layers, 1):
            table.add_row(f"{update:,}", str(i), *map(_matrix, layer), end_section=True)
    return table


def _below(run: Run, title: str, **style: bool) -> Table:
    table = titled(title, "update", "layer", "", "", **style)
    for update, layers in run.watched:
        for i, layer in enumerate(layers, 1):
            first = (f"{update:,}", str(i))
            for quantity, array in zip(COLUMNS, layer, strict=True):
                table.add_row(
                    *first, quantity.replace(" X", "\nX"), _matrix(array), end_section=quantity == COLUMNS[-1]
                )
                first = ("", "")
    return table


def _matrix(array: np.ndarray, most: int = 4) -> str:
    """The corner of a matrix, eight digits, with dots for what is left out."""
    lines = [
        " ".join(f"{v: .8f}" for v in row[:most]) + (" …" if array.shape[1] > most else "") for row in array[:most]
    ]
    return "\n".join(lines + (["…"] if len(array) > most else []))
