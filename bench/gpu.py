"""Everything that needs a GPU, in one go that stops after nine minutes at most:

python -m equigrad.bench.gpu --out docs/results

from the root of a checkout; nothing has to be installed but the frameworks, typer, rich and what the tests import. A
step that fails or runs out of time does not stop the others. The results are written as JSON, a short table comes last.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from ..common.errors import UsageError
from ..common.files import write_json
from ..common.golden import GOLDEN
from ..common.machine import machine
from . import sizes
from .clock import Table, ratio, short, spread
from .pages import terminal
from .results import Result, load

ROOT = Path(__file__).resolve().parents[1]
STEPS = "gpu-steps.json"
"""The file that says how the steps went, with all that `compare` wrote."""
BACKENDS = ("torch:cuda", "jax:cuda")
LARGE = "16384x1024-1024-10"
MINUTES = 8.75
GRACE = 20
"""Seconds that a step has to write down what it has once it was interrupted."""
ENVIRONMENT = {
    "EQUIGRAD_REQUIRE": ",".join(("numpy", "torch", "jax", *BACKENDS)),
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # or one process takes the GPU from those beside it
}


@dataclass
class Step:
    """One command, and what came of it."""

    name: str
    command: list[str]
    seconds: float
    """How long it may take."""
    file: str = ""
    """What it writes below the folder given."""
    outcome: str = "not started"
    figures: list[tuple[str, str, str]] = field(default_factory=list)
    """(what, value, target)"""
    took: float = 0.0


def steps(out: Path) -> tuple[list[Step], list[Step]]:
    """Those that only have to be right, side by side; and those that are timed, one after the other."""
    python = [sys.executable, "-m"]
    folder = Path(os.path.relpath(out, ROOT))  # seen from where they run, and as it is written into the results
    everyone = [argument for spec in ("numpy", *BACKENDS) for argument in ("--backend", spec)]
    gpu = [argument for spec in BACKENDS for argument in ("--backend", spec)]
    both = [argument for name in ("numpy", "torch", "jax") for argument in ("--backend", name)] + gpu

    def compare(problem: str, dtype: str) -> Step:
        file = f"compare-{problem}-{dtype}.json"
        command = [*python, "equigrad", "compare", problem, "--dtype", dtype, *everyone, "--json", str(folder / file)]
        return Step(f"compare {problem} {dtype}", command, 150, file)

    def bench(name: str, seconds: float, *arguments: str) -> Step:
        file = f"gpu-{name}.json"
        return Step(
            f"bench {name}", [*python, "equigrad", "bench", *arguments, "--json", str(folder / file)], seconds, file
        )

    tests = [*python, "pytest", "-q", "-k", "cuda", "-m", "not slow", "-p", "no:cacheprovider"]
    slow = [*python, "pytest", "-q", "-k", "cuda and not two-layer", "-m", "slow", "-p", "no:cacheprovider"]
    checks = [Step("tests of cuda", tests, 150), Step("tests of cuda, after every update", slow, 150)]
    checks += [compare(problem, dtype) for problem in GOLDEN for dtype in GOLDEN[problem]]
    patience, native, floors = ("--patience", "60"), ("--arithmetic", "native"), ("--who", "floors")
    timed = [
        bench("large", 110, LARGE, *gpu, *native, *floors, "--dtype", "both", "--updates", "40", "--rounds", "5"),
        bench("small", 150, "one-layer", "two-layer", *everyone, *patience, "--rounds", "5", "--anatomy"),
        bench("digits", 60, "digits", *both, *floors, "--rounds", "5"),
        bench("sweep", 150, "--sweep", *both, *native, *patience, "--rounds", "3"),
    ]
    return checks, timed


def run(steps: Sequence[Step], logs: Path, deadline: float, say: Callable[[str], None]) -> None:
    """Run them side by side, each until its time is up or `deadline` comes; what they print goes into a log each."""
    running = []
    for step in steps:
        say(f"{step.name} ...")
        log = (logs / step.name).open("w")
        process = subprocess.Popen(
            step.command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )  # fmt: skip
        running.append((step, process, log, time.monotonic()))
    for step, process, log, start in running:
        until = min(start + step.seconds, deadline)
        try:
            process.wait(max(0.1, until - time.monotonic()))
            step.outcome = "ok" if process.returncode == 0 else f"status {process.returncode}"
        except subprocess.TimeoutExpired:
            step.outcome = "out of time"
            process.send_signal(signal.SIGINT)  # pytest and bench keep what they have
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        step.took = time.monotonic() - start
        log.close()
        say(f"{step.name}: {step.outcome} after {step.took:.0f} s")


def judge(step: Step, out: Path, log: Path) -> None:
    """Read what the step has left behind, and fill in its figures."""
    try:
        if step.name.startswith("tests"):
            last = next((line for line in reversed(_lines(log)) if re.search(r"\d+ (passed|failed|error)", line)), "")
            step.figures = [("", last.strip("= ") or _last(log), "all pass")]
        elif step.name.startswith("compare"):
            step.figures = list(_hashes(json.loads((out / step.file).read_text()), step))
        else:
            step.figures = _figures(load(str(out / step.file)))
    except (OSError, ValueError, KeyError, UsageError):
        step.figures = [("", _last(log), "")]
    if step.outcome == "ok" and any(target and not _reached(value, target) for _, value, target in step.figures):
        step.outcome = "missed"


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines() if log.exists() else []


def _last(log: Path) -> str:
    return next((line.strip()[:100] for line in reversed(_lines(log)) if line.strip()), "printed nothing")


def _reached(value: str, target: str) -> bool:
    limit = re.fullmatch(r"<= ([\d.]+)", target)
    return limit is None or float(value.split()[0].replace(",", "")) <= float(limit[1])


def _hashes(data: dict[str, Any], step: Step) -> Any:
    """Each device's reproducible hash against the published one, and how far its native weights are."""
    for r in data["runs"]:
        if r["device"] != "cuda":
            continue
        name = f"{r['backend']}:{r['device']} {r['arithmetic']}"
        golden = GOLDEN[data["problem"]["name"]][r["dtype"]]
        if r["outcome"] not in ("identical", "agree"):
            step.outcome = r["outcome"]
            yield name, r["message"][:100] or r["outcome"], ""
        elif r["arithmetic"] == "reproducible":
            if r["weights_sha256"] != golden:
                step.outcome = "disagree"
            yield name, r["weights_sha256"][:12], golden[:12]
        else:
            yield name, f"{r['max_ulp']:,} ULP, {short(r['microseconds_per_update'])} us per update", ""


def _figures(result: Result) -> list[tuple[str, str, str]]:
    limits = {("torch:cuda", "one-layer"): "<= 6.5", ("jax:cuda", "one-layer"): "<= 1.7"}
    found = []
    for table in result.tables:
        if sizes.axis(table):
            continue
        where = f"{table.problem} {table.dtype}"
        for row in (row for row in table.rows if row.group == "backend" and row.device == "cuda"):
            if not row.timed:
                found.append((f"{row.name}, {where}", f"{row.outcome}: {row.message[:80]}", ""))
                continue
            value = short(1e6 * spread(row.samples).median) + " us"
            found.append((f"{row.name}, {where}", value, limits.get((row.name, table.problem), "")))
            base = table.row(f"{row.name}, products alone")
            if base and base.timed:
                target = "<= 1.08" if table.problem == LARGE else ""
                found.append((f"{row.name} / products, {where}", str(ratio(row.samples, base.samples)), target))
    for axis in sizes.SWEEP:
        along: list[tuple[int, Table]] = [(a[1], t) for t in result.tables if (a := sizes.axis(t)) and a[0] == axis]
        lines = terminal.break_even(axis, [t for _, t in along], [v for v, _ in along])
        found += [("", line, "") for line in lines if "cuda" in line and line.count("cuda") == 1]
    return found


def read(path: Path) -> dict[str, Any]:
    """What `main` wrote into STEPS; raises UsageError for another file."""
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if told["kind"] == "gpu" and told["steps"] and told["datetime"]:
            return told
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UsageError(f"'{path}' was not written by python -m equigrad.bench.gpu")


def table(steps: Sequence[Step]) -> Grid:
    """What came of it, short."""
    grid = Grid(title="on the GPU", title_justify="left")
    for name in ("step", "outcome", "s", "what", "figure", "target"):
        grid.add_column(name, overflow="fold")
    for step in steps:
        for i, (what, value, target) in enumerate(step.figures or [("", "", "")]):
            head = ("", "", "") if i else (step.name, step.outcome, f"{step.took:.0f}")
            grid.add_row(*head, what, value, target)
    return grid


def gpus() -> str:
    """What this process's frameworks say of a GPU, asked in another process; '' where neither can use one."""
    code = "from equigrad.backends import usable; print(*[spec for spec in usable() if spec.endswith(':cuda')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    return (done.stdout.splitlines() or [""])[-1].strip()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m equigrad.bench.gpu", description="All that needs a GPU, in one go."
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the results")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="when to stop, whatever is missing")
    given = parser.parse_args()
    if not (ROOT / "tests").is_dir():
        parser.error("it runs from a checkout, where the tests are")
    found = gpus()
    if not found:
        print("equigrad: no GPU that PyTorch or JAX can use here; `equigrad passport` shows what is", file=sys.stderr)
        return 2
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job passes on that it is ignored
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    print(f"found {found}", flush=True)
    deadline = time.monotonic() + 60 * given.minutes - GRACE
    with tempfile.TemporaryDirectory() as folder:
        done = everything(out, Path(folder), deadline, partial(print, flush=True))
    Console(width=150).print(table(done))
    return int(any(step.outcome != "ok" for step in done))


def everything(out: Path, logs: Path, deadline: float, say: Callable[[str], None]) -> list[Step]:
    """All steps, with what came of them; their results go into `out`, and the logs of those that went wrong."""
    checks, timed = steps(out)
    run(checks, logs, deadline, say)
    for step in timed:
        if time.monotonic() < deadline:
            run([step], logs, deadline, say)
    done = [*checks, *timed]
    for step in done:
        judge(step, out, logs / step.name)
    compared = [out / step.file for step in checks if step.file and (out / step.file).exists()]
    told = {
        "kind": "gpu",
        "datetime": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine_info": machine(),
        "steps": [asdict(step) | {"command": " ".join(["python", *step.command[1:]])} for step in done],
        "compared": [json.loads(path.read_text()) for path in compared],
    }
    write_json(out / STEPS, told)
    for path in compared:
        path.unlink()
    wrong = [f"# {step.name}\n" + "\n".join(_lines(logs / step.name)[-200:]) for step in done if step.outcome != "ok"]
    (out / "gpu-failed.log").unlink(missing_ok=True)
    if wrong:
        (out / "gpu-failed.log").write_text("\n\n".join(wrong) + "\n")
    return done


if __name__ == "__main__":
    sys.exit(main())
