"""The forms that operations are told apart by are themselves right."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from equigrad.diverge import forms

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(deadline=None)
@given(FINITE, FINITE, FINITE)
def test_fused_rounds_the_exact_value_once(a: float, b: float, c: float) -> None:
    (result,) = forms.fused(*(np.array([v]) for v in (a, b, c)))
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if math.isinf(result):
        assert abs(exact) > Fraction(np.finfo(float).max)
        return
    for neighbour in (math.nextafter(result, -math.inf), math.nextafter(result, math.inf)):
        if math.isfinite(neighbour):
            assert abs(exact - Fraction(float(result))) <= abs(exact - Fraction(neighbour))


@settings(deadline=None)
@example(0.0, 0.0, float(np.finfo(np.float32).max))
@given(*[st.floats(allow_nan=False, allow_infinity=False, width=32)] * 3)
def test_fused_in_float32_rounds_the_exact_value_once(a: float, b: float, c: float) -> None:
    rounded_once(a, b, c)


def test_fused_in_float32_is_not_rounded_to_float64_before() -> None:
    """Half between two numbers of float32, and a little more."""
    rounded_once(1 + 2**-12, 1 + 2**-12, 2**-80)


def rounded_once(*numbers: float) -> None:
    given = [np.array([v], np.float32) for v in numbers]
    with np.errstate(over="ignore", under="ignore"):
        (result,) = forms.fused(*given)
    exact = Fraction(float(given[0][0])) * Fraction(float(given[1][0])) + Fraction(float(given[2][0]))
    if np.isinf(result):
        assert abs(exact) > Fraction(float(np.finfo(np.float32).max))
        return
    for towards in (-np.inf, np.inf):
        with np.errstate(over="ignore"):  # of the largest number
            neighbour = np.nextafter(result, np.float32(towards))
        if np.isfinite(neighbour):
            assert abs(exact - Fraction(float(result))) <= abs(exact - Fraction(float(neighbour)))


def test_fused_differs_from_two_roundings_where_it_should() -> None:
    a, b, c = (np.array([v]) for v in (1 + 2**-30, 1 - 2**-30, -1.0))
    assert (a * b + c)[0] == 0
    assert forms.fused(a, b, c)[0] == -(2**-60)


@pytest.mark.parametrize("way", list(forms.DOTS))
def test_every_order_is_a_matrix_product(way: str) -> None:
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((3, 5)), generator.standard_normal((5, 2))
    np.testing.assert_allclose(forms.DOTS[way](a, b), a @ b, rtol=1e-14)
    np.testing.assert_allclose(forms.DOTS[way](a, b, 0.1), 0.1 * (a @ b), rtol=1e-14)


@pytest.mark.slow
def test_orders_tell_themselves_apart() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((15, 6)), generator.standard_normal((6, 10))
    ways = [name for name in forms.DOTS if "NumPy" not in name]
    for way in ways:
        ours = [name for name in forms.shown(forms.DOTS[way](a, b), forms.DOTS, (a, b)) if "NumPy" not in name]
        rounded_from_second = {
            "products rounded, summed in index order",
            "products rounded, summed in index order, from the second",
        }
        assert set(ours) == (rounded_from_second if way in rounded_from_second else {way})


@pytest.mark.parametrize("way", forms.DERIVATIVES)
def test_associations_of_the_derivative_tell_themselves_apart(way: str) -> None:
    generator = np.random.default_rng(0)
    g, s = generator.standard_normal((40, 40)), 1 / (1 + np.exp(-generator.standard_normal((40, 40))))
    assert forms.shown(forms.DERIVATIVES[way](g, s), forms.DERIVATIVES, (g, s)) == [way]


def test_large_sums_are_left_alone() -> None:
    a = np.ones((2, forms.FEW_TERMS + 1))
    assert forms.shown(a @ a.T, forms.DOTS, (a, a.T)) == ["NumPy's own dot"]


def test_a_float32_activation_does_not_count_as_widened() -> None:
    s = np.array([[0.3]], np.float32)
    assert forms.shown(s, forms.SIGMOIDS, (s * np.nan, s, s * np.nan)) == []
    wide = s.astype(float)
    assert forms.shown(wide, forms.SIGMOIDS, (wide * np.nan, wide, wide * np.nan)) == ["in float32, then widened"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_sigmoid_made_of_tanh_is_known(dtype: type) -> None:
    z: np.ndarray = np.random.default_rng(0).standard_normal((40, 40)).astype(dtype)
    with np.errstate(all="ignore"):
        known = (np.exp(-z), z * np.nan, z)
    assert "0.5 * (1 + tanh(z / 2))" in forms.shown(0.5 * (1 + np.tanh(z / 2)), forms.SIGMOIDS, known)
    assert forms.shown(1 / (1 + np.exp(-z)), forms.SIGMOIDS, known) == ["1 / (1 + exp(-z)) with its own exp"]
