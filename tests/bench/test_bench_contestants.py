"""Floors, idioms and peers compute what the backends compute."""

from __future__ import annotations

import gc
import json
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from equigrad.backends import load
from equigrad.backends.interface import Backend
from equigrad.bench import worker
from equigrad.bench.clock import Gate, Row, measure
from equigrad.bench.contestants import backend, floors, peers, roster
from equigrad.bench.workload import Contestant, Unsuitable, Workload
from equigrad.common.agreement import BOUNDS, assert_agreement
from equigrad.common.errors import MissingError
from equigrad.common.problem import problem

ELSEWHERE = ("Keras", "tinygrad", "scikit-learn", "torch.compile")
"""Not in the test environment, too slow for it, or not expected to agree."""


def workload_of(name: str, dtype: str = "float64", updates: int = 200) -> Workload:
    return Workload.of(problem(name).with_(updates=updates), dtype)


def field(everyone: Workload) -> list[Contestant]:
    who = roster.chosen("everyone", everyone, ["numpy", "torch", "jax"], ["native", "reproducible"])
    return [one for one in who if not one.name.startswith("C,") and not any(word in one.name for word in ELSEWHERE)]


def held(workload: Workload, ones: list[Contestant]) -> dict[str, list[str]]:
    """What a worker does with one contestant, done with several in one process, which spares most of the imports."""

    def alone(state: dict[str, Any], one: Contestant) -> str:
        n = 20 if "without jit" in one.name else workload.updates  # operation by operation, none of them recorded
        row = Row(one.name, one.group, one.arithmetic)
        worker._import(state, one)
        worker._prepare(state, workload)
        gate.check(row, one.expect, worker._run(state, (n, 1))[1], n)
        return row.outcome

    gate = Gate(workload)
    return {one.name: [*worker._guarded(alone, {"contestant": one}, one)] for one in ones}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[str]]:
    """Everybody on the two-layer network; those of JAX, which change its settings, in another process."""
    workload = workload_of("two-layer")
    others = [one for one in field(workload) if "jax" in one.needs]
    ours = [one for one in field(workload) if one not in others]
    python = [sys.executable, "-c", OTHERS.format(file=__file__)]
    done = subprocess.run(python, input=pickle.dumps((workload, others)), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return held(workload, ours) | json.loads(done.stdout)


OTHERS = """
import json, pickle, sys
from importlib.util import module_from_spec, spec_from_file_location

spec = spec_from_file_location("here", {file!r})
here = module_from_spec(spec)
spec.loader.exec_module(here)
print(json.dumps(here.held(*pickle.load(sys.stdin.buffer))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", [one.name for one in field(workload_of("two-layer"))])
def test_contestant_agrees_with_numpy(outcomes: dict[str, list[str]], name: str) -> None:
    status, said = outcomes[name]
    needs = next(one.needs for one in field(workload_of("two-layer")) if one.name == name)
    if status == "missing" and any(find_spec(module.partition(".")[0]) is None for module in needs):
        pytest.skip(said)
    assert (status, said) in [("ok", "identical"), ("ok", "agree")]


GPU = [*roster.idioms(["torch:cuda", "jax:cuda"]), *roster.products(["torch:cuda", "jax:cuda"])]


@pytest.mark.parametrize("one", [one for one in GPU if "compile" not in one.name], ids=lambda one: one.name)
def test_contestant_on_the_gpu_agrees_with_numpy(one: Contestant, ready: Callable[..., Backend]) -> None:
    ready(f"{one.needs[0]}:cuda")
    (row,) = measure(workload_of("two-layer", updates=250), [one], rounds=1).rows
    assert row.outcome in ("identical", "agree"), row.message
    assert (row.device, len(row.samples)) == ("cuda", 1)


def test_a_contestant_on_a_device_says_so() -> None:
    assert {one.device for one in GPU} == {"cuda"}
    specs = ["numpy", "torch", "torch:cuda", "jax:cuda", "mine:Class"]
    assert [one.device for one in roster.backends(specs, ["native"])] == ["cpu", "cpu", "cuda", "cuda", ""]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch, torch.compile of the loop"])
def test_compiled_torch_agrees_with_numpy(name: str) -> None:
    if floors.compiler() is None or find_spec("torch") is None:
        pytest.skip("torch.compile needs PyTorch and a C++ compiler")
    (one,) = (c for c in roster.idioms(["torch"]) if c.name == name)
    quick = {"TORCHINDUCTOR_VEC_ISA_OK": "0", "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0"}
    cached = replace(one, environment=(*quick.items(),))  # what torch compiled for the last run of this test will do
    (row,) = measure(workload_of("one-layer", updates=2), [cached], rounds=1).rows
    assert row.outcome in ("identical", "agree"), row.message


@pytest.mark.slow(but=["one-layer-libm"])
@pytest.mark.parametrize("polynomial", [True, False], ids=["vectorised exp", "libm"])
@pytest.mark.parametrize("name", ["one-layer", "two-layer"])
def test_c_floor_agrees_with_numpy_over_the_whole_run(name: str, polynomial: bool) -> None:
    if floors.compiler() is None:
        pytest.skip("no C compiler")
    given = Workload.of(problem(name), "float64")
    reference = load("numpy").train(given.weights, given.x, given.y, given.rate, given.updates)
    assert_agreement(floors.c(given, polynomial)(given.updates), reference, BOUNDS["float64", "all"].bound)


def test_c_floor_in_float32_agrees_after_few_updates() -> None:
    if floors.compiler() is None:
        pytest.skip("no C compiler")
    given = workload_of("two-layer", "float32")
    reference = load("numpy", "float32").train(given.weights, given.x, given.y, given.rate, 10)
    assert_agreement(floors.c(given, False)(10), reference, BOUNDS["float32", "few"].bound)


def test_without_a_compiler_the_floor_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "compiler", lambda: None)
    with pytest.raises(Unsuitable, match="no C compiler"):
        floors.c(workload_of("one-layer"), True)


@pytest.mark.parametrize(
    ("name", "count"), [pytest.param("one-layer", 2, id="one layer"), pytest.param("digits", 5, id="two layers")]
)
def test_the_products_alone_are_those_of_an_update(name: str, count: int) -> None:
    given = workload_of(name, updates=1)
    pairs = floors.operands(given)
    assert len(pairs) == count
    assert sum(a.shape[0] * a.shape[1] * b.shape[1] for a, b in pairs) == given.work
    products = floors.numpy_products(given)(1)
    np.testing.assert_array_equal(products[0], (given.x @ given.weights[0])[:8, :8])


def test_small_problems_have_the_c_floor_and_peers_and_large_ones_the_products() -> None:
    specs, native = ["numpy"], ["native"]
    small = {one.name for one in roster.chosen("everyone", workload_of("two-layer"), specs, native)}
    large = {one.name for one in roster.chosen("everyone", workload_of("digits"), specs, native)}
    assert {"C, libm", "numba", "numpy, preallocated"} <= small
    assert large == {"null", "numpy, products alone", "numpy"}
    headline = {one.name for one in roster.chosen("headline", workload_of("digits"), specs, native)}
    assert headline == large | {"numpy, expressions"}
    assert {one.name for one in roster.chosen("backends", workload_of("two-layer"), specs, native)} == {"numpy"}


@pytest.mark.parametrize("spec", ["numpy", "torch", "jax"])
def test_a_backend_holds_the_only_copy_of_the_data(ready: Callable[..., Backend], spec: str) -> None:
    ready(spec)
    workload = workload_of("two-layer")
    data = [weakref.ref(workload.x), weakref.ref(workload.y)]
    made = backend.train(workload, spec, "native")
    made.run(2)
    del workload
    gc.collect()
    assert [array() for array in data] == [None, None]


@pytest.mark.needs("tinygrad")
def test_without_clang_tinygrad_is_not_asked_for_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setattr("tinygrad.Device", object())  # tinygrad's own raises then, too
    workload: Any = None
    with pytest.raises(MissingError, match="clang, which is not installed"):
        peers.tinygrad(workload)
