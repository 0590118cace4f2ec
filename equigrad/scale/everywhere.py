"""Where the published hash has really been seen: python -m equigrad.scale.everywhere docs/everywhere.md

Each line of the page is a command that was run, with what was installed; what could not be run is named too. The lines
are kept in a JSON file beside the page, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..backends import FRAMEWORKS
from ..backends.interface import DTYPES
from ..common.errors import EquigradError, UsageError, needed, said
from ..common.files import check_writable, read_json, write_json, write_text
from ..common.golden import EARLY, GOLDEN
from ..common.machine import machine
from ..common.problem import problem
from ..common.ulp import sha256
from ..common.words import listed
from . import emulated

ROOT = Path(__file__).resolve().parents[2]
PROBLEM = "digits"
AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"
VECTOR_SETTINGS = {
    "AVX2 at most": {
        "NPY_DISABLE_CPU_FEATURES": AVX512, "OPENBLAS_CORETYPE": "Haswell",
        "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    },
    "SSE at most": {
        "NPY_DISABLE_CPU_FEATURES": f"{AVX512} AVX2 FMA3 X86_V3", "OPENBLAS_CORETYPE": "Nehalem",
        "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
    },
}  # fmt: skip
"""What keeps NumPy, PyTorch and JAX, and the libraries that multiply their matrices, from x86's wider vector units."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
OURS = {*THREADS, *(name for environment in VECTOR_SETTINGS.values() for name in environment)}
"""Taken out of the environment, so that a line's command says all that was set."""
OTHERS = ("typer==0.15.4", "rich==13.7.0")
"""What else the package needs, in old versions."""
LONGEST = 3600
"""Seconds that one command may take."""
NOT_RUN = {
    "several machines": "only one machine was used; [scale.md](scale.md) has the commands, `--add` takes the result",
    "macOS, Windows": "no such machine was used",
}


@dataclass
class Seen:
    """One command, and the hash of each backend's weights."""

    where: str
    dtype: str
    machine: str
    date: str
    command: str
    updates: int
    versions: dict[str, str]
    hashes: dict[str, list[str]]
    """By backend, those of all its runs, or what a run said instead."""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.where, self.dtype, self.machine

    @property
    def expected(self) -> str:
        early, hashes = EARLY[PROBLEM]
        return (hashes if self.updates == early else GOLDEN[PROBLEM])[self.dtype]

    @property
    def published(self) -> bool:
        return bool(self.hashes) and all(seen == [self.expected] for seen in self.hashes.values())

    @property
    def shown(self) -> str:
        """The hashes on the page; by backend where they differ."""
        found = {
            name: ", ".join(f"`{h[:12]}`" if len(h) == 64 else h for h in seen) for name, seen in self.hashes.items()
        }
        same = len({*found.values()}) == 1
        return next(iter(found.values())) if same else "; ".join(f"{name} {seen}" for name, seen in found.items())


@dataclass
class Place:
    """What is to be run, for each dtype one command."""

    where: str
    dtypes: Sequence[str] = ("float64",)
    backends: Sequence[str] = FRAMEWORKS
    options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    python: Callable[[Path], Path] = lambda _: Path(sys.executable)
    """Makes, in an empty folder, the Python that runs the command."""
    installed: str = ""
    """How, in words of a shell."""
    versions: Mapping[str, str] | None = field(default_factory=dict)
    """What an earlier line must name to be kept; None: nothing is known before it is run."""
    why_not: str = ""
    """Why this is run only if it is asked for by name."""

    def arguments(self, dtype: str) -> list[str]:
        backends = [part for backend in self.backends for part in ("-b", backend)]
        return ["compare", PROBLEM, *backends, "--arithmetic", "reproducible", "--dtype", dtype, *self.options]

    def command(self, dtype: str) -> str:
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return self.installed + " ".join([*variables, "equigrad", *self.arguments(dtype)])

    def keeps(self, seen: Seen) -> bool:
        """Whether running it again would only say the same."""
        same = self.versions is not None and self.versions.items() <= seen.versions.items()
        return same and seen.published and seen.command == self.command(seen.dtype)

    def run(self, python: Path, dtype: str) -> Seen:
        """Run the command; raises UsageError if it leaves no result."""
        kept = {name: value for name, value in os.environ.items() if name not in OURS}
        environment = {**kept, "PYTHONPATH": str(ROOT), **self.environment}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "result.json"
            command = [str(python), "-m", "equigrad", *self.arguments(dtype), "--json", str(path)]
            try:
                done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST)
            except subprocess.TimeoutExpired:
                raise UsageError(f"not done after {LONGEST} seconds") from None
            if not path.exists():
                word = (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]
                raise UsageError(f"the command ended with {done.returncode}: {word}")
            found = seen(read_json(path), self.where, self.command(dtype), this_machine())
        if not found.hashes:
            raise UsageError(f"none of {listed(self.backends)} is installed")
        return found


def seen(result: dict[str, Any], where: str, command: str, on: str = "") -> Seen:
    """What `compare --json` found; raises UsageError for other files, and for hashes that are not the weights'."""
    try:
        passport, (name, updates) = result["passport"], (result["problem"][key] for key in ("name", "updates"))
        runs = [run for run in result["runs"] if run["arithmetic"] == "reproducible" and run["outcome"] != "missing"]
        dtypes, hashes = {run["dtype"] for run in runs}, dict[str, list[str]]()
        for run in runs:
            weights = [np.array(layer, dtype=run["dtype"]) for layer in run["weights"]]
            if run["weights_sha256"] and sha256(weights) != run["weights_sha256"]:
                raise UsageError(f"{run['backend']}'s weights do not have the hash that the result gives")
            label = run["backend"] + (":cuda" if run["device"] == "cuda" else "")
            hashes.setdefault(label, []).append(run["weights_sha256"] or f"{run['outcome']}: {run['message']}"[:100])
        if name != PROBLEM or updates not in (EARLY[PROBLEM][0], problem(PROBLEM).updates) or len(dtypes) != 1:
            raise UsageError(
                f"the page needs `equigrad compare {PROBLEM} --arithmetic reproducible` and its own updates"
            )
        used = {"equigrad", *(label.partition(":")[0] for label in hashes)}
        versions = {"python": passport["python"], "equigrad": passport["equigrad"], **passport["versions"]}
        return Seen(
            where, dtypes.pop(), on or _named(passport), f"{datetime.date.today():%Y-%m-%d}", command, updates,
            {key: version for key, version in versions.items() if key in used | {"python", "numpy"} and version},
            {label: sorted({*found}) for label, found in hashes.items()},
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"no result of `equigrad compare --json`: {said(error)}") from None


def _named(facts: Mapping[str, Any]) -> str:
    return f"{facts['processor']}, {facts['system']}, {facts['cores']} cores"


def this_machine() -> str:
    return _named(machine())


def in_versions(folder: Path, *packages: str) -> Path:
    """A virtual environment's Python."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    emulated.install(python, [*packages, *OTHERS])
    return python


def places() -> list[Place]:
    """All there is to run: versions, vector units, threads, processes, other processors."""
    facts = machine()
    versions = {"python": facts["python"], **{name: facts["versions"][name] or "" for name in FRAMEWORKS}}

    def others(where: str, backend: str, *packages: str, known: bool = True, why_not: str = "") -> Place:
        installed = f"pip install {' '.join([*packages, *OTHERS])}; "
        return Place(
            where, backends=[backend], python=lambda folder: in_versions(folder, *packages), installed=installed,
            versions={} if known else None, why_not=why_not,
        )  # fmt: skip

    here = partial(Place, versions=versions)
    one = dict.fromkeys(THREADS, "1")  # more of them than free cores wait for each other
    arm = [f"{name}=={versions[name]}" for name in ("numpy", "jax")] + ["torch==2.10.0", "typer", "rich"]
    x86 = facts["system"].endswith(("x86_64", "AMD64"))
    large = "PyTorch's package brings CUDA, with 2.11.0 a download of 1.7 GB"
    return [
        here("as it is", DTYPES),
        others("oldest NumPy allowed", "numpy", "numpy==2.0.0"),
        others("oldest JAX allowed", "jax", "jax==0.10.0", "jaxlib==0.10.0"),
        others("newest NumPy", "numpy", "numpy", known=False),
        others("newest JAX", "jax", "jax", known=False),
        *(
            here(where, DTYPES, environment={**one, **environment}, why_not="" if x86 else "only x86 has these units")
            for where, environment in VECTOR_SETTINGS.items()
        ),
        *(here(f"threads: {n}", DTYPES, FRAMEWORKS[:2], environment=dict.fromkeys(THREADS, n)) for n in "12"),
        here("1, 2, 3 and 4 processes", DTYPES, environment=one, options=["--processes", "1,2,3,4"]),
        Place(
            "aarch64 under emulation", DTYPES, options=["--updates", str(EARLY[PROBLEM][0])],
            python=lambda folder: emulated.python(folder, *arm),
            installed=f"pip install {' '.join(arm)}; ", versions={name: versions[name] for name in ("numpy", "jax")},
        ),
        others("oldest PyTorch allowed", "torch", "torch==2.11.0", why_not=large),
        others("newest PyTorch", "torch", "torch", known=False, why_not=large),
        Place("CUDA", DTYPES, ["torch:cuda", "jax:cuda"], versions=None, why_not="it needs a GPU"),
    ]  # fmt: skip


@dataclass
class Sightings:
    """The lines that are there, and what was tried in vain."""

    path: Path
    lines: list[Seen]
    failed: dict[str, str]
    """By place and dtype, with the date."""

    @classmethod
    def read(cls, path: Path) -> Sightings:
        """With nothing in it where there is none yet."""
        beside = path.with_suffix(".json")
        if not beside.exists():
            return cls(path, [], {})
        try:
            data = read_json(beside)
            return cls(path, [Seen(**line) for line in data["lines"]], dict(data["failed"]))
        except (KeyError, TypeError) as error:
            raise UsageError(f"'{beside}' holds no lines of such a page: {said(error)}") from None

    def put(self, found: Seen) -> None:
        """In the place of the line that it replaces, or at the end."""
        self.failed.pop(f"{found.where}, {found.dtype}", None)
        keys = [line.key for line in self.lines]
        if found.key in keys:
            self.lines[keys.index(found.key)] = found
        else:
            self.lines.append(found)
        order = [place.where for place in places()]
        self.lines.sort(key=lambda line: (line.machine, order.index(line.where) if line.where in order else len(order)))
        self.write()

    def fail(self, place: Place, dtype: str, why: str) -> None:
        self.failed[f"{place.where}, {dtype}"] = f"{why} ({datetime.date.today():%Y-%m-%d})"
        self.write()

    def write(self) -> None:
        write_json(
            self.path.with_suffix(".json"), {"lines": [asdict(line) for line in self.lines], "failed": self.failed}
        )
        write_text(self.path, self.text())

    def text(self) -> str:
        with needed("jinja2", extra="report"):
            import jinja2

        machines = dict.fromkeys(line.machine for line in self.lines)
        text = (Path(__file__).parent / "everywhere.md.jinja").read_text(encoding="utf-8")
        return jinja2.Template(
            text, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
        ).render(
            problem=problem(PROBLEM), golden=GOLDEN[PROBLEM], early=EARLY[PROBLEM], not_run=self.not_run(),
            machines={on: [line for line in self.lines if line.machine == on] for on in machines},
        )  # fmt: skip

    def not_run(self) -> Iterator[tuple[str, str]]:
        yield from self.failed.items()
        there = {(line.where, line.dtype) for line in self.lines}
        for place in places():
            for dtype in place.dtypes:
                if (place.where, dtype) not in there and f"{place.where}, {dtype}" not in self.failed:
                    yield (
                        f"{place.where}, {dtype}",
                        f"{place.why_not}; run only if `--only` names it" if place.why_not else "not run yet",
                    )
        yield from NOT_RUN.items()


def _chosen(only: Sequence[str], again: bool, page: Sightings) -> Iterator[tuple[Place, list[str]]]:
    """Each place that is to be run, and the dtypes. Raises UsageError for words that are in no place's name."""
    known = places()

    def named(place: Place, word: str) -> bool:
        return re.search(rf"\b{re.escape(word)}", place.where, re.IGNORECASE) is not None

    for word in only:
        if not any(named(place, word) for place in known):
            raise UsageError(f"'{word}' is none of the places: {'; '.join(place.where for place in known)}")
    lines = {line.key: line for line in page.lines}
    on = this_machine()
    for place in known:
        if not any(named(place, word) for word in only) if only else place.why_not:
            continue
        old = {dtype: lines.get((place.where, dtype, on)) for dtype in place.dtypes}
        todo = [d for d, line in old.items() if again or only or line is None or not place.keeps(line)]
        for dtype in (dtype for dtype in place.dtypes if dtype not in todo):
            print(f"{place.where}, {dtype}: kept", flush=True)
        if todo:
            yield place, todo


def run(page: Sightings, todo: Sequence[tuple[Place, list[str]]]) -> bool:
    """Whether all had the published hash; the page is written after each, so that nothing seen is lost."""
    good, number, all_ = True, 0, sum(len(dtypes) for _, dtypes in todo)
    for place, dtypes in todo:
        python: Path | None = None
        with tempfile.TemporaryDirectory(prefix="equigrad-", ignore_cleanup_errors=True) as folder:
            for dtype in dtypes:
                number += 1
                print(f"{number} of {all_}, {place.where}, {dtype} ...", end=" ", flush=True)
                page.fail(place, dtype, "begun and not finished")  # true until it is: whoever ends this has it so
                began = time.monotonic()
                try:
                    python = python or place.python(Path(tempfile.mkdtemp(dir=folder)))
                    page.put(found := place.run(python, dtype))
                    good &= found.published
                    word = "the published hash" if found.published else f"NOT PUBLISHED: {found.hashes}"
                except (EquigradError, OSError, subprocess.SubprocessError) as error:
                    page.fail(place, dtype, str(error))
                    word = f"not run: {error}"
                    good = False
                print(f"{word}, {time.monotonic() - began:.0f} s", flush=True)
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="places with it in their name")
    parser.add_argument("--again", action="store_true", help="also what has a line with the same versions")
    parser.add_argument("--add", type=Path, metavar="FILE", help="a result of equigrad compare --json, from anywhere")
    parser.add_argument("--where", default="as it is", help="the name of the line that --add makes")
    chosen = parser.parse_args(arguments)
    try:
        check_writable(chosen.page)
        page = Sightings.read(chosen.page)
        if chosen.add:
            result = read_json(chosen.add)
            page.put(found := seen(result, chosen.where, f"equigrad compare {PROBLEM} --arithmetic reproducible"))
            print(f"{found.where}, {found.dtype}, {found.machine}: {found.hashes}")
            return 0 if found.published else 1
        return 0 if run(page, list(_chosen(chosen.only, chosen.again, page))) else 1
    except EquigradError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: what was seen is on the page", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
