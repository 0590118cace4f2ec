"""How a crosscheck looks in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..console import fitting, outcome, titled
from .result import Crosscheck, Parting, Site


def crosscheck(result: Crosscheck) -> RenderableType:
    """One row for each function and leaf, what is wrong, where torch and JAX part, notes and the verdict."""
    parts: list[RenderableType] = [fitting(_leaves(result), "forward\nmode", "shape")]
    for f in result.functions:
        if f.message:
            parts.append(Text(f"{f.name} {f.outcome}: {f.message}"))
        parts += [Text(f"{f.name}, {leaf.path}: {leaf.message}") for leaf in f.leaves if leaf.message]
    if result.parting is not None:
        parts += [Text(), _parting(result.parting)]
    parts += [Text(match) for match in result.matches]
    parts += [Text(f"Note: {note}.") for note in result.notes]
    parts.append(Text(result.verdict, style="bold green" if result.agreed else "bold red"))
    return Group(*parts)


def _leaves(result: Crosscheck) -> Table:
    table = titled(f"crosscheck, {result.dtype}, referee: {result.referee}")
    for name in ("function", "outcome", "leaf", "shape", "gradient"):
        table.add_column(name, no_wrap=name != "leaf")
    for name in ("error to\nreferee", "forward\nmode"):
        table.add_column(name, justify="right")
    for f in result.functions:
        head: list[RenderableType] = [f.name, outcome(f.outcome)]
        mode = "" if f.forward_mode is None else f"{f.forward_mode:.0e}"
        for leaf in f.leaves:
            shape = " x ".join(map(str, leaf.shape))
            table.add_row(*head, Text(leaf.path), shape, outcome(leaf.outcome), f"{leaf.relative_error:.1e}", mode)
            head, mode = ["", ""], ""
        if not f.leaves:
            table.add_row(*head)
        table.add_section()
    return table


def _parting(p: Parting) -> RenderableType:
    table = titled(escape(f"where they part, in the {p.direction} pass: {p.explanation}"))
    for name in ("", "operation", "part of", "at", "in", "called from", "output"):
        table.add_column(name)
    for i in range(len(p.elements)):
        table.add_column(str(list(p.elements[i])), justify="right")
    for site in (p.torch, p.jax):
        _row(table, site)
    if p.onward is not None and p.onward.line:
        _row(table, p.onward, "goes on")
    ulp = "" if p.ulp is None or p.ulp >= 2**53 else f", {p.ulp:,} ULP"
    apart = "" if p.difference is None else f"largest difference of the two outputs: {p.difference:.3e}{ulp}"
    return Group(table, Text(apart))


def _row(table: Table, site: Site, name: str = "") -> None:
    from pathlib import Path

    calls = ", ".join(f"{Path(file).name}:{line}" for file, line in site.called_from)
    shape = " x ".join(map(str, site.shape)) or "one number"
    values = [f"{v:.8g}" for v in site.values]
    table.add_row(
        name or site.framework, Text(site.operation or "given"), Text(site.part_of), Text(site.place),
        Text(site.function), Text(calls), shape, *values,
    )  # fmt: skip
