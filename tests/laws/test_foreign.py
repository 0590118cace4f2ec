"""Somebody else's backend is compared like the built-in ones, and whatever is wrong with it has its word."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from equigrad import compare, problem
from equigrad.common.agreement import OUTCOMES
from equigrad.compare import view as tables
from equigrad.compare.result import Comparison

GOOD = '''
import itertools
import sys
import numpy as np

import equigrad


class Good(equigrad.Backend):
    """Written from the interface alone."""

    name = "good"

    @classmethod
    def devices(cls):
        return ("cpu",)

    @classmethod
    def environment(cls):
        return {"version": "1"}

    def from_numpy(self, array):
        return np.array(array, dtype=self.dtype)

    def to_numpy(self, array):
        return np.array(array)

    def device_of(self, array):
        return "cpu"

    def predict(self, weights, x):
        for w in weights:
            x = sigmoid(x @ w)
        return x

    def trace(self, weights, x, y, lr):
        return opened(weights, x, y, lr)

    def gradient(self, weights, x, y):
        return tuple(-layer.change for layer in opened(weights, x, y, 1.0))

    def update(self, weights, x, y, lr):
        return tuple(w + layer.change for w, layer in zip(weights, opened(weights, x, y, lr)))

    def train(self, weights, x, y, lr, n):
        for _ in range(n):
            weights = self.update(weights, x, y, lr)
        return weights

    def synchronize(self, value):
        return value


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def opened(weights, x, y, lr):
    inputs, layers = [x], []
    for w in weights:
        inputs.append(sigmoid(inputs[-1] @ w))
    error = y - inputs[-1]
    for w, a, b in zip(reversed(weights), inputs[-2::-1], inputs[:0:-1]):
        delta = error * b * (1 - b)
        layers.append(equigrad.LayerTrace(a @ w, b, error, delta, lr * (a.T @ delta)))
        error = delta @ w.T
    return tuple(reversed(layers))


calls = itertools.count()
'''

WRONG: list[tuple[str, str, str, str]] = [
    ("has no train", "train = equigrad.Backend.train", "failed", "Wrong lacks train - expected every method"),
    (
        "has neither train nor trace",
        "train, trace = equigrad.Backend.train, equigrad.Backend.trace",
        "failed",
        "Wrong lacks trace, train - expected every method",
    ),
    (
        "does not say its devices",
        "devices = equigrad.Backend.devices",
        "failed",
        "Wrong lacks devices - expected every method",
    ),
    ("raises when made", "def __init__(self, **chosen): raise OSError('no licence')", "failed", "OSError: no licence"),
    (
        "returns a list",
        "def train(self, *a): return list(super().train(*a))",
        "failed",
        "train returned a list - expected a tuple of 2 arrays of shape",
    ),
    ("returns None", "def train(self, *a): pass", "failed", "train returned a NoneType - expected a tuple of 2"),
    (
        "forgets a layer",
        "def train(self, *a): return super().train(*a)[:1]",
        "failed",
        "train returned 1 array - expected a tuple of 2 arrays",
    ),
    (
        "transposes its weights",
        "def train(self, *a): return tuple(w.T for w in super().train(*a))",
        "failed",
        r"train returned an array of shape \(4, 3\) - expected a tuple of 2 arrays of shape \(3, 4\), \(4, 1\)",
    ),
    (
        "computes in float32",
        "def from_numpy(self, array): return np.array(array, 'float32')",
        "wrong-dtype",
        "train returned an array of float32 - expected .* float64",
    ),
    (
        "computes elsewhere",
        "def device_of(self, array): return 'tpu'",
        "wrong-device",
        "train left its result on 'tpu', not on 'cpu'",
    ),
    (
        "raises in train",
        "def train(self, *a): raise ValueError('two\\nlines')",
        "failed",
        "train raised ValueError: two lines",
    ),
    (
        "raises nothing but pages",
        "def train(self, *a): raise ValueError('page ' * 999)",
        "failed",
        r"page \.\.\. - expected",
    ),
    ("exits in train", "def train(self, *a): sys.exit(0)", "failed", "train raised SystemExit: 0"),
    (
        "raises in from_numpy",
        "def from_numpy(self, array): raise MemoryError",
        "failed",
        "from_numpy raised MemoryError",
    ),
    (
        "returns lists from to_numpy",
        "def to_numpy(self, array): return array.tolist()",
        "failed",
        "to_numpy returned a list - expected a NumPy array",
    ),
    ("raises in predict", "def predict(self, w, x): return x[99]", "failed", "predict raised IndexError"),
    (
        "predicts one number",
        "def predict(self, w, x): return w[0][0, 0]",
        "failed",
        "predict returned a float64 - expected an array of shape",
    ),
    (
        "rolls dice",
        "def train(self, *a): return tuple(w + 1e-10 * next(calls) for w in super().train(*a))",
        "nondeterministic",
        "the same 10 updates twice gave different bits",
    ),
    (
        "returns NaN",
        "def train(self, *a): return tuple(w * np.nan for w in super().train(*a))",
        "failed",
        "layer 1 hold NaN after update 1; NumPy's are finite",
    ),
    (
        "returns inf in the last layer",
        "def train(self, *a): w = super().train(*a); return w[0], w[1] * np.inf",
        "failed",
        "layer 2 hold inf after update 1; NumPy's are finite",
    ),
    (
        "leaves an update out",
        "def train(self, w, x, y, lr, n): return super().train(w, x, y, lr, n - (n > 1))",
        "disagree",
        "after the first 10 updates .* ULP from the reference",
    ),
    (
        "is a little wrong",
        "def train(self, w, x, y, lr, n): return super().train(w, x, y, lr * (1 + 1e-9), n)",
        "disagree",
        "ULP from the reference, .*; 1e-1. is allowed",
    ),
    (
        "shows nothing inside",
        "def trace(self, *a): return None",
        "failed",
        "trace returned a NoneType - expected a tuple of 2 LayerTrace",
    ),
    (
        "shows half of it",
        "def trace(self, *a): return super().trace(*a)[:1]",
        "failed",
        "trace returned a tuple of 1 - expected a tuple of 2 LayerTrace",
    ),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that we are in, as a user would be; what the search for backends adds to the path goes again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


SHORT = problem("two-layer").with_(updates=40, learning_rate=0.5)
names = (f"foreign_{i}" for i in count())


@pytest.fixture
def module(folder: Path) -> Iterator[str]:
    """The name of a module with the good backend, to which a test may append."""
    name = next(names)
    (folder / f"{name}.py").write_text(GOOD)
    yield name
    sys.modules.pop(name, None)


def test_a_good_one_agrees_with_numpy_and_has_only_native_arithmetic(module: str) -> None:
    result = compare(SHORT, [f"{module}:Good"], watch=2)
    outcomes = {(run.backend, run.arithmetic): run.outcome for run in result.runs}
    assert outcomes.pop((f"{module}:Good", "native")) in ("identical", "agree")
    assert outcomes == {
        ("numpy", "native"): "identical",
    }
    assert result.agreed
    assert "missing" not in shown(result)
    for watched in (run.watched for run in result.runs):
        assert [update for update, _ in watched] == [1, 2, 39, 40]


@pytest.mark.parametrize(("body", "outcome", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_the_comparison_goes_on_past_one_that(body: str, outcome: str, message: str, module: str, folder: Path) -> None:
    with (folder / f"{module}.py").open("a") as file:
        file.write(f"\n\nclass Wrong(Good):\n    {body}\n")
    result = compare(SHORT, [f"{module}:Wrong", f"{module}:Good"], arithmetic="native", predict=SHORT.inputs, watch=1)
    numpy, wrong, good = result.runs
    assert (wrong.outcome, wrong.backend, wrong.device) == (outcome, f"{module}:Wrong", "cpu")
    assert outcome in OUTCOMES
    assert re.search(message, wrong.message), wrong.message
    assert len(wrong.message) < 400
    assert numpy.outcome == "identical"
    assert good.outcome in ("identical", "agree")
    assert not result.agreed
    assert f"{module}:Wrong ({outcome})" in result.verdict
    assert f"{module}:Wrong native: {wrong.message}" in shown(result)
    json.dumps(result.to_json(), allow_nan=False)


def test_every_word_of_the_vocabulary_but_the_good_ones_is_met() -> None:
    assert {outcome for _, _, outcome, _ in WRONG} == set(OUTCOMES) - {"identical", "agree", "missing", "inconclusive"}


def shown(result: Comparison) -> str:
    """What a very wide terminal shows."""
    console = Console(file=io.StringIO(), width=1000)
    console.print(tables.comparison(result, SHORT.inputs))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("name", "arithmetic", "status"),
    [("Good", "native", 0), ("Good", "both", 0), ("Good", "reproducible", 3), ("Wrong", "native", 1)],
    ids=["0 for a good one", "0 for a good one without an arithmetic", "3 for one without it", "1 for a wrong one"],
)
def test_the_installed_command_finds_it_in_the_current_folder_and_ends_with_status(
    name: str, arithmetic: str, status: int, module: str, folder: Path, command_line: Any
) -> None:
    """One of them in a process of its own, as it is installed."""
    with (folder / f"{module}.py").open("a") as file:
        file.write("\n\nclass Wrong(Good):\n    def train(self, *a): raise ValueError\n")
    options = ["--updates", "20", "--backend", f"{module}:{name}", "--arithmetic", arithmetic, "--json", "out.json"]
    if status == 1:
        python = [sys.executable, "-P", "-m", "equigrad"]  # -P: the folder is not on the path by itself
        done = subprocess.run([*python, "compare", *options], capture_output=True, text=True, check=False)
    else:
        done = command_line("compare", *options, cwd=folder)
    assert done.stderr == ""
    assert done.returncode == status
    backends = {run["backend"] for run in json.loads((folder / "out.json").read_text())["runs"]}
    assert backends == {"numpy", f"{module}:{name}"}
