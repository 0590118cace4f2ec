"""`trace` shows every line of the loop in every backend and marks what differs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

import equigrad
from equigrad import Engine
from equigrad.backends.interface import Backend, Weights
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.cli import main
from equigrad.common.errors import UsageError
from equigrad.common.problem import problem
from equigrad.diverge.result import Trace
from equigrad.diverge.view import tracing as render

Ready = Callable[..., Backend]


def test_lines_come_in_the_order_of_trasks_loop() -> None:
    lines = equigrad.trace("two-layer", ["numpy"], updates=1).lines
    assert [line.formula for line in lines] == [
        "z1 = l0 @ w1",
        "l1 = sigmoid(z1)",
        "z2 = l1 @ w2",
        "l2 = sigmoid(z2)",
        "e2 = y - l2",
        "d2 = e2 * (l2 * (1 - l2))",
        "e1 = d2 @ w2.T",
        "d1 = e1 * (l1 * (1 - l1))",
        "c2 = lr * (l1.T @ d2)",
        "w2 = w2 + c2",
        "c1 = lr * (l0.T @ d1)",
        "w1 = w1 + c1",
    ]


def test_every_formula_holds_when_it_is_executed(ready: Ready) -> None:
    task = problem("two-layer")
    result = equigrad.trace(task, ["numpy"], updates=3)
    names = {"l0": task.inputs, "y": task.targets, "lr": 1.0, "sigmoid": lambda z: 1 / (1 + np.exp(-z))}
    names |= {f"w{i}": w for i, w in enumerate(result.first_weights[0], 1)}
    for line in result.lines:
        name, _, formula = line.formula.partition(" = ")
        names[name] = eval(formula, {}, names)
        np.testing.assert_array_equal(line.values[0], names[name], err_msg=f"update {line.update}: {line.formula}")


def test_the_first_marked_line_is_where_diverge_finds_the_difference(ready: Ready) -> None:
    arithmetics = ("native", "reproducible")
    result = equigrad.trace("two-layer", ["numpy"], updates=1, arithmetic=arithmetics)
    first = equigrad.diverge(problem("two-layer").with_(updates=5), ["numpy"], arithmetic=arithmetics).first
    marked = next(line for line in result.lines if line.differing[1])
    assert first is not None
    assert (marked.update, marked.layer, marked.quantity) == (first.update, first.layer, first.quantity)
    assert (marked.differing[1], marked.max_ulp[1]) == (len(first.elements), first.max_ulp)
    assert (marked.differing[0], marked.max_ulp[0]) == (0, 0)


@pytest.mark.parametrize("spec", ["torch", "jax"])
def test_reproducible_backends_hold_the_same_at_every_line(ready: Ready, spec: str) -> None:
    ready(spec)
    result = equigrad.trace("two-layer", ["numpy", spec], updates=2, arithmetic="reproducible")
    assert {line.differing for line in result.lines} == {(0, 0)}


def shown(result: Trace) -> str:
    console = Console(width=200, file=StringIO())
    console.print(render(result))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_screen_has_shapes_values_and_marks() -> None:
    text = shown(equigrad.trace("two-layer", ["numpy"], updates=1, arithmetic=("native", "reproducible")))
    assert "l1 = sigmoid(z1)    activation of layer 1, 4 x 4" in text
    assert re.search(r"numpy reproducible  ≠ in \d+ of 16, \d+ ULP", text)
    assert re.search(r"≠-?0\.\d", text)
    assert "the same in numpy native and numpy reproducible" in text
    assert "A difference inside an update may be rounded away" in text


def test_the_screen_has_all_that_it_takes_to_redo_each_line() -> None:
    text = shown(equigrad.trace("one-layer", ["numpy"], updates=1))
    before = text[text.index("before update 1") : text.index("update 1", text.index("before update 1") + 10)]
    assert [line for line in before.splitlines() if "    " in line and line[0] != " "] == [
        "l0    inputs, 4 x 3",
        "y    targets, 4 x 1",
        "w1    weight of layer 1, 3 x 1",
    ]
    for number in ("-0.16595599", "0.44064899", "-0.99977125"):
        assert number in before
    assert "rounded away" not in text


def test_digits_that_differ_are_shown_to_the_last() -> None:
    result = equigrad.trace("two-layer", ["numpy"], updates=1, arithmetic=("native", "reproducible"))
    text = shown(result)
    line = next(line for line in result.lines if line.differing[1])
    at = np.argwhere(line.values[0] != line.values[1])[0]
    for value in line.values:
        assert str(value[*at]) in text


def test_large_matrices_are_cut_and_say_so() -> None:
    text = shown(equigrad.trace("digits", ["numpy"], updates=1))
    assert "z1 = l0 @ w1    preactivation of layer 1, 1797 x 32" in text
    assert text.count("…") > 10
    assert len(text.splitlines()) < 200


def test_no_update_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1, not 0"):
        equigrad.trace("one-layer", ["numpy"], updates=0)


def test_the_command_shows_as_many_updates_as_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["equigrad", "trace", "one-layer", "-b", "numpy", "--updates", "2"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert not exit_.value.code
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("update ")] == ["update 1", "update 2"]


class Numbers(Engine):
    def predict(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        return NumpyBackend().predict(weights, x)

    def gradient(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> Weights:
        return NumpyBackend().gradient(weights, x, y)


@pytest.mark.parametrize(("backend", "said"), [(Numbers(), True), (NumpyBackend(), False)], ids=["an engine", "NumPy"])
def test_what_equigrad_computed_in_place_of(backend: Backend, said: bool) -> None:
    assert ("computed by equigrad" in equigrad.trace("one-layer", [backend], updates=1).explanation) is said
