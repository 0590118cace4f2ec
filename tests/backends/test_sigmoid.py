"""The reproducible sigmoid against Arb and mpmath: accuracy over the whole range, special values, any array length."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest

from equigrad.backends.interface import Backend
from equigrad.backends.numpy_arithmetic import Space
from equigrad.common.reproducible import FRACTION, LIMITS, LN2_HIGH, LN2_LOW, sigmoid
from length import at_length

PRECISION = 120
Ready = Callable[..., Backend]


def true_sigmoid(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 / (1 + exp(-x)) as a float64, which may be one ULP off, and as a second one what that leaves over, by Arb."""
    import flint

    high, low = np.empty(len(x)), np.empty(len(x))
    with flint.ctx.workprec(PRECISION):
        for i, value in enumerate(x.tolist()):
            exact = 1 / (1 + flint.arb(-value).exp())
            high[i] = float(exact)
            low[i] = float(exact - high[i])
    return high, low


def error_in_ulp(s: np.ndarray, high: np.ndarray, low: np.ndarray) -> np.ndarray:
    spacing = np.spacing(high.astype(s.dtype)).astype(np.float64)
    return np.abs((s.astype(np.float64) - high) - low) / spacing


def points(dtype: str) -> np.ndarray:
    """A million, or a quarter, drawn where they matter: around zero, over the curve, out to where it is clipped."""
    generator, n = np.random.default_rng(2015), at_length(50_000, short=12_500)
    low, high = LIMITS[dtype]
    drawn = [
        generator.uniform(-40, 40, 9 * n),
        generator.uniform(low, high, 6 * n),
        generator.normal(0, 1, 3 * n),
        generator.choice([-1, 1], 2 * n) * 10.0 ** generator.uniform(-300 if dtype == "float64" else -37, 0, 2 * n),
        np.arange(-55, 56) * np.log(2) + np.log(2) / 2,
    ]
    return np.clip(np.concatenate(drawn).astype(dtype), low, high)


@pytest.mark.slow
@pytest.mark.needs("flint")
def test_up_to_a_million_points_are_within_two_and_a_half_ulp_in_float64() -> None:
    x = points("float64")
    assert len(x) >= at_length(1_000_000, short=250_000)
    errors = error_in_ulp(sigmoid(Space, x), *true_sigmoid(x))
    assert errors.max() <= 2.5, f"{errors.max()} ULP at {x[errors.argmax()].hex()}"


@pytest.mark.slow
@pytest.mark.needs("flint")
def test_up_to_a_million_points_are_correctly_rounded_in_float32_but_for_a_few() -> None:
    x = points("float32")
    s = sigmoid(Space, x)
    high, low = true_sigmoid(x.astype(np.float64))
    assert s.dtype == np.float32
    assert error_in_ulp(s, high, low).max() <= 0.5001
    assert np.count_nonzero(s != (high + low).astype(np.float32)) <= 2


def test_the_fraction_is_the_one_that_fits_at_four_chebyshev_nodes() -> None:
    mpmath.mp.dps = 50
    largest = (mpmath.log(2) / 2) ** 2
    nodes = [largest * (1 + mpmath.cos(mpmath.pi * (2 * i + 1) / 8)) / 2 for i in range(4)]

    def misfit(*c: mpmath.mpf) -> list[mpmath.mpf]:
        roots = [mpmath.sqrt(t) for t in nodes]
        return [
            2 + t / (c[0] + t / (c[1] + t / (c[2] + t * c[3]))) - r * mpmath.coth(r / 2)
            for t, r in zip(nodes, roots, strict=True)
        ]

    start = [mpmath.mpf(v) for v in FRACTION]
    fitted = mpmath.findroot(misfit, start, tol=1e-60, maxsteps=50, verify=False)
    largest_digit = [abs(float(fit) - given) / given for fit, given in zip(fitted, FRACTION, strict=True)]
    assert max(largest_digit) < 1e-9
    worst = max(
        abs(
            2
            + t / (FRACTION[0] + t / (FRACTION[1] + t / (FRACTION[2] + t * FRACTION[3])))
            - mpmath.sqrt(t) * mpmath.coth(mpmath.sqrt(t) / 2)
        )
        for t in (largest * i / 500 for i in range(1, 501))
    )
    assert worst < mpmath.mpf(2) ** -54  # an eighth of an ULP of R, of which a fifth at most reaches the result


def test_ln_2_is_split_so_that_products_with_an_exponent_are_exact() -> None:
    mpmath.mp.dps = 50
    assert abs(mpmath.log(2) - mpmath.mpf(LN2_HIGH) - mpmath.mpf(LN2_LOW)) < 2.0**-73
    for part, bits in ((LN2_HIGH, 32), (LN2_LOW, 41)):
        numerator, _ = part.as_integer_ratio()
        assert numerator.bit_length() <= bits
    assert bits + (1010).bit_length() <= 53


SPECIAL = {
    "zero is exactly one half": (0.0, 0.5),
    "minus zero is exactly one half": (-0.0, 0.5),
    "the smallest subnormal is one half": (5e-324, 0.5),
    "far above is exactly one": (1e38, 1.0),
    "forty is exactly one": (40.0, 1.0),
    "plus infinity is one": (np.inf, 1.0),
    "nan stays nan": (np.nan, np.nan),
}


@pytest.mark.parametrize(("x", "expected"), SPECIAL.values(), ids=SPECIAL)
def test_special_value(ready: Ready, spec: str, dtype: str, x: float, expected: float) -> None:
    backend = ready(spec, dtype, "reproducible")
    (s,) = backend.to_numpy(of(backend, np.array([[x]], dtype))).ravel()
    assert np.array_equal(s, expected, equal_nan=True)


def test_far_below_is_the_clipped_value_and_no_subnormal(ready: Ready, spec: str, dtype: str) -> None:
    backend = ready(spec, dtype, "reproducible")
    low = LIMITS[dtype][0]
    values = backend.to_numpy(of(backend, np.array([[low], [2 * low], [-np.inf]], dtype))).ravel()
    assert len(set(values.tolist())) == 1
    assert np.finfo(dtype).tiny < values[0] < 1e-34


@pytest.mark.slow(but=["-17", "-1000"])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 1000])
def test_the_bits_do_not_depend_on_the_length_of_the_array(ready: Ready, spec: str, dtype: str, length: int) -> None:
    backend = ready(spec, dtype, "reproducible")
    x = np.random.default_rng(length).normal(0, 5, (length, 1)).astype(dtype)
    together = backend.to_numpy(of(backend, x))
    assert (together == sigmoid(Space, x)).all()
    assert (together == np.concatenate([sigmoid(Space, x[i : i + 1]) for i in range(length)])).all()


def of(backend: Backend, x: np.ndarray) -> object:
    """The sigmoid of a column x as the backend itself computes it: one layer with the weight 1."""
    return backend.predict((backend.from_numpy(np.ones((1, 1))),), backend.from_numpy(x))
