"""Elementwise operations that Numba runs together: the published hashes, and the bits of single updates."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equigrad.backends import load
from equigrad.backends.interface import ARITHMETICS, Backend, Weights
from equigrad.backends.tape.tape import Tape, Value
from equigrad.bench.sizes import sized
from equigrad.common.problem import Problem, problem
from equigrad.common.ulp import sha256
from length import at_length, published

Ready = Callable[..., Backend]
pytestmark = pytest.mark.needs("numba")
FUSED = {"numpy": "equigrad.backends.numpy_fused:NumpyFused", "torch": "equigrad.backends.torch_fused:TorchFused"}
CALLS = [5, 12]
"""Of one-layer and of two-layer, where the same tape takes 36 and 73, or 37 and 75, as it is."""


def given_to(backend: Backend, task: Problem) -> tuple[Weights, Any, Any, float]:
    x, y, *weights = (backend.from_numpy(v) for v in (task.inputs, task.targets, *task.first_weights(backend.dtype)))
    return tuple(weights), x, y, task.rate(backend.dtype)


@pytest.mark.slow(but=["float64-numpy-one-layer"])
@pytest.mark.parametrize("name", ["one-layer", pytest.param("two-layer", marks=pytest.mark.slow)])
@pytest.mark.parametrize("spec", FUSED)
def test_the_hash_is_the_golden_one(ready: Ready, spec: str, dtype: str, name: str) -> None:
    ready(spec)
    backend, (updates, hashes) = load(FUSED[spec], dtype, "reproducible"), published(name)
    trained = backend.train(*given_to(backend, problem(name)), updates)
    assert sha256(tuple(map(backend.to_numpy, trained))) == hashes[dtype]


@pytest.mark.parametrize("spec", FUSED)
@pytest.mark.slow(but=["numpy"])
def test_what_is_elementwise_takes_few_calls(ready: Ready, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(spec)
    made: list[int] = []
    monkeypatch.setattr(Tape, "run", staticmethod(lambda calls, n: made.append(len(calls))))
    backend = load(FUSED[spec], "float64", "reproducible")
    for name in ("one-layer", "two-layer"):
        backend.train(*given_to(backend, problem(name)), 100)
    assert made == CALLS


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    layers = draw(st.lists(st.integers(1, 20), min_size=2, max_size=4))
    return sized(draw(st.integers(1, 200)), layers).with_(learning_rate=draw(st.sampled_from([1.0, 0.1, 2.0**-6])))


@pytest.mark.slow
@pytest.mark.parametrize("spec", FUSED)
@settings(max_examples=at_length(6, short=4), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(task=problems(), dtype=st.sampled_from(["float64", "float32"]), arithmetic=st.sampled_from(ARITHMETICS))
def test_any_network_has_the_bits_of_single_updates(
    ready: Ready, spec: str, task: Problem, dtype: str, arithmetic: str
) -> None:
    backend, plain = load(FUSED[spec], dtype, arithmetic), ready(spec, dtype, arithmetic)
    repeated, expected = backend.train(*given_to(backend, task), 100), plain.train(*given_to(plain, task), 99)
    expected = plain.update(expected, *given_to(plain, task)[1:])
    assert [backend.to_numpy(w).tobytes() for w in repeated] == [plain.to_numpy(w).tobytes() for w in expected]


def test_a_value_that_is_needed_elsewhere_ends_a_run_and_numbers_become_part_of_it(ready: Ready) -> None:
    ready("numpy")
    fused = import_module("equigrad.backends.tape.fused").fused
    formulas = import_module("equigrad.backends.numpy_fused").FORMULAS
    like, tape = ((2, 2), np.dtype("float64")), Tape(2)
    doubled = tape.note(np.multiply, [Value(1), np.full((2, 2), 2.0)], like)
    more = tape.note(np.add, [doubled, np.array(0.1)], like)
    product = tape.note(np.dot, [more, Value(0)], like, elementwise=False)
    tape.results = (tape.note(np.subtract, [product, more], like),)
    steps = fused(formulas, tape).steps
    assert [step.arguments for step in steps] == [(Value(1),), (more, Value(0)), (product, more)]
    x = np.array([[0.1, 0.2], [-3.3, 1e300]])
    assert steps[0].call(x).tobytes() == (x * 2.0 + 0.1).tobytes()
