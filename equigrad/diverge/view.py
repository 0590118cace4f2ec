"""How a divergence and a trace look in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..common.words import counted, exact, listed, short
from ..console import BAR, bar, titled
from .result import MOST_SHOWN, Difference, Distance, Divergence, LoopLine, Trace, already

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
    how = [*same, counted(p.updates, "update"), f"learning rate {exact(p.learning_rate)}"]
    parts: list[RenderableType] = [Text(f"{p.name}: {a} against {b}, {', '.join(how)}", style="bold")]
    if result.first:
        parts += [Text(), Text(_where(result.first)), _elements(result.first, result.sides)]
        if result.first.operations:
            parts += [Text(), _operations(result.first)]
        parts += [Text(), _development(result.development)]
    if before := already(result.to_json()):
        parts.append(Text(before))
    parts += [Text(f"Note: {note}.") for note in result.notes]
    parts.append(Text(result.verdict, style="bold green" if result.identical else "bold yellow"))
    return Group(*parts)


def _where(first: Difference) -> str:
    return (
        f"Their weights part in update {first.update:,}: {len(first.elements):,} of {first.size:,} elements of "
        f"{first.where} differ, by {first.max_ulp:,} ULP at most."
    )


def _elements(first: Difference, sides: tuple[str, str]) -> RenderableType:
    table = Table()
    table.add_column("element")
    for side in sides:
        table.add_column(f"{side}\ndecimal", justify="right")
        table.add_column(f"{side}\nhexadecimal", justify="right")
    table.add_column("ULP\napart", justify="right")
    for element in first.elements[:MOST_SHOWN]:
        values = (text for v in element.values for text in (repr(v), v.hex()))
        table.add_row(str(list(element.index)), *values, f"{element.ulp:,}")
    more = len(first.elements) - MOST_SHOWN
    return Group(table, Text(f"and {more:,} more")) if more > 0 else table


def _operations(first: Difference) -> Table:
    title = f"update {first.update:,}, each operation on the same inputs in both"
    table = titled(title)
    for name in ("operation", "", "differ", "max ULP"):
        table.add_column(name, justify="right" if name in ("differ", "max ULP") else "left", no_wrap=True)
    table.add_column("how each rounds")
    for o in first.operations:
        count = "same" if o.same else f"{o.differing:,} of {o.elements:,}"
        style = "green" if o.same else "yellow"
        table.add_row(o.name, FORMULAS[o.name], Text(count, style=style), f"{o.max_ulp:,}", "\n".join(o.how))
    return table


def _development(distances: tuple[Distance, ...]) -> Table:
    table = titled("the distance between the weights, by update", box=None)
    table.add_column("update", justify="right")
    for name in ("max ULP", "max |difference|"):
        table.add_column(name, justify="right")
        table.add_column(f"log {name}"[:BAR], min_width=BAR, no_wrap=True)
    ulps = [float(d.max_ulp) for d in distances]
    absolutes = [d.max_abs_difference for d in distances]
    for d in distances:
        bars = bar(d.max_ulp, ulps), bar(d.max_abs_difference, absolutes)
        table.add_row(f"{d.update:,}", f"{d.max_ulp:,}", bars[0], short(d.max_abs_difference), bars[1])
    return table


LEGEND = (
    "l0 is the input and y the target; z is the preactivation (X @ W), l the activation (Trask's l1, l2), e the error "
    "(l2_error), d the delta (l2_delta), c the change of the weights and w the weights (syn0, syn1)."
)


def tracing(result: Trace) -> RenderableType:
    """Every line of the loop with what each backend holds, side by side; what differs from the first is marked."""
    p = result.problem
    parts: list[RenderableType] = [
        Text(f"{p.name}: {' -> '.join(map(str, p.layers))}, learning rate lr = {exact(p.learning_rate)}", style="bold"),
        Text(LEGEND),
    ]
    if len(result.sides) > 1:
        parts.append(Text("≠ marks an element that differs from the first backend's; there all digits are shown"))
    parts += [Text(), Text("before update 1", style="bold")]
    update = 0
    for line in [*result.given, *result.lines]:
        if line.update != update:
            update = line.update
            parts += [Text(), Text(f"update {update:,}", style="bold")]
        of = "" if line.quantity in ("inputs", "targets") else f" of layer {line.layer}"
        parts.append(Text(f"{line.formula}    {line.quantity}{of}, {_shape(line.values[0])}"))
        parts.append(Padding(Columns(list(_blocks(line, result.sides)), padding=(0, 3)), (0, 0, 0, 4)))
    if result.explanation:
        parts += [Text(), Text(result.explanation)]
    return Group(*parts)


def _shape(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape))


def _blocks(line: LoopLine, sides: tuple[str, ...]) -> Iterator[Text]:
    """What each backend holds; once, if it is the same in all."""
    blocks = list(zip(sides, line.values, line.digits(), line.differing, line.max_ulp, strict=True))
    if len(sides) > 1 and not any(line.differing):
        blocks = [(f"the same in {listed(sides)}", *blocks[0][1:])]
    for i, (side, value, rows, differing, ulp) in enumerate(blocks):
        mark = f"≠ in {differing:,} of {value.size:,}, {ulp:,} ULP" if differing else "same" if i else ""
        block = Text(f"{side}  ", style="bold").append(mark, style="yellow" if differing else "green")
        width = max((len(digits) for row in rows for digits, _ in row), default=0)
        for row in rows:
            block.append("\n", style="not bold")
            for digits, apart in row:
                style = "not bold yellow" if apart else "not bold"
                block.append(f"{'≠' if apart else ' '}{digits.ljust(width + 1)}", style=style)
            block.append("…" if value.shape[1] > MOST_SHOWN else "")
        yield block.append("\n…" if len(value) > MOST_SHOWN else "")
