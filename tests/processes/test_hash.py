"""One hash, on however many processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from equigrad.backends import load
from equigrad.backends.interface import Backend
from equigrad.common.agreement import BOUNDS, distance
from equigrad.common.golden import EARLY
from equigrad.common.problem import problem
from equigrad.scale.group import Group
from equigrad.scale.launch import Local
from equigrad.scale.summation import bytes_per_update

from .groups import after, hashed, listening, trained

LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


SPECS = ("numpy", "torch", "jax")
GROUPS = {(spec, n): (spec, n) for spec in SPECS for n in (2, 3, 4)}
"""One object for each, by which pytest knows that a group is there already."""


def on(spec: str, size: int, *rest: str, slow: bool = False) -> Any:
    """One case: a group, and what else the test is given."""
    words = " ".join([spec, "on", str(size), "processes", *rest])
    return pytest.param(GROUPS[spec, size], *rest, id=words, marks=[pytest.mark.slow] if slow else [])


@pytest.fixture(scope="module")
def group(request: pytest.FixtureRequest) -> Iterator[tuple[str, Group]]:
    spec, size = request.param
    pytest.importorskip("mpi4py" if spec == "numpy" else spec)
    started = Local(spec, size)
    yield spec, started
    started.leave()


@pytest.mark.parametrize(
    ("group", "name", "dtype"),
    [
        on(spec, n, name, dtype, slow=spec != "numpy" and (n, name, dtype) != (3, "digits", "float64"))
        for spec in SPECS
        for n in (2, 3, 4)
        for name in EARLY  # digits in slices, two-layer in index order
        for dtype in ("float64", "float32")
        if spec == "numpy" or n == 3 or (name, dtype) == ("digits", "float64")
    ],
    indirect=["group"],
)
def test_the_hash_is_that_of_one_process(group: tuple[str, Group], name: str, dtype: str) -> None:
    spec, ranks = group
    updates, published = EARLY[name]
    weights = trained(ranks, spec, problem(name), dtype, "reproducible", updates)
    assert hashed(weights) == published[dtype]


@pytest.mark.parametrize("group", [on(spec, 3, slow=spec == "jax") for spec in SPECS], indirect=True)
def test_native_weights_stay_within_their_bound(group: tuple[str, Group]) -> None:
    spec, ranks = group
    weights = trained(ranks, spec, problem("digits"), "float64", "native", 20)
    assert distance(weights, alone()) <= BOUNDS["float64", "all"].bound


@cache
def alone() -> tuple[np.ndarray, ...]:
    return after(load("numpy"), problem("digits"), 20)


@pytest.mark.parametrize("group", [on(spec, 3) for spec in SPECS], indirect=True)
def test_ranks_listen_on_the_loopback_interface_alone(group: tuple[str, Group]) -> None:
    _, ranks = group
    assert isinstance(ranks, Local)
    assert listening([*ranks.pids.values()]) <= LOOPBACK


@pytest.mark.parametrize(
    ("group", "name", "arithmetic", "dtype"),
    [
        on(spec, 3, name, arithmetic, dtype, slow=spec != "numpy")
        for spec in ("numpy", "torch")  # JAX's messages are part of a compiled program, where nothing counts them
        for name in EARLY
        for arithmetic in ("native", "reproducible")
        for dtype in ("float64", "float32")
    ],
    indirect=["group"],
)
def test_the_bytes_of_an_update_are_those_foretold(
    group: tuple[str, Group], name: str, arithmetic: str, dtype: str
) -> None:
    _, ranks = group
    task = problem(name)
    ranks.hold(task.inputs.astype(dtype), task.targets.astype(dtype))
    ranks.held = ()
    given = [dtype, arithmetic, task.first_weights(dtype), task.rate(dtype), 2]
    answers = ranks.ask("train", *([value] * ranks.size for value in given))
    each = bytes_per_update(task.samples, task.layers, np.dtype(dtype).itemsize, arithmetic)
    assert [sent for _, _, sent in answers] == [2 * each] * ranks.size


@pytest.mark.parametrize(("itemsize", "most"), [(8, 3.002), (4, 4.003)], ids=["float64", "float32"])
def test_the_exponents_add_little_to_the_three_or_four_times_natives_bytes(itemsize: int, most: float) -> None:
    layers = (1024, 1024, 10)
    native, reproducible = (bytes_per_update(16384, layers, itemsize, a) for a in ("native", "reproducible"))
    assert most - 0.001 < reproducible / native < most


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one-layer", "two-layer", "digits"])
def test_the_published_hash_comes_out_on_two_processes(name: str, ready: Callable[..., Backend]) -> None:
    pytest.importorskip("mpi4py")
    task = problem(name)
    ranks = Local("numpy", 2)
    try:
        assert hashed(trained(ranks, "numpy", task, "float64", "reproducible", task.updates)) == task.golden["float64"]
    finally:
        ranks.leave()
