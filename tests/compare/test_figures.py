"""Every figure that the seed publishes comes out, digit for digit, in every backend in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from itertools import count, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import equigrad
from equigrad.backends import load
from equigrad.backends.interface import ARITHMETICS, Backend
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.common.problem import problem
from equigrad.compare.result import Run
from length import at_length

Ready = Callable[..., Backend]
ALL = pytest.mark.parametrize("spec", ["numpy", "torch", "jax"])
NAMES = {"one-layer": 2, "two-layer": 6}
"""How many figures are published for each."""


@cache
def runs(name: str, arithmetic: str) -> dict[str, Run]:
    """All updates in each backend, which the tests below look at from all sides.

    PyTorch takes one at a time, so that in short it makes all of one-layer's and the first sixth of two-layer's.
    """
    task = problem(name)
    together = at_length([(task, ["torch", "jax"])], short=[(task.with_(updates=10_000), ["torch"]), (task, ["jax"])])
    results = [equigrad.compare(part, backends, arithmetic=arithmetic) for part, backends in together]
    return {run.name: run for result in results for run in result.runs}


@ALL
@pytest.mark.slow
@pytest.mark.parametrize("mode", ARITHMETICS)
@pytest.mark.parametrize("name", NAMES)
def test_every_published_digit_comes_out(ready: Ready, spec: str, name: str, mode: str) -> None:
    ready(spec, "float64", mode)
    run = runs(name, mode)[spec]
    assert run.outcome in ("identical", "agree"), run.message
    assert run.figures == [True] * at_length(NAMES[name], short=2 if spec == "torch" else NAMES[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "name"),
    [
        *product(["numpy", "jax"], NAMES),
        *product(["torch"], at_length([*NAMES], short=["one-layer"])),
    ],
)
def test_the_reproducible_weights_are_identical_to_the_published_hash(ready: Ready, spec: str, name: str) -> None:
    ready(spec, "float64", "reproducible")
    run = runs(name, "reproducible")[spec]
    assert (run.outcome, run.max_ulp, run.weights_sha256) == ("identical", 0, problem(name).golden["float64"])


@ALL
@pytest.mark.slow
def test_the_weights_after_ten_thousand_updates_are_the_recomputed_ones(ready: Ready, spec: str) -> None:
    ready(spec)
    (weights,) = runs("one-layer", "native")[spec].weights
    assert weights.ravel().round(8).tolist() == [9.67299303, -0.2078435, -4.62963669]


def after(spec: str, updates: int) -> tuple[np.ndarray, np.ndarray]:
    """(X @ W, activation) of the one-layer network after that many updates."""
    task, backend = problem("one-layer"), load(spec)
    x, y, w = (backend.from_numpy(a) for a in (task.inputs, task.targets, *task.first_weights()))
    weights = backend.train((w,), x, y, 1.0, updates)
    (layer,) = backend.trace(weights, x, y, 1.0)
    return layer.preactivation.ravel(), layer.activation.ravel()


def test_the_first_weights_are_the_seeds() -> None:
    (weights,) = problem("one-layer").first_weights()
    assert weights.ravel().round(8).tolist() == [-0.16595599, 0.44064899, -0.99977125]
    first, second = problem("two-layer").first_weights()
    assert (first.shape, second.shape) == ((3, 4), (4, 1))
    assert first.ravel()[:3].tolist() == weights.ravel().tolist()


PASSES = {
    "the first pass, which the seed cuts to two decimals": (0, [0.2689864, 0.36375058, 0.23762817, 0.3262757]),
    "the second pass": (1, [0.29929909, 0.41433436, 0.32511054, 0.44378327]),
}


@ALL
@pytest.mark.parametrize(("updates", "expected"), PASSES.values(), ids=PASSES)
def test_output_of_an_early_pass(ready: Ready, spec: str, updates: int, expected: list[float]) -> None:
    ready(spec)
    assert after(spec, updates)[1].round(8).tolist() == expected


@ALL
def test_the_seeds_example_of_x_at_w_is_reached_after_20006_updates(ready: Ready, spec: str) -> None:
    ready(spec)
    assert after(spec, 20_006)[0].round(8).tolist() == [-4.98467345, -5.19108471, 5.39603866, 5.1896274]


@ALL
@pytest.mark.parametrize("mode", ARITHMETICS)
def test_the_worked_matrix_product(ready: Ready, spec: str, mode: str) -> None:
    backend = ready(spec, "float64", mode)
    a, b = np.arange(1.0, 7).reshape(2, 3), np.arange(7.0, 13).reshape(3, 2)
    zeros = backend.from_numpy(np.zeros((2, 2)))
    (layer,) = backend.trace((backend.from_numpy(b),), backend.from_numpy(a), zeros, 1.0)
    assert layer.preactivation.tolist() == [[58, 64], [139, 154]]


def test_more_updates_bring_the_output_closer() -> None:
    errors = [np.abs(problem("one-layer").targets.ravel() - after("numpy", n)[1]).mean() for n in (100, 1000, 10_000)]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.slow
def test_digits_learns_to_read_more_than_95_percent() -> None:
    task = problem("digits").with_(updates=at_length(500, short=300))
    result = equigrad.compare(task, ["jax"], arithmetic="native")
    outputs, targets = result.runs[-1].outputs, result.problem.targets
    assert outputs is not None
    assert (outputs.argmax(axis=1) == targets.argmax(axis=1)).mean() > 0.95
    assert result.agreed


@pytest.mark.slow(but=["reproducible-20 ms"])
@pytest.mark.parametrize("seconds", [0.02, 0.3], ids=["20 ms", "300 ms"])
@pytest.mark.parametrize("mode", ARITHMETICS)
def test_pytorch_repeats_recorded_updates_also_where_one_alone_takes(
    ready: Ready, mode: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a slow machine, where stretches that were too short for a tape never ended."""
    ready("torch", "float64", mode)
    torch_backend = pytest.importorskip("equigrad.backends.torch_backend").TorchBackend
    update, looks, alone = torch_backend.update, count(), count()
    clock = [0.0]

    def slow(*given: Any) -> Any:
        next(alone)
        clock[0] += seconds
        return update(*given)

    monkeypatch.setattr(torch_backend, "update", slow)
    time = SimpleNamespace(perf_counter=lambda: clock[0] + 1e-6 * next(looks))
    monkeypatch.setattr(import_module("equigrad.compare.comparison"), "time", time)  # equigrad.compare is the function
    task = problem("one-layer").with_(updates=10_000 if mode == "native" else at_length(10_000, short=2_000))
    run = equigrad.compare(task, ["torch"], arithmetic=mode).runs[-1]
    assert (run.name, run.outcome) == ("torch", "identical")
    assert next(alone) < 100


def test_a_stretch_in_which_the_machine_was_busy_does_not_make_the_time_per_update(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A millisecond for each update, and ten for those of one stretch among many."""
    train, calls, clock = NumpyBackend.train, count(), [0.0]

    def timed(self: NumpyBackend, weights: Any, x: Any, y: Any, lr: float, n: int) -> Any:
        clock[0] += n * (1e-2 if next(calls) == 8 else 1e-3)
        return train(self, weights, x, y, lr, n)

    monkeypatch.setattr(NumpyBackend, "train", timed)
    monkeypatch.setattr(
        import_module("equigrad.compare.comparison"), "time", SimpleNamespace(perf_counter=lambda: clock[0])
    )
    (run,) = equigrad.compare("one-layer", ["numpy"], arithmetic="native").runs
    assert next(calls) > 10
    assert run.microseconds_per_update == pytest.approx(1000)
