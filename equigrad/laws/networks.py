"""The networks that the laws are tried on: each is a recipe of a few words and numbers, one for each dimension.

A mistake hides where nobody looks, so the dimensions are those along which people's mistakes have hidden: the
numbers of samples, layers and units, the sizes and signs of weights, inputs and targets, the learning rate, the
number of updates. `FIXED` goes along them one at a time, `recipes` draws them all together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from ..common.errors import needed
from ..common.problem import problem
from ..common.words import counted, exact
from .laws import STEPS, Network

Draw = Callable[[np.random.RandomState, tuple[int, ...]], np.ndarray]


def _repeated(generator: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
    return generator.standard_normal((1, *shape[1:])).repeat(shape[0], 0)


def _dead(generator: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
    array = generator.standard_normal(shape)
    array[shape[0] // 2], array[:, -1] = 0, 0
    return array


def _uneven(generator: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
    return generator.standard_normal(shape) * 10.0 ** generator.uniform(-4, 2, shape)


def _one_saturated(generator: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
    array = generator.standard_normal(shape)
    array[0] *= 400
    return array


def _scaled(generator: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
    array = np.clip(generator.uniform(-0.5, 1.5, shape), 0, 1)
    array.flat[0], array.flat[-1] = 0, 1
    return array


def _one_hot(generator: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
    return np.eye(shape[1])[generator.randint(0, shape[1], shape[0])]


def _shares(generator: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
    array = generator.uniform(0.1, 1, shape)
    return np.asarray(array / array.sum(1, keepdims=True))


PLAIN = "normal"
WEIGHTS: dict[str, Draw] = {
    PLAIN: lambda g, s: g.standard_normal(s),
    "uniform from -1 to 1": lambda g, s: g.uniform(-1, 1, s),
    "all positive": lambda g, s: g.uniform(0.1, 1, s),
    "all negative": lambda g, s: -g.uniform(0.1, 1, s),
    "all zero": lambda g, s: np.zeros(s),
    "all the same": lambda g, s: np.full(s, 0.5),
    "a row and a column of zeros": _dead,
    "normal / 1,000": lambda g, s: g.standard_normal(s) / 1000,
    "normal / 1e8": lambda g, s: g.standard_normal(s) / 1e8,
    "normal times 8": lambda g, s: g.standard_normal(s) * 8,
    "normal times 30": lambda g, s: g.standard_normal(s) * 30,
    "normal times 1,000": lambda g, s: g.standard_normal(s) * 1000,
    "very uneven": _uneven,
}
INPUTS: dict[str, Draw] = {
    PLAIN: lambda g, s: g.standard_normal(s),
    "uniform from 0 to 1": lambda g, s: g.random_sample(s),
    "zeros and ones": lambda g, s: g.randint(0, 2, s).astype(float),
    "scaled to reach from 0 to 1": _scaled,
    "whole numbers": lambda g, s: g.randint(-9, 10, s).astype(float),
    "whole numbers from 0 to 255": lambda g, s: g.randint(0, 256, s).astype(float),
    "whole numbers up to 100,000": lambda g, s: g.randint(-100_000, 100_001, s).astype(float),
    "all negative": lambda g, s: -g.uniform(0.1, 3, s),
    "all zero": lambda g, s: np.zeros(s),
    "all ones": lambda g, s: np.ones(s),
    "every row the same": _repeated,
    "every row the same but for 1e-7": lambda g, s: _repeated(g, s) + 1e-7 * g.standard_normal(s),
    "a row and a column of zeros": _dead,
    "normal / 1e6": lambda g, s: g.standard_normal(s) / 1e6,
    "normal times 10": lambda g, s: g.standard_normal(s) * 10,
    "normal times 1,000": lambda g, s: g.standard_normal(s) * 1000,
    "normal times 1e6": lambda g, s: g.standard_normal(s) * 1e6,
    "the first row 400 times larger": _one_saturated,
    "very uneven": _uneven,
}
TARGETS: dict[str, Draw] = {
    "uniform from 0 to 1": lambda g, s: g.random_sample(s),
    "zeros and ones": lambda g, s: g.randint(0, 2, s).astype(float),
    "one 1 in each row": _one_hot,
    "shares that add up to 1 in each row": _shares,
    "all zero": lambda g, s: np.zeros(s),
    "all ones": lambda g, s: np.ones(s),
    "all one half": lambda g, s: np.full(s, 0.5),
    "uniform from -1 to 2": lambda g, s: g.uniform(-1, 2, s),
    "all negative": lambda g, s: -g.uniform(0.1, 3, s),
    "normal times 100": lambda g, s: g.standard_normal(s) * 100,
    "normal times 1e5": lambda g, s: g.standard_normal(s) * 1e5,
    "normal times 1e9": lambda g, s: g.standard_normal(s) * 1e9,
    "every row the same": _repeated,
    "a row and a column of zeros": _dead,
}
NEAR = {f"the prediction but for {size:g}": size for size in (1e-2, 1e-4, 1e-6, 1e-8, 1e-10)}
"""Targets that the network all but has, where gradients are small and an early stop would stop."""
RATES = (1.0, 0.5, 0.1, 0.3, 0.7, 2.7, 0.01, 0.0123456789, 1e-3, 1e-6, 1e-9, 10.0, 77.0, 1000.0)


@dataclass(frozen=True)
class Recipe:
    """One network in words: its numbers follow from `seed`."""

    layers: tuple[int, ...] = (1, 1)
    """Sizes, input first."""
    samples: int = 1
    weights: str = PLAIN
    inputs: str = PLAIN
    targets: str = next(iter(TARGETS))
    lr: float = 0.5
    updates: int = STEPS
    """How many updates the law about long training takes."""
    seed: int = 0
    problem: str = ""
    """A built-in problem at its first weights; then nothing else counts."""

    @property
    def depth(self) -> int:
        """How many layers have weights."""
        return len(self.layers) - 1

    def __str__(self) -> str:
        """What is not the default, in words."""
        if self.problem:
            return self.problem
        plain = Recipe()
        words = [f"layers {'-'.join(map(str, self.layers))}", counted(self.samples, "sample")]
        words += [f"{name} {v}" for name in ("weights", "inputs", "targets") if (v := getattr(self, name)) != PLAIN
                  and v != plain.targets]  # fmt: skip
        words += [f"learning rate {exact(self.lr)}"] * (self.lr != plain.lr)
        words += [counted(self.updates, "update")] * (self.updates != plain.updates)
        return ", ".join(words)

    def network(self, dtype: str) -> Network:
        """The network, its numbers rounded to `dtype`."""
        return _network(self, dtype)

    def _made(self, dtype: str) -> Network:
        if self.problem:
            return Network.of(problem(self.problem), dtype)
        generator = np.random.RandomState(self.seed)
        weights = [WEIGHTS[self.weights](generator, shape) for shape in pairwise(self.layers)]
        x = INPUTS[self.inputs](generator, (self.samples, self.layers[0]))
        shape = (self.samples, self.layers[-1])
        if self.targets in NEAR:
            y = _prediction(weights, x) + NEAR[self.targets] * generator.standard_normal(shape)
        else:
            y = TARGETS[self.targets](generator, shape)
        rate = float(np.dtype(dtype).type(self.lr))
        rounded = tuple(w.astype(dtype) for w in weights)
        return Network(str(self), rounded, x.astype(dtype), y.astype(dtype), rate, self.updates)


@lru_cache(maxsize=8)
def _network(recipe: Recipe, dtype: str) -> Network:
    """Kept for a while: what is owed is the same in each arithmetic and for each backend."""
    return recipe._made(dtype)


def _prediction(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        for w in weights:
            x = 1 / (1 + np.exp(-(x @ w)))
    return x


def _fixed() -> tuple[Recipe, ...]:
    """Along each dimension alone, its extremes first; one of each dimension in turn."""
    small, square = (3, 4, 1), (4, 4, 4, 4)

    def both(**given: Any) -> list[Recipe]:
        """On shapes that all differ, and on shapes that are all the same, where a transpose goes unseen."""
        return [Recipe(small, 4, **given), Recipe((3, 3, 3), 3, **given)]

    def all_three(**given: Any) -> list[Recipe]:
        """And on more samples, for what the data look like is often asked of many only."""
        return [*both(**given), Recipe((5, 3, 1), 12, **given)]

    turns = zip_longest(list(NEAR)[::-1], reversed(TARGETS))  # reversed: the most extreme first
    targets = [kind for turn in turns for kind in turn if kind]
    along = (
        [Recipe(problem="one-layer"), Recipe(problem="two-layer"), Recipe(small, 4), Recipe(square, 4)],
        [Recipe((3, 2), n, seed=n) for n in (1, 33, 300, 1025, 2, 3, 5, 7, 16, 64, 65, 100, 129, 2100)],
        [Recipe((3, *(2, 4, 3) * 5, 2)[: n + 1], 3, seed=n) for n in (6, 4, 9, 3, 5, 7, 2, 13)],
        [r for i, kind in enumerate(reversed(WEIGHTS)) for r in both(weights=kind, seed=i)],
        [r for i, kind in enumerate(reversed(INPUTS)) for r in all_three(inputs=kind, seed=i)],
        [r for i, kind in enumerate(targets) for r in all_three(targets=kind, seed=i)],
        [Recipe(small, 4, targets="normal times 1e5", lr=1e-3),
         Recipe((3, 1), 12, weights="normal / 1,000", inputs="whole numbers from 0 to 255"),
         Recipe((3, 1), 12, weights="normal / 1e8", inputs="whole numbers up to 100,000"),
         Recipe(small, 4, weights="normal times 1,000", inputs="whole numbers"),
         Recipe(small, 4, inputs="every row the same", targets="every row the same"),
         Recipe(small, 4, weights="all zero", targets="all one half"),
         Recipe(small, 4, inputs="a row and a column of zeros", targets="a row and a column of zeros"),
         Recipe((3, 3), 3, weights="normal times 1,000", inputs="normal / 1e6"),
         Recipe((3, 3), 3, "normal times 1,000", "normal / 1e6", "normal times 1e5", lr=1000.0),
         Recipe((3, 3, 3), 3, targets="normal times 1e5", lr=1e-6),
         Recipe((3, 3), 3, "normal / 1e8", "normal times 1e6", "normal times 1e9", lr=1e-9),
         Recipe((3, 3), 3, inputs="normal / 1e6", targets=list(NEAR)[-1]),
         Recipe((3, 3, 3), 3, weights="normal times 8", inputs="normal times 10")],
        [r for i, rate in enumerate((0.3, 1e-6, 10.0, 1000.0, *RATES)) for r in both(lr=rate, seed=i)],
        [Recipe(square, 4, updates=n, lr=0.1) for n in (40, 0, 100, 257, 1, 2, 4, 5, 8, 10, 16, 33)],
        [Recipe((1, 1), 1, updates=1500, lr=0.1),
         Recipe((2, 2), 2, "normal / 1,000", targets="normal times 100", lr=1e-5, updates=1501),
         Recipe(small, 4, "uniform from -1 to 1", lr=0.01, updates=3000)],
        [Recipe((3, n, 2), 2, seed=n) for n in (300, 700, 17, 33, 65, 129, 1, 2, 8, 16)],
        [Recipe((n, 2), 2, seed=n) for n in (130, 600, 17, 33, 7, 2, 1)],
        [Recipe((2, n), 2, seed=n) for n in (10, 130, 600, 3, 33)],
        [Recipe((5, 5), 5), Recipe((64, 32, 10), 70), Recipe((1, 5, 1), 5), Recipe((5, 1, 5), 1), Recipe((6, 6, 6), 3),
         Recipe((3, 4, 17), 4), Recipe((3, 70, 70, 2), 2),
         Recipe((4, 4, 2), 1),
         Recipe((3, 3), 1), Recipe((3,) * 8, 3), Recipe((2, 2, 1), 1025), Recipe((2,) * 5, 2), Recipe((2, 2, 2), 40),
         Recipe((300, 300, 2), 2), Recipe((130, 130), 130), Recipe((4, 128, 2), 1024), Recipe((2, 1), 5000),
         Recipe((2, 1), 33_000)],
        [Recipe(small, 4, targets=list(NEAR)[2], updates=100)],
    )  # fmt: skip
    longest = (Recipe((2, 1), 3, lr=1e-3, updates=10_001), Recipe(problem="digits"))
    return tuple(dict.fromkeys((*(recipe for turn in zip_longest(*along) for recipe in turn if recipe), *longest)))


FIXED = _fixed()
"""Tried before anything is drawn."""


def recipes(most: int = 8) -> Any:
    """A strategy of Hypothesis: up to `most` networks of one shape, for shapes cost a compiler time.

    Raises MissingError without Hypothesis.
    """
    with needed("hypothesis", extra="check", why="random networks need Hypothesis"):
        from hypothesis import strategies as st

    def mostly(plain: Any, others: Any) -> Any:
        return st.one_of(st.just(plain), st.sampled_from(list(others)))

    few, rows = st.integers(1, 8), mostly(4, [1, 2, 3, 5, 7, 8, 16, 17, 33, 64, 65, 100])
    shapes = st.one_of(
        st.tuples(st.lists(few, min_size=2, max_size=4).map(tuple), rows),
        st.tuples(st.lists(few, min_size=4, max_size=8).map(tuple), st.integers(1, 6)),
        st.builds(lambda width, depth, n: ((width,) * depth, n), few, st.integers(2, 7), rows),
        st.builds(lambda width, depth: ((width,) * depth, width), few, st.integers(2, 5)),
        st.builds(
            lambda ends, width, first, n: ((width, *ends) if first else (*ends, width, 2), n),
            st.lists(few, min_size=1, max_size=2), st.integers(9, 700), st.booleans(), st.integers(1, 4),
        ),
        st.tuples(st.lists(st.integers(9, 200), min_size=2, max_size=4).map(tuple), st.integers(1, 9)),
        st.tuples(st.lists(st.integers(1, 3), min_size=2, max_size=3).map(tuple), st.integers(9, 2100)),
        st.tuples(st.lists(st.integers(1, 3), min_size=9, max_size=14).map(tuple), st.integers(1, 3)),
    )  # fmt: skip
    numbers = st.fixed_dictionaries(
        {
            "weights": mostly(PLAIN, WEIGHTS),
            "inputs": mostly(PLAIN, INPUTS),
            "targets": mostly(Recipe.targets, [*TARGETS, *NEAR]),
            "lr": mostly(0.5, RATES),
            "updates": mostly(STEPS, [0, 1, 2, 4, 5, 7, 8, 9, 12, 16, 31, 64, 100]),
            "seed": st.integers(0, 999),
        }
    )

    def together(shape: tuple[tuple[int, ...], int], many: list[dict[str, Any]]) -> tuple[Recipe, ...]:
        return tuple(Recipe(shape[0], shape[1], **one) for one in many)

    return st.builds(together, shapes, st.lists(numbers, min_size=most // 8, max_size=most))


def chosen(dtype: str) -> tuple[Network, ...]:
    """The conformance kit's networks: few, since each meets every law in a test of its own.

    Trask's two; square weights, where a transpose or a swap keeps the shape; sums longer than the 16 terms that
    reproducible arithmetic adds in index order; one sample; saturated units; six layers; large targets; z beyond 800.
    """
    named = {
        "square": Recipe((4, 4, 4, 4), 5, seed=1, updates=40, lr=0.1),
        "long sums": Recipe((17, 3, 2), 17, seed=2),
        "one sample": Recipe((3, 2, 2), 1, seed=3, updates=0),
        "saturated": Recipe((3, 4, 1), 4, "normal times 8", seed=4),
        "six layers": Recipe((3, 2, 4, 3, 2, 4, 2), 3, seed=5),
        "large targets": Recipe((3, 4, 1), 4, targets="normal times 1e5", lr=1e-3, seed=6),
        "far beyond saturation": Recipe((3, 4, 1), 4, "normal times 1,000", "whole numbers", seed=7),
    }
    return (
        Network.of(problem("one-layer"), dtype),
        Network.of(problem("two-layer"), dtype),
        *(replace(recipe.network(dtype), name=name) for name, recipe in named.items()),
    )
