"""A problem that cannot be trained is refused when it is made, before a backend gets the blame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equigrad import Problem, compare, problem
from equigrad.common.errors import UsageError

XOR: dict[str, Any] = {
    "name": "mine",
    "inputs": [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]],
    "targets": [[0], [1], [1], [0]],
    "layers": [3, 4, 1],
    "updates": np.int64(5),
    "learning_rate": np.float32(1),
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "flat targets": ({"targets": [0, 1, 1, 0]}, "the targets of 'mine' must have the shape (rows, 1), not (4,)"),
    "more outputs than target columns": (
        {"layers": (3, 2)},
        "the targets of 'mine' must have the shape (rows, 2), not (4, 1)",
    ),
    "fewer targets than inputs": ({"targets": [[0]]}, "'mine' has 4 rows of inputs but 1 of targets"),
    "no rows": ({"inputs": np.empty((0, 3))}, "the inputs of 'mine' must have the shape (rows, 3), not (0, 3)"),
    "ragged rows": (
        {"inputs": [[0, 0, 1], [0, 1]]},
        "the inputs of 'mine' must be an array of numbers of shape (rows, 3), or a list of such rows",
    ),
    "text": (
        {"targets": [["0"]] * 4},
        "the targets of 'mine' must be an array of numbers of shape (rows, 1), or a list of such rows",
    ),
    "NaN": ({"inputs": np.full((4, 3), np.nan)}, "the inputs of 'mine' must be finite numbers"),
    "one layer": ({"layers": 3}, "'mine' needs two layers or more, of at least 1 unit each, not (3,)"),
    "an empty layer": (
        {"layers": (3, 0, 1)},
        "'mine' needs two layers or more, of at least 1 unit each, not (3, 0, 1)",
    ),
    "half a unit": ({"layers": (3, 1.5, 1)}, "the size of a layer must be a whole number, not 1.5"),
    "no update": ({"updates": 0}, "the number of updates must be at least 1, not 0"),
    "half an update": ({"updates": 2.5}, "the number of updates must be a whole number, not 2.5"),
    "no seed": ({"seed": None}, "the seed must be a whole number, not None"),
    "a seed below 0": ({"seed": -1}, "the seed must be between 0 and 4294967295, not -1"),
    "a learning rate of 0": ({"learning_rate": 0}, "the learning rate must be a positive finite number, not 0"),
    "a learning rate that is no number": (
        {"learning_rate": "fast"},
        "the learning rate must be a positive finite number, not 'fast'",
    ),
}


@pytest.mark.parametrize(("changed", "says"), REFUSED.values(), ids=REFUSED)
def test_one_line_for(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        Problem(**{**XOR, **changed})
    assert str(caught.value) == says


@pytest.mark.parametrize("changed", [{"updates": 2.5}, {"seed": 1.5}], ids=["half an update", "half a seed"])
def test_with_refuses_too(changed: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be a whole number"):
        problem("two-layer").with_(**changed)


def test_lists_and_numbers_of_numpy_train_to_the_same_bits() -> None:
    mine, ours = Problem(**XOR), problem("two-layer").with_(updates=5)
    assert mine.to_json() == {**ours.to_json(), "name": "mine"}
    assert [type(value) for value in (*mine.layers, mine.updates, mine.learning_rate)] == [int] * 4 + [float]
    results = [compare(each, ["numpy"], arithmetic="reproducible").runs[0].weights_sha256 for each in (mine, ours)]
    assert results[0] == results[1]
