"""A missing framework is shown with the command that installs it, a broken one has failed, and the rest goes on."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HIDE = """
import sys

asked = []

class Hider:
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            asked.append(name)
            raise {error}

sys.meta_path.insert(0, Hider())
{first}
from equigrad.cli import main
main()
"""
LOAD = """
import equigrad
from equigrad.common.errors import MissingError
try:
    equigrad.load({other!r})
except MissingError:
    pass
assert not asked, "to load {other} imported " + asked[0]
"""
MISSING = "ModuleNotFoundError(f'No module named {name!r}', name=name)"
BROKEN = {
    "its library cannot be loaded": ("ImportError('libthing.so: wrong ELF class')", "ImportError: libthing.so"),
    "the system refuses its library": ("OSError('libthing.so: no such file')", "OSError: libthing.so"),
    "its parts do not fit together": ("RuntimeError('version 1 needs\\n2')", "RuntimeError: version 1 needs 2"),
    "it lacks a module of its own": (
        "ModuleNotFoundError('No module named thing', name='thing')",
        "ModuleNotFoundError: No module named thing",
    ),
}


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def equigrad(warm: Callable[..., str]) -> Run:
    """The command line, after `first`, in a process where importing `names` raises `error`."""
    python = warm("equigrad.cli", "equigrad.compare.comparison")

    def run(names: list[str], error: str, *arguments: str, first: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-c", HIDE.format(names=names, error=error, first=first), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "140"},
        )

    return run


SHORT = ("compare", "--updates", "20", "--arithmetic", "native")


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_compare_shows_a_missing_framework_and_its_command_and_goes_on(
    equigrad: Run, framework: str, tmp_path: Path
) -> None:
    """And loading the other one, alone, does not import this one."""
    first = LOAD.format(other={"torch": "jax", "jax": "torch"}[framework])
    done = equigrad([framework], MISSING, *SHORT, "--json", str(tmp_path / "out.json"), first=first)
    assert done.stderr == ""
    assert done.returncode == 0
    assert f"{framework} native: {framework} is not installed: pip install 'equigrad[{framework}]'" in done.stdout
    result = json.loads((tmp_path / "out.json").read_text())
    outcomes = {run["backend"]: run["outcome"] for run in result["runs"]}
    assert outcomes.pop(framework) == "missing"
    assert outcomes["numpy"] == "identical"
    assert f"({framework}" in result["verdict"]
    assert result["passport"]["backends"][framework] == {
        "missing": f"{framework} is not installed: pip install 'equigrad[{framework}]'"
    }


@pytest.mark.slow(but=["jax"])
@pytest.mark.parametrize("name", ["torch", "torch:cpu", "torch:cuda", "jax"])
def test_status_3_if_the_missing_framework_was_asked_for_by_name_and_the_rest_is_shown(
    equigrad: Run, name: str
) -> None:
    framework = name.partition(":")[0]
    done = equigrad([framework], MISSING, *SHORT, "--backend", name)
    assert done.stderr == ""
    assert done.returncode == 3
    assert f"pip install 'equigrad[{framework}]'" in done.stdout
    assert re.search("numpy +│ native +│ identical", done.stdout)


@pytest.mark.slow
def test_diverge_without_torch_offers_what_would_work(equigrad: Run) -> None:
    done = equigrad(["torch", "jax"], MISSING, "diverge")
    assert (done.returncode, done.stdout) == (3, "")
    offer = "-b numpy --arithmetic native --arithmetic reproducible"
    assert done.stderr.endswith(f"pip install 'equigrad[torch]'; what is here can be compared with itself: {offer}\n")
    done = equigrad(["torch", "jax"], MISSING, "diverge", *offer.split(), "--updates", "3")
    assert (done.returncode, done.stderr) == (1, "")


def test_numpy_alone_is_fine_but_compares_nothing(equigrad: Run) -> None:
    done = equigrad(["torch", "jax"], MISSING, *SHORT)
    assert done.returncode == 0
    assert "native: nothing to compare, numpy ran alone (torch, jax missing)." in done.stdout


@pytest.mark.slow(but=["it lacks a module"])
@pytest.mark.parametrize(("error", "message"), BROKEN.values(), ids=BROKEN)
def test_a_framework_is_broken_and_not_missing_when(equigrad: Run, error: str, message: str) -> None:
    done = equigrad(["torch"], error, *SHORT, "--backend", "torch")
    assert done.stderr == ""
    assert done.returncode == 1
    assert f"torch native: loading raised {message}" in done.stdout
    assert "torch   │ native     │ failed" in done.stdout
    assert "numpy   │ native     │ identical" in done.stdout
    assert "pip install" not in done.stdout


def test_a_broken_framework_that_nobody_asked_for_still_fails_the_comparison(equigrad: Run) -> None:
    done = equigrad(["torch", "jax"], BROKEN["the system refuses its library"][0], *SHORT)
    assert done.stderr == ""
    assert done.returncode == 1
    assert "NOT in agreement: torch and jax (failed)" in done.stdout


@pytest.mark.slow
def test_passport_shows_what_is_missing_and_what_is_broken(equigrad: Run) -> None:
    missing = equigrad(["torch", "jax"], MISSING, "passport")
    assert missing.returncode == 0
    for framework in ("torch", "jax"):
        assert f"{framework} is not installed: pip install 'equigrad[{framework}]'" in missing.stdout
    broken = equigrad(["torch", "jax"], BROKEN["its library cannot be loaded"][0], "passport")
    assert broken.returncode == 0
    assert "torch broken" in broken.stdout
    assert "ImportError: libthing.so: wrong ELF class" in broken.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import equigrad",
        "import equigrad; equigrad.compare, equigrad.Problem, equigrad.load_data",
        "import sys; sys.argv[1:] = ['--help']; from equigrad.cli import main; main()",
        "import sys; sys.argv[1:] = ['compare', '--help']; from equigrad.cli import main; main()",
        "import sys; sys.argv[1:] = ['compare', '--backend', 'numpy', '--updates', '5']\n"
        "from equigrad.cli import main; main()",
        "import sys; sys.argv[1:] = ['compare', 'nothing']; from equigrad.cli import main; main()",
    ],
    ids=[
        "import equigrad",
        "its public names",
        "equigrad --help",
        "equigrad compare --help",
        "a comparison of NumPy alone",
        "a usage error",
    ],
)
def test_no_framework_is_imported_by(statement: str, warm: Callable[..., str]) -> None:
    watch = (
        "import atexit, sys\n"
        "heavy = ('torch', 'jax', 'jaxlib', 'scipy', 'sklearn', 'mpmath', 'pytest')\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
    )
    python = warm("equigrad.cli", "equigrad.compare.comparison")  # nor by these
    done = subprocess.run([python, "-c", watch + statement], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
