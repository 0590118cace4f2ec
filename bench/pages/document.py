"""docs/benchmarks.md and README's table, made from the results and from nothing else:

python -m equigrad.bench.pages.document docs/results/*.json --page docs/benchmarks.md --readme README.md
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...common.errors import UsageError
from ...common.files import write_text
from .. import gpu, sizes
from ..clock import Ratio, Row, Table, ratio, short, verdict
from ..results import MACHINE, Result, load
from . import terminal

INTRODUCTION = """# Benchmarks

Every number here was printed by the command above it, on the machine under it; `make bench` runs them all again.
A row is timed only if the weights of that very run agree with NumPy's; the hash beside the number is theirs, and the
samples are in the JSON file. All rows of a table ran in turn, round by round, each in a process of its own with the
same number of threads; "times" is the median of the ratios within each round, with their quartiles. The first update,
which compiles, is not in it: it has a column of its own. How this is measured: `bench/clock.py`, `bench/worker.py`.

* null: no update at all, what the suite itself costs. Floors: the least an update could take, in C, or its matrix
  products alone. Idioms: other ways to write it in the same framework. Peers: what others write.
* Control: the row that ratios are taken to, timed again at the end of each round. Middle half: between the quartiles.
  MiB: the largest memory of that row's process, above what it held before.
* A slow row trains fewer updates in a run, the number in brackets, and other numbers of updates have other hashes.
"""


NO_GPU = """No GPU row is here: nothing was measured on a GPU with this version. `python -m equigrad.bench.gpu --out
docs/results`, on a machine with one, runs all that needs it, and this page then shows it.
"""

Find = Callable[[Table, Result, Sequence[Result]], Ratio | None]
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
    def find(table: Table, result: Result, everything: Sequence[Result]) -> Ratio | None:
        a, b = table.row(row), table.row(base)
        return ratio(a.samples, b.samples) if a and b and a.timed and b.timed else None

    return find


def microseconds(row: str) -> Find:
    def find(table: Table, result: Result, everything: Sequence[Result]) -> Ratio | None:
        found = table.row(row)
        return ratio([1e6 * s for s in found.samples], [1.0] * len(found.samples)) if found and found.timed else None

    return find


def memory(row: str) -> Find:
    """Above what the same row holds for the one-layer network, whose arrays are nothing: code and thread pools."""

    def find(table: Table, result: Result, everything: Sequence[Result]) -> Ratio | None:
        found = table.row(row)
        if found is None or not found.timed or found.peak_bytes is None:
            return None
        small = [r for each in everything for t in each.tables if t.problem == "one-layer" and (r := t.row(row))]
        value = (found.peak_bytes - next((r.peak_bytes or 0 for r in small), 0)) / table.bytes_needed
        return Ratio(value, value, value)

    return find


def whole_process(table: Table, result: Result, everything: Sequence[Result]) -> Ratio | None:
    found = result.process
    if found is None or not found.compare_seconds or found.problem != table.problem:
        return None
    return ratio(found.compare_seconds, found.alone_seconds)


SCRIPT, LINEAR, FLOOR = "Trask's way, a NumPy script", "torch, nn.Linear and optim.SGD", "C, vectorised exp"
IDIOM = {
    "numpy": "numpy, expressions",
    "torch": "torch, autograd.grad without the loss",
    "jax": "jax, fori_loop, matmul",
}
"""What each framework's own loop looks like when it is written plainly."""
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
        for base in (name, IDIOM[name]):
            for problem in ("one-layer", "two-layer"):
                row = f"{name} reproducible"
                yield Target(f"{row} against {base}", f"{problem} float64", most, times(row, base), why=row)


def _large() -> Iterator[Target]:
    for size, numpy in ((MEDIUM, 1.25), (LARGE, 1.15)):
        for dtype in BOTH:
            for name, most in (("numpy", numpy), ("torch", 1.15), ("jax", 1.15)):
                base = f"{name}, products alone"
                why = f"{name}/products"
                yield Target(f"{name} against its products alone", f"{size} {dtype}", most, times(name, base), why=why)
    for dtype in BOTH:
        for name in IDIOM:
            row = f"{name} reproducible"
            yield Target(f"{row} against {name}", f"{MEDIUM} {dtype}", 8, times(row, name), why=f"{row}, large")
    for size in (MEDIUM, LARGE):
        for dtype in BOTH:
            for name in IDIOM:
                what = f"memory of {name}, above one-layer's, against what the arrays need"
                yield Target(what, f"{size} {dtype}", 1.3, memory(name), why=f"{name}/memory")


def _gpu() -> Iterator[Target]:
    for name, most in (("torch:cuda", 6.5), ("jax:cuda", 1.7)):
        yield Target(f"{name}, us per update", "one-layer float64", most, microseconds(name))
    for dtype in BOTH:
        for name in ("torch:cuda", "jax:cuda"):
            base = f"{name}, products alone"
            yield Target(f"{name} against its products alone", f"{LARGE} {dtype}", 1.08, times(name, base))


TARGETS = (
    *_small(),
    *_large(),
    Target("equigrad compare, the process, against imports and loops alone", "one-layer float64", 1.25, whole_process,
           why="process"),
    *_gpu(),
)  # fmt: skip

SLICED = "six of the library's own products in float64, two in float32, and a dozen passes over each factor to cut it"
WHY = {
    f"numpy/{SCRIPT}": "an update is 12 or 24 calls of NumPy, whose overhead is what it costs; SciPy's expit, "
    "three calls fewer in each layer, is hardly faster, see its row",
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
    "numpy/memory": "the slope of the sigmoid is one array more than must be held, and OpenBLAS packs factors into "
    "buffers of its own",
    "torch/memory": "the first update, which autograd makes and the tape notes, holds what later ones write over",
    "jax/memory": "XLA's executable and workspaces are in it",
}
"""Why a figure is missed, shown only where it is."""


def _read(files: Sequence[Path]) -> list[tuple[Path, Result]]:
    """The results, the quickest networks first."""
    found = [(path, load(str(path))) for path in files if path.name != gpu.STEPS]
    return sorted(found, key=lambda pair: (max(table.work for table in pair[1].tables), pair[0]))


def document(files: Sequence[Path]) -> str:
    """The page. Raises UsageError for a file that is no result."""
    parts, results = [INTRODUCTION], _read(files)
    if not any(row.device == "cuda" for _, result in results for table in result.tables for row in table.timed):
        parts.append(NO_GPU)
    parts.append("## What was aimed at, and what came out\n")
    parts.append("| figure | network | at most | measured | |\n|---|---|--:|--:|---|")
    parts.append("\n".join(_targets([result for _, result in results])) + "\n")
    for path, result in results:
        parts.append(f"## {path.stem}\n")
        parts.append(f"    {result.command}\n")
        parts.append(f"{_machine(result)} Made {result.made}. All samples: [{path.name}](results/{path.name}).\n")
        swept = [table for table in result.tables if sizes.axis(table)]
        parts += _sweep(swept) if swept else [part for table in result.tables for part in _table(table)]
        if result.process is not None:
            parts.append(_process(result))
    parts += [_on_gpu(path) for path in files if path.name == gpu.STEPS]
    return "\n".join(parts).rstrip() + "\n"


def _targets(results: Sequence[Result]) -> Iterator[str]:
    for target in TARGETS:
        found = [
            value
            for result in results
            for table in result.tables
            if f"{table.problem} {table.dtype}" == target.network and (value := target.find(table, result, results))
        ]
        for value in found:
            missed = value.median > target.most
            why = f": {WHY[target.why]}" if missed and target.why in WHY else ""
            shown = str(value) if value.low != value.high else short(value.median)
            outcome = f"missed{why}" if missed else "reached"
            yield f"| {target.what} | {target.network} | {target.most:g} | {shown} | {outcome} |"
        if not found:
            yield f"| {target.what} | {target.network} | {target.most:g} | | not measured |"


def _on_gpu(path: Path) -> str:
    """How the steps of `gpu.py` went, as it printed them."""
    told = gpu.read(path)
    lines = ["| step | outcome | what | figure | target |", "|---|---|---|---|---|"]
    for step in told["steps"]:
        for what, value, target in step["figures"] or [("", "", "")]:
            lines.append(f"| {step['name']} | {step['outcome']} | {what} | {value.replace('|', '/')} | {target} |")
    head = f"Made {told['datetime']}. All of it: [{path.name}](results/{path.name})."
    return "\n".join(["## On a GPU\n", "    python -m equigrad.bench.gpu\n", head, "", *lines]) + "\n"


def _process(result: Result) -> str:
    assert result.process is not None
    found = result.process
    if not found.compare_seconds:
        return f"`equigrad compare {found.problem}` as a whole process: {found.outcome}, {found.message}\n"
    compared, alone = statistics.median(found.compare_seconds), statistics.median(found.alone_seconds)
    times = ratio(found.compare_seconds, found.alone_seconds)
    return (
        f"`equigrad compare {found.problem}` with {', '.join(found.backends)} took {short(compared)} s as a whole "
        f"process, importing them and running the same loops alone {short(alone)} s: {times} times, the hashes the "
        f"same in {len(found.compare_seconds)} interleaved rounds.\n"
    )


BEGIN, END = "<!-- made by make bench -->", "<!-- end -->"


def readme(files: Sequence[Path], text: str) -> str:
    """`text` with the small tables between BEGIN and END; raises UsageError without these two lines."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UsageError(f"the text needs one line '{BEGIN}' and one line '{END}' after it")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    parts = [part for path, result in _read(files) for part in _summary(path, result)]
    return f"{before}\n\n" + "\n".join(parts) + f"\n{after}"


def _summary(path: Path, result: Result) -> Iterator[str]:
    """One row per backend and arithmetic, over the built-in networks that were timed."""
    tables = [table for table in result.tables if table.problem in ("one-layer", "two-layer")]
    names = list(dict.fromkeys(row.name for table in tables for row in table.rows if row.group == "backend"))
    if not names:
        return
    heads = [f"{t.problem} {t.dtype}, us per update | times {t.base} | SHA-256 (after updates)" for t in tables]
    yield f"| backend | {' | '.join(heads)} |"
    yield "|---|" + "--:|--:|---|" * len(tables)
    for name in names:
        yield f"| {name} | {' | '.join(_brief(table, table.row(name)) for table in tables)} |"
    yield ""
    verdicts = "; ".join(f"{table.problem}: {verdict(table)}" for table in tables)
    yield f"Median, and the ratio's median and quartiles over {tables[0].rounds} interleaved rounds ({verdicts})."
    yield f"By `{result.command}`, {result.made[:10]}: {_machine(result)}"
    yield (
        "A slow row trains fewer updates in a run, the number in brackets: only hashes after equally many can be the "
        "same. `equigrad compare` trains all equally long."
    )
    yield (
        f"Every sample: [{path.name}](docs/results/{path.name}); floors, idioms, peers, large networks and what was "
        "missed: [docs/benchmarks.md](docs/benchmarks.md)."
    )
    yield ""


def _brief(table: Table, row: Row | None) -> str:
    if row is None or not row.timed:
        return f"{row.outcome if row else ''} | | "
    base = table.row(table.base)
    quotient = str(ratio(row.samples, base.samples)) if base and base.timed else ""
    return f"{short(1e6 * statistics.median(row.samples))} | {quotient} | {_hash(row)}"


def _machine(result: Result) -> str:
    facts = {name: result.passport.get(name) for name in MACHINE}
    versions = ", ".join(f"{name} {version}" for name, version in (facts["versions"] or {}).items() if version)
    return f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, Python {facts['python']}, {versions}."


def _table(table: Table) -> list[str]:
    lines = [
        "| | outcome | distance to NumPy | us per update | middle half | "
        f"times {table.base} | first update, ms | MiB | SHA-256 (after updates) |",
        "|---|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    base = table.row(table.base)
    for row in table.rows:
        if row.timed:
            times = str(ratio(row.samples, base.samples)) if base and base.timed else ""
            lines.append(f"| {row.name} | {row.outcome} | {_numbers(row)} | {times} | {_first(row)} |")
        else:
            lines.append(f"| {row.name} | {row.outcome} | | | | | | | |")
    lines += ["", *(f"* {line}" for line in terminal.refusals(table))] if len(table.timed) < len(table.rows) else []
    return [f"### {terminal.title(table)}\n", "\n".join(lines) + "\n", verdict(table) + "\n"]


def _numbers(row: Row) -> str:
    low, median, high = terminal.quartiles(row.samples)
    distance = f"{row.distance:.0e}" if row.distance else "0"
    return f"{distance} | {short(1e6 * median)} | {short(1e6 * low)} to {short(1e6 * high)}"


def _first(row: Row) -> str:
    memory = "" if row.peak_bytes is None else short(row.peak_bytes / 2**20)
    return f"{short(1e3 * (row.first_call_seconds or 0))} | {memory} | {_hash(row)}"


def _hash(row: Row) -> str:
    """The beginning of the hash, and after how many updates: rows of other lengths have other hashes."""
    return f"`{(row.weights_sha256 or '')[:12]}` ({row.updates:,})"


def _sweep(tables: Sequence[Table]) -> list[str]:
    parts = []
    for name in sizes.SWEEP:
        found = [(at[1], table) for table in tables if (at := sizes.axis(table)) and at[0] == name]
        names = list(dict.fromkeys(row.name for _, table in found for row in table.rows))
        lines = [f"| {name} | multiplications | {' | '.join(names)} |", "|--:" * (2 + len(names)) + "|"]
        for value, table in found:
            cells = (
                f"{short(1e6 * statistics.median(row.samples))} `{(row.weights_sha256 or '')[:8]}`"
                if row and row.timed
                else ""
                for row in map(table.row, names)
            )
            lines.append(f"| {value:,} | {table.work:,} | {' | '.join(cells)} |")
        even = terminal.break_even(name, [t for _, t in found], [v for v, _ in found])
        parts += [
            f"### Sweep over {name}, us per update and hash\n",
            "\n".join(lines) + "\n",
            "\n".join(f"* {e}" for e in even) + "\n",
        ]
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m equigrad.bench.pages.document", description="Write down the results."
    )
    parser.add_argument("results", nargs="+", type=Path, help="JSON files of equigrad bench")
    parser.add_argument("--page", type=Path, help="write the page here")
    parser.add_argument("--readme", type=Path, help="replace the table in this file")
    given = parser.parse_args()
    if not (given.page or given.readme):
        parser.error("nothing to write: give --page, --readme or both")
    try:
        if given.page:
            write_text(given.page, document(given.results))
        if given.readme:
            write_text(given.readme, readme(given.results, given.readme.read_text(encoding="utf-8")))
    except (UsageError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
