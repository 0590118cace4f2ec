"""One hash, on however many processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest

from equigrad.backends import load
from equigrad.backends.interface import Backend
from equigrad.common.agreement import BOUNDS, distance
from equigrad.common.problem import problem
from equigrad.scale.group import Group
from equigrad.scale.launch import Local
from equigrad.scale.summation import bytes_per_update

from .groups import after, hashed, listening, trained

PUBLISHED = {
    ("digits", "float64"): "5fa76c8bc488a8a94ca3c4938a26b25bff343064b7e90dea889b554d1c36f234",
    ("digits", "float32"): "c262c14c2d053f8f2d066c8b5f3b326bb752a7ed599812fe320864b2aaf3e9d7",
    ("two-layer", "float64"): "e879b9051cdce4560e734d9634a323c8d8f170ecb7f4112eb25ad08eed83e714",
    ("two-layer", "float32"): "131f9157d85d877b2b60a0864d92d6dbea010a30d923edd4aad4cf9923298426",
}
"""After 20 updates of digits and 200 of two-layer, on one process: docs/scale.md."""
UPDATES = {"digits": 20, "two-layer": 200}
LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


@pytest.fixture(
    scope="module",
    params=[(spec, n) for spec in ("numpy", "torch", "jax") for n in (2, 3, 4)],
    ids=lambda p: f"{p[0]} on {p[1]} processes",
)
def group(request: pytest.FixtureRequest) -> Iterator[tuple[str, Group]]:
    spec, size = request.param
    pytest.importorskip("mpi4py" if spec == "numpy" else spec)
    started = Local(spec, size)
    yield spec, started
    started.leave()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["digits", "two-layer"], ids=["digits in slices", "two-layer in index order"])
def test_the_hash_is_that_of_one_process(group: tuple[str, Group], name: str, dtype: str) -> None:
    spec, ranks = group
    weights = trained(ranks, spec, problem(name), dtype, "reproducible", UPDATES[name])
    assert hashed(weights) == PUBLISHED[name, dtype]


def test_native_weights_stay_within_their_bound(group: tuple[str, Group]) -> None:
    spec, ranks = group
    weights = trained(ranks, spec, problem("digits"), "float64", "native", 20)
    assert distance(weights, alone()) <= BOUNDS["float64", "all"].bound


@cache
def alone() -> tuple[np.ndarray, ...]:
    return after(load("numpy"), problem("digits"), 20)


def test_ranks_listen_on_the_loopback_interface_alone(group: tuple[str, Group]) -> None:
    _, ranks = group
    assert isinstance(ranks, Local)
    assert listening([*ranks.pids.values()]) <= LOOPBACK


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("arithmetic", ["native", "reproducible"])
@pytest.mark.parametrize("name", ["digits", "two-layer"])
def test_the_bytes_of_an_update_are_those_foretold(
    group: tuple[str, Group], name: str, arithmetic: str, dtype: str
) -> None:
    spec, ranks = group
    if spec == "jax":
        pytest.skip("its messages are part of a compiled program, where nothing counts them")
    task = problem(name)
    ranks.hold(task.inputs.astype(dtype), task.targets.astype(dtype))
    ranks.held = ()
    given = [dtype, arithmetic, task.first_weights(dtype), task.rate(dtype), 2]
    answers = ranks.ask("train", *([value] * ranks.size for value in given))
    each = bytes_per_update(task.samples, task.layers, np.dtype(dtype).itemsize, arithmetic)
    assert [sent for _, _, sent in answers] == [2 * each] * ranks.size


@pytest.mark.parametrize(("itemsize", "most"), [(8, 3.01), (4, 4.02)], ids=["float64", "float32"])
def test_the_reproducible_sum_sends_at_most_three_times_natives_bytes(itemsize: int, most: float) -> None:
    layers = (1024, 1024, 10)
    native, reproducible = (bytes_per_update(16384, layers, itemsize, a) for a in ("native", "reproducible"))
    assert reproducible <= most * native


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
