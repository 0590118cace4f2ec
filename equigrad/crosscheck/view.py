"""How a crosscheck looks in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..console import fitting, outcome, titled
from .result import Crosscheck, Parting, Site

MANY = 20
"""With more leaves or matches than this only those are shown that do not simply agree."""
FEW = 5
"""And of the messages about them these."""


def crosscheck(result: Crosscheck) -> RenderableType:
    """One row for each function and leaf, what is wrong, where torch and JAX part, notes and the verdict."""
    parts: list[RenderableType] = [fitting(_leaves(result), "forward\nmode", "shape")]
    said: set[tuple[str, str]] = set()
    for f in result.functions:
        if f.message:
            parts.append(Text(f"{f.name} {f.outcome}: {f.message}"))
        told = [
            (leaf.path, leaf.message) for leaf in f.leaves if leaf.message and (leaf.path, leaf.message) not in said
        ]
        said |= {*told}
        shown = told if len(f.leaves) <= MANY else told[:FEW]
        parts += [Text(f"{f.name}, {path}: {message}") for path, message in shown]
        if told != shown:
            parts.append(Text(f"{f.name}: {len(told) - len(shown):,} more like these; --json has them all"))
    if result.parting is not None:
        parts += [Text(), _parting(result.parting)]
    parts += [Text(match) for match in _few(result.matches)]
    parts += [Text(f"Note: {note}.") for note in result.notes]
    parts.append(Text(result.verdict, style="bold green" if result.agreed else "bold red"))
    return Group(*parts)


def _few(matches: tuple[str, ...]) -> list[str]:
    """All of them, or of many those alone that somebody may want to look at."""
    if len(matches) <= MANY:
        return list(matches)
    told = [match for match in matches if not match.endswith(("by name and shape", "by values", "by mapping"))]
    return [
        *told,
        f"{len(matches) - len(told):,} parameters are matched by name, values or mapping; --json has them all",
    ]


def _leaves(result: Crosscheck) -> Table:
    table = titled(f"crosscheck, {result.dtype}, referee: {result.referee}")
    for name in ("function", "outcome", "leaf", "shape", "gradient"):
        table.add_column(name, no_wrap=name != "leaf")
    for name in ("error to\nreferee", "forward\nmode"):
        table.add_column(name, justify="right")
    for f in result.functions:
        head: list[RenderableType] = [f.name, outcome(f.outcome)]
        mode = "" if f.forward_mode is None else f"{f.forward_mode:.0e}"
        shown = [leaf for leaf in f.leaves if len(f.leaves) <= MANY or leaf.outcome != "agree"][:MANY]
        for leaf in shown:
            shape = " x ".join(map(str, leaf.shape))
            table.add_row(*head, Text(leaf.path), shape, outcome(leaf.outcome), f"{leaf.relative_error:.1e}", mode)
            head, mode = ["", ""], ""
        if left := [leaf for leaf in f.leaves if leaf not in shown]:
            worst = max(
                (leaf.relative_error for leaf in left if leaf.relative_error == leaf.relative_error), default=0.0
            )
            agreeing = all(leaf.outcome == "agree" for leaf in left)
            told = outcome("agree") if agreeing else ""
            table.add_row(
                *head, Text(f"{len(left):,} more" if shown else f"all {len(left):,}"), "", told, f"<= {worst:.1e}", mode
            )
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

    calls = ", ".join(f"{Path(file).name}:{line}" for file, line in site.called_from[:3])
    calls += ", ..." * (len(site.called_from) > 3)
    shape = " x ".join(map(str, site.shape)) or "one number"
    values = [f"{v:.8g}" for v in site.values]
    table.add_row(
        name or site.framework, Text(site.operation or "given"), Text(site.part_of), Text(site.place),
        Text(site.function), Text(calls), shape, *values,
    )  # fmt: skip
