"""The three backend files are the lesson: the same steps in the same order, to be read side by side."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from equigrad.backends import FRAMEWORKS, backend_class
from equigrad.backends.interface import Backend

BACKENDS = Path(__file__).parents[2] / "backends"
STEPS = ["predict", "loss", "gradient", "update", "train"]
LONGEST = 50
BEFORE_THE_FIRST_FORMULA = 15


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_backend_file_holds_the_steps_in_order_and_nothing_else(framework: str) -> None:
    source = (BACKENDS / f"{framework}_backend.py").read_text(encoding="utf-8")
    *imports, lesson = ast.parse(source).body[1:]
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in imports)
    assert isinstance(lesson, ast.ClassDef)
    assert all(isinstance(node, ast.FunctionDef) for node in lesson.body)
    names = [node.name for node in lesson.body if isinstance(node, ast.FunctionDef)]
    own = ["activations"] if framework == "numpy" else []  # which the derivative by hand needs too
    assert names == own + STEPS


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_backend_file_is_short_and_comes_to_the_point(framework: str) -> None:
    lines = (BACKENDS / f"{framework}_backend.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LONGEST
    assert next(i for i, line in enumerate(lines) if "sigmoid(" in line) <= BEFORE_THE_FIRST_FORMULA


@pytest.mark.parametrize("step", ["loss", "update"])
def test_what_the_frameworks_write_alike_is_the_same_to_the_letter(ready: Callable[..., Backend], step: str) -> None:
    bodies = set()
    for framework in FRAMEWORKS:
        ready(framework)
        (function,) = ast.parse(textwrap.dedent(inspect.getsource(method(framework, step)))).body
        assert isinstance(function, ast.FunctionDef)
        bodies.add("\n".join(map(ast.unparse, function.body)))
    assert len(bodies) == 1


def method(framework: str, name: str) -> Callable[..., object]:
    found: Callable[..., object] = inspect.unwrap(getattr(backend_class(framework)[0], name))
    return found
