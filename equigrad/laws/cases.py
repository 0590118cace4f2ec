"""Weights and data that the laws are tried on: a handful chosen to tell mistakes apart, and random ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..common.problem import one_layer, two_layer
from .laws import Case

SHAPES = (
    (4, (3, 1)),
    (4, (3, 4, 1)),
    (1, (1, 1)),
    (2, (2, 2, 2)),
    (5, (4, 4, 4, 4)),
    (20, (33, 3)),
    (30, (8, 20, 2)),
    (70, (2, 5, 1)),
)
"""(samples, layers) of the random problems. Few, because JAX compiles once for each."""


def chosen(dtype: str) -> tuple[Case, ...]:
    """The conformance kit's cases: every mistake in `mutants` shows in at least one of them.

    Trask's two; square weights, where a transpose or a swap keeps the shape; sums longer than the 16 terms that
    reproducible arithmetic adds in index order; one sample; saturated units.
    """
    return (
        Case.of(one_layer(), dtype),
        Case.of(two_layer(), dtype),
        drawn("square", 1, 5, (4, 4, 4, 4), dtype),
        drawn("long sums", 2, 17, (17, 3, 2), dtype),
        drawn("one sample", 3, 1, (3, 2, 2), dtype),
        drawn("saturated", 4, 4, (3, 4, 1), dtype, weight_scale=8.0),
    )


def drawn(
    name: str,
    seed: int,
    samples: int,
    layers: tuple[int, ...],
    dtype: str,
    *,
    weight_scale: float = 1.0,
    input_scale: float = 1.0,
    lr: float = 0.5,
) -> Case:
    """Normal weights and inputs of these scales, targets uniform in [0, 1)."""
    generator = np.random.RandomState(seed)
    return Case(
        name,
        tuple((weight_scale * generator.standard_normal(shape)).astype(dtype) for shape in pairwise(layers)),
        (input_scale * generator.standard_normal((samples, layers[0]))).astype(dtype),
        generator.random_sample((samples, layers[-1])).astype(dtype),
        float(np.dtype(dtype).type(lr)),
    )


def random(seed: int, dtype: str) -> Case:
    """Problem number `seed`: its shape goes round SHAPES; scales are drawn from 0.01 to 10, rates from 0.001 to 1."""
    samples, layers = SHAPES[seed % len(SHAPES)]
    weights, inputs, rate = 10 ** np.random.RandomState(seed + 10**6).uniform([-2, -2, -3], [1, 1, 0])
    return drawn(f"random {seed}", seed, samples, layers, dtype, weight_scale=weights, input_scale=inputs, lr=rate)
