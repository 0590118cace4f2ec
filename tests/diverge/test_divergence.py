"""`diverge` as a library and as a command: what it takes, what it says, how it ends."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import equigrad
from equigrad import Engine
from equigrad.backends.interface import Backend, LayerTrace
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.cli import main
from equigrad.common.errors import UsageError
from equigrad.common.problem import problem
from equigrad.diverge.divergence import _quantities
from equigrad.diverge.result import Difference, Distance, Divergence, already
from equigrad.diverge.view import divergence as render

Ready = Callable[..., Backend]
Weights = tuple[np.ndarray, ...]


@pytest.mark.slow(but=["torch"])
@pytest.mark.parametrize("spec", ["numpy", "torch", "jax"])
def test_native_and_reproducible_of_one_framework_part_in_the_sigmoid(ready: Ready, spec: str) -> None:
    ready(spec)
    result = equigrad.diverge(problem("two-layer").with_(updates=20), [spec], arithmetic=("native", "reproducible"))
    assert result.sides == (f"{spec} native", f"{spec} reproducible")
    assert result.first is not None
    assert "sigmoid" in {o.name for o in result.first.operations if not o.same}


def test_two_dtypes_are_compared_in_the_narrower(ready: Ready) -> None:
    result = equigrad.diverge(problem("one-layer").with_(updates=20), ["numpy"], dtype=("float64", "float32"))
    assert result.sides == ("numpy float64", "numpy float32")
    assert "rounded to float32" in result.notes[0]
    first = result.first
    assert first is not None
    for element in first.elements:
        assert all(float(np.float32(v)) == v for v in element.values)
    assert "error" in {o.name for o in first.operations if o.same}
    assert result.development[-1].max_abs_difference < 1e-5


def test_the_budget_ends_the_development_and_says_so(ready: Ready) -> None:
    task = problem("two-layer").with_(updates=200)
    result = equigrad.diverge(task, ["numpy"], arithmetic=("native", "reproducible"), budget=0)
    assert [d.update for d in result.development] == [1]
    assert result.updates == 1
    assert "followed only to update 1 of 200" in result.notes[0]


def test_the_development_holds_the_weights_distances(ready: Ready) -> None:
    task = problem("two-layer").with_(updates=40)
    result = equigrad.diverge(task, ["numpy"], arithmetic=("native", "reproducible"))
    assert [d.update for d in result.development] == [1, 2, 3, 5, 7, 10, 20, 30, 40]
    a, b = (ready("numpy", "float64", arithmetic) for arithmetic in ("native", "reproducible"))
    for d in result.development:
        va, vb = (s.train(task.first_weights(), task.inputs, task.targets, 1.0, d.update) for s in (a, b))
        assert d.max_abs_difference == max(float(np.abs(v - w).max()) for v, w in zip(va, vb, strict=True))
        ulps = [np.abs(v.view(np.int64) - w.view(np.int64)).max() for v, w in zip(va, vb, strict=True)]
        assert d.max_ulp == max(ulps)


class OtherTrace(NumpyBackend):
    """What it holds differs in one activation, what it trains does not."""

    def trace(self, *arguments: Any) -> tuple[LayerTrace, ...]:
        trace = super().trace(*arguments)
        trace[0].activation[1, 0] = np.nextafter(trace[0].activation[1, 0], 1)
        return trace


def test_an_intermediate_that_leaves_no_trace_in_the_weights_is_told() -> None:
    result = equigrad.diverge(problem("two-layer").with_(updates=3), ["numpy", OtherTrace()])
    assert result.identical
    assert result.earlier is not None
    assert (result.earlier.update, result.earlier.layer, result.earlier.quantity) == (1, 1, "activation")
    assert [(e.index, e.ulp) for e in result.earlier.elements] == [((1, 0), 1)]
    assert "never part" in result.verdict
    assert already(result.to_json()).startswith(
        "Already in update 1, 1 of 16 elements of activation of layer 1 differed"
    )


class Tanh(Engine):
    """A correct engine that computes its deltas in another way: its trace cannot show that."""

    def predict(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        for w in weights:
            x = NumpyBackend().predict((w,), x)
        return x

    def gradient(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> Weights:
        layers = [x, *(self.predict(weights[: i + 1], x) for i in range(len(weights)))]
        error, found = layers[-1] - y, []
        for i in reversed(range(len(weights))):
            delta = error * layers[i + 1] - error * layers[i + 1] * layers[i + 1]
            found.append(layers[i].T @ delta)
            error = delta @ weights[i].T
        return tuple(reversed(found))


class FirstLayerWrong(Tanh):
    def gradient(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> Weights:
        trace = NumpyBackend().trace(weights, x, y, 1.0)
        return -1.5 * trace[0].change, *(-layer.change for layer in trace[1:])


@pytest.mark.parametrize(
    ("engine", "layer"),
    [(Tanh, 2), (FirstLayerWrong, 1)],
    ids=["rounding in all layers", "a mistake in the first layer only"],
)
def test_an_engine_is_not_blamed_for_operations_that_it_does_not_show(engine: type[Engine], layer: int) -> None:
    result = equigrad.diverge(problem("two-layer").with_(updates=3), ["numpy", engine()])
    assert result.first is not None
    assert (result.first.quantity, result.first.layer) == ("change", layer)
    assert [(o.name, o.same) for o in result.first.operations] == [("update", True)]
    assert (
        "backward pass cannot be opened: its activations agree; going backwards, layer "
        f"{layer} is the first whose gradient differs"
    ) in (result.notes[-1])


class OwnTrace(FirstLayerWrong):
    """The same mistake, with a trace of its own that shows where."""

    def trace(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float) -> tuple[LayerTrace, ...]:
        first, *others = NumpyBackend().trace(weights, x, y, lr)
        return first._replace(change=1.5 * first.change), *others


def test_an_engine_that_shows_a_trace_of_its_own_is_opened() -> None:
    result = equigrad.diverge(problem("two-layer").with_(updates=3), ["numpy", OwnTrace()])
    assert result.first is not None
    assert [o.name for o in result.first.operations if not o.same] == ["gradient dot"]


def test_quantities_come_in_the_order_of_computation(ready: Ready) -> None:
    task = problem("two-layer")
    trace = ready("numpy").trace(task.first_weights(), task.inputs, task.targets, 1.0)
    assert [(name, layer) for name, layer, _ in _quantities(trace)] == [
        ("preactivation", 1),
        ("activation", 1),
        ("preactivation", 2),
        ("activation", 2),
        ("error", 2),
        ("delta", 2),
        ("change", 2),
        ("error", 1),
        ("delta", 1),
        ("change", 1),
    ]


def test_healing_is_counted_only_after_the_first_difference() -> None:
    development = tuple(Distance(u, ulp, float(ulp), ulp == 0) for u, ulp in ((1, 0), (2, 3), (3, 0), (5, 1), (7, 0)))
    first = Difference(2, 1, "weight", 3, (), 3)
    result = Divergence(
        problem("one-layer"), ("a", "b"), ("float64",) * 2, ("native",) * 2, {}, first, None, development, 7
    )
    assert result.healed == (3, 7)
    assert replace(result, first=None).healed == ()


class MinusZero(NumpyBackend):
    def trace(self, *arguments: Any) -> tuple[LayerTrace, ...]:
        return tuple(LayerTrace(*(np.where(v == 0, -v, v) for v in layer)) for layer in super().trace(*arguments))


def test_plus_and_minus_zero_are_not_the_same_bits() -> None:
    flat = replace(problem("one-layer").with_(updates=3), inputs=np.eye(4, 3))
    result = equigrad.diverge(flat, ["numpy", MinusZero()])
    assert result.first is None  # of the weights
    assert result.earlier is not None
    assert (result.earlier.max_ulp, result.earlier.elements[0].values) == (0, (0.0, -0.0))


class PlusZeros(NumpyBackend):
    """What is near zero becomes a zero, whose sign shows in the weights."""

    zero = 0.0

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for _ in range(n):
            weights = tuple(np.where(abs(w) < 0.3, self.zero, w) for w in self.update(weights, x, y, lr))
        return weights


class MinusZeros(PlusZeros):
    zero = -0.0


def test_zeros_of_other_signs_are_not_the_same_again() -> None:
    result = equigrad.diverge(problem("two-layer").with_(updates=5), [PlusZeros(), MinusZeros()])
    assert result.first is not None
    assert {(d.max_ulp, d.same) for d in result.development} == {(0, False)}
    assert "the same again at 0 of 3 later updates" in result.verdict


class Nan(NumpyBackend):
    nan = np.nan

    def train(self, weights: Weights, *_: Any) -> Weights:
        return tuple(np.full_like(w, self.nan) for w in weights)


class MinusNan(Nan):
    nan = -np.nan


def test_two_nan_are_no_difference_and_one_is_a_large_one() -> None:
    task = problem("one-layer").with_(updates=3)
    assert equigrad.diverge(task, [Nan(), MinusNan()]).identical
    result = equigrad.diverge(task, ["numpy", Nan()])
    assert result.first is not None
    assert (result.first.update, result.first.quantity) == (1, "weight")
    assert math.isnan(result.development[0].max_abs_difference)
    assert render(result)


@pytest.mark.parametrize(
    ("backends", "options", "message"),
    [
        (["numpy"], {}, "two backends are compared"),
        (["numpy"] * 3, {}, "two backends are compared"),
        (["numpy", "numpy"], {"dtype": ["float64"] * 3}, "give backend once for all or 3 times"),
        (["numpy", "nunpy"], {}, "did you mean 'numpy'"),
        (["numpy", "numpy"], {"dtype": "float16"}, "unknown dtype"),
        (["numpy", "numpy"], {"budget": -1.0}, "at least 0, not -1"),
        (["numpy", "numpy"], {"budget": float("nan")}, "at least 0, not nan"),
        (["numpy", "numpy"], {"budget": "x"}, "at least 0, not 'x'"),
        (["numpy", "numpy"], {"budget": None}, "at least 0, not None"),
    ],
    ids=[
        "one",
        "three",
        "unequal-numbers",
        "mistyped",
        "unknown-dtype",
        "negative-budget",
        "no-budget",
        "text-budget",
        "None-budget",
    ],
)
def test_bad_arguments_are_refused(backends: list[str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        equigrad.diverge("one-layer", backends, **options)


def test_a_backend_that_raises_or_returns_other_weights_is_told_in_one_line() -> None:
    class Raises(NumpyBackend):
        def trace(self, *_: Any) -> Any:
            raise ValueError("no\ntrace")

    class Widens(NumpyBackend):
        def train(self, weights: Weights, *_: Any) -> Weights:
            return tuple(w.astype(np.float32) for w in weights)

    with pytest.raises(UsageError, match="trace raised ValueError"):
        equigrad.diverge("one-layer", ["numpy", Raises()])
    with pytest.raises(UsageError, match=r"train returned an array of float32 - expected .* \(3, 1\), float64"):
        equigrad.diverge("one-layer", ["numpy", Widens()])


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["equigrad", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


TWO_NUMPYS = ("-b", "numpy", "--arithmetic", "native", "--arithmetic", "reproducible", "--updates", "50")


def test_the_command_writes_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command(monkeypatch, "diverge", "two-layer", *TWO_NUMPYS, "--json", str(tmp_path / "d.json")) == 1
    data = json.loads((tmp_path / "d.json").read_text())
    assert data["identical"] is False
    assert set(data["first"]) == {"update", "layer", "quantity", "size", "elements", "max_ulp", "operations"}
    assert (data["first"]["quantity"], data["first"]["size"]) == ("activation", 16)
    assert all(set(o) == {"name", "same", "differing", "max_ulp"} for o in data["first"]["operations"])
    assert all(o["same"] is (o["differing"] == 0) for o in data["first"]["operations"])
    assert all(set(d) == {"update", "max_ulp", "max_abs_difference", "same"} for d in data["development"])
    assert data["passport"]["backends"]["numpy"]["version"] == np.__version__
    assert all(how[0].startswith("numpy native: ") for how in data["how"].values())
    assert set(data["how"]) <= {o["name"] for o in data["first"]["operations"] if not o["same"]}
    for element in data["first"]["elements"]:
        assert [float.fromhex(h) for h in element["hex"]] == element["values"]
    out = capsys.readouterr().out
    assert data["first"]["elements"][0]["hex"][1] in out
    assert "part in update 1, in activation of layer 1" in out


def test_the_command_says_when_nothing_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    both = ("-b", "numpy", "-b", "numpy", "--updates", "50", "--json", str(tmp_path / "d.json"))
    assert command(monkeypatch, "diverge", *both) == 0
    data = json.loads((tmp_path / "d.json").read_text())
    assert data["identical"] is True
    assert data["first"] is None
    assert {d["max_ulp"] for d in data["development"]} == {0}
    assert "never part" in capsys.readouterr().out


def test_the_command_refuses_bad_arguments_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "diverge", "-b", "numpy") == 2
    assert command(monkeypatch, "diverge", *TWO_NUMPYS, "--json", "/nowhere/d.json") == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize("name", ["diverge", "trace"])
def test_a_backend_that_raises_ends_the_command_with_the_status_of_a_failure(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "failing.py").write_text(
        "from equigrad.backends.numpy_backend import NumpyBackend\n"
        "class Failing(NumpyBackend):\n"
        "    def train(self, *arguments):\n"
        "        raise ValueError('boom')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert command(monkeypatch, name, "-b", "numpy", "-b", "failing:Failing") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("equigrad: failing:Failing: train raised ValueError: boom - expected a tuple of 1 array")
    assert err.count("\n") == 1


def test_the_command_names_a_missing_framework(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "equigrad.backends.torch_backend", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert command(monkeypatch, "diverge", "-b", "numpy", "-b", "torch") == 3
    assert "pip install 'equigrad[torch]'" in capsys.readouterr().err


def test_the_command_takes_your_own_backend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "somebodys.py").write_text(
        "from equigrad.backends.numpy_backend import NumpyBackend\n"
        "class Mine(NumpyBackend):\n"
        "    def train(self, weights, x, y, lr, n):\n"
        "        return super().train(weights, x, y, lr * 2, n)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert command(monkeypatch, "diverge", "-b", "numpy", "-b", "somebodys:Mine", "--updates", "20") == 1
    out = capsys.readouterr().out
    assert "part in update 1, in weight of layer 1. " in out
    assert "the trace of somebodys:Mine does not lead to the weights of its train" in out
