"""ULP distances are right everywhere, and no distance is ever signed or averaged."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.common.ulp import FAR, max_difference, max_ulp, sha256, ulp_distance

FLOATS = ("float64", "float32")
WIDTHS = st.sampled_from((64, 32))
BITS: dict[int, tuple[Any, Any]] = {64: (np.uint64, np.float64), 32: (np.uint32, np.float32)}


@st.composite
def numbers(draw: st.DrawFn, count: int = 2, nan: bool = True) -> tuple[np.ndarray, ...]:
    """`count` one-element arrays of one dtype: any bits at all, or close to zero, to one or to inf."""
    width = draw(WIDTHS)
    unsigned, floating = BITS[width]
    landmarks = st.sampled_from([floating(v).view(unsigned) for v in (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf)])
    near = st.builds(lambda mark, off: (int(mark) + off) % 2**width, landmarks, st.integers(-40, 40))
    patterns = st.one_of(st.integers(0, 2**width - 1), near)
    drawn = tuple(np.array([draw(patterns)], unsigned).view(floating) for _ in range(count))
    if not nan:
        drawn = tuple(np.where(np.isnan(v), floating(1), v) for v in drawn)
    return drawn


def distance(a: np.ndarray, b: np.ndarray) -> int:
    return int(ulp_distance(a, b)[0])


@settings(deadline=None)
@given(numbers())
def test_is_symmetric_and_zero_only_between_equals(pair: tuple[np.ndarray, ...]) -> None:
    a, b = pair
    assert distance(a, b) == distance(b, a)
    assert (distance(a, b) == 0) == np.array_equal(a, b, equal_nan=True)


@settings(deadline=None)
@given(numbers(3))
def test_obeys_the_triangle_inequality(three: tuple[np.ndarray, ...]) -> None:
    a, b, c = three
    assert distance(a, c) <= distance(a, b) + distance(b, c)


@settings(deadline=None)
@given(numbers(3, nan=False))
def test_adds_up_along_the_number_line(three: tuple[np.ndarray, ...]) -> None:
    a, b, c = sorted(three, key=lambda v: v[0])
    assert distance(a, c) == distance(a, b) + distance(b, c)


@settings(deadline=None)
@given(numbers(1, nan=False), st.integers(0, 60))
def test_counts_the_steps_of_nextafter(one: tuple[np.ndarray, ...], steps: int) -> None:
    (a,) = one
    b, taken = a, 0
    for _ in range(steps):
        with np.errstate(over="ignore"):  # the step from the largest number to inf
            after = np.nextafter(b, np.inf, dtype=b.dtype)
        taken += bool(after != b)
        b = after
    assert distance(a, b) == taken


@settings(deadline=None)
@given(numbers(2, nan=False))
def test_mirrors_in_zero(pair: tuple[np.ndarray, ...]) -> None:
    a, b = pair
    assert distance(-a, -b) == distance(a, b)
    assert distance(a, -a) == 2 * distance(a, np.zeros_like(a))


@settings(deadline=None)
@given(numbers(2))
def test_nan_is_far_from_every_number_and_at_no_distance_from_nan(pair: tuple[np.ndarray, ...]) -> None:
    a, b = pair
    nan = np.full_like(a, np.nan)
    assert distance(nan, a) == (0 if np.isnan(a[0]) else FAR)
    assert distance(nan, -nan) == 0
    if not np.isnan([a, b]).any():
        assert distance(a, b) < FAR


@pytest.mark.parametrize("dtype", FLOATS)
def test_landmarks(dtype: str) -> None:
    info = np.finfo(dtype)
    steps = {
        "+0 and -0": (0.0, -0.0, 0),
        "the smallest subnormals across zero": (info.smallest_subnormal, -info.smallest_subnormal, 2),
        "the largest subnormal and the smallest normal": (info.tiny - info.smallest_subnormal, info.tiny, 1),
        "the largest number and inf": (info.max, np.inf, 1),
        "one and the next": (1.0, 1 + info.eps, 1),
        "one and the one before": (1.0, 1 - info.epsneg, 1),
        "-inf and inf": (-np.inf, np.inf, 2 * (0x7FF << 52 if dtype == "float64" else 0xFF << 23)),
    }
    for name, (a, b, expected) in steps.items():
        assert distance(np.array([a], dtype), np.array([b], dtype)) == expected, name


@pytest.mark.parametrize(
    ("a", "b"),
    [("float64", "float32"), ("float32", "float64"), ("int64", "int64"), ("float16", "float16")],
    ids="-and-".join,
)
def test_refuses_what_has_no_distance(a: str, b: str) -> None:
    with pytest.raises(TypeError, match=f"{a} and {b}"):
        ulp_distance(np.zeros(1, a), np.zeros(1, b))


def test_differences_of_opposite_sign_do_not_cancel_and_many_equals_do_not_dilute() -> None:
    a = np.zeros(1000)
    b = a.copy()
    b[3], b[7] = 1.0, -2.0
    assert max_difference([a, a], [a, b]) == max_difference([b], [a]) == 2.0
    assert max_ulp([a, a], [a, b]) == distance(np.array([0.0]), np.array([2.0]))


@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=str)
def test_nan_and_inf_never_pass_for_a_small_difference(bad: float) -> None:
    a, b = np.array([0.0, bad, 1.0]), np.array([0.0, 2.0, 5.0])
    assert not max_difference([a], [b]) < 1e300
    assert not max_difference([b, a], [b, b]) < 1e300


def test_inf_on_both_sides_is_no_finite_difference() -> None:
    inf = np.array([np.inf])
    assert not np.isfinite(max_difference([inf], [inf]))
    assert max_ulp([inf], [inf]) == 0


def test_sequences_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        max_ulp([np.zeros(1), np.zeros(1)], [np.zeros(1)])
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        max_difference([np.zeros(1), np.zeros(1)], [np.zeros(1)])


def test_nothing_is_no_distance() -> None:
    assert max_ulp([], []) == 0
    assert max_difference([], []) == 0.0
    assert max_ulp([np.zeros((0, 3))], [np.zeros((0, 3))]) == 0


def test_sha256_is_that_of_the_little_endian_bytes_in_c_order() -> None:
    a = np.arange(6.0).reshape(2, 3)
    expected = hashlib.sha256(np.arange(6, dtype="<f8").tobytes()).hexdigest()
    assert sha256([a]) == sha256([a[:1], a[1:]]) == sha256([np.asfortranarray(a)]) == sha256([a.astype(">f8")])
    assert sha256([a]) == expected
    assert sha256([a.T]) != expected
