"""Every block of docs/check.md that runs is run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from equigrad.laws.laws import LAWS
from equigrad.laws.planted import PLANS

pytestmark = pytest.mark.needs("flint", "hypothesis")

TEXT = (Path(__file__).parents[2] / "docs" / "check.md").read_text()
ENGINE, SUITE, FUNCTION = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^\$ (.*)$", TEXT, re.MULTILINE)
RIGHT = ENGINE.replace("0.25", "a * (1 - a)")


@pytest.fixture
def run(command_line: Any) -> Any:
    """`run("equigrad check", folder)`, or another line of the page."""

    def run(line: str, folder: Path) -> Any:
        program, *arguments = shlex.split(line)
        return command_line(*arguments, cwd=folder) if program == "equigrad" else pytest_in(folder, arguments)

    return run


def pytest_in(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Without any other plug-in that is installed here, for whose sake pytest would rewrite all of equigrad."""
    plugin = ["-p", "equigrad.pytest_plugin", "-c", os.devnull, "--rootdir", str(folder)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)]),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_engine_takes_ten_lines() -> None:
    assert len([line for line in ENGINE.splitlines() if line]) == 10


def test_the_engine_fails_as_the_text_says_and_passes_once_fixed(run: Any, tmp_path: Path) -> None:
    command, thorough = [line for line in COMMANDS if "mine:Mine" in line and line.startswith("equigrad")]
    (tmp_path / "mine.py").write_text(ENGINE)
    done = run(command, tmp_path)
    assert done.returncode == 1, done.stderr
    assert "mine:Mine native: gradient_is_exact: the gradient is off by" in done.stdout
    (tmp_path / "mine.py").write_text(RIGHT)
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(thorough, tmp_path)
    assert done.returncode == 1
    (shown,) = [block for block in re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL) if "mine:Mine" in block]
    assert shown in done.stdout


@pytest.mark.slow
def test_the_kit_runs_from_the_command_line_and_as_a_class(run: Any, tmp_path: Path) -> None:
    (command,) = [line for line in COMMANDS if line.startswith("pytest")]
    (tmp_path / "mine.py").write_text(RIGHT)
    (tmp_path / "test_mine.py").write_text(SUITE)
    counted = f"{2 * len(LAWS) - 4} passed, 4 skipped"
    done = run(f"{command} -k one-layer", tmp_path)
    assert done.returncode == 0, done.stdout
    assert counted in done.stdout
    done = run("pytest test_mine.py -k 'one-layer or any_law'", tmp_path)
    assert f"2 failed, {counted}" in done.stdout
    assert len(re.findall("^FAILED .*any_law", done.stdout, re.MULTILINE)) == 2


def test_the_function_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(FUNCTION, "docs/check.md", "exec"), {})
    assert "numpy: agree" in capsys.readouterr().out


def test_the_remaining_commands_work(run: Any, tmp_path: Path) -> None:
    assert run(COMMANDS[0] + " --examples 8", tmp_path).returncode == 0
    assert COMMANDS[-1] == "equigrad check --power"  # test_gradcheck runs it, with fewer networks


def test_the_table_of_laws_is_complete() -> None:
    assert re.findall(r"^\| `(\w+)` \| ", TEXT, re.MULTILINE)[: len(LAWS)] == list(LAWS)
    assert f"are {len(LAWS)} functions".replace("15", "fifteen") in TEXT


def test_the_number_of_mutants_is_the_one_published() -> None:
    assert f"Some {round(len(PLANS), -2):,} are made by construction" in TEXT


def test_the_entry_point_is_toml() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert tomllib.loads(block)["project"]["entry-points"]["equigrad.backends"] == {"mine": "mine:Mine"}
