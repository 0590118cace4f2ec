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
OFFLINE = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check")
DECOYS = ("backends", "common", "bench", "tests")


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Standard output of a command that must succeed, in an environment that says nothing about Python."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP"))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env={**clean, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, for builds leave files behind."""
    source = tmp_path_factory.mktemp("source") / "equigrad"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "results")
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with the setuptools that is here, so that no network is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", *OFFLINE, "--wheel-dir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def environment(folder: Path, *what: str | Path) -> Path:
    """The Python of a fresh environment with `what` installed; its dependencies are borrowed from this one."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))  # behind our own, and without its .pth files
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--ignore-installed", *OFFLINE, *what, cwd=folder)
    return python


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("wheel_environment"), wheel)


@pytest.fixture(scope="module")
def editable(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("editable_environment"), "--editable", source)


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
        here = {f"equigrad/{folder}/{path.name}" for path in (ROOT / folder).iterdir() if path.is_file()}
        assert here <= set(names)
    shown = [p for p in (ROOT / "equigrad" / "reporting").rglob("*") if p.suffix in (".html", ".css", ".js")]
    shown += [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "images").iterdir()]
    for path in shown:
        place = (
            path.relative_to(ROOT) if path.is_relative_to(ROOT / "equigrad") else "equigrad" / path.relative_to(ROOT)
        )
        assert place.as_posix() in names
    assert {"equigrad/py.typed", "equigrad/common/data/digits.npz", "equigrad/common/data/README.md"} <= set(names)
    assert {"equigrad/bench/contestants/floor.c", "equigrad/bench/pages/benchmarks.md.jinja"} <= set(names)
    assert "equigrad/scale/everywhere.md.jinja" in names
    assert not any("/test_" in name or "/tests/" in name or "__pycache__" in name for name in names)


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
    [("compare", "--updates", "2", "--backend", "numpy"), ("--help",)],
    ids=["compare", "help"],
)
@pytest.mark.parametrize("how", ["the command", "python -m"])
def test_decoys_are_left_alone_by_the_wheel_through(
    how: str, arguments: tuple[str, ...], python: Path, decoys: Path
) -> None:
    command = [python, "-m", "equigrad"] if how == "python -m" else [python.with_name("equigrad")]
    run(*command, *arguments, cwd=decoys)


def test_beside_decoys_it_is_the_wheel_that_is_imported(python: Path, decoys: Path) -> None:
    home = "import equigrad.common.problem as p; p.problem('digits'); print(p.__file__)"
    assert run(python, "-c", home, cwd=decoys).startswith(str(python.parent.parent))


@pytest.mark.parametrize("where", ["beside decoys", "in the root of the checkout"])
def test_an_editable_install_works(where: str, editable: Path, source: Path, decoys: Path) -> None:
    folder = decoys if where == "beside decoys" else source
    arguments = ("compare", "--updates", "2", "--backend", "numpy")
    run(editable.with_name("equigrad"), *arguments, cwd=folder)
    run(editable, "-m", "equigrad", *arguments, cwd=folder)
    home = "import sys, equigrad.common.problem as p; p.problem('digits'); print(p.__file__)"
    loaded = f"print([name for name in {DECOYS} if name in sys.modules])"
    assert run(editable, "-c", f"{home}; {loaded}", cwd=folder).split() == [
        str(source / "equigrad" / "common" / "problem.py"),
        "[]",
    ]
