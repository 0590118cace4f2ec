"""Everything that needs a GPU, in one go that ends within eight minutes:

python -m equigrad.bench.gpu --out docs/results

from the root of a checkout. It needs NumPy, PyTorch and JAX, and nothing else; only the tests need pytest. Every part
is a process of its own, and prints what it finds as soon as it has it: a part that fails, hangs or runs out of time
takes nothing from the others, and what it had found until then is kept. `--dry-run` runs every part on the CPU, on
tiny sizes, to see that nothing in it is broken. The results are written as JSON, a short table comes last.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..backends.interface import ARITHMETICS, DTYPES
from ..common.agreement import GOOD
from ..common.errors import EquigradError, UsageError, said
from ..common.files import read_json, write_json
from ..common.garbage import keep_imports
from ..common.golden import GOLDEN
from ..common.machine import machine
from ..common.problem import problem
from . import sizes
from .clock import ratio, rounded, spread
from .results import Result, break_even
from .targets import GPU, LARGE, MEDIUM, outcomes

ROOT = Path(__file__).resolve().parents[1]
FILE = "gpu-parts.json"
"""How the parts went, with all that they found."""
MINUTES = 7.75
GRACE = 15
"""Seconds that a part has to write down what it has once it was interrupted."""
ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # or one process takes the GPU from those beside it


@dataclass(frozen=True)
class Measurement:
    """One figure, told as soon as it is there."""

    what: str
    value: str
    target: str = ""
    wrong: str = ""
    """disagree, failed or missed; '' where it is as it should be."""


@dataclass
class Part:
    """One process, and what came of it."""

    name: str
    find: Callable[[], Iterator[Measurement]]
    seconds: float
    """How long it may take."""
    outcome: str = "not started"
    findings: list[Measurement] = field(default_factory=list)
    took: float = 0.0

    @property
    def figures(self) -> list[tuple[str, str, str]]:
        return [(f.what, f.value, f.target) for f in self.findings]


def parts(out: Path, dry: bool = False) -> tuple[list[Part], list[Part]]:
    """Those that only have to be right, side by side; and those that are timed, one after the other."""
    torch, jax = ("torch", "jax") if dry else ("torch:cuda", "jax:cuda")
    seconds = 600 if dry else 120  # a dry run is made where others work too
    checks = [
        Part("tests", partial(_tests, dry), seconds),
        *(Part(f"hashes {spec}", partial(_hashes, spec, dry), seconds) for spec in (torch, jax)),
        *(Part(f"diverge {spec}", partial(_diverge, spec, dry), seconds) for spec in (torch, jax)),
    ]
    both: dict[str, Any] = {"dtype": "both", "backends": [torch, jax]}
    plan: list[tuple[str, float, list[str], dict[str, Any]]] = [
        ("large", 70, [LARGE], {**both, "arithmetic": "native", "who": "floors", "updates": 40}),
        ("medium", 60, [MEDIUM], {**both, "who": "backends", "updates": 100}),
        ("small", 90, ["one-layer", "two-layer"], {"backends": ["numpy", torch, jax], "who": "headline"}),
        ("digits", 40, ["digits"], {"backends": ["numpy", "torch", torch, "jax", jax], "who": "floors"}),
        ("sweep", 70, _along(), {"backends": ["numpy", "torch", torch, jax], "arithmetic": "native", "rounds": 3}),
    ]
    if dry:
        one: dict[str, Any] = {"backends": ["numpy"], "who": "backends", "updates": 5}
        plan = [
            ("large", 600, ["8x80-8-2"], {**both, "dtype": "float32", "arithmetic": "native", "who": "floors"}),
            ("medium", 600, ["16x8-8-2"], one),
            ("small", 600, ["one-layer"], {"backends": ["numpy"], "who": "headline", "updates": 50}),
            ("digits", 600, ["digits"], {**one, "updates": 1, "arithmetic": "native"}),
            ("sweep", 600, ["4x16-16-1", "40x16-16-1"], one),
        ]
    options: dict[str, Any] = {"rounds": 1, "patience": 300.0, "threads": 1} if dry else {"rounds": 5, "patience": 40.0}
    timed = [
        Part(f"bench {name}", partial(_bench, out / f"gpu-{name}.json", names, {**options, **chosen}), limit)
        for name, limit, names, chosen in plan
    ]
    return checks, timed


def _along() -> list[str]:
    """Samples and width of the sweep, the ends first: what time is left for is spread over both."""
    found = []
    for axis in ("samples", "width"):
        names = [f"{shape.samples}x{'-'.join(map(str, shape.layers))}" for shape in sizes.SWEEP[axis]]
        found.append([*names[::2], *names[1::2]])
    return [name for pair in zip(*found, strict=True) for name in pair]


def _tests(dry: bool) -> Iterator[Measurement]:
    """The tests of cuda. A test file that needs a package which is not here is an error beside the others."""
    if find_spec("pytest") is None:
        yield Measurement("", "pytest is not installed", "all pass", "missing")
        return
    chosen = ["tests/bench/test_bench_clock.py", "-k", "cold"] if dry else ["-k", "cuda and not two-layer"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
        *chosen,
    ]
    required = {} if dry else {"EQUIGRAD_REQUIRE": "numpy,torch,jax,torch:cuda,jax:cuda"}
    with tempfile.TemporaryFile("w+") as told:
        running = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT, cwd=ROOT, env=os.environ | required)
        with suppress(KeyboardInterrupt):  # pytest gets it too, and sums up
            running.wait()
        status = running.wait()
        told.seek(0)
        lines = told.read().splitlines()
    print("\n".join(lines), file=sys.stderr)
    last = next((line for line in reversed(lines) if line.strip()), "printed nothing")
    yield Measurement("", last.strip("= "), "all pass", "failed" if status else "")


def _hashes(spec: str, dry: bool) -> Iterator[Measurement]:
    """Every network in both dtypes: the reproducible hash against the published one, native against NumPy."""
    from ..compare.comparison import compare

    for name in ("one-layer",) if dry else GOLDEN:
        for dtype, published in GOLDEN[name].items():
            for run in compare(name, [spec], dtype=dtype).runs:
                if run.name != spec:
                    continue
                what = f"{spec} {run.arithmetic}, {name} {dtype}"
                if run.outcome not in GOOD:
                    yield Measurement(what, run.message or run.outcome, published[:12], run.outcome)
                elif run.arithmetic == "reproducible":
                    digest = run.weights_sha256 or ""
                    yield Measurement(what, digest[:12], published[:12], "" if digest == published else "disagree")
                else:
                    yield Measurement(what, f"{run.outcome}, {run.max_ulp:,} ULP")


def _diverge(spec: str, dry: bool) -> Iterator[Measurement]:
    """The first operation that differs between the CPU and the GPU: one native, none reproducible."""
    from ..diverge.divergence import diverge

    cpu = spec.partition(":")[0]
    for name in ("one-layer",) if dry else ("one-layer", "two-layer"):
        for dtype in DTYPES[:1] if dry else DTYPES:
            for arithmetic in ARITHMETICS:
                task = problem(name).with_(updates=3) if dry else problem(name)
                found = diverge(task, [cpu, spec], dtype=dtype, arithmetic=arithmetic, budget=1.0)
                what = f"{cpu} and {spec}, {name} {dtype} {arithmetic}"
                target = "identical" if arithmetic == "reproducible" else ""
                if (first := found.first) is None:
                    yield Measurement(what, "identical", target)
                    continue
                operation = next((o.name for o in first.operations if not o.same), "no single operation")
                where = f"update {first.update:,}, {first.quantity} of layer {first.layer}: {operation}"
                where += f", {first.max_ulp:,} ULP"
                yield Measurement(what, where, target, "disagree" if target else "")


def _bench(path: Path, names: list[str], options: dict[str, Any]) -> Iterator[Measurement]:
    """Time them, write the result, also one that was interrupted, and pick out what was aimed at."""
    from .suite import bench

    result = bench(
        names, command=f"python -m equigrad.bench.gpu --part 'bench {path.stem.removeprefix('gpu-')}'", **options
    )
    write_json(path, result.to_json())
    yield from figures(result)
    if result.interrupted:
        yield Measurement("", "interrupted: what was complete until then", "", "out of time")


def figures(result: Result) -> Iterator[Measurement]:
    """What was aimed at; each backend's time, transfer and ratio to its products; where CPU and GPU break even."""
    for outcome in outcomes([result], GPU):
        if outcome.measured:
            what, wrong = (
                f"{outcome.target.what}, {outcome.target.network}",
                "" if outcome.said == "reached" else "missed",
            )
            yield Measurement(what, outcome.measured, f"<= {outcome.target.most:g}", wrong)
    for table in result.tables:
        if sizes.axis(table):
            continue
        where = f"{table.problem} {table.dtype}"
        for row in (row for row in table.rows if row.group == "backend"):
            if not row.timed:
                yield Measurement(
                    f"{row.name}, {where}", f"{row.outcome}: {row.message[:80]}", "", row.outcome or "failed"
                )
                continue
            value = f"{rounded(1e6 * spread(row.samples).median)} us per update"
            if row.transfer_seconds is not None:
                value += f", transfer {rounded(1e3 * row.transfer_seconds)} ms"
            products = table.row(f"{row.name}, products alone")
            if products and products.timed:
                value += f", {ratio(row.samples, products.samples)} times its products"
            yield Measurement(f"{row.name}, {where}", value)
    for axis in sizes.SWEEP:
        along = sorted((a[1], i) for i, t in enumerate(result.tables) if (a := sizes.axis(t)) and a[0] == axis)
        lines = break_even(axis, [result.tables[i] for _, i in along], [v for v, _ in along])
        yield from (Measurement("", line) for line in lines if line.count("cuda") == 1)


def run(
    parts: Sequence[Part],
    logs: Path,
    deadline: float,
    say: Callable[[str], None],
    command: Callable[[Part], list[str]],
) -> None:
    """Run them side by side, each until its time is up or `deadline` comes."""
    running = []
    for part in parts:
        say(f"{part.name} ...")
        with (logs / part.name).open("w") as told, (logs / f"{part.name}.log").open("w") as log:
            process = subprocess.Popen(
                command(part), stdout=told, stderr=log, cwd=ROOT, env=os.environ | ENVIRONMENT, start_new_session=True
            )
        running.append((part, process, time.monotonic()))
    try:
        for part, process, start in running:
            _await(part, process, min(start + part.seconds, deadline))
            part.took = time.monotonic() - start
            part.findings = list(_told(logs / part.name))
            if part.outcome == "ok":
                part.outcome = next((f.wrong for f in part.findings if f.wrong), "ok")
            say(f"{part.name}: {part.outcome} after {part.took:.0f} s")
    except KeyboardInterrupt:
        for part, process, _ in running:
            if part.outcome == "not started":
                part.outcome, part.findings = "interrupted", list(_told(logs / part.name))
                _kill(process)
        raise


def _await(part: Part, process: subprocess.Popen[bytes], until: float) -> None:
    try:
        process.wait(max(0.1, until - time.monotonic()))
        part.outcome = "ok" if process.returncode == 0 else f"status {process.returncode}"
    except subprocess.TimeoutExpired:
        part.outcome = "out of time"
        os.killpg(process.pid, signal.SIGINT)  # pytest and bench keep what they have
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Nothing that it started outlives it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _told(path: Path) -> Iterator[Measurement]:
    """What a part printed; a line that broke off, or that a library printed, is none of its findings."""
    for line in path.read_text(errors="replace").splitlines():
        with suppress(ValueError, TypeError, RecursionError):
            yield Measurement(**json.loads(line))


def read(path: Path) -> dict[str, Any]:
    """What `main` wrote into FILE; raises UsageError for another file."""
    told = read_json(path)
    if isinstance(told, dict) and told.get("kind") == "gpu" and told.get("parts") and told.get("datetime"):
        return told
    raise UsageError(f"'{path}' was not written by python -m equigrad.bench.gpu")


def table(parts: Sequence[Part]) -> str:
    """What came of it, short, in plain text: rich need not be here."""
    rows = [("part", "outcome", "s", "what", "figure", "target")]
    for part in parts:
        for i, figure in enumerate(part.figures or [("", "", "")]):
            head = ("", "", "") if i else (part.name, part.outcome, f"{part.took:.0f}")
            rows.append((*head, figure[0], figure[1][:90], figure[2]))
    widths = [min(60, max(len(row[column]) for row in rows)) for column in range(6)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def gpus() -> str:
    """What this process's frameworks say of a GPU, asked in another process; '' where neither can use one."""
    code = "from equigrad.backends import usable; print(*[spec for spec in usable() if spec.endswith(':cuda')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    return (done.stdout.splitlines() or [""])[-1].strip()


def _command(out: Path, dry: bool, part: Part) -> list[str]:
    asked = ["--out", str(out), "--part", part.name, *(["--dry-run"] if dry else [])]
    return [sys.executable, "-m", "equigrad.bench.gpu", *asked]


def everything(out: Path, deadline: float, say: Callable[[str], None], dry: bool = False) -> list[Part]:
    """All parts, with what came of them; their results go into `out`, and the logs of those that went wrong."""
    checks, timed = parts(out, dry)
    command = partial(_command, out, dry)
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder)
        try:
            run(checks, logs, deadline, say, command)
            for part in timed:
                if time.monotonic() < deadline:
                    run([part], logs, deadline, say, command)
        except KeyboardInterrupt:
            say("interrupted: what there is until now is written down")
        done = [*checks, *timed]
        wrong = [part for part in done if part.outcome != "ok" and (logs / f"{part.name}.log").exists()]
        texts = [
            f"# {part.name}\n{(logs / f'{part.name}.log').read_text(errors='replace')[-20_000:]}" for part in wrong
        ]
    told = {
        "kind": "gpu",
        "command": "python -m equigrad.bench.gpu" + (" --dry-run" if dry else ""),
        "datetime": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine_info": machine(),
        "parts": [
            {"name": part.name, "outcome": part.outcome, "took": round(part.took, 1), "figures": part.figures,
             "findings": [asdict(finding) for finding in part.findings]}
            for part in done
        ],
    }  # fmt: skip
    write_json(out / FILE, told)
    (out / "gpu-failed.log").unlink(missing_ok=True)
    if texts:
        (out / "gpu-failed.log").write_text("\n\n".join(texts).replace(str(ROOT), "."))
    return done


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m equigrad.bench.gpu", description="All that needs a GPU, in one go."
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the results")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="when to stop, whatever is missing")
    parser.add_argument("--dry-run", action="store_true", help="every part on the CPU, on tiny sizes")
    parser.add_argument("--part", help="this part alone, its findings as lines of JSON")
    given = parser.parse_args()
    keep_imports()
    out = given.out.resolve()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job passes on that it is ignored
    if given.part:
        if given.part not in (names := [part.name for each in parts(out, given.dry_run) for part in each]):
            parser.error(f"unknown part '{given.part}'; there are {', '.join(names)}")
        return _one(given.part, out, given.dry_run)
    if not (ROOT / "tests").is_dir():
        parser.error("it runs from a checkout, where the tests are")
    found = "the CPU, for a dry run" if given.dry_run else gpus()
    if not found:
        print("equigrad: no GPU that PyTorch or JAX can use here; `equigrad passport` shows what is", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    print(f"found {found}", flush=True)
    deadline = time.monotonic() + 60 * given.minutes - GRACE
    done = everything(out, deadline, partial(print, flush=True), given.dry_run)
    print(table(done))
    if any(part.outcome == "interrupted" for part in done):
        return 130
    return int(any(part.outcome != "ok" for part in done))


def _one(name: str, out: Path, dry: bool) -> int:
    """Run one part here, and print each of its findings as soon as it is there."""
    (part,) = (part for each in parts(out, dry) for part in each if part.name == name)
    try:
        for finding in part.find():
            print(json.dumps(asdict(finding)), flush=True)
    except EquigradError as error:
        print(json.dumps(asdict(Measurement("", said(error), "", "failed"))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
