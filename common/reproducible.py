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
can contract is fma(round(a * b), one, c), and that is the unfused result. In somebody's own jit, scan or
vmap an argument would be a constant and folded away; there a comparison of integers takes its place, see
`rounded` in `backends/jax_arithmetic.py`, and the bits are the same.

XLA also rewrites x / constant, (x * c1) * c2, (x + c1) + c2, (x / y) / z and x / (y / z): none of
these forms occurs below. It flushes subnormals to zero: `sigmoid` never returns one, and runs whose
data or weights hold one are refused (`common.agreement`).

What this does not withstand: XLA told to compute less strictly (XLA_FLAGS=--xla_cpu_enable_fast_math=true), a
processor told to flush subnormals (torch.set_flush_denormal), and float64 data from 2**960 on, where the powers of
two that `sliced_dot` scales by would overflow. Nor is the sign of a zero fixed: an element of a gradient may be 0.0 in
one framework and -0.0 in another.

`xp` is the framework's namespace with a few names made equal, see `backends/*_arithmetic.py`:
product, rint, clip, ldexp, reach (the largest |x| along an axis), cast, concatenate, matmul, int64, float64, and
block, how many numbers are best worked on at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

Array = Any

LIMITS = {"float64": (-700.0, 40.0), "float32": (-80.0, 40.0)}
"""Arguments of the sigmoid are clipped to this. Above, it rounds to 1; below, it nears the subnormals."""
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.908214929270822e-10
"""ln 2 as a sum of 32 and 41 bits, so that the product of either with an exponent is exact."""
FRACTION = (6.0000000000000115, 10.000000000309804, 14.000002528168245, 0.05552187750876665)
"""Lambert's 6, 10, 14, 1/18, fitted at the four Chebyshev nodes of (ln 2 / 2)**2; a test fits them again."""
INDEX_ORDER_TERMS, INDEX_ORDER_SUMS = 16, 4096
"""A product of at most 4096 sums of at most 16 terms adds in index order; a larger one goes through exact slices."""
BLOCK_ROWS = 128
"""A matrix product is made at least this many rows at a time: fewer would starve the library's own."""


def sigmoid(xp: Any, x: Array) -> Array:
    """1 / (1 + exp(-x)), element by element, in x's shape and dtype.

    x = k ln 2 + r with |r| <= ln 2 / 2, and exp(r) = (R + r) / (R - r) where R = r coth(r / 2) has
    Lambert's continued fraction 2 + t/(6 + t/(10 + t/(14 + t/18 ...))) in t = r * r (Abramowitz & Stegun
    4.5.70). With a = (R + r) 2**k the sigmoid is a / ((R - r) + a): no quotient is divided again.

    Largest error 2.5 ulp in float64. float32 is computed in float64 and rounded once, so it is
    correctly rounded in all but rare cases. The result is never subnormal: arguments are clipped to LIMITS, and
    below them it is the sigmoid of the limit, 1e-304 in float64 and 2e-35 in float32, however small the true one.
    """
    return joined(xp, [_sigmoid(xp, x[rows]) for rows in blocks(xp, x, 1)])


def _sigmoid(xp: Any, x: Array) -> Array:
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
    """The matrix product of a (N, K) and b (K, M); shapes alone decide the way, so it is the same everywhere."""
    in_order = in_index_order(a.shape[0], a.shape[1], b.shape[1])
    return index_order_dot(xp, a, b) if in_order else sliced_dot(xp, a, b)


def in_index_order(rows: int, terms: int, columns: int) -> bool:
    """Whether the product of (rows, terms) and (terms, columns) adds its terms in index order, or through slices."""
    return terms <= INDEX_ORDER_TERMS and rows * columns <= INDEX_ORDER_SUMS


def index_order_dot(xp: Any, a: Array, b: Array) -> Array:
    """Rounded products, added in the order k = 0, 1, 2, ..."""
    terms = xp.product(a.T[:, :, None], b[:, None, :])
    total = terms[0]
    for k in range(1, a.shape[1]):
        total = total + terms[k]
    return total


def sliced_dot(xp: Any, a: Array, b: Array) -> Array:
    """The matrix product through slices that the library's own matrix product multiplies exactly.

    Each row of a and each column of b is scaled by a power of two into (-1, 1) and cut into slices of a few
    bits, held as integers in float64. The products of slices and all their partial sums are integers of at
    most 53 bits, so they are exact: order, FMA, threads, library and device no longer matter. (The Ozaki
    scheme: Ozaki, Ogita, Oishi, Rump, Numerical Algorithms 59, 2012.) Products of slices i and j with the
    same i + j weigh the same and are added before they are scaled; those with i + j >= len(b's slices) are
    dropped: they are below 2**-52 of the row's largest element times the column's in float64 for up to 43,690 terms,
    2**-24 in float32 for up to 65,536. More terms leave fewer bits for each slice, see `slice_widths`: 3 * 15 of a
    million terms, 3 * 10 of a billion, for float32 as for float64.
    """
    a_bits, a_count, b_bits, b_count = slice_widths(a.shape[1], a.itemsize)
    b_wide = xp.cast(b, xp.float64)
    b_exponent = exponent(xp, xp.reach(b_wide, 0))
    b_slices = slices(xp, b_wide, b_exponent, b_bits, b_count)
    b_scale = power(xp, b_exponent - b_bits)

    def rows_dot(rows: Array) -> Array:
        a_exponent = exponent(xp, xp.reach(rows, 1))
        parts = exact_parts(xp, slices(xp, rows, a_exponent, a_bits, a_count), b_slices)
        return xp.cast(combined(parts, b_bits) * power(xp, a_exponent - a_bits) * b_scale, a.dtype)

    return joined(xp, [rows_dot(xp.cast(a[rows], xp.float64)) for rows in blocks(xp, a, BLOCK_ROWS)])


def exact_parts(xp: Any, a_slices: list[Array], b_slices: list[Array]) -> Iterator[Array]:
    """The products of slices i and j, added for each i + j, the lightest first: integers that float64 holds exactly."""
    for order in reversed(range(len(b_slices))):
        part = None
        for i, a_slice in enumerate(a_slices[: order + 1]):
            product = xp.matmul(a_slice, b_slices[order - i])
            part = product if part is None else part + product
        yield part


def combined(parts: Iterable[Array], bits: int) -> Array:
    """The exact parts of a matrix product, the lightest first, as one number each; still to be scaled."""
    total = None
    for part in parts:
        total = part if total is None else total * 2.0**-bits + part
    return total


def slice_widths(terms: int, itemsize: int) -> tuple[int, int, int, int]:
    """Bits and number of slices of a, and of b, such that `terms` products of a few slices add up exactly."""
    if itemsize == 4 and terms <= 2**16:
        return 25, 1, 53 - (terms - 1).bit_length() - 25, 2
    bits = (53 - (3 * terms - 1).bit_length()) // 2
    return bits, 3, bits, 3


def blocks(xp: Any, x: Array, least: int) -> list[slice]:
    """x (N, ...) as ranges of rows, at least `least` of them and about `xp.block(x)` numbers at a time."""
    most = xp.block(x)
    step = max(least, most // math.prod(x.shape[1:])) if math.prod(x.shape) > most else x.shape[0]
    return [slice(i, i + step) for i in range(0, x.shape[0], step)]


def joined(xp: Any, parts: list[Array]) -> Array:
    return xp.concatenate(parts, 0) if len(parts) > 1 else parts[0]


def slices(xp: Any, a: Array, exponent: Array, bits: int, count: int) -> list[Array]:
    """a = sum(slices[i] * 2**(-bits * (i + 1))) * 2**exponent and a rest; float64, one exponent per row or column."""
    rest = a * power(xp, bits - exponent)
    cut = [xp.rint(rest)]
    for _ in range(count - 1):
        rest = (rest - cut[-1]) * 2.0**bits
        cut.append(xp.rint(rest))
    return cut


def exponent(xp: Any, largest: Array) -> Array:
    """The least e with largest < 2**e, kept to where every power of two that is made of it is normal. Integers."""
    return ((largest.view(xp.int64) >> 52) - 1022).clip(-960, 960)


def power(xp: Any, exponent: Array) -> Array:
    """2**exponent in float64, exactly, made from the bits of its integers."""
    return ((exponent + 1023) << 52).view(xp.float64)
