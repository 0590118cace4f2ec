"""How checks of gradients look in a terminal."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from math import log10

from rich.console import Group, RenderableType
from rich.text import Text

from ..common.words import percent
from ..console import fitting, outcome, titled
from ..laws.power import Power
from ..referee.exact import Curve
from .result import Check, Thorough, not_asked


def check(result: Check) -> RenderableType:
    """One row for each backend and layer, what went wrong, the second opinion and the verdict."""
    table = titled(result.title)
    table.add_column("backend")
    for name in ("arithmetic", "outcome", "laws"):
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
        head: list[RenderableType] = [b.name, b.arithmetic, outcome(b.outcome), b.kept]
        if not b.layers:
            table.add_row(*head)
        for layer in b.layers:
            ulp = f"{layer.ulp:,}" if layer.ulp < 10**9 else f"{layer.ulp:.1e}"
            shape = " x ".join(map(str, layer.shape))
            errors = (f"{layer.relative_error:.1e}", f"{layer.bound:.1e}")
            table.add_row(*head, str(layer.layer), shape, ulp, *errors, "*" if layer.nearest else "")
            head = [""] * 4
    parts: list[RenderableType] = [fitting(table, "nearest", "shape")]
    parts += [Text(f"{b.name} {b.arithmetic}: {b.message}") for b in result.backends if b.message]
    parts += [Text(line) for b in result.backends for line in not_asked(f"{b.name} {b.arithmetic}", b.unasked)]
    parts.append(Text(f"second opinion: the complex step is {result.complex_step:.1e} from the 50-digit gradient"))
    if result.curve:
        parts.append(curve(result.curve))
    parts.append(Text(result.verdict, style="bold green" if result.agreed else "bold red"))
    return Group(*parts)


def curve(found: Curve) -> RenderableType:
    """The V: one row for each step size, with a bar as long as the error's exponent."""
    table = titled(f"error of difference quotients, {found.dtype}, {found.elements} weights")
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


def thorough(result: Thorough) -> RenderableType:
    """One row for each backend, then what was found, and the verdict."""
    table = titled(result.title)
    table.add_column("backend")
    table.add_column("outcome", no_wrap=True)
    table.add_column("networks", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("largest error,\nshare of its bound", justify="right")
    for b in result.backends:
        row: list[RenderableType] = [b.name, outcome(b.outcome)]
        if b.search:
            nearest = max(b.search.closest.values(), default=0.0)
            row += [f"{b.search.networks:,}", f"{b.search.seconds:.1f}", percent(nearest)]
        table.add_row(*row)
    parts: list[RenderableType] = [fitting(table, "seconds")]
    for line in (line for b in result.backends for line in b.lines()):
        code = line.startswith("    ")  # which is copied from here, so it is broken nowhere
        parts.append(Text(line, no_wrap=code, overflow="ignore" if code else None))
    parts.append(Text(result.verdict, style="bold green" if result.agreed else "bold red"))
    return Group(*parts)


def power(proof: Power) -> RenderableType:
    """What was caught, by dimension and law; what was missed; and what right backends were tried on."""
    by_hand = titled("deliberately wrong backends, each with a mistake that people make")
    by_hand.add_column("mutant")
    by_hand.add_column("caught")
    by_hand.add_column("by law", no_wrap=True)
    by_hand.add_column("times outside\nits bound", justify="right")
    by_hand.add_column("seen on", no_wrap=True)
    for name, group in groupby((m for m in proof.mutants if not m.dimension), key=lambda m: m.name):
        tries = list(group)
        least = min(tries, key=lambda m: m.margin)
        caught, tried = proof.share(tries)
        said = Text(f"{caught} of {tried}", style="green" if caught == tried else "bold red")
        margin = "outright" if least.margin == float("inf") else f"{least.margin:,.3g}"
        by_hand.add_row(name, said, least.law, margin if least.caught else "", least.case)
    parts: list[RenderableType] = [fitting(by_hand, "seen on")]
    planted = replace(proof, mutants=tuple(m for m in proof.mutants if m.dimension))
    for title, key in (
        ("mistakes by construction: where they hide", lambda m: m.dimension),
        ("mistakes by construction: of what kind", lambda m: m.kind),
        ("mistakes by construction: the law that must catch them", lambda m: f"{m.law}, {m.dtype} {m.arithmetic}"),
    ):
        table = titled(title)
        table.add_column("")
        table.add_column("caught", justify="right")
        for value, (caught, tried) in planted.by(key).items():
            table.add_row(value, Text(f"{caught} of {tried}", style="green" if caught == tried else "bold red"))
        if planted.mutants:
            parts.append(table)
    if proof.closest:
        right = titled("correct backends on many networks")
        right.add_column("law", no_wrap=True)
        right.add_column("largest error, share of its bound", justify="right")
        for law, used in proof.closest.items():
            right.add_row(law, percent(used) if used else "same bits")
        parts.append(right)
    parts += [Text(f"{name}: {count} networks") for name, count in proof.problems.items()]
    for why, names in groupby(sorted(proof.equivalent, key=proof.equivalent.__getitem__), proof.equivalent.__getitem__):
        parts.append(Text(f"left out, {len(list(names))}: {why}"))
    for m in proof.missed:
        crashed = ", though it raised an error" if m.crashed else ""
        parts.append(Text(f"MISSED {m.name}, {m.dtype} {m.arithmetic}{crashed}", style="bold red"))
    for what, alarms in (("FALSE ALARM", proof.false_alarms), ("FOUND", proof.findings)):
        parts += [
            Text(f"{what} {a.backend} {a.dtype} {a.arithmetic}, {a.case}: {a.message}", style="bold red")
            for a in alarms
        ]
    parts.append(Text(proof.verdict, style="bold green" if proof.proved else "bold red"))
    return Group(*parts)
