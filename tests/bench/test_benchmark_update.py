"""`pytest bench`, as a user of pytest-benchmark calls it: the gate and the plug-in's own options."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.needs("pytest_benchmark")


FEW = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_benchmark.plugin,equigrad.pytest_plugin"}
"""The plug-ins that count: for the others' sake pytest would look through all of equigrad for asserts to rewrite."""


@pytest.fixture
def python(warm: Callable[..., str]) -> str:
    return warm("pytest", "equigrad.bench.clock")


def pytest_bench(
    cwd: Path, *options: str, plugins: dict[str, str] = FEW, python: str = sys.executable
) -> tuple[int, str]:
    """Status and output of `pytest bench` for NumPy or a backend of its kind, on the one-layer network."""
    command = [python, "-m", "pytest", str(ROOT / "bench"), "-q", "-p", "no:cacheprovider", "-p", "two_rounds"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = outside | plugins | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
    done = subprocess.run(
        [*command, "-c", str(ROOT / "pyproject.toml"), *options],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        pytest.param("OneMissing", "of the largest weight; 1e-12 is allowed", id="one update missing"),
        pytest.param(
            "Random", "the same call gave other bits", id="other bits in another call", marks=pytest.mark.slow
        ),
    ],
)
def test_a_wrong_backend_fails_with_the_distance_and_has_no_time(
    backend: str, words: str, tmp_path: Path, python: str
) -> None:
    file = tmp_path / "out.json"
    chosen = ("--equigrad-backend", f"bench_backends:{backend}", "-k", "one-layer and float64 and native")
    status, out = pytest_bench(tmp_path, *chosen, f"--benchmark-json={file}", python=python)
    assert status == 1, out
    assert words in out
    assert "Traceback" not in out
    assert "1 error" not in out
    assert not file.exists() or json.loads(file.read_text())["benchmarks"] == []


@pytest.mark.slow
def test_a_right_one_is_kept_compared_and_held_against_the_last(tmp_path: Path, python: str) -> None:
    chosen = ("-k", "one-layer and numpy and float32")
    status, out = pytest_bench(tmp_path, *chosen, "--benchmark-autosave", python=python)
    assert status == 0, out
    (file,) = tmp_path.glob(".benchmarks/*/0001_*.json")
    native, reproducible = json.loads(file.read_text())["benchmarks"]
    assert native["name"] == "test_train[one-layer-numpy-float32-native]"
    assert native["group"] == reproducible["group"] == "10000 updates of one-layer float32"
    assert native["extra_info"]["outcome"] == "identical"
    assert native["extra_info"]["weights_sha256"] != reproducible["extra_info"]["weights_sha256"]
    per_update = native["extra_info"]["microseconds_per_update"]
    assert per_update == pytest.approx(1e6 * native["stats"]["median"] / 10_000)
    held = ("--benchmark-compare", "--benchmark-compare-fail=min:100000%")
    drawn = ["--benchmark-histogram=picture"] if find_spec("pygal") else []
    status, out = pytest_bench(tmp_path, *chosen, *held, *drawn, python=python)
    assert status == 0, out
    assert "(0001_" in out
    assert len(list(tmp_path.glob("picture-*.svg"))) == len(drawn)
    slow = json.loads(file.read_text())
    for each in slow["benchmarks"]:  # as if each had been a million times quicker then
        each["stats"] |= {name: each["stats"][name] / 1e6 for name in ("min", "max", "median", "mean")}
    file.write_text(json.dumps(slow))
    chosen = ("-k", "one-layer and numpy and float32 and native")
    status, out = pytest_bench(tmp_path, *chosen, *held, python=python)
    assert status == 1, out
    assert "Performance has regressed" in out


@pytest.mark.slow
def test_a_device_that_is_not_here_is_skipped_with_the_reason(tmp_path: Path) -> None:
    """With every plug-in that is installed, as users have them."""
    chosen = ("--equigrad-backend", "numpy:cuda", "-k", "one-layer and float64 and native")
    status, out = pytest_bench(tmp_path, *chosen, "-rs", plugins={})
    assert status == 0, out
    assert "no such device here, only cpu" in out


def test_pytest_alone_runs_the_tests_and_no_benchmark() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert options["testpaths"] == ["tests"]
    assert not list((ROOT / "tests").rglob("benchmark_*.py"))
