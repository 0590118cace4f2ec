"""Figures that the project set out to reach, and what came of each; for maintainers, not for users."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .clock import Spread, Table, ratio, rounded, spread
from .results import Result

Find = Callable[[Table, Result, Sequence[Result]], Spread | None]
"""The figure in one table, given the result that it is part of, and all of them."""


@dataclass(frozen=True)
class Target:
    """A figure that the project set out to reach."""

    what: str
    network: str
    """Name or size, and dtype."""
    most: float
    find: Find
    why: str = ""
    """Key into WHY."""


def times(row: str, base: str) -> Find:
    def find(table: Table, result: Result, everything: Sequence[Result]) -> Spread | None:
        a, b = table.row(row), table.row(base)
        return ratio(a.samples, b.samples) if a and b and a.timed and b.timed else None

    return find


def microseconds(row: str) -> Find:
    def find(table: Table, result: Result, everything: Sequence[Result]) -> Spread | None:
        found = table.row(row)
        return spread([1e6 * s for s in found.samples]) if found and found.timed else None

    return find


def memory(row: str) -> Find:
    """Above what the same row holds for the one-layer network, whose arrays are nothing: code and thread pools."""

    def find(table: Table, result: Result, everything: Sequence[Result]) -> Spread | None:
        found = table.row(row)
        if found is None or not found.timed or found.peak_bytes is None:
            return None
        small = [r for each in everything for t in each.tables if t.problem == "one-layer" and (r := t.row(row))]
        value = (found.peak_bytes - next((r.peak_bytes or 0 for r in small), 0)) / table.bytes_needed
        return Spread(value, value, value)

    return find


def whole_process(table: Table, result: Result, everything: Sequence[Result]) -> Spread | None:
    found = result.process
    if found is None or not found.compare_seconds or found.problem != table.problem:
        return None
    return ratio(found.compare_seconds, found.alone_seconds)


SCRIPT, LINEAR, FLOOR = "Trask's way, a NumPy script", "torch, nn.Linear and optim.SGD", "C, vectorised exp"
LOOP = {
    "numpy": "numpy, expressions",
    "torch": "torch, autograd.grad without the loss",
    "jax": "jax, fori_loop, matmul",
}
"""The quickest plain loop of each framework that leaves the loss out, as `train` does."""
MEDIUM, LARGE = "4096x256-256-10", "16384x1024-1024-10"
BOTH = ("float64", "float32")


def _small() -> Iterator[Target]:
    for row, base, one, two in (
        ("numpy", SCRIPT, 0.45, 0.45),
        ("torch", LINEAR, 0.24, 0.31),
        ("torch, torch.compile of the loop", LINEAR, 0.05, 0.06),
        ("jax", FLOOR, 2.2, 2.8),
        ("jax", "jax, jitted step from Python", 0.012, 0.02),
    ):
        for problem, most in (("one-layer", one), ("two-layer", two)):
            yield Target(f"{row} against {base}", f"{problem} float64", most, times(row, base), why=f"{row}/{base}")
    for name, most in (("numpy", 3.0), ("torch", 3.0), ("jax", 1.1)):
        for base in (name, LOOP[name]):
            for problem in ("one-layer", "two-layer"):
                row = f"{name} reproducible"
                yield Target(f"{row} against {base}", f"{problem} float64", most, times(row, base), why=row)
    for name in ("numpy", "torch"):
        row = f"{name}, train, reproducible, fused by Numba"
        for problem in ("one-layer", "two-layer"):
            yield Target(f"{row}, against {name}", f"{problem} float64", 2.5, times(row, name))


def _large() -> Iterator[Target]:
    for size, numpy in ((MEDIUM, 1.25), (LARGE, 1.15)):
        for dtype in BOTH:
            for name, most in (("numpy", numpy), ("torch", 1.15), ("jax", 1.15)):
                base = f"{name}, products alone"
                why = f"{name}/products"
                yield Target(f"{name} against its products alone", f"{size} {dtype}", most, times(name, base), why=why)
    for dtype in BOTH:
        for name in LOOP:
            row = f"{name} reproducible"
            yield Target(f"{row} against {name}", f"{MEDIUM} {dtype}", 8, times(row, name), why=f"{row}, large")
    for size in (MEDIUM, LARGE):
        for dtype in BOTH:
            for name in LOOP:
                what = f"memory of {name}, above one-layer's, against what the arrays need"
                yield Target(what, f"{size} {dtype}", 1.3, memory(name), why=f"{name}/memory")


def _gpu() -> Iterator[Target]:
    for name, most in (("torch:cuda", 6.5), ("jax:cuda", 1.7)):
        yield Target(f"{name}, us per update", "one-layer float64", most, microseconds(name))
        for dtype in BOTH:
            base = f"{name}, products alone"
            yield Target(f"{name} against its products alone", f"{LARGE} {dtype}", 1.08, times(name, base))
            row = f"{name} reproducible"
            yield Target(f"{row} against {name}", f"{MEDIUM} {dtype}", 8, times(row, name))


GPU = tuple(_gpu())
TARGETS = (
    *_small(),
    *_large(),
    Target("equigrad compare, the process, against imports and loops alone", "one-layer float64", 1.25, whole_process,
           why="process"),
    *GPU,
)  # fmt: skip

SLICED = "six of the library's own products in float64, two in float32, and a dozen passes over each factor to cut it"
WHY = {
    f"numpy/{SCRIPT}": "an update is 11 or 22 calls of NumPy, whose overhead is what it costs; SciPy's expit, "
    "two calls fewer in each layer, is hardly faster, see its row",
    "numpy reproducible": "the native sigmoid is four calls, the reproducible one 23, and since the tape the native "
    "update, which this is held against, costs its calls and nothing else",
    "torch reproducible": "its sigmoid and products are 37 or 75 operations an update, the native one's 7 or 14, and "
    "since the tape both cost their calls and nothing else",
    "jax reproducible": "its sigmoid has three more divisions, and since native products are a multiply and a sum "
    "these are not hidden behind calls of a matrix product any more",
    "numpy/products": "what is between the products takes one thread",
    "numpy reproducible, large": SLICED,
    "torch reproducible, large": SLICED,
    "jax reproducible, large": SLICED,
    "numpy/memory": "while a layer's delta is computed, its activation, error and slope are held, one array more than "
    "is counted: 0.32 of the whole in 16384x1024-1024-10; the rest has not been taken apart",
    "torch/memory": "in the first update, which autograd makes, a layer's error and delta are two arrays, where later "
    "ones write one over the other: 0.32 of the whole in 16384x1024-1024-10; the rest has not been taken apart",
    "jax/memory": "XLA's executable and workspaces are in it",
}
"""Why a figure is missed, shown only where it is."""


@dataclass(frozen=True)
class Outcome:
    """A target beside one measurement."""

    target: Target
    measured: str
    said: str


def outcomes(results: Sequence[Result], targets: Sequence[Target] = TARGETS) -> Iterator[Outcome]:
    """Every target, once for each result that has its figure."""
    for target in targets:
        found = [
            value
            for result in results
            for table in result.tables
            if f"{table.problem} {table.dtype}" == target.network and (value := target.find(table, result, results))
        ]
        for value in found:
            missed = value.median > target.most
            why = f": {WHY[target.why]}" if missed and target.why in WHY else ""
            measured = str(value) if value.low != value.high else rounded(value.median)
            yield Outcome(target, measured, f"missed{why}" if missed else "reached")
        if not found:
            yield Outcome(target, "", "not measured")
