"""Native agreement is judged by what rounding can do to the very problem: no correct engine is called wrong, and
none that leaves an update out is called right."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equigrad import Engine, compare, load_data, problem
from equigrad.backends.interface import Backend, Weights
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.common.agreement import distance
from equigrad.common.problem import Problem
from equigrad.compare.result import Comparison
from equigrad.compare.sensitivity import Sensitivity
from equigrad.session import Session
from length import at_length

SHAPES = ((4, (3, 1)), (4, (3, 4, 1)), (40, (4, 5, 1)), (12, (5, 6, 2)), (20, (6, 3)), (30, (8, 8, 8, 2)))
STDS = (1, 3, 10, 30)


class Plain(Engine):
    """Written out, in the order of the formulas; those below round in ways of their own."""

    def sigmoid(self, z: np.ndarray) -> Any:
        return 1 / (1 + np.exp(-z))

    def dot(self, a: np.ndarray, b: np.ndarray) -> Any:
        return a @ b

    def derivative(self, error: np.ndarray, a: np.ndarray) -> Any:
        return error * (a * (1 - a))

    def layers(self, weights: Weights, x: np.ndarray) -> list[np.ndarray]:
        layers = [x]
        with np.errstate(all="ignore"):
            for w in weights:
                layers.append(self.sigmoid(self.dot(layers[-1], w)))
        return layers

    def predict(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        return self.layers(weights, x)[-1]

    def gradient(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> Weights:
        layers, gradients = self.layers(weights, x), []
        error = y - layers[-1]
        for w, before, a in zip(reversed(weights), layers[-2::-1], layers[:0:-1], strict=True):
            delta = self.derivative(error, a)
            gradients.append(-self.dot(before.T, delta))
            error = self.dot(delta, w.T)
        return tuple(reversed(gradients))


class Tanh(Plain):
    def sigmoid(self, z: np.ndarray) -> Any:
        half = z.dtype.type(0.5)
        return half * (np.tanh(half * z) + 1)


class Backwards(Plain):
    def dot(self, a: np.ndarray, b: np.ndarray) -> Any:
        return (a[:, ::-1, None] * b[::-1]).cumsum(axis=1)[:, -1]  # NumPy adds up one after the other here

    def derivative(self, error: np.ndarray, a: np.ndarray) -> Any:
        return error * (a - a * a)


class Short(NumpyBackend):
    """Leaves an update out of each call, but of those of one update."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n - (n > 1))


class ShortLater(NumpyBackend):
    """Leaves an update out of each call of more than ten: the comparison after ten cannot tell."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n - (n > 10))


class ShorterStill(NumpyBackend):
    """Leaves an update out of each call."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n - 1)


def drawn(seed: int) -> Problem:
    """Inputs of all scales, targets of both kinds, rates from 1/1000 to 4, 10 to 200 updates."""
    r = np.random.RandomState(seed)
    samples, layers = SHAPES[seed % len(SHAPES)]
    inputs = STDS[seed // len(SHAPES) % len(STDS)] * r.standard_normal((samples, layers[0]))
    if layers[0] == 4 and r.rand() < 0.5:  # age, income in thousands, height, weight
        inputs = np.column_stack(
            [r.randint(low, high, samples) for low, high in ((18, 80), (15, 120), (150, 200), (50, 110))]
        )
    targets = r.random_sample((samples, layers[-1]))
    if r.rand() < 0.5:
        targets = targets.round()
    return Problem(
        f"random {seed}",
        inputs.astype(float),
        targets,
        layers,
        updates=int(r.choice([10, 50, 200])),
        learning_rate=float(10 ** r.uniform(-3, 0.6)),
        seed=int(r.randint(1_000)),
    )


@cache
def outcomes(seeds: range, dtype: str) -> Counter[tuple[str, str]]:
    """Of correct engines and of wrong ones together: what rounding may do is measured once for each problem."""
    found = Counter[tuple[str, str]]()
    for seed in seeds:
        result = compare(drawn(seed), [Tanh, Backwards, Short, ShorterStill], dtype=dtype, arithmetic="native")
        found.update((run.name, run.outcome) for run in result.runs)
    return found


def of(names: tuple[str, ...], seeds: range, dtype: str) -> Counter[tuple[str, str]]:
    found = outcomes(seeds, dtype)
    assert {name for name, _ in found} >= {*names}
    return Counter({each: count for each, count in found.items() if each[0] in names})


EVERY = len(SHAPES) * len(STDS)
"""So many seeds one after the other have every shape with every scale once."""
RANDOM = pytest.mark.parametrize(
    ("dtype", "seeds"),
    [
        pytest.param("float64", range(at_length(2 * EVERY, short=EVERY)), id="float64"),
        pytest.param("float32", range(1_000, 1_000 + EVERY), id="float32"),
        *at_length(
            [
                pytest.param("float64", range(2_000, 2_100), id="100 more in float64"),
                pytest.param("float32", range(3_000, 3_048), id="48 more in float32"),
            ],
            short=[],
        ),
    ],
)


@pytest.mark.slow
@RANDOM
def test_no_correct_engine_is_called_wrong_on_random_problems(dtype: str, seeds: range) -> None:
    found = of(("numpy", "Tanh", "Backwards"), seeds, dtype)
    assert {outcome for _, outcome in found} <= {"identical", "agree", "inconclusive"}, found
    told = sum(count for (_, outcome), count in found.items() if outcome in ("identical", "agree"))
    assert told > found.total() * {"float64": 0.85, "float32": 0.7}[dtype]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_correct_engines_use_little_of_what_is_allowed_where_that_has_power(dtype: str) -> None:
    """So the bound does not stand or fall with the directions that chance chose."""
    used = []
    for seed in range(4_000, 4_024):
        numpy, *others = (Session.of(drawn(seed), backend(dtype=dtype)) for backend in (NumpyBackend, Tanh, Backwards))
        known = Sensitivity(numpy, lambda n, s=numpy: s.numpy(s.train(s.weights, n)))  # type: ignore[misc]
        allowed = known.noise(10)
        if known.has_power(10, allowed):
            used += [distance(s.numpy(s.train(s.weights, 10)), known.weights(10)) / allowed for s in others]
    assert len(used) > 24
    assert max(used) < 0.1


@pytest.mark.slow
@RANDOM
def test_no_engine_one_update_short_ever_agrees_on_random_problems(dtype: str, seeds: range) -> None:
    found = of(("Short", "ShorterStill"), seeds, dtype)
    assert not any(outcome == "agree" for _, outcome in found), found
    caught = sum(count for (_, outcome), count in found.items() if outcome == "disagree")
    assert caught > 2 * len(seeds) * {"float64": 0.9, "float32": 0.65}[dtype]


@pytest.mark.slow
def test_an_engine_that_leaves_out_an_update_only_where_training_is_sensitive_does_not_agree() -> None:
    found, seeds = Counter[str](), range(5_000, at_length(5_048, short=5_024))
    for seed in seeds:
        task = drawn(seed).with_(updates=50)
        (run,) = compare(task, [ShortLater], arithmetic="native").runs[1:]
        assert run.outcome not in ("agree", "identical") or run.max_abs_difference < 1e-11, run.message  # type: ignore[operator]
        found[run.outcome] += 1
    assert found["disagree"] > 0.75 * len(seeds), found


def test_people_that_nobody_normalised_agree(tmp_path: Path) -> None:
    r = np.random.RandomState(7)
    rows = [
        f"{r.randint(18, 80)},{r.randint(15, 120)},{r.randint(150, 200)},{r.randint(50, 110)},{r.randint(2)}"
        for _ in range(40)
    ]
    (tmp_path / "people.csv").write_text("\n".join(["age,income,height,weight,y", *rows]) + "\n")
    for seed in range(6):
        task = load_data(tmp_path / "people.csv", target=["y"], hidden=[5], updates=50, seed=seed)
        result = compare(task, [Tanh, Backwards], arithmetic="native")
        assert {run.outcome for run in result.runs} <= {"identical", "agree", "inconclusive"}, result.verdict


def chaotic() -> Problem:
    """Steps so large that the units jump between saturation and not: rounding decides all digits within 200 updates."""
    r = np.random.RandomState(34)
    return Problem("chaotic", 3 * r.standard_normal((20, 6)), r.random_sample((20, 3)), (6, 8, 3), 2_000, 3.0)


def compared(task: Problem, *backends: type[Backend]) -> Comparison:
    return compare(task, backends, arithmetic="native")


class Frozen(Plain):
    """Never trains its first layer."""

    def gradient(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> Weights:
        first, *others = super().gradient(weights, x, y)
        return 0 * first, *others


def test_a_layer_that_training_hardly_moves_is_named_where_an_engine_that_leaves_it_alone_agrees() -> None:
    r = np.random.RandomState(3)
    x, y = 1e-12 * r.random_sample((20, 3)), r.randint(2, size=(20, 1)).astype(float)
    numpy, frozen, plain = compared(Problem("tiny", x, y, (3, 4, 1), 50, 0.125), Frozen, Plain).runs
    assert (frozen.outcome, numpy.message) == ("agree", "")
    assert frozen.message == "nothing can be told of layer 1, which all updates together move by less than would show"
    assert plain.outcome == "identical" or plain.message == frozen.message


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "task",
    [problem("one-layer"), problem("two-layer").with_(updates=5_000), problem("digits").with_(updates=20)],
    ids=lambda task: task.name,
)
def test_every_layer_of_the_built_in_problems_can_be_told(task: Problem, dtype: str) -> None:
    side = Session.of(task, NumpyBackend(dtype=dtype))
    known = Sensitivity(side, lambda n: side.numpy(side.train(side.weights, n)))
    assert known.untold(task.updates, known.usual(task.updates)) == []


@pytest.mark.slow
def test_where_rounding_decides_every_digit_nothing_is_said_but_after_how_many_updates_something_can_be() -> None:
    result = compared(chaotic(), Tanh)
    tanh = result.runs[1]
    assert (tanh.outcome, result.agreed) == ("inconclusive", False)
    assert "NOT in agreement" not in result.verdict
    assert "inconclusive" in result.verdict
    assert tanh.message.startswith("rounding alone may change every digit of the weights after 2,000 updates; after ")
    advised = int(tanh.message.rpartition(" ")[2])
    again = compared(chaotic().with_(updates=advised), Tanh, Short)
    assert [run.outcome for run in again.runs] == ["identical", "agree", "disagree"]


def test_a_wrong_engine_is_caught_before_rounding_hides_it() -> None:
    assert compared(chaotic(), Short).runs[1].outcome == "disagree"


def test_an_update_that_moves_less_than_rounding_leaves_nothing_to_tell() -> None:
    class Still(Plain):
        def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
            return tuple(np.nextafter(w, 1) for w in weights)

    result = compared(problem("one-layer").with_(updates=30, learning_rate=1e-18), Still)
    assert result.runs[1].outcome == "inconclusive"
    assert "whether all updates were made cannot be told" in result.runs[1].message


def test_converged_training_agrees_and_says_until_where_a_missing_update_would_show() -> None:
    x = problem("one-layer").inputs
    reachable = 1 / (1 + np.exp(-x @ np.array([[1.0], [-1.0], [0.5]])))
    run = compared(Problem("reachable", x, reachable, (3, 1), 4_000), Tanh).runs[1]
    assert run.outcome == "agree", run.message
    assert run.message.startswith("after all 4,000 updates rounding would hide a missing one; after ")


class HalfEverywhere(NumpyBackend):
    def predict(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        return np.full((len(x), weights[-1].shape[1]), 0.5, x.dtype)


@pytest.mark.parametrize("arithmetic", ["native", "reproducible"])
def test_predictions_that_are_not_those_of_the_weights_disagree_in(arithmetic: str) -> None:
    result = compare(problem("two-layer").with_(updates=20), [HalfEverywhere], arithmetic=arithmetic)
    run = result.runs[1]
    assert (run.outcome, run.max_ulp, result.agreed) == ("disagree", 0, False)
    assert run.message.startswith("predict gives 0.5 for row 1 where NumPy gives 0.4")


def test_predictions_for_new_inputs_are_held_to_numpys_too() -> None:
    class WrongForNew(NumpyBackend):
        def predict(self, weights: Weights, x: np.ndarray) -> np.ndarray:
            return super().predict(weights, x) + (len(x) == 1) * 1e-9

    new = np.array([[0.0, 1, 1]])
    assert compared(problem("one-layer").with_(updates=20), WrongForNew).agreed
    result = compare(problem("one-layer").with_(updates=20), [WrongForNew], arithmetic="native", predict=new)
    assert result.runs[1].outcome == "disagree"


def test_published_figures_that_do_not_come_out_are_no_agreement() -> None:
    task = problem("two-layer").with_(updates=5)
    wrong = replace(task, figures=tuple(replace(f, published=f.published + 1e-6) for f in task.figures))
    run = compare(wrong, ["numpy"], arithmetic="native").runs[0]
    assert (run.outcome, run.figures) == ("disagree", [False])
    assert run.message == (
        "the weights are identical, but 1 of 1 published figures are missed, first the mean absolute error at update 0"
    )


@pytest.mark.parametrize("arithmetic", ["native", "reproducible"])
def test_minus_zero_is_not_identical_to_zero_in(arithmetic: str) -> None:
    class MinusZero(NumpyBackend):
        def train(self, *arguments: Any) -> Weights:
            return tuple(np.where(w == 0, -w, w) for w in super().train(*arguments))

    class Still(Problem):
        def first_weights(self, dtype: str = "float64") -> tuple[np.ndarray, ...]:
            return tuple(np.zeros_like(w) for w in super().first_weights(dtype))

    task = problem("one-layer").with_(updates=2)
    flat = Still("flat", np.eye(4, 3) * [1, 1, 0], task.targets, (3, 1), 2)
    result = compare(flat, [MinusZero], arithmetic=arithmetic)
    run = result.runs[1]
    assert run.max_ulp == 0
    assert run.weights_sha256 != result.runs[0].weights_sha256
    assert run.outcome == {"native": "agree", "reproducible": "disagree"}[arithmetic], run.message


def test_an_engines_nan_is_not_blamed_on_the_learning_rate() -> None:
    class Nan(NumpyBackend):
        def train(self, *arguments: Any) -> Weights:
            return tuple(w * np.nan for w in super().train(*arguments))

    (message,) = {run.message for run in compared(problem("one-layer").with_(updates=9), Nan).runs if run.message}
    assert message == "the weights of layer 1 hold NaN after update 1; NumPy's are finite"


def test_numpys_own_overflow_is() -> None:
    task = problem("one-layer").with_(updates=9, learning_rate=1e200)
    message = compared(task).runs[0].message
    assert message == "the weights of layer 1 overflow at update 1: try a smaller learning rate"


def test_training_that_stands_still_says_so() -> None:
    task = replace(problem("one-layer").with_(updates=5), inputs=1e5 * problem("one-layer").inputs + 1e5)
    numpy, tanh = compared(task, Tanh).runs
    assert numpy.message == ("no update moved any weight: scale the inputs to about 1, or try a larger learning rate")
    assert (numpy.outcome, tanh.outcome) == ("identical", "identical")


def test_numpy_under_its_long_name_is_trained_once() -> None:
    result = compare(problem("one-layer").with_(updates=5), ["numpy:cpu", "numpy"], arithmetic="native")
    assert [run.name for run in result.runs] == ["numpy"]
