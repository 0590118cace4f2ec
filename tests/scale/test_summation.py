"""The gradient's product over shards has the bits of one process, for shards that nobody chose."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from equigrad.backends.numpy_arithmetic import Space
from equigrad.common import reproducible
from equigrad.scale.summation import Shards, counts, ranges


class Threads(Shards):
    """Shards that are threads: each waits for the others, then takes from all what it needs."""

    def __init__(self, rank: int, samples: int, slots: list[Any], barrier: threading.Barrier) -> None:
        super().__init__(samples, len(slots))
        self.rank, self.slots, self.barrier = rank, slots, barrier

    def together(self, x: np.ndarray, combine: Callable[[list[np.ndarray]], np.ndarray]) -> np.ndarray:
        self.slots[self.rank] = x
        self.barrier.wait()
        combined = combine(list(self.slots))
        self.barrier.wait()
        return combined

    def maximum(self, x: np.ndarray) -> np.ndarray:
        return self.together(x, lambda all_: np.max(all_, axis=0))

    def total(self, x: np.ndarray) -> np.ndarray:
        return self.together(x, lambda all_: sum(all_[1:], all_[0]))

    def gathered(self, x: np.ndarray) -> np.ndarray:
        return self.together(x, np.concatenate)


def over(shards: int, method: str, a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """What each shard makes of its rows of a (samples, K), and of b, or of its rows of b (samples, M)."""
    slots: list[Any] = [None] * shards
    barrier = threading.Barrier(shards)

    def one(rank: int, rows: slice) -> np.ndarray:
        mine = Threads(rank, len(a), slots, barrier)
        with np.errstate(over="ignore"):  # each thread has a state of its own
            if method == "dot":
                return mine.dot(Space, a[rows], b)
            return mine.gradient_dot(Space, a[rows].T, b[rows])

    with ThreadPoolExecutor(shards) as pool:
        return list(pool.map(one, range(shards), ranges(len(a), shards)))


def numbers(rng: np.random.Generator, rows: int, columns: int, spread: float, dtype: str) -> np.ndarray:
    """Of many magnitudes, with zeros among them."""
    values = rng.standard_normal((rows, columns)) * 2.0 ** (spread * rng.standard_normal((rows, columns)))
    return (values * (rng.random((rows, columns)) > 0.1)).astype(dtype)


@settings(max_examples=60, deadline=None)
@example(seed=16777217, shape=(24, 5, 6), shards=3, spread=20.0, dtype="float32")
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9)),
    shards=st.integers(1, 5),
    spread=st.sampled_from([0.0, 3.0, 20.0]),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_the_gradients_product_has_the_bits_of_one_process(
    seed: int, shape: tuple[int, int, int], shards: int, spread: float, dtype: str
) -> None:
    samples, k, m = shape
    rng = np.random.default_rng(seed)
    a, b = numbers(rng, samples, k, spread, dtype), numbers(rng, samples, m, spread, dtype)
    with np.errstate(over="ignore"):  # what is beyond float32 is infinite on every shard
        whole = reproducible.dot(Space, a.T, b)
    for part in over(min(shards, samples), "gradient_dot", a, b):
        assert part.tobytes() == whole.tobytes()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "shape",
    [(16, 3, 2), (17, 3, 2), (16, 65, 64), (2000, 200, 3), (300, 1, 1)],
    ids=["at the last that is added in order", "one more", "too wide for it", "in several blocks", "a single weight"],
)
def test_the_way_follows_the_whole_problem_and_not_the_shard(shape: tuple[int, int, int], dtype: str) -> None:
    samples, k, m = shape
    rng = np.random.default_rng(1)
    a, b = numbers(rng, samples, k, 2.0, dtype), numbers(rng, samples, m, 2.0, dtype)
    whole = reproducible.dot(Space, a.T, b)
    for part in over(3, "gradient_dot", a, b):
        assert part.tobytes() == whole.tobytes()


def test_other_products_too_go_the_way_of_the_whole_problem() -> None:
    """5,000 rows are too many to be added in index order; a third of them, alone, would not be."""
    rng = np.random.default_rng(2)
    a, w = numbers(rng, 5000, 4, 2.0, "float64"), numbers(rng, 4, 1, 2.0, "float64")
    parts = np.concatenate(over(3, "dot", a, w))
    assert parts.tobytes() == reproducible.dot(Space, a, w).tobytes()
    alone = np.concatenate([reproducible.dot(Space, a[rows], w) for rows in ranges(5000, 3)])
    assert alone.tobytes() != parts.tobytes()


def test_samples_are_shared_out_evenly_and_in_order() -> None:
    assert counts(10, 4) == [3, 3, 2, 2]
    assert ranges(10, 4) == [slice(0, 3), slice(3, 6), slice(6, 8), slice(8, 10)]
    assert counts(1797, 3) == [599, 599, 599]


@pytest.mark.parametrize("samples", [17, 1797, 43_690, 65_536, 65_537, 10**6, 10**9], ids="{:,} samples".format)
@pytest.mark.parametrize(("itemsize", "bits"), [(8, 30), (4, 24)], ids=["float64", "float32"])
def test_the_largest_sums_of_slices_stay_exact(samples: int, itemsize: int, bits: int) -> None:
    """Each slice is an integer of at most 2**bits, and a part adds as many products of slices as it has orders."""
    a_bits, a_count, b_bits, b_count = reproducible.slice_widths(samples, itemsize)
    assert samples * min(a_count, b_count) * 2 ** (a_bits + b_bits) <= 2**53
    assert a_bits * a_count >= bits
    assert b_bits * b_count >= bits


@pytest.mark.parametrize(("samples", "bits"), [(43_690, 54), (10**6, 45), (10**9, 30)])
def test_the_bits_that_53_leave_are_those_in_the_docs(samples: int, bits: int) -> None:
    width, count, *_ = reproducible.slice_widths(samples, 8)
    assert width * count == bits
