"""README shows the code that is installed, and says what the commands print."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import equigrad
from equigrad.backends import backend_class
from equigrad.backends.interface import Backend

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COLUMNS = re.findall(r"```python\n(.*?)```", README[: README.index("</table>")], flags=re.S)


@pytest.mark.parametrize("spec", ["numpy", "torch", "jax"])
def test_loss_and_gradient_side_by_side_are_the_installed_ones(ready: Callable[..., Backend], spec: str) -> None:
    ready(spec)
    functions = [inspect.unwrap(getattr(backend_class(spec)[0], name)) for name in ("loss", "gradient")]
    source = "".join(textwrap.dedent(inspect.getsource(function)) for function in functions)
    assert untyped(source) in [untyped(block) for block in COLUMNS]


def untyped(source: str) -> str:
    """What the code does, whatever its types and line breaks."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
    return ast.dump(tree)


def test_the_columns_side_by_side_fit_a_page_of_github() -> None:
    """In its 12 px, of which a character takes 7.2; what surrounds the code of a column takes 59."""
    numpy, *others = (59 + 7.2 * max(map(len, block.splitlines())) for block in COLUMNS)
    assert len(others) == 2
    assert numpy + max(others) <= 1_012


@pytest.mark.slow
def test_the_python_block_runs() -> None:
    blocks = re.findall(r"```python\n(import equigrad.*?)```", README, flags=re.S)
    assert blocks
    for block in blocks:
        exec(block, {})


def test_the_verdict_shown_is_the_verdict_printed() -> None:
    result = equigrad.compare("one-layer", ["numpy", "jax"], arithmetic="reproducible")
    assert result.agreed
    assert f"one SHA-256: {result.runs[0].weights_sha256}, the published one" in " ".join(README.split())


def test_every_make_target_and_command_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^\$ make (\w+)", README, flags=re.M)
    assert sorted(targets) == ["compare", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.M)
    cli = (ROOT / "equigrad" / "cli.py").read_text()
    commands = set(re.findall(r"`equigrad (\w+)", README))
    assert commands >= {"compare", "passport", "check", "diverge", "trace", "bench", "report"}
    for command in commands:
        assert re.search(rf"^def {command}\(", cli, flags=re.M), command


def test_every_link_into_the_repository_leads_somewhere() -> None:
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_ci_runs_the_long_tests_at_the_length_that_they_have_there() -> None:
    """A plain `make test` is short: what it leaves out is proved by nobody else."""
    assert "\nmake check test LENGTH=full " in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "`LENGTH=full`, as in CI" in README
