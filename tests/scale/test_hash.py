"""One hash, on however many processes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from equigrad.backends import load
from equigrad.backends.interface import ARITHMETICS, DTYPES
from equigrad.common.agreement import BOUNDS, distance
from equigrad.common.golden import EARLY
from equigrad.common.problem import problem
from equigrad.scale.group import Group
from equigrad.scale.launch import Local
from equigrad.scale.summation import bytes_per_update
from length import at_length

from .groups import after, failing, hashed, listening, needing, running, trained

LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


SPECS = ("numpy", "torch", "jax")
SIZES = {"numpy": (2, 3, 4)} | dict.fromkeys(("torch", "jax"), at_length((2, 3), short=(3,)))
"""docs/everywhere.md has four of each."""


def on(*specs: str, sizes: tuple[int, ...] = ()) -> pytest.MarkDecorator:
    """For each group; all tests of one group come together, since it takes seconds to start."""
    groups = [
        pytest.param((spec, n), id=f"{spec} on {n} processes", marks=needing(spec))
        for spec in specs
        for n in sizes or SIZES[spec]
    ]
    return pytest.mark.parametrize("group", groups, indirect=True)


@pytest.fixture(scope="module")
def group(request: pytest.FixtureRequest) -> Iterator[tuple[str, Group]]:
    spec, size = request.param
    started = Local(spec, size)
    yield spec, started
    started.leave()


@pytest.mark.parametrize("name", EARLY)  # digits in slices, two-layer in index order
@on(*SPECS)
def test_the_hash_is_that_of_one_process(group: tuple[str, Group], name: str) -> None:
    assert early(group, name, "float64") == EARLY[name][1]["float64"]


@pytest.mark.parametrize("name", EARLY)
@on(*SPECS, sizes=(3,))
def test_the_hash_in_float32_is_that_of_one_process(group: tuple[str, Group], name: str) -> None:
    assert early(group, name, "float32") == EARLY[name][1]["float32"]


def early(group: tuple[str, Group], name: str, dtype: str) -> str:
    """The hash after the first few updates."""
    _, ranks = group
    return hashed(trained(ranks, problem(name), dtype, "reproducible", EARLY[name][0]))


@on(*SPECS, sizes=(3,))
def test_native_weights_stay_within_their_bound(group: tuple[str, Group]) -> None:
    _, ranks = group
    weights = trained(ranks, problem("digits"), "float64", "native", 20)
    assert distance(weights, alone()) <= BOUNDS["float64", "all"].bound


@cache
def alone() -> tuple[np.ndarray, ...]:
    return after(load("numpy"), problem("digits"), 20)


@on(*SPECS, sizes=(3,))
def test_ranks_listen_on_the_loopback_interface_alone(group: tuple[str, Group]) -> None:
    _, ranks = group
    assert isinstance(ranks, Local)
    assert listening([*ranks.pids.values()]) <= LOOPBACK


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("name", EARLY)
@on("numpy", "torch", sizes=(3,))  # JAX's messages are part of a compiled program, where nothing counts them
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


@pytest.mark.parametrize("name", at_length(["one-layer", "digits"], short=["one-layer"]))
@on("numpy", sizes=(2,))
def test_the_published_hash_comes_out_on_two_processes(group: tuple[str, Group], name: str) -> None:
    _, ranks = group
    task = problem(name)
    assert hashed(trained(ranks, task, "float64", "reproducible", task.updates)) == task.golden["float64"]


@on("numpy", sizes=(2,))
def test_two_layers_have_the_bits_of_one_process_after_thousands_of_updates(group: tuple[str, Group]) -> None:
    """A tenth of the published 60,000, which `equigrad compare two-layer --processes 2` trains in half a minute."""
    _, ranks = group
    task, n = problem("two-layer"), at_length(6_000, short=1_000)
    here = after(load("numpy", "float64", "reproducible"), task, n)
    assert hashed(trained(ranks, task, "float64", "reproducible", n)) == hashed(here)


@on(*SPECS, sizes=(3,))
def test_a_rank_that_is_killed_is_named(group: tuple[str, Group]) -> None:
    """The last test of these groups, which end with it."""
    _, ranks = group
    assert isinstance(ranks, Local)
    pids = [*ranks.pids.values()]
    text, seconds = failing(ranks, "SIGKILL")
    assert text.startswith("rank 1 of 3 was killed")
    assert seconds < 20, "10 seconds are promised; a loaded machine gets twice that"
    assert running(pids) == []
