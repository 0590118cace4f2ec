"""An arithmetic under which NumPy, PyTorch and JAX give the same bits, on every device.

Why the frameworks differ at all: IEEE 754 fixes the result of one + - * / to the last bit, but not
that of exp, not the order in which a sum is taken, and not whether a compiler may contract a*b + c
into one fused multiply-add (FMA), which rounds once instead of twice. So sigmoid and matrix product
are built here from + - * / alone, in a stated order, once for all three frameworks.

The hazard that is left is the FMA, and the rule against it is one line:

    a product that is added to something is `xp.product(a, b)`, rounded before anything else sees it,

unless it is exact (by a power of two, or of small integers): then an FMA has nothing to change.
NumPy and eager PyTorch run one operation at a time, so their `product` is a * b. XLA contracts
a*b + c on CPU and GPU and drops `optimization_barrier` on the way (openxla/xla,
cpu_compiler.cc and algebraic_simplifier.cc), so JAX's `product` is (a * b) * one, where `one` is an
argument of the compiled program that happens to hold 1.0. The compiler cannot know that: the most it
can contract is fma(round(a * b), one, c), and that is the unfused result.

XLA also rewrites x / constant, (x * c1) * c2, (x + c1) + c2, (x / y) / z and x / (y / z): none of
these forms occurs below. It flushes subnormals to zero: `sigmoid` never returns one, and runs whose
data or weights hold one are refused (`common.agreement`).

`xp` is the framework's namespace with a few names made equal, see `backends/*_arithmetic.py`:
product, rint, clip, ldexp, amax, cast, matmul, int64, float64.
"""

from __future__ import annotations

from typing import Any

Array = Any

LIMITS = {"float64": (-700.0, 40.0), "float32": (-80.0, 40.0)}
"""Arguments of the sigmoid are clipped to this. Above, it rounds to 1; below, it nears the subnormals."""
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.908214929270822e-10
"""ln 2 as a sum of 32 and 41 bits, so that the product of either with an exponent is exact."""
FRACTION = (6.0000000000000115, 10.000000000309804, 14.000002528168245, 0.05552187750876665)
"""Lambert's 6, 10, 14, 1/18, fitted at the four Chebyshev nodes of (ln 2 / 2)**2; a test fits them again."""
INDEX_ORDER_TERMS = 16
"""Sums of at most this many terms are taken in index order, longer ones through exact slices."""


def sigmoid(xp: Any, x: Array) -> Array:
    """1 / (1 + exp(-x)), element by element, in x's shape and dtype.

    x = k ln 2 + r with |r| <= ln 2 / 2, and exp(r) = (R + r) / (R - r) where R = r coth(r / 2) has
    Lambert's continued fraction 2 + t/(6 + t/(10 + t/(14 + t/18 ...))) in t = r * r (Abramowitz & Stegun
    4.5.70). With a = (R + r) 2**k the sigmoid is a / ((R - r) + a): no quotient is divided again.

    Largest error 2.5 ulp in float64. float32 is computed in float64 and rounded once, so it is
    correctly rounded in all but rare cases. The result is never subnormal: arguments are clipped to LIMITS.
    """
    low, high = LIMITS["float32" if x.itemsize == 4 else "float64"]
    z = xp.clip(xp.cast(x, xp.float64), low, high)
    k = xp.rint(z * 1.4426950408889634)
    r = (z - k * LN2_HIGH) - k * LN2_LOW
    t = r * r
    c6, c10, c14, c18 = FRACTION
    big_r = 2.0 + t / (c6 + t / (c10 + t / (c14 + xp.product(t, c18))))
    a = xp.ldexp(big_r + r, k)
    return xp.cast(a / ((big_r - r) + a), x.dtype)


def dot(xp: Any, a: Array, b: Array) -> Array:
    """The matrix product of a (N, K) and b (K, M); the way depends on K alone, so it is the same everywhere."""
    return index_order_dot(xp, a, b) if a.shape[1] <= INDEX_ORDER_TERMS else sliced_dot(xp, a, b)


def index_order_dot(xp: Any, a: Array, b: Array) -> Array:
    """Rounded products, added in the order k = 0, 1, 2, ..."""
    terms = xp.product(a.T[:, :, None], b[:, None, :])
    total = terms[0]
    for k in range(1, a.shape[1]):
        total = total + terms[k]
    return total


def sliced_dot(xp: Any, a: Array, b: Array) -> Array:
    """The matrix product through slices that the library's own matrix product multiplies exactly.

    Each row of a and column of b is scaled by a power of two into (-1, 1) and cut into slices of a few
    bits, as integers in float64. The slices' products and all their partial sums are integers up to
    2**53, so they are exact: order, FMA, threads, library and device no longer matter. (The Ozaki
    scheme: Ozaki, Ogita, Oishi, Rump, Numerical Algorithms 59, 2012.) What is dropped is below 2**-52
    of the largest element of the row times that of the column in float64, 2**-25 in float32.
    """
    a_bits, b_bits, orders = _slice_widths(a.shape[1], a.itemsize)
    a_slices, a_exponent = _slices(xp, a, 1, a_bits)
    b_slices, b_exponent = _slices(xp, b, 0, b_bits)
    total = None
    for order in reversed(range(orders)):
        for i, j in _pairs(order, len(a_bits), len(b_bits)):
            part = xp.matmul(a_slices[i], b_slices[j]) * 2.0 ** -(sum(a_bits[: i + 1]) + sum(b_bits[: j + 1]))
            total = part if total is None else total + part
    return xp.cast(total * power(xp, a_exponent) * power(xp, b_exponent), a.dtype)


def _slice_widths(terms: int, itemsize: int) -> tuple[list[int], list[int], int]:
    """The bits of each slice of a and of b, and how many orders of their products count."""
    room = 53 - (terms - 1).bit_length()
    if itemsize == 4:
        return [25], [(room - 25)] * 2, 2
    return [room // 2] * 3, [room // 2] * 3, 3


def _pairs(order: int, a_count: int, b_count: int) -> list[tuple[int, int]]:
    return [(i, order - i) for i in range(a_count) if 0 <= order - i < b_count]


def _slices(xp: Any, a: Array, axis: int, widths: list[int]) -> tuple[list[Array], Array]:
    """a = sum(slices[i] * 2**-sum(widths[:i+1])) * 2**exponent, the exponent one per row or column."""
    rest = xp.cast(a, xp.float64)
    exponent = _exponent(xp, xp.amax(abs(rest), axis))
    rest = rest * power(xp, -exponent)
    slices = []
    for width in widths:
        rest = rest * 2.0**width
        slices.append(xp.rint(rest))
        rest = rest - slices[-1]
    return slices, exponent


def _exponent(xp: Any, largest: Array) -> Array:
    """The least e with largest < 2**e, kept to where 2**e and 2**-e are normal. Integers."""
    return ((largest.view(xp.int64) >> 52) - 1022).clip(-960, 1022)


def power(xp: Any, exponent: Array) -> Array:
    """2**exponent in float64, exactly, made from the bits of its integers."""
    return ((exponent + 1023) << 52).view(xp.float64)
