"""How a divergence and a trace look in a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..common.ulp import differs
from .divergence import Difference, Distance, Divergence
from .tracing import Line, Trace

MOST = 8
"""So many rows of a matrix, and so many differing elements, are shown."""
BAR = 24
"""The length of the longest bar. Bars are drawn here, since a plotting library would need a fixed size."""

FORMULAS = {
    "dot": "a @ w",
    "exp": "exp(-z)",
    "sigmoid": "1 / (1 + exp(-z))",
    "error": "y - a",
    "derivative": "error * a * (1 - a)",
    "backward dot": "delta @ w.T",
    "gradient dot": "lr * a.T @ delta",
    "update": "w + change",
}


def divergence(result: Divergence) -> RenderableType:
    """Where they part, why, how the distance develops, and one sentence at the end."""
    p, (a, b) = result.problem, result.sides
    same = [v[0] if v[0] == v[1] else f"{v[0]} / {v[1]}" for v in (result.arithmetics, result.dtypes)]
    heading = f"{p.name}: {a} against {b}, {', '.join(same)}, {p.updates:,} updates, learning rate {p.learning_rate:g}"
    parts: list[RenderableType] = [Text(heading, style="bold")]
    if result.first:
        parts += [Text(), Text(_where(result.first)), _elements(result.first, result.sides)]
        if result.first.operations:
            parts += [Text(), _operations(result.first)]
        parts += [Text(), _development(result.development)]
    if result.earlier and result.earlier.update != (result.first.update if result.first else 0):
        e = result.earlier
        parts.append(
            Text(
                f"Already in update {e.update:,}, {_count(len(e.elements), e.size)} of {_quantity(e)} differed, by "
                f"{e.max_ulp:,} ULP at most; the rounding of the weights removed that."
            )
        )
    parts += [Text(f"Note: {note}.") for note in result.notes]
    parts.append(Text(verdict(result), style="bold green" if result.identical else "bold yellow"))
    return Group(*parts)


def verdict(result: Divergence) -> str:
    """One sentence: where, by what, how far, and whether it heals."""
    a, b = result.sides
    if result.first is None:
        return f"{a} and {b} never part: every bit of every weight is the same after {result.updates:,} updates."
    first = result.first
    ulp = max(d.max_ulp for d in result.development)
    absolute = float(np.max([d.max_abs_difference for d in result.development]))
    blamed = [o.name for o in first.operations if not o.same]
    cause = f" (differing on the same inputs: {', '.join(blamed)})" if blamed else ""
    later = sum(d.update > first.update for d in result.development)
    healed = (
        f"the same again at {len(result.healed)} of {later} later updates looked at"
        if later
        else "not followed further"
    )
    return (
        f"{a} and {b} part in update {first.update:,}, in {_quantity(first)}{cause}. Within {result.updates:,} updates "
        f"they get {ulp:,} ULP, {absolute:.1e}, apart at most; {healed}."
    )


def _where(first: Difference) -> str:
    return (
        f"They part in update {first.update:,}: {_count(len(first.elements), first.size)} of {_quantity(first)} "
        f"differ, by {first.max_ulp:,} ULP at most."
    )


def _quantity(difference: Difference) -> str:
    return f"{difference.quantity} of layer {difference.layer}"


def _count(some: int, all_: int) -> str:
    return f"{some:,} of {all_:,} elements"


def _elements(first: Difference, sides: tuple[str, str]) -> RenderableType:
    table = Table()
    table.add_column("element")
    for side in sides:
        table.add_column(f"{side}\ndecimal", justify="right")
        table.add_column(f"{side}\nhexadecimal", justify="right")
    table.add_column("ULP\napart", justify="right")
    for element in first.elements[:MOST]:
        values = (text for v in element.values for text in (repr(v), v.hex()))
        table.add_row(str(list(element.index)), *values, f"{element.ulp:,}")
    more = len(first.elements) - MOST
    return Group(table, Text(f"and {more:,} more")) if more > 0 else table


def _operations(first: Difference) -> Table:
    title = f"update {first.update:,}, each operation on the same inputs in both"
    table = Table(title=title, title_justify="left", title_style="")
    for name in ("operation", "", "differ", "max ULP"):
        table.add_column(name, justify="right" if name in ("differ", "max ULP") else "left", no_wrap=True)
    table.add_column("how each rounds")
    for o in first.operations:
        count = "same" if o.same else f"{o.differing:,} of {o.elements:,}"
        style = "green" if o.same else "yellow"
        table.add_row(o.name, FORMULAS[o.name], Text(count, style=style), f"{o.max_ulp:,}", "\n".join(o.how))
    return table


def _development(distances: tuple[Distance, ...]) -> Table:
    table = Table(title="the distance of the weights, by update", title_justify="left", title_style="", box=None)
    table.add_column("update", justify="right")
    for name in ("max ULP", "max |difference|"):
        table.add_column(name, justify="right")
        table.add_column(f"log {name}"[:BAR], min_width=BAR, no_wrap=True)
    ulps = [float(d.max_ulp) for d in distances]
    absolutes = [d.max_abs_difference for d in distances]
    for d in distances:
        absolute = f"{d.max_abs_difference:.1e}" if d.max_abs_difference else "0"
        bars = bar(d.max_ulp, ulps), bar(d.max_abs_difference, absolutes)
        table.add_row(f"{d.update:,}", f"{d.max_ulp:,}", bars[0], absolute, bars[1])
    return table


def bar(value: float, values: list[float]) -> str:
    """`value` on a logarithmic scale from half the smallest to the largest of `values`; nothing for 0."""
    known = [v for v in values if 0 < v < math.inf]
    if not value or not known:
        return ""
    if not value < math.inf:
        return "█" * BAR
    low, high = math.log(min(known) / 2), math.log(max(known))
    return "█" * max(1, round(BAR * (math.log(value) - low) / (high - low)))


def tracing(result: Trace) -> RenderableType:
    """Every line of the loop with what each backend holds, side by side; what differs from the first is marked."""
    p = result.problem
    parts: list[RenderableType] = [
        Text(f"{p.name}: {' -> '.join(map(str, p.layers))}, learning rate {p.learning_rate:g}", style="bold"),
        Text("l0 is the input, y the target; ≠ marks an element that differs from the first backend's"),
    ]
    update = 0
    for line in result.lines:
        if line.update != update:
            update = line.update
            parts += [Text(), Text(f"update {update:,}", style="bold")]
        parts.append(Text(f"{line.formula}    {line.quantity} of layer {line.layer}, {_shape(line.values[0])}"))
        parts.append(Padding(Columns(list(_blocks(line, result.sides)), padding=(0, 3)), (0, 0, 0, 4)))
    return Group(*parts)


def _shape(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape))


def _blocks(line: Line, sides: tuple[str, ...]) -> Iterator[Text]:
    marks = zip(line.differing, line.max_ulp, strict=True)
    for i, (side, value, (differing, ulp)) in enumerate(zip(sides, line.values, marks, strict=True)):
        mark = f"≠ in {differing:,} of {value.size:,}, {ulp:,} ULP" if differing else "same" if i else ""
        block = Text(f"{side}  ", style="bold").append(mark, style="yellow" if differing else "green")
        where = differs(line.values[0], value)
        for row, marked in zip(value[:MOST], where, strict=False):
            block.append("\n", style="not bold")
            for v, different in zip(row[:MOST], marked, strict=False):
                text = f"{'≠' if different else ' '}{v:.6g}".ljust(14)
                block.append(text, style="not bold yellow" if different else "not bold")
            block.append("…" if len(row) > MOST else "")
        yield block.append("\n…" if len(value) > MOST else "")
