"""docs/benchmarks.md, docs/maintainers/targets.md and README's table, made from the results and from nothing else.

python -m equigrad.bench.pages.document docs/results/*.json --page docs/benchmarks.md \\
    --targets docs/maintainers/targets.md --readme README.md
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...common.errors import MissingError, UsageError, needed
from ...common.files import write_text
from ...common.headline import TRAIN
from .. import gpu, headline, sizes
from ..clock import SHARE, ULPS, Row, Table, ratio, rounded, spread, verdict
from ..results import MACHINE, Result, break_even, read
from ..targets import outcomes
from . import view

BEGIN, END = "<!-- made by make bench -->", "<!-- end -->"


def document(files: Sequence[Path]) -> str:
    """The page. Raises UsageError for a file that is no result."""
    parts = [(path.name, gpu.read(path)) for path in files if path.name == gpu.FILE]
    return _rendered("benchmarks.md.jinja", results=_read(files), gpu_parts=parts)


def targets(files: Sequence[Path]) -> str:
    """The page for maintainers: what was aimed at, what came out, and why where it was missed."""
    return _rendered("targets.md.jinja", outcomes=list(outcomes([result for _, result in _read(files)])))


def readme(files: Sequence[Path], text: str) -> str:
    """`text` with the small tables between BEGIN and END; raises UsageError without these two lines."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UsageError(f"the text needs one line '{BEGIN}' and one line '{END}' after it")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    shown = [(name, result) for name, result in _read(files) if any(map(_in_readme, result.tables))]
    return f"{before}\n\n{_rendered('readme.md.jinja', results=shown)}\n{after}"


def _in_readme(table: Table) -> bool:
    return table.problem in ("one-layer", "two-layer") and next(headline.ways(table), None) is not None


def _read(files: Sequence[Path]) -> list[tuple[str, Result]]:
    """The results by the names of their files, the quickest networks first."""
    found = [(path.name, read(path)) for path in files if path.name != gpu.FILE]
    return sorted(found, key=lambda pair: (max((table.work for table in pair[1].tables), default=0), pair[0]))


def _rendered(template: str, **values: Any) -> str:
    with needed("jinja2", extra="report"):
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    environment = Environment(  # Markdown, so nothing is escaped but the bar that ends a cell
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "rounded": rounded, "us": lambda seconds: rounded(1e6 * seconds), "us_per_update": view.microseconds,
        "ms": lambda seconds: rounded(1e3 * (seconds or 0)),
        "ns": lambda seconds: rounded(1e9 * seconds),
        "median": statistics.median, "cell": lambda text: str(text).replace("|", "/"), "machine": _machine,
    }  # fmt: skip
    known = {
        "ways": headline.ways, "train": TRAIN, "title": view.title, "refusals": view.refusals,
        "compile_time": headline.compile_time, "short": view.SHORT, "call_rows": view.call_rows,
        "calls_caption": view.CALLS, "verdict": verdict, "spread": spread, "ratio": ratio, "times": _times,
        "hash": _hash, "allowed": _allowed, "sweeps": _sweeps,
    }  # fmt: skip
    return environment.get_template(template).render(**known, **values).rstrip() + "\n"


def _machine(result: Result) -> str:
    facts = {name: result.passport.get(name) for name in MACHINE}
    versions = ", ".join(f"{name} {version}" for name, version in (facts["versions"] or {}).items() if version)
    return f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, Python {facts['python']}, {versions}."


def _times(table: Table, row: Row) -> str:
    base = table.row(table.base)
    return str(ratio(row.samples, base.samples)) if base and base.timed else ""


def _hash(row: Row) -> str:
    """The beginning of the hash, and after how many updates: rows of other lengths have other hashes."""
    return f"`{(row.weights_sha256 or '')[:12]}` ({row.updates:,})"


def _allowed(tables: Sequence[Table]) -> str:
    """How far native weights may be from NumPy's, and what older rows were held to."""
    older = any(row.moved is None for t in tables if t.dtype == "float32" for row in t.timed if row.group == "backend")
    return (
        f"native weights are within the bound of `common/agreement.py`, and within {SHARE:.0%} of how far training has "
        f"moved their layer, or {ULPS} ULP of its largest weight if that is more"
    ) + (
        "; the float32 rows here were held to the bound alone, which hides that a large network hardly moves in so few "
        "updates: go by their distance" * older
    )


def _sweeps(result: Result) -> Iterator[tuple[str, str, list[tuple[int, Table]], list[str], list[str]]]:
    """Of each axis and dtype: their names, where each table is, the rows, and where they overtake each other."""
    for name, dtype, found in sizes.series(result.tables if result.sweep else []):
        names = list(dict.fromkeys(row.name for _, table in found for row in table.rows))
        yield name, dtype, found, names, break_even(name, [t for _, t in found], [v for v, _ in found])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m equigrad.bench.pages.document", description="Write down the results."
    )
    parser.add_argument("results", nargs="+", type=Path, help="JSON files of equigrad bench")
    parser.add_argument("--page", type=Path, help="write the page here")
    parser.add_argument("--targets", type=Path, help="write the maintainers' page of targets here")
    parser.add_argument("--readme", type=Path, help="replace the table in this file")
    given = parser.parse_args()
    if not (given.page or given.targets or given.readme):
        parser.error("nothing to write: give --page, --targets, --readme or several")
    try:
        if given.page:
            write_text(given.page, document(given.results))
        if given.targets:
            write_text(given.targets, targets(given.results))
        if given.readme:
            write_text(given.readme, readme(given.results, given.readme.read_text(encoding="utf-8")))
    except (UsageError, MissingError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
