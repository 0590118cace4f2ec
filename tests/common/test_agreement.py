"""The comparator raises where it must, and its bounds lie between the noise and the smallest bug."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product

import numpy as np
import pytest

from equigrad.backends import load
from equigrad.backends.interface import Backend
from equigrad.common.agreement import (
    BOUNDS,
    FEW,
    Disagreement,
    assert_agreement,
    distance,
    holds_subnormal,
    told,
    unpromised,
)
from equigrad.common.problem import PROBLEMS, problem
from length import at_length

Ready = Callable[..., Backend]
W = np.array([[1.0, -2.0], [0.5, 3.0]])


def changed(value: float, dtype: str = "float64") -> np.ndarray:
    w = W.astype(dtype)
    w[0, 1] = value
    return w


BROKEN = {
    "NaN in one element": ([changed(np.nan)], "disagree", "NaN"),
    "inf in one element": ([changed(-np.inf)], "disagree", "inf"),
    "another dtype with the same values": ([W.astype("float32")], "wrong-dtype", "float32 instead of float64"),
    "another shape": ([W.T[:1]], "failed", "shape"),
    "one matrix too many": ([W, W], "failed", "2 weight matrices instead of 1"),
    "one element beyond the bound": ([changed(-2 + 1e-11)], "disagree", "1e-12 is allowed"),
    "the opposite sign in one element": ([changed(2.0)], "disagree", "ULP"),
}


@pytest.mark.parametrize(("weights", "outcome", "words"), BROKEN.values(), ids=BROKEN)
def test_the_comparator_raises_for(weights: list[np.ndarray], outcome: str, words: str) -> None:
    with pytest.raises(Disagreement, match=words) as caught:
        assert_agreement(weights, [W], 1e-12)
    assert caught.value.outcome == outcome


@pytest.mark.parametrize("both", [np.nan, np.inf])
def test_even_the_same_nan_or_inf_on_both_sides_disagrees(both: float) -> None:
    with pytest.raises(Disagreement) as caught:
        assert_agreement([changed(both)], [changed(both)], 1e-12)
    assert caught.value.outcome == "disagree"


def test_the_same_bits_are_identical_and_one_ulp_agrees_unless_bits_are_promised() -> None:
    nudged = changed(np.nextafter(-2.0, 0))
    assert assert_agreement([W.copy()], [W], 0.0) == "identical"
    assert assert_agreement([nudged], [W], 1e-12) == "agree"
    with pytest.raises(Disagreement, match="the same bits are promised"):
        assert_agreement([nudged], [W], 0.0)


def test_subnormals_are_seen_in_either_dtype_and_zero_is_none() -> None:
    assert holds_subnormal([np.array([1e-310])])
    assert holds_subnormal([np.array([1e-40], "float32")])
    assert not holds_subnormal([np.array([0.0, -0.0, 1e-307]), np.array([1e-37], "float32")])


def test_backends_of_one_outcome_are_told_together() -> None:
    assert (
        told([("torch", "disagree"), ("mine", "failed"), ("jax", "disagree")])
        == "torch and jax (disagree), mine (failed)"
    )


def test_no_bits_are_promised_for_subnormals_and_for_numbers_of_2_to_the_960_or_more() -> None:
    assert unpromised([np.array([0.0, -(2.0**960)]), np.ones(1, "float32")]).startswith("numbers of 2**960")
    assert unpromised([np.array([1e-310])]).startswith("subnormal numbers")
    assert not unpromised([np.array([9e288, 0.0]), np.array([3e38], "float32"), np.ones((0, 3))])


LAST = {FEW, *(problem(name).updates for name in PROBLEMS)}


@cache
def trained(spec: str, name: str, dtype: str, updates: int) -> tuple[np.ndarray, ...]:
    backend, task = load(spec, dtype), problem(name)
    start, n = task.first_weights(dtype), updates
    if spec == "numpy" and updates in LAST:  # one update after those that lack it
        start, n = trained(spec, name, dtype, updates - 1), 1
    x, y, *w = (backend.from_numpy(a) for a in (task.inputs, task.targets, *start))
    return tuple(map(backend.to_numpy, backend.train(tuple(w), x, y, task.rate(dtype), n)))


WITHIN = [*product(["few", "all"], PROBLEMS, ["torch", "jax"])]
LONGEST = ("all", "two-layer", "torch")
"""60,000 updates, each called from Python."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "name", "spec"), at_length(WITHIN, short=[each for each in WITHIN if each != LONGEST])
)
def test_noise_stays_a_decade_under_the_bound(ready: Ready, when: str, name: str, spec: str, dtype: str) -> None:
    ready(spec)
    updates = FEW if when == "few" else problem(name).updates
    measured = distance(trained(spec, name, dtype, updates), trained("numpy", name, dtype, updates))
    assert measured <= BOUNDS[dtype, when].bound / 10


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("when", ["few", "all"])
def test_one_missing_update_is_as_large_as_the_table_says(name: str, when: str, dtype: str) -> None:
    updates = FEW if when == "few" else problem(name).updates
    bug = distance(trained("numpy", name, dtype, updates - 1), trained("numpy", name, dtype, updates))
    assert bug >= BOUNDS[dtype, when].bug
    if (dtype, when) != ("float32", "all"):
        assert BOUNDS[dtype, when].bug > 1000 * BOUNDS[dtype, when].bound


def test_the_table_has_a_row_for_every_dtype_and_moment() -> None:
    assert set(BOUNDS) == {(dtype, when) for dtype in ("float64", "float32") for when in ("few", "all")}
    for row in BOUNDS.values():
        assert 10 * row.noise < row.bound
