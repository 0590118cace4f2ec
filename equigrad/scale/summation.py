"""The one operation that adds over processes: the gradient's product, which contracts over samples.

Each process holds some rows of the data, all weights, and so those rows of every activation, error and delta. Only
activation.T @ delta needs the others' rows. Under the reproducible arithmetic its bits must not tell how the rows
were shared out, so nothing is rounded before all of it is there: the largest exponent of each column (MAX) gives
the scale, the products of slices are integers that float64 adds exactly, in whatever order the engine likes (SUM),
and every process combines them as one process would. Few samples, whose terms are added in index order, are
gathered in that order instead. Which way, and how wide the slices are, follows the shape of the whole problem.

`Shards` is what an engine provides, three collective operations: see numpy_engine, torch_engine and jax_engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import accumulate, pairwise
from typing import Any

from ..common import reproducible

Array = Any


def counts(samples: int, shards: int) -> list[int]:
    """How many of the samples each shard holds, as even as can be, the larger ones first."""
    return [samples // shards + (i < samples % shards) for i in range(shards)]


def ranges(samples: int, shards: int) -> list[slice]:
    """Which of the samples each shard holds: consecutive rows, in the order of the shards."""
    return [slice(*pair) for pair in pairwise(accumulate(counts(samples, shards), initial=0))]


class Shards(ABC):
    """The samples as they are shared out, seen by one of those who hold them."""

    entered = 0
    """How often this process has gone into a collective operation, so that others can tell whether it hangs."""

    def __init__(self, samples: int, shards: int) -> None:
        self.samples, self.counts = samples, counts(samples, shards)
        self.sent = 0
        """Bytes handed to the engine so far."""

    def entering(self, nbytes: int = 0) -> None:
        Shards.entered += 1
        self.sent += nbytes

    @abstractmethod
    def maximum(self, x: Array) -> Array:
        """The largest of each element of x over all shards."""

    @abstractmethod
    def total(self, x: Array) -> Array:
        """The sum of each element of x over all shards, in any order. It may be written into x."""

    @abstractmethod
    def gathered(self, x: Array) -> Array:
        """x (n, columns) of all shards, one below the other: (samples, columns)."""

    def own(self, xp: Any, x: Array) -> Array:
        """x (n, columns) with zeros in rows that only fill the shard up, where an engine wants all alike."""
        return x

    def dot(self, xp: Any, a: Array, b: Array) -> Array:
        """The matrix product of a (n, K), this shard's rows, and b (K, M): the whole problem's, these rows of it."""
        in_order = reproducible.in_index_order(self.samples, a.shape[1], b.shape[1])
        return (reproducible.index_order_dot if in_order else reproducible.sliced_dot)(xp, a, b)

    def gradient_dot(self, xp: Any, a: Array, b: Array) -> Array:
        """The matrix product (K, M) of a (K, samples) and b (samples, M), of which a shard holds n columns and rows."""
        if reproducible.in_index_order(a.shape[0], self.samples, b.shape[1]):
            whole = self.gathered(xp.concatenate([a.T, b], 1))  # both at once: each call waits for all others
            return reproducible.index_order_dot(xp, whole[:, : a.shape[0]].T, whole[:, a.shape[0] :])
        a_bits, a_count, b_bits, b_count = reproducible.slice_widths(self.samples, a.itemsize)
        a_wide, b_wide = xp.cast(self.own(xp, a.T).T, xp.float64), xp.cast(self.own(xp, b), xp.float64)
        reach = xp.concatenate([xp.reach(a_wide, 1), xp.reach(b_wide, 0).T], 0)
        exponent = xp.cast(self.maximum(xp.cast(reproducible.exponent(xp, reach), xp.int32)), xp.int64)
        a_exponent, b_exponent = exponent[: a.shape[0]], exponent[a.shape[0] :].T
        b_slices = reproducible.slices(xp, b_wide, b_exponent, b_bits, b_count)
        blocks = reproducible.blocks(xp, a, reproducible.BLOCK_ROWS)
        parts = [
            part
            for rows in blocks
            for part in reproducible.exact_parts(
                xp, reproducible.slices(xp, a_wide[rows], a_exponent[rows], a_bits, a_count), b_slices
            )
        ]
        summed = self.total(reproducible.joined(xp, parts))
        products, at = [], 0
        for rows in blocks:
            scale = reproducible.power(xp, a_exponent[rows] - a_bits)
            tops = range(at, at := at + b_count * scale.shape[0], scale.shape[0])
            total = reproducible.combined((summed[top : top + scale.shape[0]] for top in tops), b_bits)
            products.append(xp.cast(total * scale * reproducible.power(xp, b_exponent - b_bits), a.dtype))
        return reproducible.joined(xp, products)


def bytes_per_update(samples: int, layers: tuple[int, ...], itemsize: int, arithmetic: str) -> int:
    """How many bytes each process hands to the engine for one update, whatever the engine makes of them."""
    total = 0
    for fan_in, fan_out in pairwise(layers):
        if arithmetic == "native":
            total += fan_in * fan_out * itemsize
        elif reproducible.in_index_order(fan_in, samples, fan_out):
            total += samples * (fan_in + fan_out) * itemsize  # gathered, by all of them together
        else:
            total += (fan_in + fan_out) * 4 + reproducible.slice_widths(samples, itemsize)[3] * fan_in * fan_out * 8
    return total
