"""The wheel holds one folder, and works where a user has folders called backends, common, bench and tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import equigrad

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow
DECOYS = ("backends", "common", "bench", "tests")


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Standard output of a command that must succeed, in an environment that says nothing about Python."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP"))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env={**clean, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the checkout, with the setuptools that is here, so that no network is needed."""
    source = tmp_path_factory.mktemp("source") / "equigrad"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests", "results")
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    folder = tmp_path_factory.mktemp("wheel")
    options: list[str | Path] = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", folder]
    run(sys.executable, "-m", "pip", "wheel", *options, ".", cwd=source)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the wheel; its dependencies are borrowed from this one."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    python = environment / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=environment,
    )
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))  # after the wheel, and without its own .pth files
    return python


@pytest.fixture
def decoys(tmp_path: Path) -> Path:
    """A folder with packages by the names of ours, each of which ends whoever imports it."""
    for name in DECOYS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('the decoy {name} was imported')")
    return tmp_path


def test_the_wheel_holds_one_folder_with_all_floors_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"equigrad", f"equigrad-{equigrad.__version__}.dist-info"}
    for folder in ("common", "backends", "bench"):
        here = {f"equigrad/{folder}/{path.name}" for path in (ROOT / folder).glob("*.py")}
        assert here <= set(names)
    assert {"equigrad/py.typed", "equigrad/common/data/digits.npz", "equigrad/common/data/README.md"} <= set(names)
    assert not any("test_" in name or "__pycache__" in name for name in names)


def test_the_installed_command_compares_everything_beside_decoys(python: Path, decoys: Path) -> None:
    out = run(
        python.with_name("equigrad"), "compare", "--updates", "50", "--json", "out.json", cwd=decoys, COLUMNS="140"
    )
    assert "NumPy" in out
    runs = json.loads((decoys / "out.json").read_text())["runs"]
    assert {run["outcome"] for run in runs} <= {"identical", "agree", "missing"}
    assert {path.name for path in decoys.iterdir()} == {*DECOYS, "out.json"}


@pytest.mark.parametrize(
    "arguments",
    [("compare", "digits", "--updates", "2", "--backend", "numpy"), ("--help",)],
    ids=["compare digits", "help"],
)
@pytest.mark.parametrize("how", ["the command", "python -m"])
def test_decoys_are_left_alone_by_the_wheel_through(
    how: str, arguments: tuple[str, ...], python: Path, decoys: Path
) -> None:
    command = [python, "-m", "equigrad"] if how == "python -m" else [python.with_name("equigrad")]
    run(*command, *arguments, cwd=decoys)
    home = "import equigrad.common.problem as p; print(p.__file__)"
    assert run(python, "-c", home, cwd=decoys).startswith(str(python.parent.parent))


def test_decoys_are_left_alone_by_the_checkout(decoys: Path) -> None:
    """As an editable install has it: the folder that holds `equigrad` on the path, the user's folder before it."""
    show = "import sys, equigrad.common.problem as p; from equigrad.cli import main; print(p.__file__); main()"
    arguments = ["compare", "digits", "--updates", "2", "--backend", "numpy"]
    out = run(sys.executable, "-c", show, *arguments, cwd=decoys, PYTHONPATH=str(ROOT))
    assert out.startswith(str(ROOT))
