"""Numbers and lists are written as in a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from equigrad.common.words import at_most, counted, exact, percent


@pytest.mark.parametrize(
    ("number", "words"), [(1, "1 update"), (0, "0 updates"), (10_000, "10,000 updates")], ids=["one", "none", "many"]
)
def test_the_noun_fits_a_number_of(number: int, words: str) -> None:
    assert counted(number, "update") == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.0, "0%"), (0.0042, "1%"), (0.0141, "2%"), (0.07, "7%"), (0.5, "50%"), (1.001, "101%"), (np.inf, "inf%")],
)
def test_a_share_is_no_more_than_the_percentage_shown(share: float, words: str) -> None:
    assert percent(share) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (1.11e-16, "1.2e-16"), (9.91e-7, "1.0e-06"), (1e-9, "1.0e-09"), (2.0, "2.0e+00"), (np.inf, "inf")],
)
def test_a_distance_is_at_most_the_number_shown(value: float, words: str) -> None:
    assert at_most(np.float64(value)) == words


def test_of_a_distance_as_many_digits_are_shown_as_are_asked_for() -> None:
    assert [at_most(1.01e-9, digits) for digits in (1, 2, 3)] == ["2e-09", "1.1e-09", "1.01e-09"]


@pytest.mark.parametrize(
    ("value", "words"), [(1, "1"), (2**-9, "0.001953125"), (0.1, "0.1"), (1e-6, "1e-06"), (123456.5, "123456.5")]
)
def test_a_learning_rate_is_shown_so_that_it_can_be_typed_again(value: float, words: str) -> None:
    assert exact(value) == words
    assert float(words) == value
