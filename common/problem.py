"""What is trained: data, first weights, learning rate, number of updates, and the figures published for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np

from .errors import UsageError
from .golden import GOLDEN
from .nearest import check_known
from .values import count, matrix, positive, seed_of, several, whole
from .words import a

DTYPES = ("float64", "float32")
MOST_UPDATES = 10**14
"""More are refused."""


@dataclass(frozen=True)
class Figure:
    """A published number, and how to come by it from the weights that `train` reaches."""

    what: str
    """A phrase that says which number it is."""
    updates: int
    """After how many updates."""
    inputs: np.ndarray
    """The rows that are predicted, (N, inputs)."""
    published: np.ndarray
    """What was published: (N, outputs), or () if `mean_absolute_error`."""
    digits: int
    """How many digits after the point were published."""
    mean_absolute_error: bool = False
    """The published number is the mean absolute error of that prediction against the targets."""

    def comes_out(self, prediction: np.ndarray, targets: np.ndarray) -> bool:
        """Whether `prediction` (N, outputs), rounded to the published digits, is the published number."""
        value = np.abs(targets - prediction).mean() if self.mean_absolute_error else prediction
        return bool((np.round(value.astype(np.float64), self.digits) == self.published).all())


@dataclass(frozen=True, eq=False)
class Problem:
    """A network, its data and its training, the same bytes for every backend.

    The built-in ones are those of Andrew Trask's post and of the UCI repository, see `equigrad.problem`. Data may be
    given as lists, or as arrays of any numbers. Raises UsageError for data and layers that do not fit together, fewer
    than one update or more than MOST_UPDATES, a learning rate that is not finite or not positive, and a seed that is
    no 32-bit number.
    """

    name: str
    inputs: np.ndarray
    """(samples, layers[0]), float64"""
    targets: np.ndarray
    """(samples, layers[-1]), float64"""
    layers: tuple[int, ...]
    """Sizes, input first: (3, 4, 1) has two weight matrices."""
    updates: int
    learning_rate: float = 1.0
    seed: int = 1
    figures: tuple[Figure, ...] = field(default=(), repr=False)
    golden: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By dtype, the SHA-256 that every backend's reproducible weights must have, see `common.golden`."""

    def __post_init__(self) -> None:
        layers = tuple(whole("the size of a layer", size) for size in several(self.layers))
        if len(layers) < 2 or min(layers) < 1:
            raise UsageError(f"'{self.name}' needs two layers or more, of at least 1 unit each, not {layers}")
        checked = {
            "layers": layers,
            "inputs": matrix(f"the inputs of '{self.name}'", self.inputs, layers[0]),
            "targets": matrix(f"the targets of '{self.name}'", self.targets, layers[-1]),
            "updates": count("the number of updates", self.updates),
            "learning_rate": positive("the learning rate", self.learning_rate),
            "seed": seed_of(self.seed),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if len(self.inputs) != len(self.targets):
            raise UsageError(f"'{self.name}' has {len(self.inputs)} rows of inputs but {len(self.targets)} of targets")
        if self.updates > MOST_UPDATES:
            raise UsageError(
                f"{self.updates} updates are more than any machine can make: at a tenth of a microsecond each, "
                f"{MOST_UPDATES:,} take four months"
            )

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(fan_in, fan_out) of each weight matrix."""
        return list(pairwise(self.layers))

    @property
    def samples(self) -> int:
        return len(self.inputs)

    def to_json(self) -> dict[str, Any]:
        """As every result in JSON describes it, see docs/json.md."""
        return {
            "name": self.name,
            "layers": list(self.layers),
            "samples": self.samples,
            "updates": self.updates,
            "learning_rate": self.learning_rate,
            "seed": self.seed,
        }

    def first_weights(self, dtype: str = "float64") -> tuple[np.ndarray, ...]:
        """One (fan_in, fan_out) matrix per layer, uniform in [-1, 1), drawn in NumPy as Trask draws them.

        float32 weights are the float64 ones, rounded.
        """
        generator = np.random.RandomState(self.seed)
        return tuple((2 * generator.random_sample(shape) - 1).astype(dtype) for shape in self.shapes)

    def rate(self, dtype: str) -> float:
        """The learning rate as a Python float that `dtype` holds exactly."""
        with np.errstate(over="ignore", under="ignore"):
            return float(np.dtype(dtype).type(self.learning_rate))

    def check_fits(self, dtype: str, rows: np.ndarray | None = None) -> None:
        """Raise UsageError for an unknown dtype, and for numbers, of `rows` to predict too, that it cannot hold."""
        check_known("dtype", dtype, DTYPES)
        if not 0 < self.rate(dtype) < np.inf:
            raise UsageError(f"the learning rate {self.learning_rate} does not fit into {dtype}")
        given = {"the inputs": self.inputs, "the targets": self.targets, "a row to predict": rows}
        for what, values in given.items():
            with np.errstate(over="ignore", under="ignore"):
                if values is not None and not np.isfinite(values.astype(dtype)).all():
                    raise UsageError(f"{what} of '{self.name}' hold a number that does not fit into {dtype}")

    def with_(
        self, *, updates: int | None = None, learning_rate: float | None = None, seed: int | None = None
    ) -> Problem:
        """The same problem with another number of updates, learning rate or seed of its first weights.

        The published figures stay only where they still apply. Raises UsageError as `Problem` does.
        """
        asked: dict[str, Any] = {"updates": updates, "learning_rate": learning_rate, "seed": seed}
        changed = replace(self, **{name: value for name, value in asked.items() if value is not None})
        if (changed.learning_rate, changed.seed) != (self.learning_rate, self.seed):
            changed = replace(changed, figures=(), golden={})
        return changed if changed.updates == self.updates else replace(changed, golden={})


TRASK_INPUTS = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=float)
"""The third column is always 1 and stands in for a bias."""


def one_layer() -> Problem:
    """Part 1 of Trask's post, "A Tiny Toy Network": the first column is the answer."""
    unseen = np.array([[0, 1, 1], [1, 1, 0], [1, 0, 1], [1, 1, 1]], dtype=float)
    return Problem(
        name="one-layer",
        inputs=TRASK_INPUTS,
        targets=np.array([[0], [0], [1], [1]], dtype=float),
        layers=(3, 1),
        updates=10_000,
        golden=GOLDEN["one-layer"],
        figures=(
            Figure(
                "output in the last of the 10,000 iterations, before its update",
                9_999,
                TRASK_INPUTS,
                np.array([[0.00966449], [0.00786506], [0.99358898], [0.99211957]]),
                8,
            ),
            Figure(
                "prediction for [0 1 1], [1 1 0], [1 0 1], [1 1 1] after all 10,000 updates",
                10_000,
                unseen,
                np.array([[0.00786466], [0.9999225], [0.99358931], [0.99211997]]),
                8,
            ),
        ),
    )


def two_layer() -> Problem:
    """Part 2 of Trask's post, "A Slightly Harder Problem": exclusive or of the first two columns."""
    errors = (
        0.496410031903,
        0.00858452565325,
        0.00578945986251,
        0.00462917677677,
        0.00395876528027,
        0.00351012256786,
    )
    return Problem(
        name="two-layer",
        inputs=TRASK_INPUTS,
        targets=np.array([[0], [1], [1], [0]], dtype=float),
        layers=(3, 4, 1),
        updates=60_000,
        golden=GOLDEN["two-layer"],
        figures=tuple(
            Figure(
                f"mean absolute error at update {10_000 * i:,}",
                10_000 * i,
                TRASK_INPUTS,
                np.array(error),
                12 if i == 0 else 14,
                mean_absolute_error=True,
            )
            for i, error in enumerate(errors)
        ),
    )


def digits() -> Problem:
    """1797 handwritten digits of 8 x 8 pixels, to be told apart by a hidden layer of 32.

    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    1998, https://doi.org/10.24432/C50P49, CC BY 4.0: its test set, pixel counts 0 to 16 scaled to 0 to 1.
    """
    with (
        (files(__package__) / "data" / "digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as data,
    ):
        pixels, labels = data["pixels"], data["labels"]
    return Problem(
        name="digits",
        inputs=pixels / 16.0,
        targets=np.eye(10)[labels],
        layers=(64, 32, 10),
        updates=500,
        learning_rate=2.0**-9,
        golden=GOLDEN["digits"],
    )


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "one-layer": one_layer,
    "two-layer": two_layer,
    "digits": digits,
}


def problem(name: str) -> Problem:
    """The built-in problem of that name: one-layer, two-layer or digits.

    The first two are those of Andrew Trask's post, https://iamtrask.github.io/2015/07/12/basic-python-network/, the
    third UCI's handwritten digits. Raises UsageError for another name, and names the nearest.
    """
    check_known("problem", name, PROBLEMS)
    return PROBLEMS[name]()


def task_of(given: str | Problem) -> Problem:
    """The problem itself, or the built-in one of that name; raises UsageError for all else."""
    if isinstance(given, str):
        return problem(given)
    if not isinstance(given, Problem):
        raise UsageError(f"a problem is a name or an equigrad.Problem, not {a(given)}")
    return given


def bytes_needed(samples: int, layers: Sequence[int], itemsize: int) -> int:
    """Data, weights, gradients, and activation and delta of every layer: what an update cannot do without."""
    weights = sum(a * b for a, b in pairwise(layers))
    return itemsize * (samples * (layers[0] + layers[-1] + 2 * sum(layers[1:])) + 2 * weights)
