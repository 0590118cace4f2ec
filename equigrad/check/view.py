"""How checks of gradients look in a terminal."""

from __future__ import annotations

from math import log10

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..console import STYLES
from ..laws.power import Power
from ..referee.exact import Curve
from .gradcheck import Check


def check(result: Check) -> RenderableType:
    """One row for each backend and layer, what went wrong, the second opinion and the verdict."""
    title = f"{result.problem}: gradient dL/dw, {result.dtype}, {result.samples:,} samples"
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("backend", "arithmetic", "outcome", "laws"):
        table.add_column(name, no_wrap=True)
    table.add_column("layer", justify="right")
    table.add_column("shape")
    table.add_column("max ULP\nto exact", justify="right")
    table.add_column("relative\nerror", justify="right")
    table.add_column("allowed\nat most", justify="right")
    table.add_column("nearest")
    for previous, b in zip((None, *result.backends), result.backends, strict=False):
        if previous and previous.arithmetic != b.arithmetic:
            table.add_section()
        kept = f"{sum(law.kept for law in b.laws)} of {len(b.laws)}" if b.laws else ""
        head: list[RenderableType] = [
            b.name,
            b.arithmetic,
            Text(b.outcome, style=STYLES.get(b.outcome, "bold red")),
            kept,
        ]
        if not b.layers:
            table.add_row(*head)
        for layer in b.layers:
            ulp = f"{layer.ulp:,}" if layer.ulp < 10**9 else f"{layer.ulp:.1e}"
            shape = " x ".join(map(str, layer.shape))
            errors = (f"{layer.relative_error:.1e}", f"{layer.bound:.1e}")
            table.add_row(*head, str(layer.layer), shape, ulp, *errors, "*" if layer.nearest else "")
            head = [""] * 4
    parts: list[RenderableType] = [table]
    parts += [Text(f"{b.name} {b.arithmetic}: {b.message}") for b in result.backends if b.message]
    parts.append(Text(f"second opinion: the complex step is {result.complex_step:.1e} from the 50-digit gradient"))
    if result.curve:
        parts.append(curve(result.curve))
    parts.append(Text(result.verdict, style="bold green" if result.agreed else "bold red"))
    return Group(*parts)


def curve(found: Curve) -> RenderableType:
    """The V: one row for each step size, with a bar as long as the error's exponent."""
    table = Table(
        title=f"error of difference quotients, {found.dtype}, {found.elements} weights",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("step", justify="right")
    table.add_column("forward", justify="right")
    table.add_column("central", justify="right")
    table.add_column("central, right digits")
    for point in found.points:
        digits = min(16, max(0, round(-_log10(point.central))))
        table.add_row(f"{point.step:.1e}", f"{point.forward:.1e}", f"{point.central:.1e}", "#" * digits)
    best = found.best
    sentence = f"best central step {best.step:.1e}: error {best.central:.1e}; complex step: {found.complex_step:.1e}"
    return Group(table, Text(sentence))


def _log10(value: float) -> float:
    return log10(value) if 0 < value < float("inf") else -16.0 if value == 0 else 0.0


def power(proof: Power) -> RenderableType:
    """One row for each mutant, then what right backends were tried on."""
    table = Table(title="deliberately wrong backends", title_justify="left", title_style="bold")
    table.add_column("mutant")
    table.add_column("caught")
    table.add_column("by law", no_wrap=True)
    table.add_column("times outside\nits bound", justify="right")
    table.add_column("seen on", no_wrap=True)
    for m in proof.mutants:
        margin = "outright" if m.margin == float("inf") else f"{m.margin:,.3g}"
        caught = Text("yes", style="green") if m.caught else Text("NO", style="bold red")
        table.add_row(m.name, caught, m.law, margin if m.caught else "", m.case)
    parts: list[RenderableType] = [table]
    if proof.problems:
        right = Table(title="correct backends on random problems", title_justify="left", title_style="bold")
        right.add_column("law", no_wrap=True)
        right.add_column("largest error, share of its bound", justify="right")
        for law, used in proof.closest.items():
            right.add_row(law, f"{used:.0%}" if used else "same bits")
        parts.append(right)
        parts += [Text(f"{name}: {count} problems") for name, count in proof.problems.items()]
    parts += [
        Text(f"FALSE ALARM {a.backend} {a.dtype} {a.arithmetic}, {a.case}: {a.message}", style="bold red")
        for a in proof.accusations
    ]
    parts.append(Text(proof.verdict, style="bold green" if proof.proved else "bold red"))
    return Group(*parts)
