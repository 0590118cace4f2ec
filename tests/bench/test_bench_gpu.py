"""The script for a machine with a GPU: its commands, its clock, its table. No GPU is needed here."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from equigrad.bench import gpu
from equigrad.bench.clock import Row, Table
from equigrad.bench.gpu import Step
from equigrad.bench.pages import document
from equigrad.bench.results import Result
from equigrad.cli import app
from equigrad.common.errors import UsageError
from equigrad.common.golden import GOLDEN

ROOT = Path(__file__).parents[2]
GPU_FILES = sorted((ROOT / "docs" / "results").glob("gpu-*.json"))


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


def test_every_command_of_it_is_one_that_the_command_line_takes(tmp_path: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    checks, timed = gpu.steps(tmp_path)
    ours = [step.command for step in (*checks, *timed) if step.command[2] == "equigrad"]
    assert len(ours) == 6 + 4
    for command in ours:
        name, *arguments = command[3:]
        context = commands[name].make_context(name, arguments)
        assert {"torch:cuda", "jax:cuda"} <= set(context.params["backend"])


def test_every_network_with_a_published_hash_is_compared_in_every_dtype(tmp_path: Path) -> None:
    names = {step.name for step in gpu.steps(tmp_path)[0]}
    assert names >= {f"compare {problem} {dtype}" for problem in GOLDEN for dtype in GOLDEN[problem]}


def python(name: str, code: str, seconds: float = 60) -> Step:
    return Step(name, [sys.executable, "-c", code], seconds)


def test_what_fails_or_hangs_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fine, bad = python("tests fine", "print('3 passed in 1 s')"), python("bench bad", "print('no luck'); exit(1)")
    hangs = python("bench slow", "import time; print('begun', flush=True); time.sleep(600)", 3)
    last = python("tests last", "print('1 passed in 1 s')")
    monkeypatch.setattr(gpu, "steps", lambda out: ([fine, bad, hangs], [last]))
    out, logs = tmp_path / "out", tmp_path / "logs"
    out.mkdir()
    logs.mkdir()
    done = gpu.everything(out, logs, time.monotonic() + 100, silent)
    assert [step.outcome for step in done] == ["ok", "status 1", "out of time", "ok"]
    assert [step.figures[0][1] for step in done[:2]] == ["3 passed in 1 s", "no luck"]
    told = gpu.read(out / gpu.STEPS)
    assert [step["outcome"] for step in told["steps"]] == [step.outcome for step in done]
    assert str(ROOT) not in (out / gpu.STEPS).read_text()
    log = (out / "gpu-failed.log").read_text()
    assert "# bench bad\nno luck" in log
    assert "# tests fine" not in log


def test_what_has_no_time_left_is_not_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    late = python("tests late", "print('1 passed')")
    monkeypatch.setattr(gpu, "steps", lambda out: ([], [late]))
    (step,) = gpu.everything(tmp_path, tmp_path, time.monotonic() - 1, silent)
    assert step.outcome == "not started"
    assert gpu.MINUTES < 9


def run(backend: str, device: str, arithmetic: str, sha: str, outcome: str = "identical") -> dict[str, Any]:
    return {
        "backend": backend, "device": device, "dtype": "float64", "arithmetic": arithmetic, "outcome": outcome,
        "message": "" if outcome == "identical" else "no luck", "weights_sha256": sha, "max_ulp": 3,
        "microseconds_per_update": 5.5,
    }  # fmt: skip


PUBLISHED = GOLDEN["one-layer"]["float64"]


@pytest.mark.parametrize(
    ("runs", "outcome"),
    [
        ([run("torch", "cuda", "reproducible", PUBLISHED), run("torch", "cuda", "native", "ab" * 32)], "ok"),
        ([run("torch", "cuda", "reproducible", "ab" * 32)], "disagree"),
        ([run("torch", "cuda", "reproducible", "", "failed")], "failed"),
    ],
    ids=["the published hash", "another hash", "a failure"],
)
def test_hashes_are_held_against_the_published_ones(tmp_path: Path, runs: list[dict[str, Any]], outcome: str) -> None:
    step = Step("compare one-layer float64", [], 1, "compare.json", "ok")
    (tmp_path / "compare.json").write_text(json.dumps({"problem": {"name": "one-layer"}, "runs": runs}))
    gpu.judge(step, tmp_path, tmp_path / "log")
    assert step.outcome == outcome
    assert len(step.figures) == len(runs)


@pytest.mark.parametrize(("seconds", "outcome"), [(6.4e-6, "ok"), (6.6e-6, "missed")])
def test_figures_are_held_against_what_was_aimed_at(tmp_path: Path, seconds: float, outcome: str) -> None:
    step = Step("bench small", [], 1, "small.json", "ok")
    (tmp_path / "small.json").write_text(json.dumps(timed("one-layer", **{"torch:cuda": seconds}).to_json()))
    gpu.judge(step, tmp_path, tmp_path / "log")
    assert step.outcome == outcome
    ((what, _, target),) = step.figures
    assert (what, target) == ("torch:cuda, one-layer float64", "<= 6.5")


def test_products_on_the_gpu_are_the_floor_of_the_large_network(tmp_path: Path) -> None:
    step = Step("bench large", [], 1, "large.json", "ok")
    both = {"torch:cuda": 1.05e-3, "torch:cuda, products alone": 1e-3}
    (tmp_path / "large.json").write_text(json.dumps(timed(gpu.LARGE, **both).to_json()))
    gpu.judge(step, tmp_path, tmp_path / "log")
    assert step.outcome == "ok"
    assert [figure[2] for figure in step.figures] == ["", "<= 1.08"]


def timed(problem: str, **seconds: float) -> Result:
    table = Table(problem, "float64", 4, [3, 1], 10, 1, 3, 24, 400, base=next(iter(seconds)), control=[1.0] * 3)
    for name, value in seconds.items():
        group = "floor" if "products" in name else "backend"
        table.rows.append(Row(name, group, outcome="agree", samples=[value] * 3, device="cuda", updates=10))
    return Result([table], {"equigrad": "0.1.0"}, "equigrad bench")


def test_the_table_and_the_page_show_every_step(tmp_path: Path) -> None:
    step = Step("bench small", ["python"], 1, "", "missed", [("torch:cuda", "7 us", "<= 6.5")], 2.0)
    console = Console(width=100)
    with console.capture() as capture:
        console.print(gpu.table([step]))
    assert all(word in capture.get() for word in ("bench small", "missed", "7 us", "<= 6.5"))
    path = tmp_path / gpu.STEPS
    told = {"kind": "gpu", "datetime": "now", "steps": [{"name": "s", "outcome": "ok", "figures": step.figures}]}
    path.write_text(json.dumps(told))
    assert "| s | ok | torch:cuda | 7 us | <= 6.5 |" in document.document([path])
    path.write_text("{}")
    with pytest.raises(UsageError, match=r"was not written by python -m equigrad\.bench\.gpu"):
        document.document([path])


def test_it_is_said_plainly_whether_gpu_rows_are_measured() -> None:
    for file in (ROOT / "docs" / "results" / "README.md", ROOT / "docs" / "benchmarks.md"):
        said = " ".join(file.read_text().split())
        assert "python -m equigrad.bench.gpu" in said
        assert ("not measured with this version" in said or "nothing was measured on a GPU" in said) is not bool(
            GPU_FILES
        )
