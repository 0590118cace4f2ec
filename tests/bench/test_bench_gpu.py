"""The script for a machine with a GPU: its parts, its clock, its table. No GPU is needed here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from equigrad.bench import gpu, targets
from equigrad.bench.clock import Row, Table
from equigrad.bench.gpu import Measurement, Part
from equigrad.bench.pages import document
from equigrad.bench.results import Result, read
from equigrad.common.errors import UsageError
from equigrad.common.golden import GOLDEN
from equigrad.compare import comparison

ROOT = Path(__file__).parents[2]
GPU_FILES = sorted((ROOT / "docs" / "results").glob("gpu-*.json"))
EXTRAS = ("typer", "click", "rich", "flint", "plotly", "kaleido", "jinja2", "hypothesis", "pytest_benchmark")


def silent(line: str) -> None:
    """Nobody reads it."""


def test_without_a_gpu_it_says_so_in_one_line_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(gpu, "gpus", lambda: "")
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "out")])
    assert gpu.main() == 2
    assert capsys.readouterr().err == (
        "equigrad: no GPU that PyTorch or JAX can use here; `equigrad passport` shows what is\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.needs("torch", "jax")
def test_a_dry_run_takes_every_part_with_numpy_torch_and_jax_alone(tmp_path: Path, warm: Callable[..., str]) -> None:
    """As on a machine where nobody has installed anything of this package's extras."""
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "from types import MethodType\n"
        "found = PathFinder.find_spec\n"
        "def find_spec(cls, name, *rest):\n"
        f"    return None if name.partition('.')[0] in {EXTRAS} else found(name, *rest)\n"
        "PathFinder.find_spec = MethodType(find_spec, PathFinder)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    python = warm("equigrad.bench.suite", "torch._dynamo", "jax", PYTHONPATH=path)
    out = tmp_path / "out"
    command = [python, "-m", "equigrad.bench.gpu", "--dry-run", "--minutes", "30", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = gpu.read(out / gpu.FILE)
    checks, timed = gpu.parts(out, dry=True)
    assert {part["name"]: part["outcome"] for part in told["parts"]} == {part.name: "ok" for part in (*checks, *timed)}
    hashes = {f["value"]: f["target"] for part in told["parts"] if "hashes" in part["name"] for f in part["findings"]}
    for golden in GOLDEN["one-layer"].values():
        assert hashes[golden[:12]] == golden[:12]
    hidden = [python, "-c", "import rich"]
    assert "No module named 'rich'" in subprocess.run(hidden, capture_output=True, text=True, env=environment).stderr
    for name in ("large", "medium", "small", "digits", "sweep"):
        assert all(row.timed for table in read(out / f"gpu-{name}.json").tables for row in table.rows), name
    assert str(ROOT) not in (out / gpu.FILE).read_text()
    assert not (out / "gpu-failed.log").exists()
    assert "| hashes torch | ok | torch reproducible, one-layer float64 |" in document.document([out / gpu.FILE])


def test_the_full_run_has_the_same_parts_on_the_gpu_and_fits_into_its_minutes(tmp_path: Path) -> None:
    checks, timed = gpu.parts(tmp_path)
    dry = [part.name for each in gpu.parts(tmp_path, dry=True) for part in each]
    assert [part.name.replace(":cuda", "") for part in (*checks, *timed)] == dry
    assert max(part.seconds for part in checks) + sum(part.seconds for part in timed) + gpu.GRACE <= 60 * gpu.MINUTES
    assert gpu.MINUTES < 8


def saying(*findings: Measurement, then: str = "") -> str:
    lines = "".join(f"print({json.dumps(asdict(finding))!r}, flush=True)\n" for finding in findings)
    return f"import sys\nprint('a library talks')\n{lines}{then}"


def part(name: str, seconds: float = 60) -> Part:
    return Part(name, lambda: iter(()), seconds)


@pytest.mark.slow
def test_what_fails_or_hangs_does_not_stop_the_others_and_keeps_what_it_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = Measurement("jax:cuda", "1.6", "<= 1.7")
    codes = {
        "fine": saying(found),
        "bad": saying(found, then="print('no luck', file=sys.stderr)\nsys.exit(1)"),
        "hangs": saying(found, then="import time\ntime.sleep(600)"),
        "wrong": saying(Measurement("torch:cuda", "abc", "def", "disagree")),
    }
    parts = [part("fine"), part("bad"), part("hangs", 2)], [part("wrong")]
    monkeypatch.setattr(gpu, "parts", lambda out, dry: parts)
    monkeypatch.setattr(gpu, "_command", lambda out, dry, part: [sys.executable, "-c", codes[part.name]])
    done = gpu.everything(tmp_path, time.monotonic() + 100, silent)
    assert [part.outcome for part in done] == ["ok", "status 1", "out of time", "disagree"]
    assert [part.findings for part in done[:3]] == [[found]] * 3
    told = gpu.read(tmp_path / gpu.FILE)
    assert [part["outcome"] for part in told["parts"]] == [part.outcome for part in done]
    log = (tmp_path / "gpu-failed.log").read_text()
    assert "# bad\nno luck" in log
    assert "# fine" not in log
    assert all(words in gpu.table(done) for words in ("out of time", "disagree", "<= 1.7"))


def test_ctrl_c_keeps_what_was_found_and_leaves_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found, pid = Measurement("jax:cuda", "1.6"), tmp_path / "pid"
    code = saying(found, then=f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")
    monkeypatch.setattr(gpu, "parts", lambda out, dry: ([part("hangs")], [part("late")]))
    monkeypatch.setattr(gpu, "_command", lambda out, dry, part: [sys.executable, "-c", code])

    def interrupt() -> None:
        while not pid.exists() or not pid.read_text():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    hangs, late = gpu.everything(tmp_path, time.monotonic() + 100, silent)
    assert (hangs.outcome, hangs.findings, late.outcome) == ("interrupted", [found], "not started")
    assert gpu.read(tmp_path / gpu.FILE)["parts"][0]["outcome"] == "interrupted"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_what_has_no_time_left_is_not_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "parts", lambda out, dry: ([], [part("late")]))
    (late,) = gpu.everything(tmp_path, time.monotonic() - 1, silent)
    assert late.outcome == "not started"


def run(backend: str, arithmetic: str, sha: str, outcome: str = "identical") -> Any:
    return SimpleNamespace(
        name=backend, arithmetic=arithmetic, weights_sha256=sha, outcome=outcome, message="no luck", max_ulp=3
    )


PUBLISHED = GOLDEN["one-layer"]["float64"]


@pytest.mark.parametrize(
    ("runs", "wrong"),
    [
        ([run("torch:cuda", "reproducible", PUBLISHED), run("torch:cuda", "native", "ab" * 32)], ["", ""]),
        ([run("numpy", "reproducible", "ab" * 32), run("torch:cuda", "reproducible", "ab" * 32)], ["disagree"]),
        ([run("torch:cuda", "reproducible", "", "failed")], ["failed"]),
    ],
    ids=["the published hash", "another hash", "a failure"],
)
def test_hashes_are_held_against_the_published_ones(
    monkeypatch: pytest.MonkeyPatch, runs: list[Any], wrong: list[str]
) -> None:
    monkeypatch.setattr(comparison, "compare", lambda *_, **__: SimpleNamespace(runs=runs))
    found = list(gpu._hashes("torch:cuda", dry=True))
    assert [finding.wrong for finding in found[: len(wrong)]] == wrong
    assert all(PUBLISHED[:12] == finding.target for finding in found[: len(wrong)] if "reproducible" in finding.what)


@pytest.mark.parametrize(
    ("problem", "seconds", "target", "wrong"),
    [
        pytest.param("one-layer", {"torch:cuda": 6.4e-6}, "<= 6.5", "", id="quick enough"),
        pytest.param("one-layer", {"torch:cuda": 6.6e-6}, "<= 6.5", "missed", id="too slow"),
        pytest.param(
            targets.LARGE, {"jax:cuda": 1.05, "jax:cuda, products alone": 1.0}, "<= 1.08", "", id="near products"
        ),
        pytest.param(targets.LARGE, {"jax:cuda": 1.2, "jax:cuda, products alone": 1.0}, "<= 1.08", "missed", id="far"),
        pytest.param(
            targets.MEDIUM, {"jax:cuda": 1.0, "jax:cuda reproducible": 9.0}, "<= 8", "missed", id="reproducible"
        ),
    ],
)
def test_figures_are_held_against_what_was_aimed_at(
    problem: str, seconds: dict[str, float], target: str, wrong: str
) -> None:
    (held,) = (finding for finding in gpu.figures(timed(problem, **seconds)) if finding.target)
    assert (held.target, held.wrong) == (target, wrong)


def timed(problem: str, **seconds: float) -> Result:
    table = Table(problem, "float64", 4, [3, 1], 10, 1, 3, 24, 400, base=next(iter(seconds)), control=[1.0] * 3)
    for name, value in seconds.items():
        group = "floor" if "products" in name else "backend"
        arithmetic = "reproducible" if "reproducible" in name else "native"
        table.rows.append(Row(name, group, arithmetic, outcome="agree", samples=[value] * 3, device="cuda", updates=10))
    return Result([table], {"equigrad": "0.1.0"}, "equigrad bench")


def test_another_file_is_refused(tmp_path: Path) -> None:
    for text in ("{}", "[" * 100_000):
        (tmp_path / gpu.FILE).write_text(text)
        with pytest.raises(UsageError, match=r"was not written by python -m equigrad\.bench\.gpu|is not JSON"):
            document.document([tmp_path / gpu.FILE])


def test_it_is_said_plainly_whether_gpu_rows_are_measured() -> None:
    for file in (ROOT / "docs" / "results" / "README.md", ROOT / "docs" / "benchmarks.md"):
        said = " ".join(file.read_text().split())
        assert "make gpu" in said
        assert ("not measured with this version" in said or "nothing was measured on a GPU" in said) is not bool(
            GPU_FILES
        )
